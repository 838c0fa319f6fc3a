"""Render the output of a command to what a terminal would show in the end; bounded in time, prints nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ROWS, _COLUMNS = 24, 80
"""Programs that do not know the size of their terminal take this one."""
_MAX_COLUMN = 10_000
_CONTROL = re.compile(r"\r(?!\n)|[\x07\x08\x0e\x0f\x1b]")
_COLOR = re.compile(r"\x1b\[[0-9;:]{0,64}m")
# ECMA-48: control sequences, strings such as a window title, and other escapes. A string ends with its line, so that an
# unterminated one does not take the rest.
_ESCAPE = re.compile(
    r"\x1b(?:\[([0-?]{0,64})[ -/]{0,8}([@-~])|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[PX^_][^\x1b\n]*(?:\x1b\\)?|[ -/]+[0-~]"
    r"|([0-~])|)"
)
_TOKEN = re.compile(rf"{_ESCAPE.pattern}|[\x07\x08\x0e\x0f]|[^\x1b\x07\x08\x0e\x0f]+")
_ROW_STEPS = {"A": -1, "B": 1, "E": 1, "F": -1}
_MAX_WORK = 400_000_000
"""How many characters of lines are copied at most, which takes about a second."""
_CONTROL_WORK = 1_000
"""A control sequence takes as long as so many characters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Displayed:
    """What a terminal shows."""

    text: str
    overwritten: bool
    """Whether something was written that is not seen any more, such as earlier states of a progress line."""


def displayed(output: str) -> Displayed:
    r"""Return what a terminal shows of an output: progress in its last state, and no colours.

    Lines may be of any length, and those that have left the top of the screen stay. An output without such characters
    stays as it is; \r\n is not one of them. What would take too long is only stripped: of escapes, and of all but the
    last state of each line.
    """
    if not _CONTROL.search(output):
        return Displayed(text=output, overwritten=False)
    output = _COLOR.sub("", output)
    screen = _Screen()
    try:
        for number, line in enumerate(output.split("\n")):
            if number:
                screen.move(screen.row + 1, 0)
            screen.write_line(line.removesuffix("\r"))
    except _TooMuch:
        lines = _ESCAPE.sub("", output).split("\n")
        return Displayed(text="\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines), overwritten=True)
    return Displayed(text="\n".join(screen.lines), overwritten=screen.overwritten)


class _TooMuch(Exception):
    """Raised when rendering takes too long."""


class _Screen:
    def __init__(self) -> None:
        self.lines = [""]
        """All of them, those above the screen too."""
        self.row = 0
        """Index of the line of the cursor."""
        self.overwritten = False
        self._column = 0
        self._saved = (0, 0)
        self._main: tuple[list[str], int, int] | None = None
        """The lines and the cursor below the alternate screen. None means that it is not shown."""
        self._work = 0

    def write_line(self, line: str) -> None:
        """Write what is before the next newline."""
        for number, part in enumerate(line.split("\r")):
            if number:
                self._column = 0
            if _CONTROL.search(part):
                self._write_with_controls(part)
            elif part:
                self._write(part)

    def _write_with_controls(self, text: str) -> None:
        for found in _TOKEN.finditer(text):
            token = found[0]
            match token[0]:
                case "\x1b":
                    if found[2]:
                        self._control(found[2], found[1])
                    elif found[3]:
                        self._escape(found[3])
                case "\x08":
                    self._column = max(0, self._column - 1)
                case "\x07" | "\x0e" | "\x0f":
                    pass
                case _:
                    self._write(token)

    def move(self, row: int, column: int) -> None:
        """Move the cursor; lines are added where there are none."""
        if row >= len(self.lines):
            self.lines += [""] * (row + 1 - len(self.lines))
        self.row, self._column = row, column

    @property
    def _top(self) -> int:
        """Index of the first line on the screen."""
        return max(0, len(self.lines) - _ROWS)

    def _write(self, text: str) -> None:
        line, start = self.lines[self.row], self._column
        end = start + len(text)
        if start < len(line):
            self._replace(start, end, text)
            self.lines[self.row] = self.lines[self.row].rstrip(" ")  # spaces that clear a line are not seen
        else:
            self.lines[self.row] = f"{line:<{start}}{text}" if start else text
            self._count(len(line))
        self._column = end

    def _replace(self, start: int, end: int | None, text: str) -> None:
        """Replace a part of the line of the cursor."""
        line = self.lines[self.row]
        old = line[start:end]
        self.overwritten = self.overwritten or (old != text[: len(old)] and bool(old.strip()))
        self.lines[self.row] = f"{line[:start]}{text}{line[end:] if end is not None else ''}"
        self._count(len(line))

    def _count(self, copied: int) -> None:
        self._work += copied
        if self._work > _MAX_WORK:
            raise _TooMuch

    def _control(self, final: str, parameters: str) -> None:
        """Obey a control sequence; those without an effect on the text are skipped."""
        self._count(_CONTROL_WORK)
        if parameters in {"?47", "?1047", "?1049"} and final in "hl":
            self._show_alternate(shown=final == "h")
        numbers = [int(number) if number.isdecimal() else 0 for number in parameters.split(";")]
        if final in "ABCDEFGHfd`":
            self._move_by(final, max(1, numbers[0]), max([1, *numbers[1:2]]))
        elif final in "JKPX":
            self._erase(final, numbers[0])
        elif final in "su":
            self._escape("7" if final == "s" else "8")

    def _move_by(self, final: str, count: int, second: int) -> None:
        row = self._top + count - 1 if final in "Hfd" else self.row + _ROW_STEPS.get(final, 0) * count
        match final:
            case "H" | "f":
                column = second - 1
            case "G" | "`":
                column = count - 1
            case "E" | "F":
                column = 0
            case "C":
                column = min(self._column + count, max(self._column, _COLUMNS - 1))
            case "D":
                column = max(0, self._column - count)
            case _:
                column = self._column
        last = max(len(self.lines), self._top + _ROWS) - 1
        self.move(min(max(row, self._top), last), min(column, max(self._column, _MAX_COLUMN)))

    def _escape(self, final: str) -> None:
        """Obey an escape of two characters."""
        match final:
            case "7":
                self._saved = (self.row, self._column)
            case "8":
                self.move(min(self._saved[0], len(self.lines) - 1), self._saved[1])
            case "D" | "E":
                self.move(self.row + 1, 0 if final == "E" else self._column)
            case "M":
                self.move(max(self._top, self.row - 1), self._column)
            case "c":
                self.move(self._top, 0)
                self._erase("J", 2)
            case _:
                pass

    def _erase(self, final: str, number: int) -> None:
        """Erase a part of the line, or of the screen; what is above the screen stays."""
        start, line = self._column, self.lines[self.row]
        end = min(start + max(1, number), len(line))
        match final, number:
            case "P", _:
                self._replace(start, end, "")
            case "X", _:
                self._replace(start, end, " " * (end - start))
            case _, 0:
                self._replace(start, None, "")
            case _, 1:
                self._replace(0, start + 1, " " * min(start + 1, len(line)))
            case _, 2:
                self._replace(0, None, "")
            case _:
                return
        if final == "J":
            self._erase_lines(self._top if number else self.row + 1, self.row if number == 1 else len(self.lines))

    def _erase_lines(self, start: int, end: int) -> None:
        top = self._top
        for row in range(start, end):
            self.overwritten = self.overwritten or bool(self.lines[row].strip())
            self.lines[row] = ""
        while len(self.lines) - 1 > max(self.row, top) and not self.lines[-1]:
            self.lines.pop()

    def _show_alternate(self, *, shown: bool) -> None:
        if shown and self._main is None:
            self._main = (self.lines, self.row, self._column)
            self.lines, self.row, self._column = [""], 0, 0
        elif not shown and self._main is not None:
            self.overwritten = self.overwritten or any(map(str.strip, self.lines))
            self.lines, self.row, self._column = self._main
            self._main = None

"""Apply the hunks of a diff to the text of a file, where they fit; pure, touches no file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from agent import ToolError

from . import _text as _texts
from ._diff_parsing import Hunk, Row
from ._spans import Spans, line_words

_MAX_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Applied:
    """A text after all hunks."""

    text: str
    lines: str
    """The lines that changed, counted in the new text: `lines 3-5, 9`. Empty if none did."""
    moved: tuple[str, ...]
    """A clause for each hunk that was applied elsewhere than its header says."""


def apply_hunks(text: str, hunks: Sequence[Hunk], path: str) -> Applied:
    r"""Apply all hunks to the text of a file; `path` names it in messages.

    A hunk without \r fits lines with it, which then keep it, and so do new lines among them.

    Raises:
        ToolError: a hunk matches nowhere, or in several places of which none is the line in its header.
    """
    with_bom = any(row.text.startswith(_texts.BOM) for hunk in hunks for row in hunk.rows)
    bom = _texts.BOM if text.startswith(_texts.BOM) and not with_bom else ""
    file = _File(text.removeprefix(bom), path)
    for number, hunk in enumerate(hunks, 1):
        file.apply(hunk, number)
    return file.applied(bom)


class _File:
    """The lines of a file while the hunks are applied."""

    def __init__(self, text: str, path: str) -> None:
        lines = _texts.split_lines(text)
        self._rows = [line.removesuffix("\n") for line in lines]
        self._ends = not lines or lines[-1].endswith("\n")
        self._path = path
        self._spans = Spans()
        self._moved: list[str] = []
        self._shift = 0
        """Lines that the hunks so far have added, less those that they removed."""
        self._drift = 0
        """How many lines below its header the last hunk was applied."""

    def applied(self, bom: str) -> Applied:
        text = "\n".join(self._rows) + ("\n" if self._ends and self._rows else "")
        lines = line_words(self._spans.found, len(self._rows)) if self._spans.found else ""
        return Applied(text=bom + text, lines=lines, moved=tuple(self._moved))

    def apply(self, hunk: Hunk, number: int) -> None:
        wanted = None if not hunk.line else hunk.line - (0 if hunk.inserts else 1) + self._shift
        if hunk.inserts and not hunk.line:
            wanted = self._shift  # @@ -0,0: before the first line
        for spare in range(hunk.spare + 1):
            shorter = replace(hunk, rows=hunk.rows[: len(hunk.rows) - spare])
            at = self._place(shorter, wanted)
            if at is not None:
                break
        else:
            raise ToolError(self._mismatch(hunk, number, wanted))
        if wanted is not None and at != wanted:
            self._drift = at - wanted
            lines = f"{abs(self._drift)} {'line' if abs(self._drift) == 1 else 'lines'}"
            where = "below" if self._drift > 0 else "above"
            self._moved.append(f"hunk {number} applied at line {at + 1}, {lines} {where} its header")
        self._replace(shorter, at)

    def _place(self, hunk: Hunk, wanted: int | None) -> int | None:
        """Return the index of the first line of a hunk. None means no match, or an ambiguous one."""
        old = _old_rows(hunk)
        if not old:
            if not self._rows:
                return 0
            return None if wanted is None else min(max(wanted, 0), len(self._rows))
        for at in [] if wanted is None else [wanted, wanted + self._drift]:
            if self._fits(old, at, must_end=_ends_file(hunk)):
                return at
        found = self._places(hunk)
        return found[0] if len(found) == 1 else None

    def _places(self, hunk: Hunk) -> list[int]:
        old = _old_rows(hunk)
        places = range(len(self._rows) - len(old) + 1) if old else ()
        return [at for at in places if self._fits(old, at, must_end=_ends_file(hunk))]

    def _fits(self, old: Sequence[str], at: int, *, must_end: bool) -> bool:
        if at < 0 or at + len(old) > len(self._rows) or (must_end and at + len(old) < len(self._rows)):
            return False
        return all(_equal(self._rows[at + index], text) for index, text in enumerate(old))

    def _replace(self, hunk: Hunk, at: int) -> None:
        old_count = len(_old_rows(hunk))
        is_crlf = not any(row.text.endswith("\r") for row in hunk.rows) and self._is_crlf(at, old_count)
        new: list[str] = []
        here = at
        for row in hunk.rows:
            if row.mark != "+":
                here += 1
            if row.mark == " ":
                new.append(self._rows[here - 1])
            elif row.mark == "+":
                new.append(row.text)
        for start, removed, added in _runs(hunk, at):
            self._spans.replace(start, removed, added)
        self._rows[at : at + old_count] = new
        if _ends_file(hunk):
            self._ends = next((row.ends for row in reversed(hunk.rows) if row.mark != "-"), True)
        self._ends = self._ends or not self._rows
        if is_crlf:
            for index in range(at, at + len(new)):
                ends = self._ends or index < len(self._rows) - 1
                self._rows[index] = self._rows[index].removesuffix("\r") + ("\r" if ends else "")
        self._shift += len(new) - old_count

    def _is_crlf(self, at: int, count: int) -> bool:
        r"""Return whether the lines that a hunk fits, or all if it has none, end in \r."""
        last = len(self._rows) if self._ends else len(self._rows) - 1
        rows = self._rows[at : min(at + count, last)] or self._rows[:last]
        return bool(rows) and all(row.endswith("\r") for row in rows)

    def _mismatch(self, hunk: Hunk, number: int, wanted: int | None) -> str:
        head = f'Hunk {number} does not apply to "{self._path}"; nothing was changed.'
        old = _old_rows(hunk)
        header = "its header has no line number" if wanted is None else f"its header says line {hunk.line}"
        if not old:
            return f"{head} It has only added lines, and {header}. Add the lines around them."
        places = self._places(hunk)
        if places:
            lines = ", ".join(str(at + 1) for at in places[:_MAX_SHOWN])
            etc = ", ..." if len(places) > _MAX_SHOWN else ""
            times = f"{len(places)} times, at lines {lines}{etc}" if len(places) > 1 else f"at line {lines}"
            return f"{head} Its lines occur {times}, and {header}. Correct the line number, or add context lines."
        if _ends_file(hunk) and (places := self._places(_without_ends(hunk))):
            return (
                f'{head} Its lines are at line {places[0] + 1}, which is not the end of the file. Leave out "\\ No '
                'newline at end of file".'
            )
        after = replace(hunk, rows=tuple(replace(row, mark=" ") for row in hunk.rows if row.mark != "-"))
        if places := self._places(after):
            return f"{head} It seems to be applied already: its new lines are at line {places[0] + 1}."
        text = f"{head} Correct its context lines or line number."
        near = _texts.find_similar("\n".join(self._rows), "\n".join(old))
        if near is None:
            return text
        only = f" It differs only in {near.difference}." if near.difference else ""
        return f"{text}{only} The most similar lines:\n{near.shown()}"


def _old_rows(hunk: Hunk) -> list[str]:
    return [row.text for row in hunk.rows if row.mark != "+"]


def _ends_file(hunk: Hunk) -> bool:
    return any(not row.ends for row in hunk.rows)


def _without_ends(hunk: Hunk) -> Hunk:
    return replace(hunk, rows=tuple(replace(row, ends=True) for row in hunk.rows))


def _equal(line: str, text: str) -> bool:
    return line == text or (not text.endswith("\r") and line == f"{text}\r")


def _runs(hunk: Hunk, at: int) -> Iterator[tuple[int, int, int]]:
    """Yield each changed part: where it is once those before it are replaced, and the lines it removes and adds."""
    here, removed, added = at, 0, 0
    for row in (*hunk.rows, Row(mark=" ", text="")):
        if row.mark != " ":
            removed, added = removed + (row.mark == "-"), added + (row.mark == "+")
            continue
        if removed or added:
            yield here, removed, added
        here, removed, added = here + added + 1, 0, 0

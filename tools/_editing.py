"""Change the text of a file: one exact replacement, or the hunks of a diff; pure, touches no file."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent import ToolError

from . import _text as _texts


@dataclass(frozen=True, kw_only=True)
class Edited:
    """A text after a change."""

    text: str
    place: str
    """Where it changed: `line 3` or `lines 3-5`, counted in the new text."""


def edited(text: str, old: str, new: str, shown: str) -> Edited:
    r"""Replace `old`, which must occur exactly once, by `new`.

    A byte-order mark stays, and in a file whose every line ends in \r\n, so do its line ends.

    Args:
        text: of the file.
        old: the exact text to replace.
        new: what comes in its place.
        shown: the path, as messages name it.

    Raises:
        ToolError: there is no such text, or several, or nothing would change.
    """
    if not old:
        msg = "old is empty. Give the exact text to replace, or use write_file to write a whole file."
        raise ToolError(msg)
    if old == new:
        msg = "old and new are the same, so nothing would change. Give the text that should stand there instead as new."
        raise ToolError(msg)
    mark = _texts.BOM if text.startswith(_texts.BOM) else ""
    text, old, new = text[len(mark) :], old.removeprefix(mark), new.removeprefix(mark)
    if _only_crlf(text) and "\r" not in old:
        # Models write \n; in a file whose every line ends in \r\n that can mean one thing only.
        old, new = old.replace("\n", "\r\n"), new.replace("\r\n", "\n").replace("\n", "\r\n")
    found = _texts.places(text, old)
    if len(found) != 1:
        raise ToolError(_missed(text, old, shown, found))
    changed = text[: found[0]] + new + text[found[0] + len(old) :]
    return Edited(text=mark + changed, place=_span(changed, found[0], len(new)))


@dataclass(frozen=True, kw_only=True)
class Hunk:
    """One place of a diff."""

    line: int
    """Where its header says it begins in the old text, from 1; 0: it does not say."""
    old: str
    """Context and removed lines."""
    new: str
    """Context and added lines."""


@dataclass(frozen=True, kw_only=True)
class FileDiff:
    """What a diff changes in one file."""

    path: str
    """The file as it is before. Empty: it is made."""
    new_path: str
    """The file as it is after. Empty: it is removed."""
    hunks: tuple[Hunk, ...]


_HEADER = re.compile(r"@@+ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@")


def parsed_diff(text: str) -> list[FileDiff]:
    """Read a unified diff; line counts in hunk headers are not relied on, since models get them wrong.

    Raises:
        ToolError: it is no unified diff.
    """
    found: list[FileDiff] = []
    lines = text.replace("\r\n", "\n").split("\n")
    at = 0
    while at < len(lines):
        if _begins_file(lines, at):
            before, after = _path(lines[at]), _path(lines[at + 1])
            hunks, at = _hunks(lines, at + 2)
            if not hunks:
                msg = f'The diff of "{before or after}" has no hunk. Each begins with a line such as @@ -3,4 +3,5 @@.'
                raise ToolError(msg)
            found.append(FileDiff(path=before, new_path=after, hunks=hunks))
        elif lines[at].startswith("@@"):
            msg = "A hunk of the diff comes before any file. Begin each file with its --- and +++ lines."
            raise ToolError(msg)
        else:
            at += 1  # what git says about modes and blobs, or words around the diff
    if not found:
        msg = "This is no unified diff. Begin each file with --- a/path and +++ b/path, then hunks that begin with @@."
        raise ToolError(msg)
    return found


def _path(line: str) -> str:
    path = line[4:].partition("\t")[0].strip().strip('"')
    if path == "/dev/null":
        return ""
    return path[2:] if path.startswith(("a/", "b/")) else path


def _hunks(lines: list[str], at: int) -> tuple[tuple[Hunk, ...], int]:
    hunks: list[Hunk] = []
    while at < len(lines) and lines[at].startswith("@@"):
        header = _HEADER.match(lines[at])
        old, new = list[str](), list[str]()
        at += 1
        while at < len(lines) and lines[at][:1] in {" ", "-", "+", "\\", ""} and not _begins_file(lines, at):
            mark, rest = lines[at][:1], lines[at][1:]
            at += 1
            if mark == "\\":
                continue
            if mark == "" and at == len(lines):
                break  # the end of the text, not an empty line of context
            if mark != "+":
                old.append(rest)
            if mark != "-":
                new.append(rest)
        hunks.append(Hunk(line=int(header[1]) if header else 0, old="\n".join(old), new="\n".join(new)))
    return tuple(hunks), at


def _begins_file(lines: list[str], at: int) -> bool:
    return lines[at].startswith("--- ") and at + 1 < len(lines) and lines[at + 1].startswith("+++ ")


def patched(text: str, diff: FileDiff, shown: str) -> str:
    """Apply all hunks to the text of a file.

    Raises:
        ToolError: a hunk fits nowhere, or in several places and its line does not tell which.
    """
    crlf = _only_crlf(text)
    lines = _texts.lines_of(text.replace("\r\n", "\n") if crlf else text)
    ends = not lines or lines[-1].endswith("\n")
    rows = [line.removesuffix("\n") for line in lines]
    shift = 0
    for number, hunk in enumerate(diff.hunks, 1):
        old, new = hunk.old.split("\n") if hunk.old else [], hunk.new.split("\n") if hunk.new else []
        place = _place(rows, old, hunk.line - 1 + shift if hunk.line else None)
        if place is None:
            near = _texts.nearest("\n".join(rows), hunk.old)
            told = (
                ""
                if near is None
                else " The most similar lines there:\n"
                + "\n".join(f"{near.line + index}: {line.rstrip()}" for index, line in enumerate(near.lines[:20]))
            )
            msg = f'Hunk {number} does not fit "{shown}", so nothing was changed.{told}'
            raise ToolError(msg)
        rows[place : place + len(old)] = new
        shift += len(new) - len(old)
    whole = "\n".join(rows) + ("\n" if ends and rows else "")
    return whole.replace("\n", "\r\n") if crlf else whole


def _place(rows: list[str], old: list[str], wanted: int | None) -> int | None:
    """Return where the lines stand; of several places the one that is wanted. None: nowhere, or it is not clear."""
    if not old:
        return 0 if not rows else min(max(wanted or 0, 0), len(rows))
    found = [at for at in range(len(rows) - len(old) + 1) if rows[at : at + len(old)] == old]
    if len(found) == 1:
        return found[0]
    return wanted if wanted in found else None


def _only_crlf(text: str) -> bool:
    return "\r\n" in text and text.count("\n") == text.count("\r\n")


def _span(text: str, start: int, length: int) -> str:
    first = _texts.line_at(text, start)
    last = _texts.line_at(text, max(start, start + length - 1))
    return f"line {first}" if first == last else f"lines {first}-{last}"


def _missed(text: str, old: str, shown: str, found: list[int]) -> str:
    if found:
        numbers = [str(_texts.line_at(text, place)) for place in found[:20]]
        etc = ", ..." if len(found) > len(numbers) else ""
        return (
            f'old occurs {len(found)} times in "{shown}", at lines {", ".join(numbers)}{etc}. '
            "Add surrounding lines to make it unique."
        )
    bare = re.sub(r"^ *\d+: ?", "", old, flags=re.MULTILINE)
    if bare.strip() and bare != old and _texts.places(text, bare):
        return f'old does not occur in "{shown}", but would without the line numbers in it. Leave them out.'
    near = _texts.nearest(text, old)
    if near is None:
        return (
            f'old does not occur in "{shown}", and nothing there resembles it. Read the file and copy the text exactly.'
        )
    only = f"It differs only in {near.difference}. " if near.difference else ""
    lines = "\n".join(f"{near.line + index}: {_shown_line(line)}" for index, line in enumerate(near.lines[:20]))
    return f'old does not occur in "{shown}". {only}Copy the text exactly. The most similar lines there:\n{lines}'


def _shown_line(line: str) -> str:
    r"""Return the line without its end, but with a visible \r, cut to a bearable length."""
    return line.removesuffix("\n").replace("\r", "\\r")[:300]

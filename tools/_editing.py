"""Edit text: one exact replacement, or the hunks of a diff; pure, touches no file."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent import ToolError

from . import _text as _texts


@dataclass(frozen=True, kw_only=True)
class Edited:
    """A text after an edit."""

    text: str
    lines: str
    """The lines that changed: `line 3` or `lines 3-5`, counted in the new text."""


def replace_once(text: str, old: str, new: str, path: str) -> Edited:
    r"""Replace `old`, which must occur exactly once, with `new`.

    A byte-order mark is kept. If every line of the file ends in \r\n, so do the new lines.

    Args:
        text: the content of the file.
        old: the exact text to replace.
        new: the replacement.
        path: the file's path, for messages.

    Raises:
        ToolError: `old` is empty, equals `new`, or does not occur exactly once.
    """
    if not old:
        msg = "old is empty. Give the exact text to replace, or use write_file to write a whole file."
        raise ToolError(msg)
    if old == new:
        msg = "old and new are the same, so nothing would change. Give the text that should stand there instead as new."
        raise ToolError(msg)
    bom = _texts.BOM if text.startswith(_texts.BOM) else ""
    text, old, new = text[len(bom) :], old.removeprefix(bom), new.removeprefix(bom)
    if _only_crlf(text) and "\r" not in old:
        # Models write \n; in a file whose every line ends in \r\n that can only mean \r\n.
        old, new = old.replace("\n", "\r\n"), new.replace("\r\n", "\n").replace("\n", "\r\n")
    found = _texts.find_all(text, old)
    if len(found) != 1:
        raise ToolError(_mismatch(text, old, path, found))
    edited = text[: found[0]] + new + text[found[0] + len(old) :]
    return Edited(text=bom + edited, lines=_line_range(edited, found[0], len(new)))


@dataclass(frozen=True, kw_only=True)
class Hunk:
    """One hunk of a diff."""

    line: int
    """The first line in the old text according to its header, from 1; 0 if the header has none."""
    old: str
    """Context and removed lines."""
    new: str
    """Context and added lines."""


@dataclass(frozen=True, kw_only=True)
class FileDiff:
    """The part of a diff that concerns one file."""

    path: str
    """The path before the change; empty if the diff creates the file."""
    new_path: str
    """The path after the change; empty if the diff removes the file."""
    hunks: tuple[Hunk, ...]


_HEADER = re.compile(r"@@+ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@")


def parse_diff(text: str) -> list[FileDiff]:
    """Parse a unified diff; line counts in hunk headers are ignored, since models get them wrong.

    Raises:
        ToolError: the text is not a unified diff.
    """
    found: list[FileDiff] = []
    lines = text.replace("\r\n", "\n").split("\n")
    at = 0
    while at < len(lines):
        if _begins_file(lines, at):
            path, new_path = _path(lines[at]), _path(lines[at + 1])
            hunks, at = _hunks(lines, at + 2)
            if not hunks:
                msg = f'The diff of "{path or new_path}" has no hunks. Begin each with a line such as @@ -3,4 +3,5 @@.'
                raise ToolError(msg)
            found.append(FileDiff(path=path, new_path=new_path, hunks=hunks))
        elif lines[at].startswith("@@"):
            msg = "The diff has a hunk before its first file. Begin each file with its --- and +++ lines."
            raise ToolError(msg)
        else:
            at += 1  # git's mode and index lines, or prose around the diff
    if not found:
        msg = "diff is not a unified diff. Begin each file with --- a/path and +++ b/path, and each hunk with @@."
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
                break  # the end of the text, not an empty context line
            if mark != "+":
                old.append(rest)
            if mark != "-":
                new.append(rest)
        hunks.append(Hunk(line=int(header[1]) if header else 0, old="\n".join(old), new="\n".join(new)))
    return tuple(hunks), at


def _begins_file(lines: list[str], at: int) -> bool:
    return lines[at].startswith("--- ") and at + 1 < len(lines) and lines[at + 1].startswith("+++ ")


def apply_hunks(text: str, diff: FileDiff, path: str) -> str:
    """Apply all hunks to the text of a file; `path` names it in messages.

    Raises:
        ToolError: a hunk matches nowhere, or in several places of which none is the line in its header.
    """
    crlf = _only_crlf(text)
    lines = _texts.split_lines(text.replace("\r\n", "\n") if crlf else text)
    ends = not lines or lines[-1].endswith("\n")
    rows = [line.removesuffix("\n") for line in lines]
    shift = 0
    for number, hunk in enumerate(diff.hunks, 1):
        old, new = hunk.old.split("\n") if hunk.old else [], hunk.new.split("\n") if hunk.new else []
        at = _find_hunk(rows, old, hunk.line - 1 + shift if hunk.line else None)
        if at is None:
            raise ToolError(_hunk_mismatch("\n".join(rows), hunk.old, path, number))
        rows[at : at + len(old)] = new
        shift += len(new) - len(old)
    whole = "\n".join(rows) + ("\n" if ends and rows else "")
    return whole.replace("\n", "\r\n") if crlf else whole


def _find_hunk(rows: list[str], old: list[str], wanted: int | None) -> int | None:
    """Return the index of the lines; of several, the wanted one. None means no match, or an ambiguous one."""
    if not old:
        return 0 if not rows else min(max(wanted or 0, 0), len(rows))
    found = [at for at in range(len(rows) - len(old) + 1) if rows[at : at + len(old)] == old]
    if len(found) == 1:
        return found[0]
    return wanted if wanted in found else None


def _only_crlf(text: str) -> bool:
    return "\r\n" in text and text.count("\n") == text.count("\r\n")


def _line_range(text: str, start: int, length: int) -> str:
    first = _texts.line_number(text, start)
    last = _texts.line_number(text, max(start, start + length - 1))
    return f"line {first}" if first == last else f"lines {first}-{last}"


def _mismatch(text: str, old: str, path: str, found: list[int]) -> str:
    if found:
        numbers = [str(_texts.line_number(text, offset)) for offset in found[:20]]
        etc = ", ..." if len(found) > len(numbers) else ""
        return (
            f'old occurs {len(found)} times in "{path}", at lines {", ".join(numbers)}{etc}. '
            "Add surrounding lines to make it unique."
        )
    bare = re.sub(r"^ *\d+: ?", "", old, flags=re.MULTILINE)
    if bare.strip() and bare != old and _texts.find_all(text, bare):
        return f'old does not occur in "{path}", but would without the line numbers in it. Leave them out.'
    near = _texts.find_similar(text, old)
    if near is None:
        return (
            f'old does not occur in "{path}", and nothing there resembles it. Read the file and copy the text exactly.'
        )
    only = f"It differs only in {near.difference}. " if near.difference else ""
    lines = "\n".join(f"{near.line + index}: {_shown_line(line)}" for index, line in enumerate(near.lines[:20]))
    return f'old does not occur in "{path}". {only}Copy the text exactly. The most similar lines there:\n{lines}'


def _shown_line(line: str) -> str:
    r"""Return the line without its end, with \r made visible, cut to 300 characters."""
    return line.removesuffix("\n").replace("\r", "\\r")[:300]


def _hunk_mismatch(text: str, old: str, path: str, number: int) -> str:
    msg = f'Hunk {number} does not apply to "{path}"; nothing was changed. Correct its context lines or line number.'
    near = _texts.find_similar(text, old)
    if near is None:
        return msg
    lines = "\n".join(f"{near.line + index}: {line.rstrip()}" for index, line in enumerate(near.lines[:20]))
    return f"{msg} The most similar lines:\n{lines}"

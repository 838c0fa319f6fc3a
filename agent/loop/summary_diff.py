"""Write the part of a summary that shows the run's changes, cut at the ends of hunks, sources before tests; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..names import on_its_line
from ..workspace.diff import NOT_SHOWN, Change
from .cutting import cut_end, fair_shares, listed

_LEAST_FILE_CHARS = 120  # a header and a line
_USEFUL_CHARS = 600
_TORN = re.compile(r"^\[\.\.\. [\d,]+ more lines of this hunk \.\.\.\]$", re.MULTILINE)
_HUNK = re.compile(r"^(?=@@ )", re.MULTILINE)
_TEST = re.compile(r"(^|[/_.-])(tests?|specs?|testing)([/_.-]|$)", re.IGNORECASE)
_PROSE = re.compile(
    r"\.(md|rst|txt)$|(^|/)(changes|changelog|history|news|authors|readme)[^/]*$|^docs?/", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownDiff:
    """The changes as the summary shows them."""

    text: str
    cut: tuple[str, ...]
    """Paths whose diff is cut or left out."""
    is_names: bool = False
    """True if only the names are shown."""


def show_changes(changes: Sequence[Change], max_chars: int) -> ShownDiff:
    """Return the diffs of files in one text: whole if they fit, else whole hunks, and sources before tests and prose.

    Args:
        changes: what the run changed, at least one.
        max_chars: bound of the text. If it leaves too little for each file, only the names are given.
    """
    texts = [_text(change) for change in changes]
    paths = [change.path for change in changes]
    if max_chars // len(texts) < _LEAST_FILE_CHARS:
        return ShownDiff(text=f"# {len(texts)} files: {listed(paths, max_chars - 40)}", cut=tuple(paths), is_names=True)
    counted: dict[int, str] = {}
    while True:
        shown = _share(texts, paths, counted, max_chars)
        # Of a file whose first hunk is cut, a few lines of context say less than how much of it changed.
        torn = [index for index, kept in enumerate(shown) if len(kept) < _USEFUL_CHARS and _TORN.search(kept)]
        if not torn or len(texts) == 1:
            break
        index = max(torn, key=lambda index: (_rank(paths[index]), len(texts[index])))
        counted[index] = _counts(changes[index])
    cut = tuple(
        change.path
        for change, text, kept in zip(changes, texts, shown, strict=True)
        if kept != text or change.diff == NOT_SHOWN
    )
    return ShownDiff(text="\n".join(kept for kept in shown if kept), cut=cut)


def _share(texts: Sequence[str], paths: Sequence[str], counted: Mapping[int, str], max_chars: int) -> list[str]:
    """Return what is shown of each file, in room that is shared in the order of ranks; `counted` takes one line."""
    shown = [counted.get(index, "") for index in range(len(texts))]
    room = max_chars - len(texts) - sum(map(len, shown))
    for rank in range(3):
        group = [index for index, path in enumerate(paths) if _rank(path) == rank and index not in counted]
        for index, share in zip(group, fair_shares([len(texts[index]) for index in group], room), strict=True):
            shown[index] = _cut_hunks(texts[index], share)
            room -= share
    return shown


def _counts(change: Change) -> str:
    lines = change.diff.splitlines()
    added = sum(line.startswith("+") and not line.startswith("+++ ") for line in lines)
    removed = sum(line.startswith("-") and not line.startswith("--- ") for line in lines)
    return f"# {change.kind} {on_its_line(change.path)}: {added} lines added, {removed} removed"


def _text(change: Change) -> str:
    return change.diff if change.has_text else f"# {change.kind} {on_its_line(change.path)}: {change.diff}"


def _rank(path: str) -> int:
    return 1 if _TEST.search(path) else 2 if _PROSE.search(path) else 0


def _cut_hunks(diff: str, max_chars: int) -> str:
    """Keep whole hunks; cut inside one, at the end of a line, only if it is the first and too long by itself."""
    if len(diff) <= max_chars:
        return diff
    if max_chars < _LEAST_FILE_CHARS:
        return ""
    head, *hunks = _HUNK.split(diff)
    if not hunks:
        return cut_end(diff, max_chars)
    kept = head
    for number, hunk in enumerate(hunks):
        left = max_chars - len(kept) - len(f"[... {len(hunks)} more hunks ...]")
        if len(hunk) > left:
            rest = len(hunks) - number
            if number == 0:
                kept += _cut_lines(hunk, left - len("[... 99,999 more lines of this hunk ...]\n"))
                rest -= 1
            return f"{kept}[... {rest} more hunk{'' if rest == 1 else 's'} ...]" if rest else kept.rstrip("\n")
        kept += hunk
    return kept


def _cut_lines(hunk: str, max_chars: int) -> str:
    lines = hunk.splitlines()
    shown, left = lines[:1], max_chars - len(lines[0]) - 1
    for line in lines[1:]:
        left -= len(line) + 1
        if left < 0:
            break
        shown.append(line)
    return "\n".join([*shown, f"[... {len(lines) - len(shown):,} more lines of this hunk ...]", ""])

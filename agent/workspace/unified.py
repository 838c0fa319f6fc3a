"""Format the unified diff of two texts of any length, in time that grows with the part that differs; pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..names import on_its_line

_CONTEXT_LINES = 3
# About a second. A million steps find 1,400 changes in a part of a text that has no line of its own; with more, that
# part is removed and added as a whole.
_MAX_STEPS = 1_000_000
_NO_NEWLINE = "\n\\ No newline at end of file"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Block:
    """Lines `old_start` to `old_end` of the old text were replaced by lines `new_start` to `new_end`; half-open."""

    old_start: int
    old_end: int
    new_start: int
    new_end: int

    @property
    def is_empty(self) -> bool:
        return self.old_start == self.old_end and self.new_start == self.new_end


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pair:
    """A line that both texts have: its index in each."""

    old: int
    new: int


def unified_diff(old: str, new: str, *, old_path: str | None, new_path: str | None) -> str:
    r"""Return the unified diff, as `git apply` accepts it; empty if the texts are equal.

    Lines are paired as in a patience diff; a part without unique lines of its own gets a shortest edit, or, if that
    takes too long, is removed and added as a whole.

    Args:
        old: the text before.
        new: the text after.
        old_path: the path before. None means that the file did not exist.
        new_path: the path after. None means that the file no longer exists.
    """
    before, after = _lines(old), _lines(new)
    hunks = [
        line for group in _groups(_Comparison(old=before, new=after).blocks()) for line in _hunk(group, before, after)
    ]
    if not hunks:
        return ""
    names = _header_name("a", old_path), _header_name("b", new_path)
    return "\n".join([f"--- {names[0]}", f"+++ {names[1]}", *hunks])


def _header_name(prefix: str, path: str | None) -> str:
    if path is None:
        return "/dev/null"
    # Like git, end a path with a space by a tab: other programs take a space for the start of a time.
    return on_its_line(f"{prefix}/{path}") + ("\t" if " " in path else "")


def _lines(text: str) -> list[str]:
    *lines, rest = text.split("\n")
    return [*lines, f"{rest}{_NO_NEWLINE}"] if rest else lines


@dataclass(kw_only=True, slots=True)
class _Comparison:
    """Two texts as lines, and how many steps may still be spent on them."""

    old: Sequence[str]
    new: Sequence[str]
    steps_left: int = _MAX_STEPS

    def blocks(self) -> list[_Block]:
        """Return what differs, in order."""
        found: list[_Block] = []
        pending = [_Block(old_start=0, old_end=len(self.old), new_start=0, new_end=len(self.new))]
        while pending:
            block = self._without_equal_ends(pending.pop())
            if block.old_start == block.old_end or block.new_start == block.new_end:
                found += [] if block.is_empty else [block]
            elif unique := self._unique_lines(block):
                pending += _between(block, unique)[::-1]
            else:
                found += _between(block, self._most_lines_in_common(block))
        return found

    def _without_equal_ends(self, block: _Block) -> _Block:
        old_start, old_end, new_start, new_end = block.old_start, block.old_end, block.new_start, block.new_end
        while old_start < old_end and new_start < new_end and self.old[old_start] == self.new[new_start]:
            old_start, new_start = old_start + 1, new_start + 1
        while old_start < old_end and new_start < new_end and self.old[old_end - 1] == self.new[new_end - 1]:
            old_end, new_end = old_end - 1, new_end - 1
        return _Block(old_start=old_start, old_end=old_end, new_start=new_start, new_end=new_end)

    def _unique_lines(self, block: _Block) -> list[_Pair]:
        """Return the lines that occur once in each text, as far as they are in the same order (patience diff)."""
        old_lines, new_lines = self.old[block.old_start : block.old_end], self.new[block.new_start : block.new_end]
        old_counts, new_counts = Counter(old_lines), Counter(new_lines)
        places = {line: at for at, line in enumerate(new_lines, block.new_start) if new_counts[line] == 1}
        pairs = [
            _Pair(old=at, new=places[line])
            for at, line in enumerate(old_lines, block.old_start)
            if old_counts[line] == 1 and line in places
        ]
        return _longest_increasing(pairs) if pairs else []

    def _most_lines_in_common(self, block: _Block) -> list[_Pair]:
        """Return the lines that a shortest edit leaves (Myers' algorithm); none if that takes too many steps."""
        n, m = block.old_end - block.old_start, block.new_end - block.new_start
        # The furthest old line that each diagonal `old - new` has reached; negative diagonals count from the end.
        furthest = [0] * (2 * (n + m) + 3)
        trace: list[list[int]] = []
        for edits in range(n + m + 1):
            self.steps_left -= edits + 1
            if self.steps_left < 0:
                return []
            for diagonal in range(-edits, edits + 1, 2):
                below, above = furthest[diagonal - 1], furthest[diagonal + 1]
                x = above if diagonal == -edits or (diagonal != edits and below < above) else below + 1
                y = x - diagonal
                while x < n and y < m and self.old[block.old_start + x] == self.new[block.new_start + y]:
                    x, y = x + 1, y + 1
                furthest[diagonal] = x
                if x >= n and y >= m:
                    return _pairs_on_path(block, trace)
            trace.append([furthest[diagonal] for diagonal in range(-edits, edits + 1)])
        return []


def _pairs_on_path(block: _Block, trace: Sequence[Sequence[int]]) -> list[_Pair]:
    """Walk back from the end of both texts; `trace[d][k + d]` is the furthest old line after d edits on diagonal k."""
    x, y = block.old_end - block.old_start, block.new_end - block.new_start
    pairs: list[_Pair] = []
    for edits in range(len(trace), 0, -1):
        row, diagonal = trace[edits - 1], x - y
        below = row[diagonal - 1 + edits - 1] if diagonal > -edits + 1 else -1
        above = row[diagonal + 1 + edits - 1] if diagonal < edits - 1 else -1
        came_down = diagonal == -edits or (diagonal != edits and below < above)
        before_x = above if came_down else below
        before_y = before_x - (diagonal + 1 if came_down else diagonal - 1)
        while x > before_x and y > before_y:
            x, y = x - 1, y - 1
            pairs.append(_Pair(old=block.old_start + x, new=block.new_start + y))
        x, y = before_x, before_y
    return pairs[::-1]


def _between(block: _Block, pairs: Sequence[_Pair]) -> list[_Block]:
    """Return the parts of a block between the pairs, without the empty ones."""
    parts: list[_Block] = []
    old_start, new_start = block.old_start, block.new_start
    for pair in [*pairs, _Pair(old=block.old_end, new=block.new_end)]:
        parts.append(_Block(old_start=old_start, old_end=pair.old, new_start=new_start, new_end=pair.new))
        old_start, new_start = pair.old + 1, pair.new + 1
    return [part for part in parts if not part.is_empty]


def _longest_increasing(pairs: Sequence[_Pair]) -> list[_Pair]:
    """Return the longest run of pairs, not necessarily adjacent, whose new lines increase too."""
    ends: list[int] = []  # the smallest last line of a run of each length
    at_end: list[int] = []  # and the index of its pair
    previous: list[int] = []
    for index, pair in enumerate(pairs):
        length = bisect_left(ends, pair.new)
        previous.append(at_end[length - 1] if length else -1)
        ends[length : length + 1] = [pair.new]
        at_end[length : length + 1] = [index]
    chosen: list[_Pair] = []
    index = at_end[-1]
    while index >= 0:
        chosen.append(pairs[index])
        index = previous[index]
    return chosen[::-1]


def _groups(blocks: Sequence[_Block]) -> Iterator[list[_Block]]:
    """Yield the blocks of each hunk: those with at most twice the context between them."""
    group: list[_Block] = []
    for block in blocks:
        if group and block.old_start - group[-1].old_end > 2 * _CONTEXT_LINES:
            yield group
            group = []
        group.append(block)
    if group:
        yield group


def _hunk(group: Sequence[_Block], old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    before = min(_CONTEXT_LINES, group[0].old_start)
    after = min(_CONTEXT_LINES, len(old) - group[-1].old_end)
    old_start, old_end = group[0].old_start - before, group[-1].old_end + after
    new_start, new_end = group[0].new_start - before, group[-1].new_end + after
    yield f"@@ -{_range(old_start, old_end)} +{_range(new_start, new_end)} @@"
    at = old_start
    for block in group:
        yield from (f" {line}" for line in old[at : block.old_start])
        yield from (f"-{line}" for line in old[block.old_start : block.old_end])
        yield from (f"+{line}" for line in new[block.new_start : block.new_end])
        at = block.old_end
    yield from (f" {line}" for line in old[at:old_end])


def _range(start: int, end: int) -> str:
    """Return the lines as they stand in the header of a hunk; an empty range follows the line that it names."""
    count = end - start
    if count == 1:
        return f"{start + 1}"
    return f"{start + 1 if count else start},{count}"

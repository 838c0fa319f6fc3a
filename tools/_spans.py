"""Follow parts of a text through later replacements, so that an edit is reported with its final lines; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Span:
    """A part of a text, half-open; in characters or lines, from 0."""

    start: int
    end: int


@dataclass
class Spans:
    """The parts that were replaced, in the order of the replacements, as they stand in the text now."""

    found: list[Span] = field(default_factory=list[Span])

    def replace(self, start: int, removed: int, added: int) -> None:
        """Record that `removed` units from `start` on were replaced by `added` ones."""
        end, grown = start + removed, added - removed
        for index, span in enumerate(self.found):
            if span.start >= end:
                self.found[index] = Span(start=span.start + grown, end=span.end + grown)
            elif span.end > start:
                self.found[index] = Span(start=min(span.start, start), end=max(span.end, end) + grown)
        self.found.append(Span(start=start, end=start + added))


def line_words(spans: Iterable[Span], total: int) -> str:
    """Return the lines of spans as `line 3` or `lines 3-5, 9`, merged and in order.

    Args:
        spans: in lines. Of an empty one, where lines were removed, the line that now stands there counts.
        total: how many lines the text has.
    """
    merged: list[Span] = []
    filled = (Span(start=min(span.start, max(total - 1, 0)), end=max(span.end, span.start + 1)) for span in spans)
    for span in sorted(filled, key=lambda span: span.start):
        if merged and span.start <= merged[-1].end:
            merged[-1] = Span(start=merged[-1].start, end=max(merged[-1].end, span.end))
        else:
            merged.append(span)
    shown = [f"{span.start + 1}" if span.end - span.start == 1 else f"{span.start + 1}-{span.end}" for span in merged]
    one = len(merged) == 1 and merged[0].end - merged[0].start == 1
    return f"{'line' if one else 'lines'} {', '.join(shown)}"

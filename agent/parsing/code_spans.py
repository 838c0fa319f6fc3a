"""Find marks in a model's text outside of fenced blocks and inline code, where they are only quoted."""

from __future__ import annotations

import re
from collections.abc import Iterator


def outside_code(text: str, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """Yield each match outside fenced blocks and inline code."""
    seen, fences, ticks = 0, 0, 0
    for match in pattern.finditer(text):
        between = text[seen : match.start()]
        seen = match.start()
        fences += between.count("```")
        line = between.rpartition("\n")
        ticks = (0 if line[1] else ticks) + line[2].replace("```", "").count("`")
        if fences % 2 == 0 and ticks % 2 == 0:
            yield match

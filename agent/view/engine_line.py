"""Format in one line what an engine does, from two readings of its metrics; takes its clock and its reader as given."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.metrics import EngineMetrics


class EngineLine:
    """Compares each reading of an engine's metrics with the one before it."""

    def __init__(self, read: Callable[[], EngineMetrics | None], clock: Callable[[], float]) -> None:
        """Prepare it.

        Args:
            read: returns the metrics. None if the engine does not answer.
            clock: returns seconds, and never goes back.
        """
        self._read, self._clock = read, clock
        self._before: tuple[float, EngineMetrics] | None = None

    def text(self) -> str:
        """Read the metrics and return the line. Empty if the engine tells nothing of itself."""
        found, now_s = self._read(), self._clock()
        if found is None or found.running is None:
            return ""
        parts = [f"{found.running} running, {found.waiting or 0} waiting"]
        if found.kv_usage is not None:
            parts.append(f"KV cache {found.kv_usage:.0%} used")
        before = self._before
        self._before = (now_s, found)
        last = found if before is None else before[1]
        hits = _share(last.prefix_hits, found.prefix_hits, last.prefix_queries, found.prefix_queries)
        hits = found.prefix_hit_rate if hits is None else hits
        if hits is not None:
            parts.append(f"prefix hits {hits:.0%}")
        if before is not None and found.generation_tokens is not None and last.generation_tokens is not None:
            made = max(0, found.generation_tokens - last.generation_tokens)
            parts.append(f"{made / (now_s - before[0]):,.0f} tokens/s")
        return ", ".join(parts)


def _share(hits_before: int | None, hits: int | None, before: int | None, queries: int | None) -> float | None:
    """Return the share of hits since the last reading. None if nothing was looked up."""
    if hits_before is None or hits is None or before is None or queries is None or queries <= before:
        return None
    return (hits - hits_before) / (queries - before)

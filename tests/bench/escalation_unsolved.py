"""Compare arms with the default ladder on the tasks that it left unsolved: how many they solve, for how many tokens."""

from __future__ import annotations

from collections.abc import Sequence

from escalation_stats import Record


def unsolved(records: Sequence[Record]) -> list[Record]:
    """Return the runs of the arm `ladder`, without faults, that did not solve their task."""
    runs = [record for record in records if record.arm == "ladder" and not record.fault_rate]
    return [record for record in runs if record.status not in {"verified", "error"}]


def beside(before: Sequence[Record], records: Sequence[Record]) -> str:
    """Return a line per arm: how many of these tasks it solved, and for how many times the computed tokens."""
    lines: list[str] = []
    for arm in dict.fromkeys(record.arm for record in records):
        runs = {record.task_digest: record for record in records if record.arm == arm and record.status != "error"}
        same = {record.task_digest: record for record in before if record.task_digest in runs}
        if not same:
            continue
        solved = sum(runs[digest].status == "verified" for digest in same)
        now, then = (sum(computed(found[digest]) for digest in same) for found in (runs, same))
        times = f"{now / then:.1f} times as many" if then else "more"
        lines.append(
            f"{arm}: solved {solved} of {len(same)}, computed {now:,} tokens, {times} as the ladder ({then:,})"
        )
    return "\n".join(lines)


def computed(record: Record) -> int:
    """Return how many tokens the engine computed for a run: of prompts that were not in its cache, and of replies."""
    return record.prompt_tokens - record.cached_tokens + record.output_tokens

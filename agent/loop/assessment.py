"""Decide whether a finished turn made progress, and which failure it counts as; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ..journal.events import TurnTaken
from ..messages import ToolResult
from .pending import RecordFailure

_REASON_CHARS = 200


def made_progress(results: Sequence[ToolResult], fingerprints: Mapping[str, str], *, seen: Collection[str]) -> bool:
    """Return whether a successful call gave a result that the conversation did not contain before.

    Args:
        results: Results of the turn.
        fingerprints: Fingerprints by call id; a call that was not executed has none.
        seen: Fingerprints of earlier calls.
    """
    return any(
        result.status == "ok" and fingerprints[result.tool_call_id] not in seen
        for result in results
        if result.tool_call_id in fingerprints
    )


def failure_of_turn(
    turn_taken: TurnTaken,
    results: Sequence[ToolResult],
    *,
    progress: bool,
    repeated: bool,
    stale_steps: int,
    no_progress_steps: int,
) -> RecordFailure | None:
    """Return the failure to report to the ladder. None means the turn did not fail.

    Args:
        turn_taken: The turn.
        results: Results of all its calls.
        progress: Whether the turn made progress.
        repeated: Whether all its calls repeat earlier ones, and nothing has changed since those.
        stale_steps: Consecutive steps without progress, this one included.
        no_progress_steps: Number of such steps that count as a failure.
    """
    # An invalid call or a tool error beside a useful call gets feedback but does not escalate.
    if turn_taken.faults and not progress:
        return RecordFailure(trigger=turn_taken.faults[0].trigger, reason="a call could not be executed")
    if repeated:
        return RecordFailure(trigger="repeat", reason="the same call gave the same result again")
    error = next((result for result in results if result.status in {"error", "timeout", "no_answer"}), None)
    if error is not None and not progress:
        return RecordFailure(trigger="tool_error", reason=_tool_error(error))
    if stale_steps >= no_progress_steps:
        return RecordFailure(trigger="no_progress", reason=f"{stale_steps} steps brought nothing new")
    return None


def _tool_error(result: ToolResult) -> str:
    first = next((line.strip() for line in result.content.splitlines() if line.strip()), "no message")
    return f"a tool reported an error ({result.name}: {first[:_REASON_CHARS]})"

"""Word the events of a rung that branches, one line per branch; pure."""

from __future__ import annotations

from ..journal.branch_events import Branch, BranchEnded, BranchesStarted, BranchTaken
from ..names import listed

_READS = {"tried": "knows what was tried", "nothing": "knows only the task"}
_MAX_NAMES = 20


def branch_lines(event: BranchesStarted | BranchEnded | BranchTaken) -> list[str]:
    """Return the lines of an event."""
    match event:
        case BranchesStarted():
            count = len(event.branches)
            return [f"{count} new attempts at once, each from the start", *map(_begins, event.branches)]
        case BranchEnded():
            steps = "1 step" if event.steps == 1 else f"{event.steps} steps"
            tokens = f"{event.spent.prompt_tokens:,} prompt and {event.spent.output_tokens:,} output tokens"
            why = "" if event.status == "verified" else f": {event.reason}"
            return [f"{event.run} ended as {event.status} after {steps}, {tokens}{why}"]
        case BranchTaken():
            saved = f"; the changes before are in {event.patch}" if event.patch else ""
            left = f"; not taken, as something else changed them: {listed(event.conflicts, _MAX_NAMES)}"
            return [f"took {event.run}: {listed(event.changed, _MAX_NAMES)}{saved}{left if event.conflicts else ''}"]


def _begins(branch: Branch) -> str:
    plan = branch.plan
    effort = f"effort {plan.effort}, " if plan.effort else ""
    warmth = "" if plan.temperature is None else f"temperature {plan.temperature:g}, "
    return f"{branch.run}: {effort}{warmth}{_READS[plan.reads]}"

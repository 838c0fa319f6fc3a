"""Stop the commands that outlive the calls that started them, where a run must not go on beside them."""

from __future__ import annotations

from ..journal.events import Noticed
from ..tooling.resources import RunningCommands
from . import prompts
from .dependencies import RunDependencies


async def stop_commands(deps: RunDependencies, *, before: str) -> str:
    """Stop them, record that with the reason, and return a sentence for the model. Empty if none was running.

    Args:
        deps: of the run.
        before: before what they were stopped, as a sentence about the past says it.
    """
    stopped = deps.context.redacted(", ".join(await deps.context.resources.get(RunningCommands).stop()))
    if not stopped:
        return ""
    deps.record(Noticed(text=prompts.STOPPED_COMMANDS_NOTICE.format(before=before, commands=stopped)))
    return prompts.STOPPED_COMMANDS.format(before=before, commands=stopped)

"""Stop the commands that outlive the calls that started them, where a run must not go on beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..journal.events import Event, Noticed
from ..tooling.context import ToolContext
from ..tooling.resources import RunningCommands
from . import prompts
from .dependencies import RunDependencies
from .family import Family, Member

_FOR_ANOTHER = "{before} for another agent that works in this folder"


async def stop_commands(deps: RunDependencies, *, before: str) -> str:
    """Stop those of the run, record that with the reason, and return what the model should know. Empty if none ran.

    It also says what other runs have stopped since the model was last told.

    Args:
        deps: of the run.
        before: before what they were stopped, as a sentence about the past says it.
    """
    stopped = await deps.context.resources.get(RunningCommands).stop()
    own = _record_stopped(deps.context, deps.record, stopped, before) if stopped else ""
    return "\n".join(text for text in (deps.member.untold(), own) if text)


def member_of(family: Family, context: ToolContext[Any], record: Callable[[Event], None]) -> Member:
    """Return the member of a family that a run is; the tools of the run then know the commands of other members."""
    member = Member(
        family,
        (context.workspace, *context.sandbox.rules.write),
        running=lambda: context.resources.get(RunningCommands).running(),
        stop=lambda: context.resources.get(RunningCommands).stop(),
        on_stopped=lambda stopped, before: _record_stopped(
            context, record, stopped, _FOR_ANOTHER.format(before=before)
        ),
    )
    context.resources.running_elsewhere = member.running_elsewhere
    return member


def _record_stopped(
    context: ToolContext[Any], record: Callable[[Event], None], stopped: Sequence[str], before: str
) -> str:
    commands = context.redacted(", ".join(stopped))
    record(Noticed(text=prompts.STOPPED_COMMANDS_NOTICE.format(before=before, commands=commands)))
    return prompts.STOPPED_COMMANDS.format(before=before, commands=commands)

"""Rebuild the state of a run from its journal, so that it can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from ..errors import ConfigError
from ..journal.events import RunStarted
from ..journal.runs import read_run
from ..model.profiles import Profile
from ..tooling.redaction import filled
from ..tooling.toolbox import Toolbox
from ..workspace.workspace import Workspace
from .state import RunState
from .work import NOTES_TOOL


class ToolboxFor(Protocol):
    """Returns the tools of a run."""

    def __call__(self, family: str, *, notes: bool) -> Toolbox:
        """Return those for a model family, with the tool for notes or as they were given."""
        ...


def resume_state(
    folder: Path, toolbox: ToolboxFor, profile: Callable[[str], Profile], secrets: Mapping[str, str]
) -> RunState:
    """Return the state of a run after its last event.

    Args:
        folder: Folder of the run.
        toolbox: Returns the tools for the rest of the run.
        profile: Returns the profile for a model name.
        secrets: Values by name that the journal does not have.

    Raises:
        ConfigError: There is no such run, it has ended, its tools have changed, its workspace is gone, or a secret that
            its prompt held is not known.
    """
    first, events = read_run(folder)
    first = _with_secrets(first, secrets)
    model_profile = profile(first.model)
    if not toolbox(model_profile.name, notes=NOTES_TOOL in first.tools).matches(first.tools_digest, first.tools):
        msg = (
            f"Cannot resume run {first.run!r}: it used other tools ({', '.join(first.tools)}). Resume it with the same "
            "tools, or run the task again."
        )
        raise ConfigError(msg)
    Workspace(first.workspace)
    state = RunState(first, model_profile)
    for event in events[1:]:
        state.apply(event)
    # A call whose arguments held a secret cannot be executed from the journal: a reply that was not looked at is asked
    # for again, and an open call of an accepted one gets a result that says so.
    if any(reply is not None and reply.redacted for reply in (state.pending_reply, state.reask_reply)):
        state.pending_reply = state.reask_reply = None
    if state.ended is not None and state.ended.status in {"verified", "finished"}:
        msg = f"Run {first.run!r} has already ended as {state.ended.status!r}. There is nothing to resume."
        raise ConfigError(msg)
    return state


def _with_secrets(first: RunStarted, secrets: Mapping[str, str]) -> RunStarted:
    """Return the first event with the secrets that its prompts held."""
    if not {"system", "prompt"} & set(first.redacted):
        return first
    system, prompt = filled(first.system, secrets), filled(first.prompt.content, secrets)
    if missing := [*system[1], *prompt[1]]:
        msg = (
            f"Cannot resume run {first.run!r}: its prompt held the secret {missing[0]!r}, which the journal does not "
            "keep. Run the task again."
        )
        raise ConfigError(msg)
    return replace(first, system=system[0], prompt=replace(first.prompt, content=prompt[0]))

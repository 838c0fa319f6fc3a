"""Rebuild the state of a run from its journal, so that it can be resumed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..errors import ConfigError
from ..journal.runs import read_run
from ..model.profiles import Profile
from ..tooling.toolbox import Toolbox
from ..workspace.workspace import Workspace
from .state import RunState


def resume_state(folder: Path, toolbox: Callable[[str], Toolbox], profile: Callable[[str], Profile]) -> RunState:
    """Return the state of a run after its last event.

    Args:
        folder: Folder of the run.
        toolbox: Returns the tools for the rest of the run, for a model family.
        profile: Returns the profile for a model name.

    Raises:
        ConfigError: There is no such run, it has ended, its tools have changed, or its workspace is gone.
    """
    first, events = read_run(folder)
    model_profile = profile(first.model)
    if not toolbox(model_profile.name).matches(first.tools_digest, first.tools):
        msg = (
            f"Cannot resume run {first.run!r}: it used other tools ({', '.join(first.tools)}). Resume it with the same "
            "tools, or run the task again."
        )
        raise ConfigError(msg)
    Workspace(first.workspace)
    state = RunState(first, model_profile)
    for event in events[1:]:
        state.apply(event)
    if state.ended is not None and state.ended.status in {"verified", "finished"}:
        msg = f"Run {first.run!r} has already ended as {state.ended.status!r}. There is nothing to resume."
        raise ConfigError(msg)
    return state

"""The record of what a run works with, such as connection, tools, journal and clock; no behaviour."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..journal.branch_events import Branch
from ..journal.events import Event, RunEnded
from ..messages import UserMessage
from ..model.deltas import Delta
from ..model.protocol import Connection
from ..policy.budget import Spent
from ..policy.permissions import Approve, Permission
from ..policy.verification import Verify
from ..tooling.context import ToolContext
from ..tooling.toolbox import Toolbox
from ..workspace.workspace import Snapshot
from .clock import RunClock
from .family import Member
from .watching import Observer


class Branches(Protocol):
    """Starts the branches of a run, which are runs in its own folder."""

    def new_names(self, count: int) -> Sequence[str]:
        """Return names for new branches."""
        ...

    def workspace(self, run: str) -> Path:
        """Return the folder that a branch works in."""
        ...

    def journal(self, run: str) -> Path:
        """Return the file of a branch's events."""
        ...

    def spent(self, run: str) -> Spent:
        """Return what a branch has used so far, by its journal; nothing if it has none."""
        ...

    def prepare(self) -> str:
        """Make the copy of the workspace as it was at the start, which the branches begin with, if there is none yet.

        Returns a notice of what it lacks; empty if it lacks nothing.

        Raises:
            ConfigError: it cannot be copied.
            OSError: it cannot be restored.
        """
        ...

    async def run(self, branch: Branch, prompt: UserMessage, observe: Observer) -> RunEnded:
        """Start a branch, or resume it if it has a journal, and return its last event.

        Raises:
            ConfigError: it cannot start.
            EndpointError: the server could not be reached before it started.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class RunDependencies:
    """What a run works with."""

    connection: Connection
    toolbox: Toolbox
    context: ToolContext[Any]
    member: Member
    """The run among those that it was started by, and that its tools start."""
    record: Callable[[Event], None]
    """Writes an event to the journal, applies it to the state, then calls the observer."""
    sync: Callable[[], None]
    """Flushes all recorded events to the disk."""
    clock: RunClock
    verify: Verify | None = None
    verify_env: Mapping[str, str] = field(default_factory=dict[str, str])
    """Extra environment variables of the verification; a value that is an absolute path is readable for it."""
    permissions: Sequence[Permission] = ()
    """Rules for tool calls; the first match wins."""
    watch: Callable[[Delta], None] | None = None
    """Called with each part of a reply as it arrives. None means that nobody watches."""
    approve: Approve | None = None
    """Asks a person to approve a call. None means no person can be asked."""
    wants_result: bool = False
    """True if the run ends with a `final_result` call instead of a text answer."""
    snapshot: Snapshot | None = None
    branches: Branches | None = None
    """None if the ladder does not branch."""
    shared_workspace: bool = False
    """True if others may write to the workspace too, so that only the run's own changes are restored."""
    patience_s: float = 900.0
    first_wait_s: float = 0.5

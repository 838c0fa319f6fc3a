"""The record of what a run works with, such as connection, tools, journal and clock; no behaviour."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..journal.events import Event
from ..model.deltas import Delta
from ..model.protocol import Connection
from ..policy.permissions import Approve, Permission
from ..policy.verification import Verify
from ..tooling.context import ToolContext
from ..tooling.toolbox import Toolbox
from ..workspace.workspace import Snapshot
from .clock import RunClock
from .family import Member


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
    shared_workspace: bool = False
    """True if others may write to the workspace too, so that only the run's own changes are restored."""
    patience_s: float = 900.0
    first_wait_s: float = 0.5

"""What a run acts on: the connection, the tools, the journal, the clock; a record, no behaviour."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..journal.events import Event
from ..model.protocol import Connection
from ..policy.permissions import Approve, Permission
from ..policy.verification import Verify
from ..tooling.context import ToolContext
from ..tooling.toolbox import Toolbox
from ..workspace.workspace import Snapshot


@dataclass(frozen=True, kw_only=True)
class RunDependencies:
    """What a run acts on."""

    connection: Connection
    toolbox: Toolbox
    context: ToolContext[Any]
    record: Callable[[Event], None]
    """Writes an event to the journal, adds it to the state and shows it, in this order."""
    sync: Callable[[], None]
    """Returns when everything recorded is on the disk."""
    clock: Callable[[], float]
    """Seconds since the run began, pauses between two processes left out."""
    sleep: Callable[[float], Awaitable[None]]
    verify: Verify | None = None
    verify_env: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the verification sees beside the environment of the tools, and may read where it is a path."""
    permissions: Sequence[Permission] = ()
    """Rules for calls; the first that fits decides."""
    approve: Approve | None = None
    """Asks a person. None: nobody is there."""
    wants_result: bool = False
    """True: the run ends with a call of `final_result`, not with text."""
    snapshot: Snapshot | None = None
    patience_s: float = 900.0
    first_wait_s: float = 0.5

"""Event records of a run; the journal stores them in order, and the run's state is computed from them alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from ..messages import Effort, Message, UserMessage
from ..model.profiles import ProfileName
from ..model.settings import ModelSettings
from ..policy.budget import SharedLimits, Spent
from ..policy.ladder import Ladder, Phase, Trigger
from ..policy.limits import Limits
from .branch_events import BranchEnded, BranchesStarted, BranchTaken
from .prefix_events import ContextRenewed, Folded, PrefixChanged, SummedUp
from .status import Status
from .turn_events import (
    CallEnded,
    CallStarted,
    HandInHeld,
    Rejected,
    Repaired,
    Replied,
    Requested,
    Rescued,
    Retried,
    Timed,
    TurnTaken,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStarted:
    """Everything needed to resume a run."""

    run: str
    at: str
    """Date and time, ISO 8601, UTC."""
    task: Mapping[str, JsonValue]
    """The task as JSON, used to resume the run. Empty for a run started from Python."""
    base_url: str
    model: str
    profile: ProfileName
    window_tokens: int | None
    ladder: Ladder
    limits: Limits
    """The run's own."""
    tools: tuple[str, ...]
    """Tool names, in order."""
    tools_digest: str
    """`Toolbox.digest`; a run cannot be resumed with different tools."""
    system: str
    prompt: UserMessage
    workspace: str
    snapshot: str | None
    """Folder of the workspace snapshot. None means no snapshot was made."""
    note: str = ""
    """Why there is no snapshot."""
    sandbox: str = ""
    """Description of the sandbox that commands run in. Empty if the run starts no commands."""
    instructions: str = ""
    """Path of the project's instruction file whose text is in `system`. Empty if there is none."""
    worktree: str = ""
    """Description of the repository that the workspace is a git worktree of. Empty if it is not a worktree."""
    history: tuple[Message, ...] = ()
    """The conversation that the run continues, without its system message."""
    model_settings: ModelSettings = field(default_factory=ModelSettings)
    session: str = ""
    """Name of the session that the run is a turn of. Empty if it is of none."""
    rung: int = 0
    """Rung of the ladder that the run begins on; a session's turn begins where the last one ended."""
    shared_limits: tuple[SharedLimits, ...] = ()
    """Limits of the session, or of the run that called this one, which hold too."""
    branch_of: str = ""
    """The run that this one is a branch of, by its name. Empty if it is of none."""
    redacted: tuple[str, ...] = ()
    """What held a secret, which the journal does not have: `system`, `prompt`, or a key of the task, `task.env`."""
    kind: Literal["run_started"] = "run_started"


@dataclass(frozen=True, kw_only=True, slots=True)
class FilesChanged(Timed):
    """This run changed files of a folder that others may use at the same time, or saved changes before a restore."""

    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """Path to its signature afterwards, see `agent/workspace/own_changes.py`; empty if it was removed."""
    unsure: tuple[str, ...] = ()
    """Paths that changed meanwhile, but which something else may have changed; they are never restored."""
    saved: str = ""
    """The patch that the changes of a failed attempt were saved in. Empty if none were saved."""
    kind: Literal["files_changed"] = "files_changed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Said(Timed):
    """The harness sent a message to the model, as the user."""

    message: UserMessage
    forces: str | None = None
    """The tool that the next reply must call. None means no tool is forced."""
    kind: Literal["said"] = "said"


@dataclass(frozen=True, kw_only=True, slots=True)
class Progressed(Timed):
    """A step produced something new."""

    step: int
    kind: Literal["progressed"] = "progressed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Triggered(Timed):
    """A failure was reported to the ladder; `action` is what the ladder decided."""

    step: int
    trigger: Trigger
    action: Literal["stay", "reask", "climb", "branch", "stop"]
    reason: str
    kind: Literal["triggered"] = "triggered"


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved(Timed):
    """The run switched to another rung."""

    step: int
    rung: int
    effort: Effort | None
    switches_effort: bool
    phase: Phase | None = None
    """The phase that begins. None if no policy with phases moved the run."""
    kind: Literal["moved"] = "moved"


@dataclass(frozen=True, kw_only=True, slots=True)
class Noticed(Timed):
    """A notice for the user, shown once."""

    text: str
    kind: Literal["noticed"] = "noticed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Loosened(Timed):
    """Tools are sent without `strict` from now on, because the server cannot compile a grammar of their schemas."""

    step: int
    tools: tuple[str, ...]
    reason: str
    """The server's words, or that an earlier run found it."""
    kind: Literal["loosened"] = "loosened"

    @property
    def notice(self) -> str:
        """What the user is told."""
        sent, theirs = ("is", "its") if len(self.tools) == 1 else ("are", "their")
        shown = ", ".join(self.tools[:10]) + (f" and {len(self.tools) - 10} more" if len(self.tools) > 10 else "")
        return (
            f"{shown} {sent} sent without a grammar, because the server does not compile {theirs} schema: "
            f"{self.reason}. Arguments are still checked before a call is executed."
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Adapted(Timed):
    """Requests are sent in another form from now on, because of what the server refused or ignored."""

    step: int
    surface: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    """Fields of the profile's `Surface` with their new values."""
    window_tokens: int | None = None
    """The window from now on, as the server named it. None means unchanged."""
    notice: str
    """What the user is told."""
    kind: Literal["adapted"] = "adapted"


@dataclass(frozen=True, kw_only=True, slots=True)
class Delegated(Timed):
    """An agent that is a tool of this run has ended a run of its own; what it used counts in this run's limits."""

    tool: str
    run: str
    status: Status
    spent: Spent
    journal: str = ""
    """File of its events. Empty if none was written."""
    kind: Literal["delegated"] = "delegated"


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyStarted(Timed):
    """The verification command is about to run."""

    attempt: int
    """From 1; 0 for a silent check, which is not an attempt of the model."""
    command: str
    kind: Literal["verify_started"] = "verify_started"


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyEnded(Timed):
    """The verification command ended."""

    attempt: int
    """From 1; 0 for a silent check: the model is not told of it unless it passed."""
    ok: bool
    exit_code: int | None
    """None if the command timed out or could not be started."""
    output: str
    elapsed_s: float
    say: str = ""
    """Feedback for the model if the run continues; of a silent check, only what was stopped for it. Empty if the
    verification passed."""
    kind: Literal["verify_ended"] = "verify_ended"


@dataclass(frozen=True, kw_only=True, slots=True)
class Resumed(Timed):
    """The run was resumed in another process."""

    wall_s: float
    """Seconds the run had taken before it was resumed."""
    limits: Limits | None = None
    """Limits from now on. None means unchanged."""
    shared_limits: tuple[SharedLimits, ...] = ()
    """Limits of the session from now on, which hold too."""
    sandbox: str = ""
    """Description of the sandbox from now on; the machine may be another one. Empty if the run starts no commands."""
    base_url: str = ""
    """The server from now on. Empty in journals of versions before it was recorded."""
    model: str = ""
    window_tokens: int | None = None
    kind: Literal["resumed"] = "resumed"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEnded(Timed):
    """The run ended; the last event unless the run is resumed."""

    status: Status
    reason: str
    answer: str
    output: JsonValue
    spent: Spent
    cause: Literal["", "endpoint"] = ""
    """`endpoint` if the server failed: the run can be resumed on another one."""
    kind: Literal["run_ended"] = "run_ended"


Event = Annotated[
    RunStarted
    | Requested
    | Retried
    | Replied
    | Repaired
    | Rescued
    | Rejected
    | HandInHeld
    | TurnTaken
    | CallStarted
    | CallEnded
    | FilesChanged
    | Said
    | Progressed
    | Triggered
    | Moved
    | PrefixChanged
    | ContextRenewed
    | Folded
    | SummedUp
    | Noticed
    | Loosened
    | Adapted
    | Delegated
    | BranchesStarted
    | BranchEnded
    | BranchTaken
    | VerifyStarted
    | VerifyEnded
    | Resumed
    | RunEnded,
    Field(discriminator="kind"),
]

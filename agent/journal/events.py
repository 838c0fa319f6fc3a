"""The facts of a run, one frozen record each; the journal is a list of them and the run's state is their sum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from ..messages import AssistantMessage, Effort, Reply, ToolResult, UserMessage
from ..model.profiles import ProfileName
from ..model.wire import ReasoningField
from ..policy.budget import Spent
from ..policy.ladder import Ladder, Trigger
from ..policy.limits import Limits

Status = Literal["verified", "finished", "verify_failed", "budget", "stuck", "interrupted", "error"]
"""How a run ends; see design's table of outcomes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStarted:
    """Everything a run needs to be gone on with."""

    run: str
    at: str
    """Date and time, ISO 8601, UTC."""
    task: Mapping[str, JsonValue]
    """The task as JSON, for a resume; empty for a run made in Python."""
    base_url: str
    model: str
    profile: ProfileName
    window_tokens: int | None
    ladder: Ladder
    limits: Limits
    tools: tuple[str, ...]
    """Names, in order."""
    tools_digest: str
    """`Toolbox.digest`; a resume with other tools is refused."""
    system: str
    prompt: UserMessage
    workspace: str
    snapshot: str | None
    """Folder of the workspace's copy. None: none was made."""
    note: str = ""
    """Why there is no snapshot."""
    sandbox: str = ""
    """What isolates commands, in words; empty: the run starts none."""
    worktree: str = ""
    """What the workspace is a git worktree of, in words; empty: it is none."""
    kind: Literal["run_started"] = "run_started"


@dataclass(frozen=True, kw_only=True, slots=True)
class Requested:
    """A request is about to be sent."""

    step: int
    """From 1."""
    rung: int
    effort: Effort | None
    constrained: str | None
    """Name of the tool the reply is held to. None: the model is free; empty text: held to the tool list only."""
    max_tokens: int
    prompt_tokens: int
    """Estimated, on the safe side; the server's own number is in the reply's usage."""
    wall_s: float
    """Seconds the run has taken so far."""
    reask: bool = False
    """True: the last request again, constrained; what it brings takes the place of the broken reply."""
    kind: Literal["requested"] = "requested"


@dataclass(frozen=True, kw_only=True, slots=True)
class Retried:
    """A request failed and is sent again."""

    step: int
    attempt: int
    """The one that failed, from 1."""
    wait_s: float
    reason: str
    kind: Literal["retried"] = "retried"


@dataclass(frozen=True, kw_only=True, slots=True)
class Replied:
    """A whole reply arrived."""

    step: int
    rung: int
    reply: Reply
    max_tokens: int
    wire_bytes: int
    """Size of the prompt's messages on the wire, for the token estimate."""
    elapsed_s: float
    reask: bool = False
    kind: Literal["replied"] = "replied"


@dataclass(frozen=True, kw_only=True, slots=True)
class Repaired:
    """A call was made valid without changing its meaning."""

    step: int
    tool: str
    repairs: tuple[str, ...]
    raw: str
    kind: Literal["repaired"] = "repaired"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rescued:
    """A call was found outside its place."""

    step: int
    where: str
    """`content` or `reasoning`."""
    format: str
    kind: Literal["rescued"] = "rescued"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """A reply, or one call of it, could not be used."""

    step: int
    trigger: Trigger
    tool: str
    """Empty: it concerns the whole reply."""
    reason: str
    raw: str
    """What the model wrote, cut to 4,000 characters."""
    grow: bool = False
    """True: the next reply gets more room."""
    say: str = ""
    """What the model is told about the whole reply. Empty: nothing."""
    kind: Literal["rejected"] = "rejected"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What was wrong with one call of a turn that was taken all the same."""

    trigger: Trigger
    signature: str
    """Equal for equal mistakes: name and arguments as the model wrote them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnTaken:
    """A reply entered the history; its calls, if any, are open until each has its result."""

    step: int
    turn: AssistantMessage
    reasoning_field: ReasoningField
    answered: tuple[ToolResult, ...] = ()
    """Results of the calls that are not run: broken ones and twins of another call of this reply."""
    faults: tuple[Fault, ...] = ()
    kind: Literal["turn_taken"] = "turn_taken"


@dataclass(frozen=True, kw_only=True, slots=True)
class CallStarted:
    """A call is about to run; written and synced before it does."""

    step: int
    tool_call_id: str
    tool: str
    arguments: str
    kind: Literal["call_started"] = "call_started"


@dataclass(frozen=True, kw_only=True, slots=True)
class CallEnded:
    """A call has its result, run or not."""

    step: int
    result: ToolResult
    elapsed_s: float
    fingerprint: str
    """Equal for equal calls with equal results."""
    traceback: str = ""
    """For people only; the model never sees it."""
    kind: Literal["call_ended"] = "call_ended"


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """The harness said something to the model, as the user."""

    message: UserMessage
    forces: str | None = None
    """The tool that the next reply must call. None: the model is free."""
    kind: Literal["said"] = "said"


@dataclass(frozen=True, kw_only=True, slots=True)
class Progressed:
    """A step brought something new."""

    step: int
    kind: Literal["progressed"] = "progressed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Triggered:
    """A failure counted for the ladder, and what followed."""

    step: int
    trigger: Trigger
    action: Literal["stay", "reask", "climb", "stop"]
    reason: str
    kind: Literal["triggered"] = "triggered"


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """The run asks on another rung from now on."""

    step: int
    rung: int
    effort: Effort | None
    switches_effort: bool
    kind: Literal["moved"] = "moved"


@dataclass(frozen=True, kw_only=True, slots=True)
class EffortSwitched:
    """What the first request after a switch of effort cost: tokens the engine had to prefill anew."""

    step: int
    effort: Effort | None
    prompt_tokens: int
    cached_tokens: int
    prefilled_tokens: int
    """`prompt_tokens - cached_tokens`."""
    source: Literal["engine", "estimate"]
    """`engine`: the server reported the cached tokens; `estimate`: it does not, so everything counts as prefilled."""
    kind: Literal["effort_switched"] = "effort_switched"


@dataclass(frozen=True, kw_only=True, slots=True)
class ContextRenewed:
    """The conversation starts anew with a summary."""

    step: int
    prompt: UserMessage
    restored: tuple[str, ...]
    """Paths put back to the snapshot."""
    kind: Literal["context_renewed"] = "context_renewed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Noticed:
    """Something the user should know, said once."""

    text: str
    kind: Literal["noticed"] = "noticed"


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyStarted:
    """The verification command is about to run."""

    attempt: int
    command: str
    kind: Literal["verify_started"] = "verify_started"


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyEnded:
    """The verification command ended."""

    attempt: int
    ok: bool
    exit_code: int | None
    """None: it was killed or could not be started."""
    output: str
    elapsed_s: float
    say: str = ""
    """What the model is told, should the run go on. Empty: it passed."""
    kind: Literal["verify_ended"] = "verify_ended"


@dataclass(frozen=True, kw_only=True, slots=True)
class Resumed:
    """The run goes on in another process."""

    wall_s: float
    """Seconds the run had taken before."""
    limits: Limits | None = None
    """The bounds from now on. None: as before."""
    sandbox: str = ""
    """What isolates commands from now on, in words; it may be another machine. Empty: the run starts none."""
    kind: Literal["resumed"] = "resumed"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEnded:
    """The last event."""

    status: Status
    reason: str
    answer: str
    output: JsonValue
    spent: Spent
    kind: Literal["run_ended"] = "run_ended"


Event = Annotated[
    RunStarted
    | Requested
    | Retried
    | Replied
    | Repaired
    | Rescued
    | Rejected
    | TurnTaken
    | CallStarted
    | CallEnded
    | Said
    | Progressed
    | Triggered
    | Moved
    | EffortSwitched
    | ContextRenewed
    | Noticed
    | VerifyStarted
    | VerifyEnded
    | Resumed
    | RunEnded,
    Field(discriminator="kind"),
]

"""Event records of one turn: its requests, the reply, what became of it, its calls. The others are in events.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..messages import AssistantMessage, Effort, Reply, ToolResult
from ..policy.ladder import Trigger


@dataclass(frozen=True, kw_only=True, slots=True)
class Timed:
    """What every event but the first has."""

    at: str | None = field(default=None, compare=False)
    """Date and time, ISO 8601 with milliseconds, UTC. None in journals of versions before it was recorded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Requested(Timed):
    """A request is about to be sent."""

    step: int
    """From 1."""
    rung: int
    effort: Effort | None
    constrained: str | None
    """Tool that the reply is constrained to. None means unconstrained; empty means any tool of the list."""
    max_tokens: int
    prompt_tokens: int
    """By `source`; what the server counted for the reply is in its usage."""
    wall_s: float
    """Seconds the run has taken so far."""
    reask: bool = False
    """True if this repeats the last request with a constraint; its reply then replaces the invalid one."""
    digest: str = ""
    """`History.digest` of the conversation. Empty in journals of versions before it was recorded."""
    source: Literal["engine", "estimate"] = "estimate"
    """Of `prompt_tokens`: `engine` if its /tokenize counted them, which it is asked near the end of the window;
    `estimate` is a high one."""
    kind: Literal["requested"] = "requested"


@dataclass(frozen=True, kw_only=True, slots=True)
class Retried(Timed):
    """A request failed and will be retried; of more than 40 failures in a row only some are recorded.

    The reply starts anew, so discard what was shown of it.
    """

    step: int
    attempt: int
    """Number of the failed attempt, from 1."""
    wait_s: float
    reason: str
    kind: Literal["retried"] = "retried"


@dataclass(frozen=True, kw_only=True, slots=True)
class Replied(Timed):
    """A complete reply arrived."""

    step: int
    rung: int
    reply: Reply
    max_tokens: int
    wire_bytes: int
    """Size of the encoded prompt messages, for the token estimate."""
    elapsed_s: float
    reask: bool = False
    redacted: bool = False
    """True in a journal without the secrets in the arguments of its calls, which cannot be executed then."""
    kind: Literal["replied"] = "replied"


@dataclass(frozen=True, kw_only=True, slots=True)
class Repaired(Timed):
    """A call was made valid without changing its meaning."""

    step: int
    tool: str
    repairs: tuple[str, ...]
    raw: str
    kind: Literal["repaired"] = "repaired"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rescued(Timed):
    """A tool call was found outside of `tool_calls`."""

    step: int
    where: str
    """`content` or `reasoning`."""
    format: str
    kind: Literal["rescued"] = "rescued"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected(Timed):
    """A reply, or one call of it, could not be used."""

    step: int
    trigger: Trigger
    tool: str
    """Empty if the whole reply was rejected."""
    reason: str
    raw: str
    """The model's text, truncated to 4,000 characters."""
    grow: bool = False
    """True if the next request gets a larger `max_tokens`."""
    say: str = ""
    """Feedback for the model about the whole reply. Empty means no feedback."""
    kind: Literal["rejected"] = "rejected"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """An invalid call in a turn that was accepted nevertheless."""

    trigger: Trigger
    signature: str
    """Tool name and arguments as the model wrote them; equal for identical mistakes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HandInHeld(Timed):
    """A reply that would have handed the work in was dropped, to be asked again at the effort of that phase."""

    step: int
    kind: Literal["hand_in_held"] = "hand_in_held"


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnTaken(Timed):
    """A reply was accepted; its turn enters the history once every call has a result."""

    step: int
    turn: AssistantMessage
    answered: tuple[ToolResult, ...] = ()
    """Results of calls that are not executed: invalid calls, and duplicates of another call in this reply."""
    faults: tuple[Fault, ...] = ()
    redacted: bool = False
    """As `Replied.redacted`."""
    kind: Literal["turn_taken"] = "turn_taken"


@dataclass(frozen=True, kw_only=True, slots=True)
class CallStarted(Timed):
    """A call is about to run; written to the journal first, and synced first unless the tool is read-only."""

    step: int
    tool_call_id: str
    tool: str
    arguments: str
    read_only: bool = False
    """True if the tool changes nothing."""
    kind: Literal["call_started"] = "call_started"


@dataclass(frozen=True, kw_only=True, slots=True)
class CallEnded(Timed):
    """A call has its result, whether it was executed or not."""

    step: int
    result: ToolResult
    elapsed_s: float
    fingerprint: str
    """Equal for equal calls with equal results. Empty for an interrupted call."""
    traceback: str = ""
    """Never shown to the model."""
    kind: Literal["call_ended"] = "call_ended"

"""Define the records of a probe: requests, exchanges, check results and the report; data only."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

CheckName = Literal[
    "models",
    "chat",
    "tokenizer",
    "tools_seen",
    "auto",
    "required",
    "named",
    "strict",
    "parallel",
    "streamed",
    "truncated",
    "round_trip",
    "reasoning",
    "effort",
    "json_schema",
    "choice",
    "prefix_cache",
    "metrics",
    "speculative",
    "key",
]

TITLES: Mapping[CheckName, str] = MappingProxyType(
    {
        "models": "model list and window",
        "chat": "plain reply",
        "tokenizer": "tokenizer matches usage",
        "tools_seen": "tools reach the prompt",
        "auto": "call under auto",
        "required": "call under required",
        "named": "a call of a named tool",
        "strict": "strict schema enforced",
        "parallel": "parallel calls",
        "streamed": "streamed reply identical",
        "truncated": "truncation reported",
        "round_trip": "tool result round trip",
        "reasoning": "reasoning separated",
        "effort": "effort has visible effect",
        "json_schema": "structured output",
        "choice": "choice enforced",
        "prefix_cache": "prefix cache hit",
        "metrics": "metrics",
        "speculative": "speculative acceptance",
        "key": "request without key refused",
    }
)
"""Displayed titles, in the order of the report."""

Verdict = Literal["works", "broken", "not_offered", "unknown"]
"""`unknown`: the model's reply was inconclusive, or the request could not be sent."""

ServerKind = Literal["vllm", "sglang", "generic"]


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """The result of one check."""

    check: CheckName
    verdict: Verdict
    detail: str
    """One line: the observation, or the reason if the check is broken."""
    fix: str = ""
    """What to do if the check is broken: the exact flag or command if known. Empty unless broken."""
    warning: str = ""
    """A risk that is not a defect of this feature. Empty means no warning."""
    answered: bool = True
    """False means that the server gave no answer, or that the time limit came before the request."""


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """Features that decide how requests to a server are built; None means the probe could not determine the value."""

    reasoning_field: Literal["reasoning", "reasoning_content"] | None = None
    """The name of the reasoning field in replies; None also if no reasoning was returned."""
    reasoning_replayed: bool | None = None
    """Whether messages in the history may contain that field; False means such requests are refused."""
    effort_accepted: bool | None = None
    """False means requests with `reasoning_effort` none or high are refused."""
    auto_works: bool | None = None
    required_works: bool | None = None
    """False means refused, or accepted but not enforced; the same for the next two."""
    named_works: bool | None = None
    strict_works: bool | None = None
    stream_ok: bool | None = None
    """False means a streamed reply is broken although a non-streamed one is not."""
    structured_outputs_field: Literal["structured_outputs", "response_format", "none"] | None = None
    """The first request field that constrains text to a JSON schema. `none` means neither works."""
    tokenizer: bool | None = None
    """Whether /tokenize and usage count the same number of tokens."""
    cached_tokens_reported: bool | None = None
    """Whether usage reports how many prompt tokens came from the cache."""


@dataclass(frozen=True, kw_only=True)
class ProbeReport:
    """The results of probing one endpoint."""

    base_url: str
    """Without a trailing slash."""
    kind: ServerKind
    version: str
    """The version that the server reports; empty if it does not."""
    model: str
    """The model that was probed."""
    window_tokens: int | None
    """Prompt and answer together. None if the server does not report it."""
    at: str
    """Time of the probe, ISO 8601 with UTC offset."""
    elapsed_s: float
    checks: tuple[CheckResult, ...]
    """In the order of `TITLES`, each check once."""
    capabilities: Capabilities


@dataclass(frozen=True, kw_only=True)
class ProbeRequest:
    """One request of the probe."""

    method: Literal["GET", "POST"]
    url: str
    body: str = ""
    """JSON text; empty for GET."""
    stream: bool = False
    """Whether the reply is read as server-sent events."""
    with_key: bool = True
    """False means the API key is deliberately omitted."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """The outcome of one request."""

    status: int | None
    """The HTTP status. None means there was no reply."""
    body: object = None
    """The reply's parsed JSON, or its text if it is not JSON. None for a stream."""
    events: tuple[object, ...] = ()
    """The parsed JSON of a stream's server-sent events, in order, without the closing [DONE]."""
    failure: str = ""
    """Why the reply is missing or incomplete. Empty means it is complete."""
    sent: bool = True
    """False means the request was not sent; `failure` holds the reason."""
    elapsed_s: float = 0.0
    """From sending the request to the end of the reply."""

"""What a probe asks, receives and finds: the forms only, no judgement."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

CheckName = Literal[
    "models",
    "chat",
    "tokenizer",
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
        "chat": "a plain reply",
        "tokenizer": "tokenizer counts as billed",
        "auto": "a call under auto",
        "required": "a call under required",
        "named": "a call of a named tool",
        "strict": "strict schema kept",
        "parallel": "parallel calls",
        "streamed": "streamed equals whole",
        "truncated": "truncation reported",
        "round_trip": "tool result round trip",
        "reasoning": "reasoning split off",
        "effort": "effort switch visible",
        "json_schema": "structured output",
        "choice": "a choice enforced",
        "prefix_cache": "prefix cache hit",
        "metrics": "metrics",
        "speculative": "speculative acceptance",
        "key": "a request without key refused",
    }
)
"""What a person reads, in the order of the report."""

Verdict = Literal["works", "broken", "not_offered", "unknown"]
"""`unknown`: the model's own answer decides, and it was inconclusive; or the question could not be asked."""

ServerKind = Literal["vllm", "sglang", "generic"]


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What one check found."""

    check: CheckName
    verdict: Verdict
    detail: str
    """What was seen, one line; of a broken one: why it is broken."""
    fix: str = ""
    """What to do about a broken one: the exact flag or command where it is known. Empty unless broken."""
    warning: str = ""
    """A risk that is no defect of the surface. Empty: none."""


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What decides how a server is to be asked; None: the probe could not tell."""

    reasoning_field: Literal["reasoning", "reasoning_content"] | None = None
    """Under which name reasoning comes; None also when none came."""
    reasoning_replayed: bool | None = None
    """Whether a message of the history may carry that field; False: such a request is refused."""
    effort_accepted: bool | None = None
    """False: a request with `reasoning_effort` none or high is refused."""
    auto_works: bool | None = None
    required_works: bool | None = None
    """False: refused, or accepted and not enforced; so for the two below."""
    named_works: bool | None = None
    strict_works: bool | None = None
    stream_ok: bool | None = None
    """False: a streamed reply is broken where a whole one is not."""
    structured_outputs_field: Literal["structured_outputs", "response_format", "none"] | None = None
    """The request field that holds a text to a JSON schema; the first one that works. `none`: neither does."""
    tokenizer: bool | None = None
    """Whether /tokenize counts messages as usage does."""
    cached_tokens_reported: bool | None = None
    """Whether usage says how many prompt tokens came from the cache."""


@dataclass(frozen=True, kw_only=True)
class ProbeReport:
    """What a probe found out about one endpoint."""

    base_url: str
    """Ends without a slash."""
    kind: ServerKind
    version: str
    """What the server calls its version; empty: it does not say."""
    model: str
    """The model that was asked."""
    window_tokens: int | None
    """Prompt and answer together. None: the server does not say."""
    at: str
    """When, ISO 8601 with its offset from UTC."""
    elapsed_s: float
    checks: tuple[CheckResult, ...]
    """In the order of `TITLES`, each of them once."""
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
    """False: the API key is left out, on purpose."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One request, and what came of it."""

    status: int | None
    """The HTTP status. None: no reply came."""
    body: object = None
    """The reply's JSON; its text where it is none. Of a stream: None."""
    events: tuple[object, ...] = ()
    """The JSON of each server-sent event of a stream, in order, the closing [DONE] left out."""
    failure: str = ""
    """Why there is no reply, or not the whole of it. Empty: it is whole."""
    asked: bool = True
    """False: the request was never sent; `failure` says why."""

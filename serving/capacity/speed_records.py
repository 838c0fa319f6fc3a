"""The records of how fast a planned server is; calculates nothing."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Range:
    """A value that is known within bounds; all three are close to each other if it was measured."""

    low: float
    likely: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Decode:
    """The speed of requests that are answered together."""

    requests: int
    context_tokens: int
    tokens_s: Range
    """Of all of them together."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """The time to read a prompt of which nothing is cached."""

    tokens: int
    seconds: Range


@dataclass(frozen=True, kw_only=True)
class DraftSpeed:
    """What a draft costs and from when on it pays, for one request."""

    lost: float
    """Share of the speed that is lost if no proposal is accepted."""
    pays_from: float
    """Tokens per step, the proposals' accepted ones and one more, from which on it is faster than without a draft."""


@dataclass(frozen=True, kw_only=True)
class Speeds:
    """How fast a planned server is."""

    measured: str | None
    """Where the figures were measured: `1 x H200`. None means that they are estimated."""
    decode: tuple[Decode, ...]
    """Short contexts first, by the number of requests, then one request with the full context."""
    prompts: tuple[Prompt, ...]
    """Empty if the GPU's arithmetic is not known."""
    effort_switch: Prompt | None
    """The price of another reasoning effort in the middle of a conversation: it is read again."""
    draft: DraftSpeed | None
    eager_share: float | None
    """Share of the decoding speed that is left without CUDA graphs; None if the plan has them."""

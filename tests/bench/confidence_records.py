"""Records of the confidence bench: how sure the model was of each edit, and what became of it; no I/O."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import TypeAdapter

from agent.messages import RawCall, Reply, Usage

LOWEST, HIGHEST = "none", "high"
"""The efforts of the first rung, and of the rung above it that asks at another effort."""
EDITS = frozenset({"edit_file", "write_file"})
"""The tools of these tasks that change files on purpose; their commands only run the tests."""
CALL, ARGUMENTS, ENDS = "[TOOL_CALLS]", "[ARGS]", ("[TOOL_CALLS]", "</s>")

Measure = Literal["total", "mean", "lowest"]
Label = Literal["right", "undone", "wrong", "refused", "no_edit"]
"""`undone`: the edit brings back the project of the start. `refused`: the product's own checks refuse the call, so that
nothing is changed. `no_edit`: another call, a text, or a reply that was cut off."""


@dataclass(frozen=True, kw_only=True)
class Confidence:
    """Log-probabilities of one call: their sum, mean and minimum."""

    total: float
    mean: float
    lowest: float
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Again:
    """The same request at the highest effort."""

    label: Label
    computed_tokens: int


@dataclass(frozen=True, kw_only=True)
class Damaged:
    """The same call with a fault, scored as a continuation that the model is made to read."""

    kind: str
    confidence: Confidence
    undamaged: Confidence
    """The call as it was, scored in the same way."""
    label: Label


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One call that changes a file, as the model made it."""

    effort: str
    confidence: Confidence
    label: Label
    again: Again | None = None
    """None at the highest effort."""
    damaged: Damaged | None = None


@dataclass(frozen=True, kw_only=True)
class Play:
    """One task, played once with the model's own ladder."""

    task: str
    bug_kind: str
    task_digest: str
    doubt: str
    """The rule by which edits were asked again in this play. Empty means that none was."""
    status: str
    reason: str
    requests: int
    """Without those that only measure, and without the second asking."""
    asked_again: int
    computed_tokens: int
    """Prompt tokens that the cache did not have, and all generated ones; without those that only measure."""
    edits: tuple[Edit, ...]


PLAY = TypeAdapter(Play)


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """A rule: edits below the threshold are asked again one rung up, and the new reply is used."""

    measure: Measure
    below: float

    def __str__(self) -> str:
        return f"{self.measure} < {self.below:g}"

    @classmethod
    def read(cls, text: str) -> Doubt:
        """Return the rule that a play records."""
        measure, _, below = text.split()
        return cls(measure=next(one for one in get_args(Measure) if one == measure), below=float(below))

    def has(self, confidence: Confidence) -> bool:
        """Return whether this call is asked again."""
        return getattr(confidence, self.measure) < self.below

    def is_met_in(self, play: Play) -> bool:
        """Return whether a play without the rule has an edit that the rule asks again."""
        return not play.doubt and any(self.has(edit.confidence) for edit in play.edits)


@dataclass(frozen=True, kw_only=True)
class ScoredReply:
    """A reply and the tokens that the model generated for it."""

    reply: Reply
    prompt: Sequence[int]
    ids: Sequence[int]
    tokens: Sequence[str]
    logprobs: Sequence[float]

    def edit(self) -> tuple[RawCall, Span] | None:
        """Return the first call that changes a file, and where its tokens are. None if there is none."""
        for number, call in enumerate(self.reply.tool_calls):
            if call.name in EDITS and (span := find_span(self.tokens, number)) is not None:
                return call, span
        return None


@dataclass(frozen=True, kw_only=True)
class Span:
    """Where the tokens of a call are in a reply."""

    start: int
    """The token before its name."""
    arguments: int
    """The token before its arguments."""
    end: int
    """The token that ends the call."""

    def places(self) -> Iterator[int]:
        """Yield the places of the tokens that are scored."""
        yield from range(self.start + 1, self.arguments)
        yield from range(self.arguments + 1, self.end + 1)


def find_span(tokens: Sequence[str], number: int) -> Span | None:
    """Return where a call is in the tokens of a reply, counted from 0. None if it is not whole."""
    begins = [at for at, token in enumerate(tokens) if token == CALL]
    if number >= len(begins):
        return None
    start = begins[number]
    arguments = next((at for at in range(start, len(tokens)) if tokens[at] == ARGUMENTS), None)
    if arguments is None:
        return None
    end = next((at for at in range(arguments, len(tokens)) if tokens[at] in ENDS), None)
    return None if end is None else Span(start=start, arguments=arguments, end=end)


def confidence_of(logprobs: Sequence[float]) -> Confidence:
    """Return the sum, mean and minimum of log-probabilities."""
    return Confidence(
        total=round(math.fsum(logprobs), 5),
        mean=round(statistics.fmean(logprobs), 6),
        lowest=round(min(logprobs), 5),
        tokens=len(logprobs),
    )


def computed(usage: Usage | None) -> int:
    """Return how many tokens of a request the engine computed."""
    return 0 if usage is None else usage.prompt_tokens - (usage.cached_tokens or 0) + usage.completion_tokens

"""Profiles of model families: effort, sampling, reply length, default ladder; data and lookups only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..messages import Effort
from ..policy.ladder import Ladder, Rung

ProfileName = Literal["mistral", "mistral_large", "gpt_oss", "pocket", "generic"]

SchemaField = Literal["structured_outputs", "response_format"]
"""The request field that constrains the reply text to a JSON schema: vLLM's or OpenAI's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """Sampling parameters of one request. None means the field is not sent.

    Attributes:
        temperature: Randomness of the reply; 0 for the most likely tokens.
        top_p: Share of probability that tokens are sampled from.
    """

    temperature: float | None = None
    top_p: float | None = None


NO_SAMPLING = Sampling()


ReplyField = Literal["max_tokens", "max_completion_tokens"]
"""The request field that limits a reply: the common one, or the one of OpenAI's newer models."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Surface:
    """What a server supports; everything, unless a setting, a probe or a refusal says otherwise.

    Attributes:
        stream: False means replies are requested whole.
        stream_usage: False means streams are requested without `stream_options`, so most servers send no usage.
        strict: False means tools are sent without `strict: true`.
        sampling: False means neither `temperature` nor `top_p` is sent.
        effort: False means `reasoning_effort` is not sent, even if the model's family takes it.
        system: False means the system message is put before the first message of the user, in one message.
        images: False means a note is sent in place of each image.
        reply_field: The request field that limits a reply.
        reply_tokens: The most tokens that one reply may have. None means only the window limits it.
        tool_choice: False means `tool_choice` is never sent.
        required: False means `tool_choice: required` is not sent, so a call of an unknown tool is not re-asked.
        named: False means a tool is forced by constraining the text to its schema, not by a named tool_choice.
        schema_field: How the text is constrained to a schema. None means the server cannot do it.
        counts_tokens: False means /tokenize is not used.
    """

    stream: bool = True
    stream_usage: bool = True
    strict: bool = True
    sampling: bool = True
    effort: bool = True
    system: bool = True
    images: bool = True
    reply_field: ReplyField = "max_tokens"
    reply_tokens: int | None = None
    tool_choice: bool = True
    required: bool = True
    named: bool = True
    schema_field: SchemaField | None = "structured_outputs"
    counts_tokens: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """What one model family accepts, and the best settings for it.

    Attributes:
        name: Name of the family.
        sampling: Sampling per effort; the key None is for requests that send no effort.
        reply_tokens: `max_tokens` per effort, before any growth; always limited to what the window leaves.
        replay_reasoning: True means reasoning of earlier turns is sent back; without it the prefix cache and the
            thoughts are lost.
        ladder: Used if neither the agent nor the task has one.
        efforts: The values of `reasoning_effort` that the model takes, the lowest first. Empty means it is never sent.
        surface: What the server supports.
        trained_texts: True for a model so small that it only understands the exact texts that it was trained on.
        growths: How often `max_tokens` is multiplied by four after a truncated reply, before the model is told to be
            shorter.
    """

    name: ProfileName
    sampling: Mapping[Effort | None, Sampling]
    reply_tokens: Mapping[Effort | None, int]
    replay_reasoning: bool
    ladder: Ladder
    efforts: tuple[Effort, ...] = ()
    surface: Surface = Surface()
    trained_texts: bool = False
    growths: int = 2

    @property
    def takes_effort(self) -> bool:
        """Whether `reasoning_effort` is sent."""
        return bool(self.efforts)

    def effort(self, wanted: Effort | None) -> Effort | None:
        """Return the effort of this model that stands where `wanted` does: the lowest, a middle one or the highest.

        So one ladder serves all models: `none` is `low` for a model that always reasons. None if it takes no effort.
        """
        if wanted is None or wanted in self.efforts or not self.efforts:
            return wanted if self.efforts else None
        places: Mapping[Effort, int] = {"none": 0, "low": 0, "medium": len(self.efforts) // 2, "high": -1}
        return self.efforts[places[wanted]]

    def climbed(self, ladder: Ladder | None) -> Ladder:
        """Return a ladder with this model's efforts; the profile's own if there is none."""
        chosen = ladder or self.ladder
        return replace(chosen, rungs=tuple(replace(rung, effort=self.effort(rung.effort)) for rung in chosen.rungs))


MISTRAL = Profile(
    name="mistral",
    # Model card of Mistral-Medium-3.5-128B, read 2026-11: high 0.7 and top_p 0.95; none 0.0 to 0.7, 0.0 for exact work.
    sampling={
        "none": Sampling(temperature=0.0),
        "high": Sampling(temperature=0.7, top_p=0.95),
        None: Sampling(temperature=0.0),
    },
    reply_tokens={"none": 8_192, "high": 32_768, None: 8_192},
    replay_reasoning=True,
    ladder=Ladder(),
    # Model card, read 2026-11: it accepts only these two.
    efforts=("none", "high"),
)

# Mistral Large 4 takes low, medium and high (weights of 2026-10-29). What to sample with is the server's choice. Every
# switch of effort makes the engine read the whole prompt again, so the ladder has only the lowest and the highest.
MISTRAL_LARGE = replace(
    MISTRAL,
    name="mistral_large",
    sampling={None: NO_SAMPLING},
    reply_tokens={"low": 8_192, "medium": 16_384, "high": 32_768, None: 16_384},
    efforts=("low", "medium", "high"),
)

# The tiny model shipped with this package, made for exact work. It is so small that sampling above temperature 0 loses
# correct tokens (tests/bench/escalation.py), and its replies are short.
POCKET = replace(
    MISTRAL,
    name="pocket",
    sampling=dict.fromkeys(("none", "high", None), Sampling(temperature=0.0)),
    reply_tokens={"none": 512, "high": 2_048, None: 512},
    trained_texts=True,
    # The longest reasoning it was trained on takes 1,900 tokens; longer reasoning only repeats itself.
    growths=0,
    # Three such replies would fill its window.
    replay_reasoning=False,
    # Measured on 43 of the bench's tasks (CARD.md): once it repeats itself, more attempts in the same context do not
    # help, so it reasons best in a fresh context about the restored project. A truncated reply is a repetition too.
    ladder=Ladder(
        rungs=(
            Rung(effort="none"),
            Rung(effort="none", constrained=True),
            Rung(effort="high", fresh_context=True, restore="any"),
            Rung(effort="high", fresh_context=True, restore="any"),
        ),
        triggers={**Ladder().triggers, "truncated": 1},
        no_progress_steps=1,
    ),
)

GENERIC = Profile(
    name="generic",
    sampling={None: Sampling(temperature=0.0)},
    reply_tokens={None: 8_192},
    # Servers use different fields for it, and some reject a message that has one (hosted Mistral: HTTP 422).
    replay_reasoning=False,
    ladder=Ladder(rungs=(Rung(), Rung(constrained=True), Rung(fresh_context=True))),
)

# gpt-oss takes the same efforts in `reasoning_effort`. Not tried on a server: whether it reads reasoning that is sent
# back, so none is sent, as for any model that is not known.
GPT_OSS = replace(
    GENERIC,
    name="gpt_oss",
    sampling={None: NO_SAMPLING},
    reply_tokens=MISTRAL_LARGE.reply_tokens,
    ladder=Ladder(),
    efforts=MISTRAL_LARGE.efforts,
)

_FAMILIES: Sequence[tuple[re.Pattern[str], Profile]] = (
    (re.compile(r"(^|/)pocket", re.IGNORECASE), POCKET),
    # The family whose tokenizer (v15) renders reasoning effort; the pocket model uses it too.
    (re.compile(r"mistral-medium-3[.-]5|mistral-small-4", re.IGNORECASE), MISTRAL),
    (re.compile(r"mistral-large-4", re.IGNORECASE), MISTRAL_LARGE),
    (re.compile(r"gpt-oss", re.IGNORECASE), GPT_OSS),
)
_BY_NAME: Mapping[ProfileName, Profile] = {
    profile.name: profile for profile in (MISTRAL, MISTRAL_LARGE, GPT_OSS, POCKET, GENERIC)
}


def profile_for(model: str) -> Profile:
    """Return the profile for a model name; `GENERIC` if the name is unknown."""
    return next((profile for pattern, profile in _FAMILIES if pattern.search(model)), GENERIC)


def named_profile(name: ProfileName) -> Profile:
    """Return the profile with this name."""
    return _BY_NAME[name]

"""What a model family accepts: efforts, sampling, room for a reply, its default ladder; data and one lookup."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ..messages import Effort
from ..policy.ladder import Ladder, Rung

ProfileName = Literal["mistral", "pocket", "generic"]

SchemaField = Literal["structured_outputs", "response_format"]
"""The request field that holds a text to a JSON schema: vLLM's own, or OpenAI's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """Sampling parameters of one request; None: the field is not sent."""

    temperature: float | None = None
    top_p: float | None = None


NO_SAMPLING = Sampling()


@dataclass(frozen=True, kw_only=True, slots=True)
class Surface:
    """What a server takes of all that could be sent; everything, until a probe has shown otherwise."""

    strict: bool = True
    """False: tools are sent without `strict: true`."""
    required: bool = True
    """False: `tool_choice: required` is not sent, so a broken call whose tool is unknown is not asked for again."""
    named: bool = True
    """False: a tool is not forced by its name, but by holding the text to its schema."""
    schema_field: SchemaField | None = "structured_outputs"
    """How a text is held to a schema. None: in no way."""
    counts_tokens: bool = True
    """False: /tokenize is not asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """What one model family accepts and is best asked with."""

    name: ProfileName
    sampling: Mapping[Effort | None, Sampling]
    """Per effort; the key None holds for a request that sends no effort."""
    reply_tokens: Mapping[Effort | None, int]
    """Room for a reply before anything asks for more, in tokens; always cut to what the window leaves."""
    replay_reasoning: bool
    """True: reasoning of earlier turns is sent back; dropping it empties the prefix cache and loses thoughts."""
    ladder: Ladder
    takes_effort: bool
    """False: `reasoning_effort` is never sent."""
    surface: Surface = Surface()
    """What the server in question takes."""
    growths: int = 2
    """How often a reply that was cut is given four times the room, before the model is told to be shorter."""


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
    takes_effort=True,
)

# Our own tiny model: made for exact work, and so small that each draw at a higher temperature costs it right tokens
# (tests/bench/escalation.py); what it says is short.
POCKET = replace(
    MISTRAL,
    name="pocket",
    sampling=dict.fromkeys(("none", "high", None), Sampling(temperature=0.0)),
    reply_tokens={"none": 512, "high": 2_048, None: 512},
    # The longest search that it was taught takes 1,900 tokens; what is longer goes round in circles.
    growths=0,
    # Three such searches would fill its window.
    replay_reasoning=False,
    # Measured on 43 of the bench's tasks (CARD.md): once it goes round in circles, more of the same brings nothing, and
    # what was tried stands in its way, so that it thinks best about a project as it was. A cut reply is a circle too.
    ladder=Ladder(
        rungs=(
            Rung(effort="none"),
            Rung(effort="none", constrained=True),
            Rung(effort="high", fresh_context=True),
            Rung(effort="high", fresh_context=True),
        ),
        triggers={**Ladder().triggers, "truncated": 1},
        no_progress_steps=1,
    ),
)

GENERIC = Profile(
    name="generic",
    sampling={None: Sampling(temperature=0.0)},
    reply_tokens={None: 8_192},
    # Servers disagree on the field, and some refuse a message that carries it (hosted Mistral: HTTP 422).
    replay_reasoning=False,
    ladder=Ladder(rungs=(Rung(), Rung(constrained=True), Rung(fresh_context=True))),
    takes_effort=False,
)

# The family whose tokenizer (v15) renders reasoning effort; our own pocket model shares it.
_MISTRAL_V15 = re.compile(r"mistral-medium-3[.-]5|mistral-small-4", re.IGNORECASE)
_POCKET = re.compile(r"(^|/)pocket", re.IGNORECASE)
_BY_NAME: Mapping[ProfileName, Profile] = {profile.name: profile for profile in (MISTRAL, POCKET, GENERIC)}


def profile_for(model: str) -> Profile:
    """Return the profile of a served model, by its name; `GENERIC` for every name we do not know."""
    if _POCKET.search(model):
        return POCKET
    return MISTRAL if _MISTRAL_V15.search(model) else GENERIC


def named_profile(name: ProfileName) -> Profile:
    """Return the profile that a task asks for by name."""
    return _BY_NAME[name]

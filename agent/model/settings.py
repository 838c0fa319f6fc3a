"""Settings that a user gives for every request of a run, over those of the model's profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import ClassVar

from pydantic import ConfigDict, JsonValue

from ..errors import ConfigError
from ..keywords import checked_keywords
from .profiles import Sampling

# What a run itself decides; a setting would break the conversation, or the ladder.
_OWN_FIELDS = frozenset(
    {"messages", "model", "n", "reasoning_effort", "stream", "stream_options", "tool_choice", "tools"}
    | {"max_tokens", "max_completion_tokens", "temperature", "top_p", "seed"}
)


@checked_keywords()
@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSettings:
    """Settings of the model's replies. None means what the model's profile has, or else the server's default.

    Attributes:
        temperature: Randomness of the replies, at every reasoning effort; 0 for the most likely tokens.
        top_p: Only the most likely tokens whose probabilities add up to this share are sampled from.
        seed: Seed of the sampling, for servers that take one.
        max_tokens: Most tokens of one reply, reasoning included; always limited to what the window leaves.
        extra_body: More fields of the request, such as `top_k` or `cache_salt`, as the server knows them.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    max_tokens: int | None = None
    extra_body: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])

    def over(self, sampling: Sampling) -> Sampling:
        """Return the sampling of a profile with the values that are set here."""
        return Sampling(
            temperature=sampling.temperature if self.temperature is None else self.temperature,
            top_p=sampling.top_p if self.top_p is None else self.top_p,
        )

    def __post_init__(self) -> None:
        bounds = {"temperature": (0.0, 2.0), "top_p": (0.0, 1.0), "max_tokens": (1, None)}
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            if value is not None and (value < least or (most is not None and value > most)):
                allowed = f"{least:g} or more" if most is None else f"between {least:g} and {most:g}"
                msg = f"`model_settings.{name}` must be {allowed}, got {value:g}."
                raise ConfigError(msg, key=f"model_settings.{name}")
        if taken := sorted(_OWN_FIELDS & self.extra_body.keys()):
            given = {one.name for one in fields(self)}
            use = f"Use `{taken[0]}` of the settings." if taken[0] in given else "The run sets it itself: remove it."
            msg = f"`model_settings.extra_body` cannot set {taken[0]!r}. {use}"
            raise ConfigError(msg, key="model_settings.extra_body")

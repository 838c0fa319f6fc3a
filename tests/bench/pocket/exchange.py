"""Records of a generated conversation: the user's message, the model's replies and the tools' results."""

from dataclasses import dataclass, field
from typing import Any

Arguments = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Call:
    """A tool call and its result."""

    name: str
    arguments: Arguments
    """In the order of the tool's schema, which the model learns to follow."""
    result: str


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One reply of the model: calls with their results, or the text that ends the exchange."""

    think: str
    """The reasoning at effort `high`."""
    calls: tuple[Call, ...] = ()
    text: str = ""
    guesses: tuple[str, ...] = ()
    """Wrong guesses in `think`, in order; excluded from training, unlike the evaluation that follows each of them."""
    learned: bool = True
    """False means a mistake that is part of the history but excluded from training."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A user message and all replies up to the final text."""

    user: str
    turns: tuple[Turn, ...]
    needs: tuple[Arguments, ...] = field(default=())
    """Definitions of the needed tools that are not the project's own."""

    def tool_names(self) -> set[str]:
        """Return the names of the tools that the replies call."""
        return {call.name for turn in self.turns for call in turn.calls}

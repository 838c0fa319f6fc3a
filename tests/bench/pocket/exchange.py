"""The parts of a made-up conversation: what the user asks, each reply of the model, each result of a tool."""

from dataclasses import dataclass, field
from typing import Any

Arguments = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Call:
    """A tool call and what the tool answers."""

    name: str
    arguments: Arguments
    """In the order of the tool's schema: the model learns to write them so."""
    result: str


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One reply of the model: calls with their results, or the text that ends the exchange."""

    think: str
    """The reasoning at effort high."""
    calls: tuple[Call, ...] = ()
    text: str = ""
    guesses: tuple[str, ...] = ()
    """Parts of `think`, in their order, that turn out wrong: the model is taught what they come to, not to say them."""
    learned: bool = True
    """False: a mistake that stands in the history; the model is not taught to make it."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What the user asks, and all replies up to the final text."""

    user: str
    turns: tuple[Turn, ...]
    needs: tuple[Arguments, ...] = field(default=())
    """Definitions of the tools that are not the project's own."""

    def tool_names(self) -> set[str]:
        """Name the tools that the replies call."""
        return {call.name for turn in self.turns for call in turn.calls}

"""Fixtures that make scripted models and servers; every pytest run loads this file, so it imports next to nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import pytest

# The rest is imported when a fixture is first used: whoever has this package installed pays for it in every test run.
if TYPE_CHECKING:
    from ..model.profiles import Profile
    from .model import ScriptedModel, ScriptedReply
    from .server import ScriptedAnswer, ScriptedServer


class MakeModel(Protocol):
    """What the fixture `scripted_model` is."""

    def __call__(
        self, replies: Sequence[ScriptedReply], *, window_tokens: int | None = 32_768, profile: Profile | None = None
    ) -> ScriptedModel:
        """Make a model; `profile` None: Mistral's."""
        ...


class MakeServer(Protocol):
    """What the fixture `scripted_server` is."""

    def __call__(
        self,
        answers: Iterable[ScriptedAnswer] = (),
        *,
        window_tokens: int | None = 32_768,
        strict: bool = False,
        tokenize: bool = True,
        metrics: str = "",
    ) -> ScriptedServer:
        """Start a server; it is closed after the test."""
        ...


@pytest.fixture
def scripted_model() -> MakeModel:
    """A function that makes a model which answers from a list."""
    from ..model.profiles import MISTRAL
    from .model import ScriptedModel

    def make(
        replies: Sequence[ScriptedReply], *, window_tokens: int | None = 32_768, profile: Profile | None = None
    ) -> ScriptedModel:
        return ScriptedModel(replies, window_tokens=window_tokens, profile=profile or MISTRAL)

    return make


@pytest.fixture
def scripted_server() -> Iterator[MakeServer]:
    """A function that starts a server which answers from a list; what it started is closed after the test."""
    from .server import ScriptedServer

    with ExitStack() as opened:

        def make(
            answers: Iterable[ScriptedAnswer] = (),
            *,
            window_tokens: int | None = 32_768,
            strict: bool = False,
            tokenize: bool = True,
            metrics: str = "",
        ) -> ScriptedServer:
            return opened.enter_context(
                ScriptedServer(answers, window_tokens=window_tokens, strict=strict, tokenize=tokenize, metrics=metrics)
            )

        yield make

"""Fixtures that create scripted models and servers; every pytest run loads this file, so it imports next to nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import pytest

# The rest is imported when a fixture is first used, because every test run with this package installed loads this file.
if TYPE_CHECKING:
    from ..model.profiles import Profile
    from .model import ScriptedModel, ScriptedReply
    from .server import ScriptedAnswer, ScriptedServer


class MakeModel(Protocol):
    """Type of the fixture `scripted_model`."""

    def __call__(
        self, replies: Sequence[ScriptedReply], *, window_tokens: int | None = 32_768, profile: Profile | None = None
    ) -> ScriptedModel:
        """Create a model. For `profile`, None means Mistral's."""
        ...


class MakeServer(Protocol):
    """Type of the fixture `scripted_server`."""

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
    """Return a function that creates a model with scripted replies."""
    from ..model.profiles import MISTRAL
    from .model import ScriptedModel

    def make(
        replies: Sequence[ScriptedReply], *, window_tokens: int | None = 32_768, profile: Profile | None = None
    ) -> ScriptedModel:
        return ScriptedModel(replies, window_tokens=window_tokens, profile=profile or MISTRAL)

    return make


@pytest.fixture
def scripted_server() -> Iterator[MakeServer]:
    """Return a function that starts a server with scripted answers; its servers are closed after the test."""
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

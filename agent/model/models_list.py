"""Read a server's list of models: names, and the window wherever the server puts it; remember lists for a while."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

# Most specific first. vLLM and SGLang; llama.cpp (`meta.n_ctx`); LM Studio; Groq; OpenRouter and Together; Mistral;
# GitHub Copilot; LiteLLM (their documentation and captured replies, read 2026-11). `n_ctx_train` is what the model was
# trained with, not what the server has room for.
_WINDOW_KEYS = (
    "max_model_len", "n_ctx", "loaded_context_length", "context_window", "context_length", "max_context_length",
    "max_context_window_tokens", "max_sequence_length", "max_seq_len", "max_input_tokens",
)  # fmt: skip
_NAME_KEYS = ("id", "name", "model")
_LIST_KEYS = ("data", "models")
_NO_CHAT = re.compile(r"embed|rerank|whisper|(?:^|[-_/])(?:tts|asr)(?:$|[-_])|moderation", re.IGNORECASE)
_MAX_DEPTH = 4
_FRESH_S = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedModel:
    """One entry of the list."""

    name: str
    window_tokens: int | None
    """None if the entry does not hold it."""


class ModelLists:
    """The lists of models that a server has sent, each for ten seconds; runs that begin together ask once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[Hashable, _KnownList] = {}
        self._asking: dict[Hashable, asyncio.Event] = {}
        """Set once the first who asked has an answer, or none."""

    async def get(self, asker: Hashable, ask: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return the body of the list for an asker, which is asked for if it is not known.

        An error of `ask` is raised and not remembered; who waited for the answer then asks too.
        """
        if asker in self._asking:
            await self._asking[asker].wait()
        known = self._known.get(asker)
        if known is not None and self._clock() - known.at < _FRESH_S:
            return known.body
        answered = asyncio.Event()
        self._asking.setdefault(asker, answered)
        try:
            body = await ask()
            self._known[asker] = _KnownList(body=body, at=self._clock())
            return body
        finally:
            answered.set()
            if self._asking.get(asker) is answered:
                del self._asking[asker]

    def forget(self) -> None:
        """Forget all lists."""
        self._known.clear()


@dataclass(frozen=True, kw_only=True, slots=True)
class _KnownList:
    body: bytes
    at: float


def listed_models(body: object) -> list[ListedModel]:
    """Return the entries with a name; an entry, and the list itself, may have any of the usual forms."""
    outer = _mapping(body)
    found: object = next((outer[key] for key in _LIST_KEYS if outer.get(key)), None) if outer else body
    items = cast("list[object]", found) if isinstance(found, list) else []
    return [model for item in items if (model := _model(item)) is not None]


def first_chat_model(models: list[ListedModel]) -> ListedModel:
    """Return the first model that does not look like one for embeddings or speech; the first if all do."""
    return next((model for model in models if not _NO_CHAT.search(model.name)), models[0])


def _model(item: object) -> ListedModel | None:
    if isinstance(item, str):
        return ListedModel(name=item, window_tokens=None) if item else None
    card = _mapping(item)
    name = next((value for key in _NAME_KEYS if isinstance(value := card.get(key), str) and value), None)
    if name is None:
        return None
    sizes = list(_sizes(card, 0))
    window = next((size for key in _WINDOW_KEYS for found, size in sizes if found == key), None)
    return ListedModel(name=name, window_tokens=window)


def _sizes(card: Mapping[str, object], depth: int) -> Iterator[tuple[str, int]]:
    for key, value in card.items():
        if isinstance(value, Mapping) and depth < _MAX_DEPTH:
            yield from _sizes(cast("Mapping[str, object]", value), depth + 1)
        number = int(value) if isinstance(value, str) and value.isdecimal() else cast("object", value)
        if isinstance(number, int) and not isinstance(number, bool) and number > 0:
            yield key, number


def _mapping(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}

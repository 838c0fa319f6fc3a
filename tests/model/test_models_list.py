"""Lists of models in the forms of many servers, with the window wherever it is put."""

from __future__ import annotations

import asyncio

import pytest

from agent.model.models_list import ListedModel, ModelLists, first_chat_model, listed_models

CARDS: dict[str, tuple[dict[str, object], int | None]] = {
    "vLLM": ({"max_model_len": 4_096}, 4_096),
    "a number as text": ({"max_model_len": "4096"}, 4_096),
    "llama.cpp": ({"meta": {"n_ctx": 4_096, "n_ctx_train": 131_072}}, 4_096),
    "trained with more than there is room for": ({"meta": {"n_ctx_train": 131_072}}, None),
    "LM Studio": ({"max_context_length": 131_072, "loaded_context_length": 4_096}, 4_096),
    "Groq": ({"context_window": 4_096, "max_completion_tokens": 512}, 4_096),
    "OpenRouter": ({"context_length": 4_096, "top_provider": {"max_completion_tokens": 512}}, 4_096),
    "Copilot": ({"capabilities": {"limits": {"max_context_window_tokens": 4_096}}}, 4_096),
    "not a size": ({"max_model_len": True}, None),
    "zero": ({"context_length": 0}, None),
    "nothing": ({}, None),
}


@pytest.mark.parametrize("name", CARDS)
def test_the_window_is_read_wherever_a_server_puts_it(name: str) -> None:
    card, window = CARDS[name]
    assert listed_models({"data": [{"id": "m", **card}]}) == [ListedModel(name="m", window_tokens=window)]


@pytest.mark.parametrize(
    "body",
    [[{"id": "m"}], {"data": [{"id": "m"}]}, {"models": [{"name": "m"}]}, ["m"], {"data": [{"model": "m"}, {"id": 3}]}],
)
def test_a_list_may_have_any_of_the_usual_forms(body: object) -> None:
    assert listed_models(body) == [ListedModel(name="m", window_tokens=None)]


def test_a_model_for_embeddings_is_not_chosen() -> None:
    models = listed_models(["text-embedding-3", "bge-reranker", "tts-1", "acme/quirk:1b"])
    assert first_chat_model(models).name == "acme/quirk:1b"
    assert first_chat_model(models[:1]).name == "text-embedding-3"


class Server:
    """Answers with a new list each time it is asked, once it is released."""

    def __init__(self) -> None:
        self.asked = 0
        self.released = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> bytes:
        self.asked += 1
        number = self.asked
        await self.released.wait()
        if self.error is not None:
            raise self.error
        return b"list %d" % number


async def test_runs_that_begin_together_ask_for_the_list_once() -> None:
    lists, server = ModelLists(), Server()
    waiting = [asyncio.create_task(lists.get("me", server)) for _ in range(3)]
    await asyncio.sleep(0)
    server.released.set()
    assert await asyncio.gather(*waiting, lists.get("me", server)) == [b"list 1"] * 4
    assert await lists.get("another key", server) == b"list 2", "what another key may see is another list"


async def test_a_list_is_asked_for_again_after_ten_seconds_and_after_a_failed_request() -> None:
    now_s = 0.0
    lists, server = ModelLists(clock=lambda: now_s), Server()
    server.released.set()
    assert await lists.get("me", server) == b"list 1"
    now_s = 9.9
    assert await lists.get("me", server) == b"list 1"
    now_s = 10.0
    assert await lists.get("me", server) == b"list 2"
    lists.forget()
    assert await lists.get("me", server) == b"list 3"


async def test_a_failure_is_not_remembered_and_nobody_waits_for_the_next_one() -> None:
    lists, server = ModelLists(), Server()
    server.error = OSError("down")
    waiting = [asyncio.create_task(lists.get("me", server)) for _ in range(3)]
    await asyncio.sleep(0)
    server.released.set()
    failed = await asyncio.gather(*waiting, return_exceptions=True)
    assert failed == [server.error] * 3
    server.error = None
    assert await lists.get("me", server) == b"list 4"


async def test_who_waits_for_a_run_that_is_cancelled_asks_itself() -> None:
    lists, server = ModelLists(), Server()
    first = asyncio.create_task(lists.get("me", server))
    await asyncio.sleep(0)
    second = asyncio.create_task(lists.get("me", server))
    await asyncio.sleep(0)
    first.cancel()
    server.released.set()
    assert await second == b"list 2"

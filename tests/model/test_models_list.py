"""Lists of models in the forms of many servers, with the window wherever it is put."""

from __future__ import annotations

import pytest

from agent.model.models_list import ListedModel, first_chat_model, listed_models

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

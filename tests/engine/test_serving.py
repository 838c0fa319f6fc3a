"""Test the pocket model on a real vLLM: it calls a ready tool as it was asked to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tools.files import write_file

if TYPE_CHECKING:
    from conftest import LiveEngine

pytestmark = pytest.mark.engine


def test_the_pocket_model_calls_a_tool(engine: LiveEngine):
    body = {
        "model": engine.model,
        "messages": [{"role": "user", "content": "Write the word quixotic into the file out/word.txt."}],
        "tools": [write_file.definition()],
        "temperature": 0,
        "max_tokens": 100,
    }
    message = engine.post("/v1/chat/completions", body)["choices"][0]["message"]

    (call,) = message["tool_calls"]
    assert call["function"]["name"] == "write_file"
    assert json.loads(call["function"]["arguments"]) == {"path": "out/word.txt", "content": "quixotic"}

"""Encoding messages and decoding replies: whole values, and recorded replies of a real vLLM."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.messages import (
    AssistantMessage,
    Image,
    Message,
    SystemMessage,
    ToolCall,
    ToolResult,
    UserMessage,
)
from agent.model.profiles import Sampling
from agent.model.wire import Request, encode_message

RECORDED = Path(__file__).parents[1] / "data" / "recorded"
CALL = ToolCall(id="call00000", name="add", arguments='{"a": 3, "b": 4}')
IMAGE = Image(data="aGk=", media_type="image/png")

MESSAGES: dict[str, tuple[Message, dict[str, Any]]] = {
    "system": (SystemMessage(content="Be brief."), {"role": "system", "content": "Be brief."}),
    "user": (UserMessage(content="Grüße"), {"role": "user", "content": "Grüße"}),
    "user with an image": (
        UserMessage(content="See:", images=(IMAGE,)),
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "See:"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
            ],
        },
    ),
    "result": (
        ToolResult(tool_call_id="call00000", name="add", content="7", status="ok"),
        {"role": "tool", "tool_call_id": "call00000", "content": "7"},
    ),
    "answer": (AssistantMessage(content="7."), {"role": "assistant", "content": "7."}),
    "call with reasoning": (
        AssistantMessage(reasoning="Add.", tool_calls=(CALL,)),
        {
            "role": "assistant",
            "content": "",
            "reasoning": "Add.",
            "tool_calls": [
                {
                    "id": "call00000",
                    "type": "function",
                    "function": {"name": "add", "arguments": '{"a": 3, "b": 4}'},
                }
            ],
        },
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_is_encoded_as_json(name: str) -> None:
    message, expected = MESSAGES[name]
    assert json.loads(encode_message(message, with_reasoning=True)) == expected


def test_reasoning_is_encoded_in_its_field_or_omitted() -> None:
    turn = AssistantMessage(content="7.", reasoning="Add.", reasoning_field="reasoning_content")
    assert encode_message(turn, with_reasoning=True) == (
        b'{"role":"assistant","content":"7.","reasoning_content":"Add."}'
    )
    assert encode_message(turn, with_reasoning=False) == b'{"role":"assistant","content":"7."}'


def test_a_lone_surrogate_becomes_a_question_mark() -> None:
    assert encode_message(UserMessage(content="a\ud83db"), with_reasoning=False) == b'{"role":"user","content":"a?b"}'


USER = b'{"role":"user","content":"Hi"}'
TOOLS = b'[{"type":"function","function":{"name":"add"}}]'


def test_a_minimal_request() -> None:
    request = Request(model="m", messages=[USER], tools=b"[]", max_tokens=9)
    assert request.encode(stream=False) == b'{"model":"m","max_tokens":9,"stream":false,"messages":[%s]}' % USER


def test_a_request_with_everything() -> None:
    request = Request(
        model="m",
        messages=[USER, USER],
        tools=TOOLS,
        max_tokens=9,
        effort="high",
        sampling=Sampling(temperature=0.7, top_p=0.95),
        force_tool="add",
        json_schema=b'{"type":"object"}',
    )
    assert request.encode(stream=True) == (
        b'{"model":"m","max_tokens":9,"stream":true,"stream_options":{"include_usage":true},"reasoning_effort":"high",'
        b'"temperature":0.7,"top_p":0.95,"messages":[%s,%s],"tools":%s,'
        b'"tool_choice":{"type":"function","function":{"name":"add"}},"structured_outputs":{"json":{"type":"object"}}}'
    ) % (USER, USER, TOOLS)


def test_a_schema_is_sent_in_the_field_that_the_server_supports() -> None:
    request = Request(
        model="m",
        messages=[USER],
        tools=b"[]",
        max_tokens=9,
        json_schema=b'{"type":"object"}',
        schema_field="response_format",
    )
    assert request.encode(stream=False) == (
        b'{"model":"m","max_tokens":9,"stream":false,"messages":[%s],"response_format":{"type":"json_schema",'
        b'"json_schema":{"name":"call","strict":true,"schema":{"type":"object"}}}}'
    ) % (USER)


def test_a_tool_choice_is_not_sent_without_tools() -> None:
    request = Request(model="m", messages=[USER], tools=b"[]", max_tokens=9, tool_choice="required")
    assert "tool_choice" not in json.loads(request.encode(stream=False))

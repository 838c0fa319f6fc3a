"""Encoding messages and decoding replies: whole values, and recorded replies of a real vLLM."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.messages import (
    AssistantMessage,
    Image,
    Message,
    RawCall,
    Reply,
    SystemMessage,
    ToolCall,
    ToolResult,
    Usage,
    UserMessage,
)
from agent.model.profiles import Sampling
from agent.model.wire import Request, StreamAssembler, UnreadableReply, decode_reply, encode_message
from agent.testing.chunks import completion, events

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
    assert json.loads(encode_message(message, reasoning_field="reasoning")) == expected


def test_reasoning_is_encoded_in_the_given_field_or_omitted() -> None:
    turn = AssistantMessage(content="7.", reasoning="Add.")
    assert encode_message(turn, reasoning_field="reasoning_content") == (
        b'{"role":"assistant","content":"7.","reasoning_content":"Add."}'
    )
    assert encode_message(turn, reasoning_field=None) == b'{"role":"assistant","content":"7."}'


def test_a_lone_surrogate_becomes_a_question_mark() -> None:
    assert encode_message(UserMessage(content="a\ud83db"), reasoning_field=None) == b'{"role":"user","content":"a?b"}'


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


def assembled(name: str) -> Reply:
    assembler = StreamAssembler()
    for line in (RECORDED / f"{name}.stream.jsonl").read_text().splitlines():
        if line.startswith("data: {"):
            assembler.feed(json.loads(line.removeprefix("data: ")))
    return assembler.reply()


def without_ids(reply: Reply) -> Reply:
    assert all(len(call.id) == 9 for call in reply.tool_calls)
    return replace(reply, tool_calls=tuple(replace(call, id="") for call in reply.tool_calls))


CASES = sorted(path.stem for path in RECORDED.glob("*.json"))


@pytest.mark.parametrize("name", CASES)
def test_a_recorded_stream_decodes_to_the_same_reply_as_the_complete_body(name: str) -> None:
    whole = decode_reply(json.loads((RECORDED / f"{name}.json").read_text()))
    assert without_ids(assembled(name)) == without_ids(whole)


def test_a_recorded_call_after_reasoning_is_decoded() -> None:
    assert without_ids(assembled("tools_named_strict_high")) == Reply(
        reasoning="I need the weather for Paris.",
        tool_calls=(RawCall(name="get_weather", arguments='{"city": "Paris"}'),),
        finish_reason="stop",
        usage=Usage(prompt_tokens=200, completion_tokens=28, reasoning_tokens=9),
        model="tiny",
        extra={"reasoning_field": "reasoning"},
    )


WHOLE = Reply(
    content="See.",
    reasoning="Add first.",
    tool_calls=(RawCall(id="abcdefghi", name="add", arguments='{"a": 3}'), RawCall(id="b", name="ping", arguments="")),
    finish_reason="tool_calls",
    usage=Usage(prompt_tokens=10, completion_tokens=5, reasoning_tokens=2, cached_tokens=8),
    model="scripted",
    extra={"reasoning_field": "reasoning_content"},
)


def fed(*chunks: dict[str, Any]) -> StreamAssembler:
    assembler = StreamAssembler()
    for chunk in chunks:
        assembler.feed(chunk)
    return assembler


def test_replies_of_the_scripted_server_survive_a_round_trip_both_ways() -> None:
    body = completion(WHOLE, model="scripted")
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events(body) if b"[DONE]" not in event]
    assert decode_reply(body) == WHOLE
    assert fed(*chunks).reply() == WHOLE


def delta(*, finish_reason: str | None = None, **fields: object) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish_reason}]}


def call_delta(index: int | None, arguments: str, **fields: object) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": fields.pop("name")} if "name" in fields else {})}
    return {**({} if index is None else {"index": index}), "function": function, **fields}


def test_chunks_of_two_calls_may_be_interleaved() -> None:
    reply = fed(
        delta(tool_calls=[call_delta(0, "{", id="one", name="add")]),
        delta(tool_calls=[call_delta(1, "{", id="two", name="ping")]),
        delta(tool_calls=[call_delta(0, '"a": 1}'), call_delta(1, "}")]),
        delta(finish_reason="tool_calls"),
    ).reply()
    assert reply.tool_calls == (
        RawCall(id="one", name="add", arguments='{"a": 1}'),
        RawCall(id="two", name="ping", arguments="{}"),
    )


def test_calls_without_an_index_are_distinguished_by_their_position() -> None:
    reply = fed(delta(tool_calls=[call_delta(None, "{}", name="add"), call_delta(None, "{}", name="ping")])).reply()
    assert [call.name for call in reply.tool_calls] == ["add", "ping"]


def test_a_stream_is_finished_once_it_has_a_finish_reason() -> None:
    assert not fed(delta(content="7")).finished
    assert fed(delta(content="7"), delta(finish_reason="stop")).finished


def test_unexpected_values_are_ignored() -> None:
    choice = {"finish_reason": "eos", "message": {"content": [{"type": "text", "text": "7"}, {"type": "image"}]}}
    assert decode_reply({"choices": [choice], "usage": {"prompt_tokens": None}}) == Reply(
        content="7", finish_reason="unknown", usage=Usage()
    )
    odd = {"prompt_tokens": "many", "completion_tokens": 5, "prompt_tokens_details": 3}
    choice["message"] = {"content": "7"}
    assert decode_reply({"choices": [choice], "usage": odd}).usage == Usage(completion_tokens=5)
    call = {"id": None, "function": {"name": None, "arguments": {"a": "ä"}}}
    assert decode_reply({"choices": [{"message": {"tool_calls": [call]}}]}).tool_calls == (
        RawCall(arguments='{"a": "ä"}'),
    )


UNREADABLE: dict[str, tuple[object, str]] = {
    "a list": ([1], "the body is [1], not a JSON object"),
    "a page": ("<html>\n x", "the body is <html> x, not a JSON object"),
    "an error": ({"error": {"message": "busy"}}, "got an error object: {'message': 'busy'}"),
    "no choices": ({"choices": []}, "got no `choices`: {'choices': []}"),
    "no message": ({"choices": [{}]}, "`message` is None, not a JSON object"),
    "a call that is text": (
        {"choices": [{"message": {"tool_calls": ["add"]}}]},
        "a tool call is add, not a JSON object",
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_body_that_is_not_a_completion_is_an_error(name: str) -> None:
    data, text = UNREADABLE[name]
    with pytest.raises(UnreadableReply) as raised:
        decode_reply(data)
    assert str(raised.value) == text


@pytest.mark.parametrize(
    ("chunks", "text"),
    [
        ([], "got a stream without a reply"),
        ([{"choices": []}], "got a stream without a reply"),
        ([{"hello": 1}], "got a chunk without `choices`: {'hello': 1}"),
        ([[1]], "a chunk is [1], not a JSON object"),
    ],
)
def test_an_invalid_stream_is_an_error(chunks: list[Any], text: str) -> None:
    with pytest.raises(UnreadableReply) as raised:
        fed(*chunks).reply()
    assert str(raised.value) == text


def test_a_long_body_is_truncated_in_the_error() -> None:
    with pytest.raises(UnreadableReply) as raised:
        decode_reply("x" * 1_000)
    assert str(raised.value) == f"the body is {'x' * 200}..., not a JSON object"

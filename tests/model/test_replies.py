"""Replies decoded from complete bodies and from streams: both give the same, and parallel calls are kept apart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.messages import RawCall, Reply, Usage
from agent.model.replies import UnreadableReply, decode_reply
from agent.model.stream import StreamAssembler
from agent.testing.chunks import completion, events

RECORDED = Path(__file__).parents[1] / "data" / "recorded"


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
    assert decode_reply({"choices": [choice], "usage": 3}) == Reply(content="7", finish_reason="stop")
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
        ([{"type": "ping"}], "got a stream without a reply"),
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


def calls_of(*pieces: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return name and arguments of the calls in a stream; each argument is the list of pieces of one chunk."""
    reply = fed(*(delta(tool_calls=piece) for piece in pieces), delta(finish_reason="tool_calls")).reply()
    return [(call.name, call.arguments) for call in reply.tool_calls]


ONE, TWO = '{"a": 1}', '{"a": 2}'
SAME_TOOL = [("add", ONE), ("add", TWO)]
STREAMS: dict[str, tuple[list[list[dict[str, Any]]], list[tuple[str, str]]]] = {
    "no index, a chunk for each call": (
        [[call_delta(None, ONE, id="a1", name="add")], [call_delta(None, TWO, id="a2", name="add")]], SAME_TOOL
    ),
    "no index and no id": ([[call_delta(None, ONE, name="add")], [call_delta(None, TWO, name="add")]], SAME_TOOL),
    "no index, the arguments in pieces": (
        [[call_delta(None, "", id="a1", name="add")], [call_delta(None, '{"a"')], [call_delta(None, ": 1}")],
         [call_delta(None, "", id="a2", name="add")], [call_delta(None, TWO)]], SAME_TOOL
    ),
    "index 0 for both ids": (
        [[call_delta(0, "", id="a1", name="add")], [call_delta(0, ONE)],
         [call_delta(0, "", id="a2", name="add")], [call_delta(0, TWO)]], SAME_TOOL
    ),
    "index 0 for both, without ids": ([[call_delta(0, ONE, name="add")], [call_delta(0, TWO, name="add")]], SAME_TOOL),
    "another index for the tail": (
        [[call_delta(0, "", id="a1", name="add")], [call_delta(0, ONE)],
         [call_delta(1, "", id="a2", name="add")], [call_delta(7, TWO)]], SAME_TOOL
    ),
    "the same id for both calls": (
        [[call_delta(0, ONE, id="c", name="add")], [call_delta(1, TWO, id="c", name="add")]], SAME_TOOL
    ),
    "the same id for both calls, without index": (
        [[call_delta(None, ONE, id="c", name="add")], [call_delta(None, TWO, id="c", name="add")]], SAME_TOOL
    ),
    "the name in every chunk": (
        [[call_delta(0, '{"a"', id="a1", name="add")], [call_delta(0, ": 1}", id="a1", name="add")],
         [call_delta(0, "", id="a1", name="add")]], [("add", ONE)]
    ),
    "the name in every chunk, without ids": (
        [[call_delta(0, '{"a"', name="add")], [call_delta(0, ": 1}", name="add")]], [("add", ONE)]
    ),
    "a fresh id in every chunk": (
        [[call_delta(0, "", id="x1", name="add")], [call_delta(0, '{"a"', id="x2")], [call_delta(0, ": 1}", id="x3")]],
        [("add", ONE)]
    ),
    "the id only in the second chunk": (
        [[call_delta(0, "", name="add")], [call_delta(0, ONE, id="a1")]], [("add", ONE)]
    ),
    "the tail by its id": (
        [[call_delta(None, "", id="a1", name="add")], [call_delta(None, "", id="a2", name="ping")],
         [call_delta(None, ONE, id="a1")], [call_delta(None, "{}", id="a2")]], [("add", ONE), ("ping", "{}")]
    ),
    "an index that is text": (
        [[call_delta("0", "", name="add")], [call_delta("1", "{}", name="ping")], [call_delta("0", ONE)]],
        [("add", ONE), ("ping", "{}")]
    ),
    "an index from 1": ([[call_delta(1, ONE, name="add")], [call_delta(2, TWO, name="add")]], SAME_TOOL),
    "a name in parts": (
        [[call_delta(0, "", id="a1", name="ad")], [call_delta(0, "", name="d")], [call_delta(0, ONE)]], [("add", ONE)]
    ),
    "a tool without arguments before another": (
        [[call_delta(0, "{}", name="ping")], [call_delta(0, ONE, name="add")]], [("ping", "{}"), ("add", ONE)]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STREAMS)
def test_streamed_parallel_calls_are_not_glued_whatever_index_and_id_they_have(name: str) -> None:
    pieces, expected = STREAMS[name]
    assert calls_of(*pieces) == expected


def test_a_chunk_without_choices_loses_nothing_of_the_reply() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    ping, comment = {"type": "ping"}, {"id": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]}
    reply = fed(comment, ping, delta(content="7", finish_reason="stop"), {"usage": usage}).reply()
    assert (reply.content, reply.usage) == ("7", Usage(prompt_tokens=10, completion_tokens=5))


def test_a_legacy_function_call_is_a_call() -> None:
    message = {"content": None, "function_call": {"name": "add", "arguments": ONE}}
    whole = decode_reply({"choices": [{"message": message, "finish_reason": "function_call"}]})
    parts = [{"name": "add", "arguments": ""}, {"arguments": '{"a"'}, {"arguments": ": 1}"}]
    streamed = fed(*(delta(function_call=part) for part in parts), delta(finish_reason="function_call")).reply()
    assert whole == streamed == Reply(tool_calls=(RawCall(name="add", arguments=ONE),), finish_reason="tool_calls")


def test_a_call_sent_in_both_forms_is_one_call() -> None:
    """llama-cpp-python 0.3.36 sends `function_call` beside `tool_calls`, and the name in every chunk."""
    parts = [call_delta(0, text, id="call__0", name="add") for text in ("{", '"a": 1}')]
    chunks = [delta(tool_calls=[part], function_call=part["function"]) for part in parts]
    assert [(call.name, call.arguments) for call in fed(*chunks).reply().tool_calls] == [("add", ONE)]


@pytest.mark.parametrize(("word", "meaning"), [("eos", "stop"), ("MAX_TOKENS", "length"), ("tool_use", "tool_calls"),
                                               ("odd", "unknown"), (3, "unknown")])  # fmt: skip
def test_the_finish_reasons_of_other_servers_are_known(word: object, meaning: str) -> None:
    assert decode_reply({"choices": [{"message": {"content": "7"}, "finish_reason": word}]}).finish_reason == meaning


@pytest.mark.parametrize("usage", [{"prompt_tokens": 0, "completion_tokens": 0}, {"prompt_tokens": None}, {}, None])
def test_usage_that_counts_nothing_is_no_usage(usage: object) -> None:
    assert decode_reply({"choices": [{"message": {"content": "7"}}], "usage": usage}).usage is None

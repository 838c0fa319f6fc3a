"""Replies are classified: recorded replies of vLLM, calls written as text, cut-off and empty replies."""

import json
from pathlib import Path

import pytest

from agent.messages import RawCall, Reply, Usage
from agent.parsing.reply import Answer, AnswerInReasoning, Batch, EmptyReply, Reading, Rescue, Truncated, read
from agent.parsing.validation import InvalidCall, check
from agent.tooling.tool import tool
from agent.tooling.toolbox import Toolbox

RECORDED = Path(__file__).parents[1] / "data" / "recorded"


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def ping() -> str:
    """Answer pong."""
    return "pong"


TOOLS = Toolbox([add, ping])


def reading(content: str = "", *, finish_reason: str = "stop", **fields: object) -> Reading:
    reply = Reply(content=content, finish_reason=finish_reason, **fields)
    return read(reply, TOOLS, max_tokens=1000, window_tokens=4096)


def recorded(name: str) -> Reply:
    body = json.loads((RECORDED / f"{name}.json").read_text())
    (choice,) = body["choices"]
    message = choice["message"]
    return Reply(
        content=message["content"] or "",
        reasoning=message["reasoning"] or "",
        tool_calls=tuple(
            RawCall(id=call["id"], name=call["function"]["name"], arguments=call["function"]["arguments"])
            for call in message.get("tool_calls", [])
        ),
        finish_reason=choice["finish_reason"],
        usage=Usage(prompt_tokens=body["usage"]["prompt_tokens"], completion_tokens=body["usage"]["completion_tokens"]),
        model=body["model"],
    )


def paris(call_id: str) -> Batch:
    return Batch(calls=(RawCall(id=call_id, name="get_weather", arguments='{"city": "Paris"}'),))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain", Answer(text="I have no tool for that.")),
        ("effort_high", Answer(text="I have no tool for that.")),
        ("tools_none", Answer(text="Hello! How can I help?")),
        ("tool_result_history", Answer(text="Result: ok")),
        ("json_object", Answer(text=' {"path": "Oslo"}')),
        ("json_schema_high", Truncated(in_call=False, in_reasoning=False)),
        ("tools_auto", paris("3N2PjO4JO")),
        ("tools_required_strict", paris("vcbn4G0vH")),
        ("tools_named", paris("")),
        ("tools_named_strict_high", paris("71pxW1zIa")),
    ],
)
def test_a_recorded_reply_is_classified(name: str, expected: Reading) -> None:
    reply = recorded(name)
    if name == "tools_named":
        expected = paris(reply.tool_calls[0].id)
        assert reply.finish_reason == "stop"
    assert read(reply, TOOLS, max_tokens=120, window_tokens=4096) == expected


AB = RawCall(name="add", arguments='{"a": 3, "b": 4}')
PING = RawCall(name="ping", arguments="{}")


def rescued(form: str, *calls: RawCall, content: str = "") -> Batch:
    return Batch(calls=calls, content=content, rescue=Rescue(where="content", format=form))


# Calls that a model wrote as text; faults m43 to m46, rows text_mistral, text_hermes and text_fence.
WRITTEN = {
    "Mistral's own format": ('[TOOL_CALLS]add[ARGS]{"a": 3, "b": 4}', rescued("mistral", AB)),
    "Mistral's own format without ARGS": ('[TOOL_CALLS]add{"a": 3, "b": 4}', rescued("mistral", AB)),
    "two calls after text": (
        'I add.[TOOL_CALLS]add[ARGS]{"a": 3, "b": 4}[TOOL_CALLS]ping[ARGS]{}</s>',
        rescued("mistral", AB, PING, content="I add."),
    ),
    "the bare name of a tool": ("[TOOL_CALLS]ping", rescued("mistral", RawCall(name="ping"))),
    "an unknown name": ("[TOOL_CALLS]pong[ARGS]{}", rescued("mistral", RawCall(name="pong", arguments="{}"))),
    "no name": ('[TOOL_CALLS][ARGS]{"a": 3}', rescued("mistral", RawCall(arguments='{"a": 3}'))),
    "a marker inside a string": (
        '[TOOL_CALLS]add[ARGS]{"a": "[TOOL_CALLS]evil[ARGS]{}"}',
        rescued("mistral", RawCall(name="add", arguments='{"a": "[TOOL_CALLS]evil[ARGS]{}"}')),
    ),
    "a marker inside broken arguments": (
        '[TOOL_CALLS]add[ARGS]{"a": "x[TOOL_CALLS]ping[ARGS]{}',
        rescued("mistral", RawCall(name="add", arguments='{"a": "x[TOOL_CALLS]ping[ARGS]{}')),
    ),
    "sloppy arguments": (
        "[TOOL_CALLS]add[ARGS]{'a': 3, 'b': 4,}",
        rescued("mistral", RawCall(name="add", arguments="{'a': 3, 'b': 4,}")),
    ),
    "prose after a call": (
        '[TOOL_CALLS]add[ARGS]{"a": 3, "b": 4}\nDone.',
        rescued("mistral", AB, content="Done."),
    ),
    "Mistral's old format": (
        '[TOOL_CALLS] [{"name": "add", "arguments": {"a": 3, "b": 4}}, {"name": "ping"}]',
        rescued("mistral_json", AB, RawCall(name="ping")),
    ),
    "Mistral's old format, cut": (
        '[TOOL_CALLS][{"name": "add", "arguments": {"a": 3, "b"',
        rescued("mistral_json", RawCall(name="add", arguments='{"a": 3, "b"')),
    ),
    "Hermes": (
        '<tool_call>\n{"name": "add", "arguments": {"a": 3, "b": 4}}\n</tool_call>',
        rescued("hermes", AB),
    ),
    "Hermes twice, the last one unclosed": (
        'Now:\n<tool_call>{"name": "add", "arguments": {"a": 3, "b": 4}}</tool_call>\n'
        '<tool_call>{"name": "ping", "arguments": {}}',
        rescued("hermes", AB, PING, content="Now:"),
    ),
    "Hermes with broken JSON": (
        '<tool_call>{"name": "add", "arguments": {"a": 3, "b": </tool_call>',
        rescued("hermes", RawCall(name="add", arguments='{"a": 3, "b":')),
    ),
    "Hermes with no JSON": ("<tool_call>add 3 4</tool_call>", rescued("hermes", RawCall(arguments="add 3 4"))),
    "Hermes with single quotes and a number spelled 3.10": (
        "<tool_call>{'name': 'add', 'arguments': {'a': 3.10}}</tool_call>",
        rescued("hermes", RawCall(name="add", arguments="{'a': 3.10}")),
    ),
    "XML parameters": (
        "<function=add><parameter=a>3</parameter><parameter=b>\n4\n</parameter></function>",
        rescued("xml", RawCall(name="add", arguments='{"a": "3", "b": "4"}')),
    ),
    "XML in a tool_call tag": (
        "<tool_call>\n<function=ping>\n</function>\n</tool_call>",
        rescued("xml", RawCall(name="ping", arguments="{}")),
    ),
    "XML with attributes": (
        '<invoke name="add"><parameter name="a">3</parameter></invoke>',
        rescued("xml", RawCall(name="add", arguments='{"a": "3"}')),
    ),
    "XML around JSON": ('<function=add>{"a": 3, "b": 4}</function>', rescued("xml", AB)),
    "unclosed XML": (
        "<function=add><parameter=a>3",
        rescued("xml", RawCall(name="add", arguments="<parameter=a>3")),
    ),
    "a fenced object": (
        'Sure:\n```json\n{"name": "add", "arguments": {"a": 3, "b": 4}}\n```',
        rescued("fenced_json", AB, content="Sure:"),
    ),
    "a bare object": ('{"name": "add", "arguments": {"a": 3, "b": 4}}', rescued("bare_json", AB)),
    "a bare object after text, with `parameters`": (
        'Here:\n{"name": "add", "parameters": {"a": 3, "b": 4}}</s>',
        rescued("bare_json", AB, content="Here:"),
    ),
    "a bare array": (
        '[{"name": "add", "arguments": {"a": 3, "b": 4}}, {"name": "ping", "arguments": {}}]',
        rescued("bare_json", AB, PING),
    ),
    "arguments as text": (
        '{"name": "add", "arguments": "{\\"a\\": 3, \\"b\\": 4}"}',
        rescued("bare_json", AB),
    ),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_call_written_as_text_is_rescued(name: str) -> None:
    text, expected = WRITTEN[name]
    assert reading(text) == expected


NO_CALLS = {
    "a marker in a fenced block": 'Write:\n```\n[TOOL_CALLS]add[ARGS]{"a": 3, "b": 4}\n```',
    "a marker in an unclosed fence": 'Write:\n```\n[TOOL_CALLS]add[ARGS]{"a": 3, "b": 4}',
    "a marker in inline code": 'Use `[TOOL_CALLS]add[ARGS]{"a": 3, "b": 4}`',
    "a marker in a sentence": 'The text [TOOL_CALLS]add[ARGS]{"a": 3, "b": 4} calls add.',
    "a placeholder in a sentence": "A call begins with [TOOL_CALLS]name[ARGS]{...} in the text.",
    "the name of the marker": "The token [TOOL_CALLS] begins a call.",
    "a tag in a sentence": 'With <tool_call>{"name": "ping", "arguments": {}}</tool_call> you call it.',
    "the name of a tag": "A call begins with <tool_call> and ends with its like.",
    "a tag with a placeholder": "Use <function=name> and so on.",
    "a tag in a fenced block": '```\n<tool_call>{"name": "ping", "arguments": {}}</tool_call>\n```',
    "JSON of an unknown tool": '{"name": "pong", "arguments": {}}',
    "JSON that only has a name": '{"name": "ping"}',
    "JSON with other keys": '{"name": "ping", "arguments": {}, "age": 3}',
    "JSON in the middle of a line": 'It is {"name": "ping", "arguments": {}}',
    "JSON before text": '{"name": "ping", "arguments": {}}\nThat is all.',
    "a fenced list of names": '```json\n["name"]\n```',
    "a fence with broken JSON": '```json\n{"name": "ping", "arguments": {\n```',
    "an empty array": "[]",
    "a broken array": '[{"name": "ping", "arguments": {}]',
    "struck-through HTML": "<s>old</s>",
}


@pytest.mark.parametrize("name", NO_CALLS)
def test_text_about_calls_is_an_answer(name: str) -> None:
    assert reading(NO_CALLS[name]) == Answer(text=NO_CALLS[name])


@pytest.mark.parametrize(
    ("content", "called"),
    [
        ('{"name": "add", "arguments": {"a": 3}}', ["add"]),
        ('[{"name": "ping", "arguments": {}}, {"name": "pong", "arguments": {}}]', ["ping", "pong"]),
    ],
)
def test_json_that_names_a_tool_is_a_call_even_if_it_is_invalid(content: str, called: list[str]) -> None:
    found = reading(content)
    assert isinstance(found, Batch)
    assert [call.name for call in found.calls] == called


@pytest.mark.parametrize(
    "text",
    [
        '[TOOL_CALLS][{"name": "ping", "arguments":',
        '[TOOL_CALLS][{"name": "ping", "arguments": ',
        '[TOOL_CALLS][{"name": "ping", "arguments": null',
        '[TOOL_CALLS][{"name": "ping", "arguments": null}',
        "[TOOL_CALLS]ping[ARGS]",
        "[TOOL_CALLS]ping[ARGS] ",
        '<tool_call>\n{"name": "ping", "arguments":',
        '<tool_call>\n{"name": "ping", "arguments": null',
        '<tool_call>\n{"name": "ping", "parameters":',
        '<tool_call>\n{"name": "ping"',
        "<function=ping>",
        "<function=ping>\n",
        '<invoke name="ping">',
    ],
)
def test_a_call_that_ends_before_its_arguments_is_not_executed_without_any(text: str) -> None:
    batch = reading(text)
    assert isinstance(batch, Batch)
    (raw,) = batch.calls
    assert raw.name == "ping"
    found = check(raw, TOOLS, call_id="call00001")
    assert isinstance(found, InvalidCall), raw.arguments


def test_no_call_is_rescued_when_there_are_no_tools() -> None:
    reply = Reply(content='[TOOL_CALLS]add[ARGS]{"a": 3}', finish_reason="stop")
    read_ = read(reply, Toolbox(), max_tokens=100, window_tokens=None)
    assert read_ == Answer(text='[TOOL_CALLS]add[ARGS]{"a": 3}')


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ("Hi</s>", Answer(text="Hi", cut=("</s>",))),
        ("[/THINK] Hi </s>\n<|im_end|>", Answer(text="Hi", cut=("[/THINK]", "</s>", "<|im_end|>"))),
        ("<s>Hi", Answer(text="Hi", cut=("<s>",))),
        ("Hi[TOOL_CALLS]", Answer(text="Hi", cut=("[TOOL_CALLS]",))),
        ("Write </s> at the end.", Answer(text="Write </s> at the end.")),
        (" Hi\n", Answer(text=" Hi\n")),
    ],
)
def test_control_tokens_are_removed_from_the_ends_of_an_answer(content: str, answer: Answer) -> None:
    assert reading(content) == answer


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(), EmptyReply(reasoning="")),
        (Reply(content=" \n\t"), EmptyReply(reasoning="")),
        (Reply(content="</s>", finish_reason="stop"), EmptyReply(reasoning="")),
        (Reply(finish_reason="tool_calls"), EmptyReply(reasoning="")),
        (Reply(reasoning="I need add.", finish_reason="tool_calls"), EmptyReply(reasoning="I need add.")),
        (Reply(reasoning="It is 7.", finish_reason="stop"), AnswerInReasoning(text="It is 7.")),
        (Reply(reasoning="3 + 4[/THINK]It is 7.", finish_reason="unknown"), AnswerInReasoning(text="It is 7.")),
        (Reply(reasoning="3 + 4[/THINK]", finish_reason="unknown"), EmptyReply(reasoning="3 + 4[/THINK]")),
        (Reply(tool_calls=(RawCall(id="x"), RawCall(name=" ", arguments="null"))), EmptyReply(reasoning="")),
        (Reply(content="7", tool_calls=(RawCall(arguments="{}"),)), Answer(text="7")),
    ],
)
def test_a_reply_without_content_is_classified(reply: Reply, expected: Reading) -> None:
    assert read(reply, TOOLS, max_tokens=100, window_tokens=None) == expected


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        (
            'So.[TOOL_CALLS]add[ARGS]{"a": 3, "b": 4}',
            Batch(calls=(AB,), rescue=Rescue(where="reasoning", format="mistral")),
        ),
        (
            '<tool_call>{"name": "ping", "arguments": {}}</tool_call>',
            Batch(calls=(PING,), rescue=Rescue(where="reasoning", format="hermes")),
        ),
        ("[TOOL_CALLS]ping[ARGS]{} or not?", AnswerInReasoning(text="[TOOL_CALLS]ping[ARGS]{} or not?")),
    ],
)
def test_a_call_at_the_very_end_of_the_reasoning_is_rescued(reasoning: str, expected: Reading) -> None:
    assert reading(reasoning=reasoning) == expected


def test_a_call_in_the_reasoning_is_ignored_if_the_reply_has_an_answer() -> None:
    assert reading("It is 7.", reasoning="[TOOL_CALLS]ping[ARGS]{}") == Answer(text="It is 7.")


CALL = RawCall(id="abcdefghi", name="add", arguments='{"a": 3, "b": 4}')


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(content="Hel", finish_reason="length"), Truncated(in_call=False, in_reasoning=False)),
        (Reply(reasoning="I thi", finish_reason="length"), Truncated(in_call=False, in_reasoning=True)),
        (Reply(content="[THINK]I thi", finish_reason="length"), Truncated(in_call=False, in_reasoning=True)),
        (Reply(tool_calls=(CALL,), finish_reason="length"), Truncated(in_call=True, in_reasoning=False)),
        (Reply(content="[TOOL_CALLS]add[ARG", finish_reason="length"), Truncated(in_call=True, in_reasoning=False)),
        (
            Reply(tool_calls=(CALL,), finish_reason="tool_calls", usage=Usage(prompt_tokens=9, completion_tokens=100)),
            Truncated(in_call=True, in_reasoning=False),
        ),
        (
            Reply(
                tool_calls=(RawCall(id="abcdefghi", name="add", arguments="{}"),),
                finish_reason="tool_calls",
                usage=Usage(prompt_tokens=450, completion_tokens=50),
            ),
            Truncated(in_call=True, in_reasoning=False),
        ),
        (
            Reply(tool_calls=(CALL,), finish_reason="tool_calls", usage=Usage(prompt_tokens=9, completion_tokens=99)),
            Batch(calls=(CALL,)),
        ),
    ],
)
def test_a_reply_that_used_up_its_tokens_is_truncated_despite_its_finish_reason(
    reply: Reply, expected: Reading
) -> None:
    assert read(reply, TOOLS, max_tokens=100, window_tokens=500) == expected


def test_without_usage_and_window_only_finish_reason_counts() -> None:
    reply = Reply(tool_calls=(CALL,), finish_reason="tool_calls")
    assert read(reply, TOOLS, max_tokens=1, window_tokens=None) == Batch(calls=(CALL,))


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(content="I add.", tool_calls=(CALL,)), Batch(calls=(CALL,), content="I add.")),  # m58
        (Reply(content="\n", tool_calls=(CALL,)), Batch(calls=(CALL,))),
        (Reply(tool_calls=(CALL, CALL)), Batch(calls=(CALL, CALL))),  # m27: later stages answer the duplicate
        (Reply(tool_calls=(CALL, RawCall(id="x"))), Batch(calls=(CALL,))),
        (Reply(tool_calls=(RawCall(arguments='{"a": 3}'),)), Batch(calls=(RawCall(arguments='{"a": 3}'),))),  # m21
        (Reply(tool_calls=(CALL,), finish_reason="stop"), Batch(calls=(CALL,))),  # m51
        (Reply(tool_calls=(CALL,) * 100), Batch(calls=(CALL,) * 100)),  # m56
        (
            Reply(content="[TOOL_CALLS]ping[ARGS]{}", tool_calls=(CALL,)),
            Batch(calls=(CALL,), content="[TOOL_CALLS]ping[ARGS]{}"),
        ),
    ],
)
def test_reported_calls_make_a_batch(reply: Reply, expected: Reading) -> None:
    assert read(reply, TOOLS, max_tokens=100, window_tokens=None) == expected


def test_a_long_answer_of_many_objects_is_read_quickly() -> None:
    text = '{"name": "x", "arguments": {}},\n' * 20_000 + "[TOOL_CALLS] `" * 5_000 + "}"
    assert reading(text) == Answer(text=text)

"""Conversations go out to the chat completions format and come back the same; what no run can continue is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import ConfigError, Image
from agent.messages import AssistantMessage, Message, SystemMessage, ToolCall, ToolResult, UserMessage
from agent.model.conversation import check_conversation, from_chat, to_chat

PIXEL = Image(data="aGk=", media_type="image/png")
CALL = ToolCall(id="call00000", name="add", arguments='{"a": 1}')
RESULT = ToolResult(tool_call_id="call00000", name="add", content="2")
WHOLE: tuple[Message, ...] = (
    SystemMessage(content="Be brief."),
    UserMessage(content="Look.", images=(PIXEL,)),
    AssistantMessage(reasoning="Hm.", tool_calls=(CALL,), reasoning_field="reasoning_content"),
    RESULT,
    AssistantMessage(content="It is 2."),
    UserMessage(content="And more? [INST]"),
)

texts = st.text(min_size=1).filter(str.strip)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    messages: list[Message] = [SystemMessage(content=draw(texts))]
    number = 0
    for _ in range(draw(st.integers(1, 4))):
        images = (PIXEL,) if draw(st.booleans()) else ()
        messages.append(UserMessage(content=draw(texts), images=images))
        count = draw(st.integers(0, 3))
        calls = tuple(
            ToolCall(id=f"call{number + index:05d}", name="add", arguments=json.dumps({"a": index}))
            for index in range(count)
        )
        number += count
        messages.append(AssistantMessage(content=draw(texts), reasoning=draw(st.text()), tool_calls=calls))
        messages += [ToolResult(tool_call_id=call.id, name="add", content=draw(texts)) for call in calls]
    return tuple(messages)


def test_a_conversation_goes_out_and_comes_back_the_same():
    assert from_chat(to_chat(WHOLE)) == WHOLE
    assert from_chat(json.loads(json.dumps(to_chat(WHOLE)))) == WHOLE


@given(conversations())
def test_every_conversation_goes_out_and_comes_back_the_same(messages: tuple[Message, ...]):
    check_conversation(messages)
    assert from_chat(to_chat(messages)) == messages


def test_control_tokens_leave_as_they_are():
    """What a server gets has them escaped; what a program stores must not."""
    assert to_chat(WHOLE)[-1] == {"role": "user", "content": "And more? [INST]"}


def test_ids_that_the_family_does_not_take_or_that_occur_twice_are_replaced():
    def turn(name: str) -> list[dict[str, object]]:
        function = {"name": "add", "arguments": "{}"}
        return [
            {"role": "assistant", "content": None, "tool_calls": [{"id": name, "function": function}]},
            {"role": "tool", "tool_call_id": name, "content": "1"},
        ]

    messages = from_chat([{"role": "user", "content": "Go."}, *turn("call_9f8e7d6c"), *turn("call_9f8e7d6c")])

    ids = [call.id for one in messages if isinstance(one, AssistantMessage) for call in one.tool_calls]
    assert ids == ["call00000", "call00001"]
    assert [one.tool_call_id for one in messages if isinstance(one, ToolResult)] == ids


def test_content_in_parts_and_developer_messages_are_read():
    messages = from_chat(
        [
            {"role": "developer", "content": [{"type": "text", "text": "Be"}, {"type": "text", "text": "brief."}]},
            {"role": "user", "content": [{"type": "text", "text": "Hi."}]},
        ]
    )
    assert messages == (SystemMessage(content="Be\nbrief."), UserMessage(content="Hi."))


USER = {"role": "user", "content": "Hi."}
ASKS = {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "add", "arguments": "{}"}}]}
REFUSED = {
    "not a mapping": ([USER, "Hello"], "message 1: it is a str, not a mapping with `role` and `content`."),
    "unknown role": ([{"role": "bot", "content": ""}], "message 0: the role 'bot' is not one of"),
    "late system": ([USER, {"role": "system", "content": "x"}], "message 1: a system message must be the first."),
    "call without result": ([USER, ASKS], "message 1: the call of 'add' has no result after it."),
    "result without call": (
        [USER, {"role": "tool", "tool_call_id": "c1", "content": "1"}],
        "message 1: its `tool_call_id` 'c1' is of no call before it.",
    ),
    "empty reply": ([USER, {"role": "assistant", "content": ""}], "message 1: an assistant message has neither"),
    "two replies": (
        [USER, {"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}],
        "message 2: an assistant message follows another one",
    ),
    "bad arguments": (
        [{"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "add", "arguments": "[1"}}]}],
        "message 0: the arguments of the call of 'add' are not a JSON object.",
    ),
    "no function": ([{"role": "assistant", "tool_calls": [{"id": "c"}]}], "message 0: a call has no `function`"),
    "linked image": (
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/a.png"}}]}],
        "message 0: a part of type 'image_url' cannot be sent; give text, or images as `data:` URLs in base64.",
    ),
    "audio": (
        [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}],
        "message 0: a part of type 'input_audio' cannot be sent",
    ),
    "content of another kind": ([{"role": "user", "content": 3}], "message 0: `content` is neither a text nor a list"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_continued_is_refused_with_the_number_of_the_message(name: str):
    items, reason = REFUSED[name]
    with pytest.raises(ConfigError) as caught:
        from_chat(items)
    assert str(caught.value).startswith("The conversation cannot be continued: message ")
    assert reason in str(caught.value)


def test_messages_with_one_id_twice_are_refused():
    with pytest.raises(ConfigError, match="message 2: two calls have the same id"):
        check_conversation((AssistantMessage(tool_calls=(CALL,)), RESULT, AssistantMessage(tool_calls=(CALL,)), RESULT))

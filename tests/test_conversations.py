"""A run goes on in the conversation of an earlier one: history in any form, the same prefix, its own answer."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from agent import Agent, ConfigError, Image, Ladder, Limits, Rung, ToolError, tool
from agent.messages import SystemMessage, UserMessage
from agent.testing import ScriptedModel, calls, says


@tool(read_only=True)
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def first_and_second() -> ScriptedModel:
    return ScriptedModel([calls(("add", {"a": 2, "b": 3})), says("It is 5."), says("It is 6.")])


@pytest.mark.parametrize("form", ["outcome", "messages", "chat"])
def test_a_follow_up_goes_on_with_every_message_of_the_first_run(form: str):
    model = first_and_second()
    agent = Agent(model, tools=[add])
    first = agent.run_sync("What is 2 + 3?")
    history = {"outcome": first, "messages": first.messages, "chat": json.loads(json.dumps(first.to_chat()))}[form]

    second = agent.run_sync("And one more?", history=history)

    assert second.answer == "It is 6."
    assert model.bodies[2]["messages"] == [
        *model.bodies[1]["messages"],
        {"role": "assistant", "content": "It is 5."},
        {"role": "user", "content": "And one more?"},
    ]
    assert [message.content for message in second.new_messages()] == ["And one more?", "It is 6."]


def test_the_bytes_before_the_new_prompt_are_those_of_the_first_run():
    """Only then does the engine find the whole earlier conversation in its prefix cache."""
    model = first_and_second()
    agent = Agent(model, tools=[add])
    agent.run_sync("And one more?", history=agent.run_sync("What is 2 + 3?"))

    before, after = model.requests[1], model.requests[2]
    assert list(after.messages[: len(before.messages)]) == list(before.messages)
    assert after.tools == before.tools


def test_the_system_prompt_of_the_conversation_stays_unless_the_agent_has_one():
    model = ScriptedModel([says("a"), says("b"), says("c")])
    first = Agent(model, instructions="Be brief.").run_sync("Hi.")

    Agent(model).run_sync("More.", history=first)
    Agent(model, instructions="Be long.").run_sync("More.", history=first)

    assert [body["messages"][0]["content"] for body in model.bodies[1:]] == ["Be brief.", "Be long."]


def test_an_answer_of_before_is_not_the_answer_of_this_run():
    model = ScriptedModel([says("It is 5."), calls(("add", {"a": 1, "b": 1}))])
    agent = Agent(model, tools=[add])

    second = agent.run_sync("More.", history=agent.run_sync("Hi."), limits=Limits(steps=1))

    assert (second.status, second.answer) == ("budget", "")


def test_call_ids_go_on_after_those_of_the_conversation():
    model = ScriptedModel([calls(("add", {"a": 1, "b": 1})), says("2"), calls(("add", {"a": 2, "b": 2})), says("4")])
    agent = Agent(model, tools=[add])

    second = agent.run_sync("More.", history=agent.run_sync("Hi."))

    assert [one["id"] for message in second.to_chat() for one in message.get("tool_calls", [])] == [
        "call00000", "call00001",
    ]  # fmt: skip


def test_a_run_with_a_history_is_resumed_with_it(tmp_path: Path):
    model = ScriptedModel([says("It is 5."), calls(("add", {"a": 1, "b": 1})), says("It is 2.")])
    agent = Agent(model, tools=[add], runs=tmp_path)
    cut_short = agent.run_sync("More.", history=agent.run_sync("Hi."), limits=Limits(steps=1), name="second")

    resumed = agent.resume_sync("second")

    assert (cut_short.status, resumed.status, resumed.answer) == ("budget", "finished", "It is 2.")
    assert [one["role"] for one in model.bodies[2]["messages"]] == [
        "system", "user", "assistant", "user", "assistant", "tool",
    ]  # fmt: skip


@tool
def fail(number: int) -> int:
    """Fail."""
    raise ToolError(f"no {number}")


def test_a_renewed_context_quotes_what_was_said_before_the_run():
    ladder = Ladder(rungs=(Rung(effort="none"), Rung(effort="none", fresh_context=True)), triggers={"tool_error": 1})
    model = ScriptedModel([says("I painted it green."), calls(("fail", {"number": 1})), says("Done.")])
    agent = Agent(model, tools=[fail], ladder=ladder)

    agent.run_sync("And the roof?", history=agent.run_sync("Paint the house."))

    renewed = model.bodies[2]["messages"]
    assert [one["role"] for one in renewed] == ["system", "user"]
    assert renewed[1]["content"].startswith(
        "Earlier in this conversation:\nThe user: Paint the house.\nYou: I painted it green.\n\nAnd the roof?\n\n"
    )


def test_what_is_no_conversation_is_refused():
    with pytest.raises(ConfigError, match=r"`history` is a str\. Give an outcome, its messages, or a list"):
        Agent(ScriptedModel([])).run_sync("x", history="Hello")
    with pytest.raises(ConfigError, match="message 1: a system message must be the first"):
        Agent(ScriptedModel([])).run_sync("x", history=[SystemMessage(content="a"), SystemMessage(content="b")])


@pytest.mark.parametrize("history", [["hello", 3], [3], [{"role": "user", "content": "Hi."}, None]])
def test_items_that_are_no_messages_are_refused(history: Any):
    """They were sent as `null`."""
    model = ScriptedModel([says("x")])
    with pytest.raises(ConfigError, match=r"^`history\[[01]\]` is of type \w+\. Give an outcome, its messages, or a"):
        Agent(model).run_sync("x", history=history)
    assert model.requests == []


async def test_the_turns_of_a_session_are_no_history():
    agent = Agent(ScriptedModel([says("a"), says("b")]))
    session = agent.session()
    outcome = await session.run("Hi.")
    given: Any
    for given in (session.turns, [outcome]):
        with pytest.raises(ConfigError, match=r"^`history\[0\]` is of type \w+\. The `messages` of the last of these"):
            await agent.run("x", history=given)


BAD_IMAGES: list[tuple[Any, str]] = [
    (Image(data=cast("Any", b"\x89PNG"), media_type="image/png"), "its data is bytes, not base64 text"),
    (Image(data="not base64!!", media_type="image/png"), "its data is not base64"),
    (Image(data="aGk=", media_type="png"), "its media type is not one of an image"),
    (Image(data="aGk=", media_type=cast("Any", None)), "its media type is not one of an image"),
]


@pytest.mark.parametrize(("image", "reason"), BAD_IMAGES)
async def test_an_image_that_is_none_is_not_sent(image: Image, reason: str):
    agent = Agent(ScriptedModel([says("x")]))
    for ask in (agent.run, agent.session().run, agent.count):
        with pytest.raises(ConfigError) as caught:
            await ask("x", images=[image])
        assert f"`images[0]` cannot be sent: {reason}. Write Image.from_file(path), or" in str(caught.value)
    with pytest.raises(ConfigError, match=r"^`history\[0\].images\[0\]` cannot be sent: its "):
        await agent.run("x", history=[UserMessage(content="a", images=(image,))])


@pytest.mark.parametrize("images", [Image(data="aGk=", media_type="image/png"), "a.png", None])
def test_images_that_are_no_list_are_refused(images: Any):
    with pytest.raises(ConfigError, match=r"^`images` is of type \w+\. Give a list, such as \[Image.from_file"):
        Agent(ScriptedModel([says("x")])).run_sync("x", images=images)


def test_a_run_has_the_name_that_it_was_given(tmp_path: Path):
    agent = Agent(ScriptedModel([says("a"), says("b")]), runs=tmp_path)
    assert agent.run_sync("Hi.", name="mine").journal == tmp_path / "mine" / "journal.jsonl"
    with pytest.raises(ConfigError, match="There is a run named 'mine'"):
        agent.run_sync("Hi.", name="mine")
    for name in ("../mine", "last", "", "a b"):
        with pytest.raises(ConfigError, match="The run cannot be named"):
            agent.run_sync("Hi.", name=name)

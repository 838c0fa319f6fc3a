"""An agent as a tool of another: its tokens count in the caller's limits, its run lies in the caller's folder."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from agent import Agent, ApprovalRequest, ConfigError, Limits, Permission, tool
from agent.events import Delegated, Event
from agent.messages import ToolResult
from agent.testing import ScriptedModel, calls, says


class Verdict(BaseModel):
    right: bool


def asks(*prompts: str) -> ScriptedModel:
    return ScriptedModel([*(calls(("expert", {"prompt": prompt})) for prompt in prompts), says("Done.")])


def test_the_answer_of_the_agent_is_the_result_and_its_tokens_count():
    expert = Agent(ScriptedModel([says("Seven.")]), instructions="You know numbers.")
    events: list[Event] = []

    outcome = Agent(asks("Which?"), tools=[expert.as_tool("expert")]).run_sync("Ask.", observe=events.append)

    (delegated,) = [event for event in events if isinstance(event, Delegated)]
    alone = Agent(asks(), tools=[]).run_sync("Ask.").usage
    assert outcome.messages[3].content == "Seven."
    assert (delegated.tool, delegated.status, delegated.spent.steps) == ("expert", "finished", 1)
    assert outcome.usage.prompt_tokens == 2 * alone.prompt_tokens + delegated.spent.prompt_tokens
    assert (outcome.steps, outcome.usage.tool_calls) == (2, 1)


def test_a_typed_result_reaches_the_caller_as_json():
    expert = Agent(ScriptedModel([calls(("final_result", {"right": True}))]), output_type=Verdict)
    outcome = Agent(asks("Is it?"), tools=[expert.as_tool("expert")]).run_sync("Ask.")
    assert outcome.messages[3].content == '{"right":true}'


def test_the_limits_of_the_caller_bound_the_agent():
    """Its own limits allowed 200,000 output tokens, and the caller had 30 left."""
    model = ScriptedModel([says("a")])
    expert = Agent(model)
    outcome = Agent(asks("Which?"), tools=[expert.as_tool("expert")], limits=Limits(output_tokens=30)).run_sync("Ask.")
    assert model.bodies[0]["max_tokens"] <= 30
    assert outcome.status in {"finished", "budget"}


def test_tokens_that_the_agent_used_end_the_caller_at_its_limit():
    expert = Agent(ScriptedModel([says("Seven.")]))
    one = Agent(asks()).run_sync("Ask.").usage.tokens
    outcome = Agent(asks("Which?"), tools=[expert.as_tool("expert")], limits=Limits(tokens=2 * one)).run_sync("Ask.")
    assert (outcome.status, outcome.steps) == ("budget", 1)


def test_its_run_lies_in_the_folder_of_the_run_that_called_it(tmp_path: Path):
    expert = Agent(ScriptedModel([says("Seven.")]))
    events: list[Event] = []
    outcome = Agent(asks("Which?"), tools=[expert.as_tool("expert")], runs=tmp_path).run_sync(
        "Ask.", name="caller", observe=events.append
    )
    (delegated,) = [event for event in events if isinstance(event, Delegated)]
    assert outcome.journal == tmp_path / "caller" / "journal.jsonl"
    assert Path(delegated.journal).parent.parent == tmp_path / "caller" / "agents"
    assert Path(delegated.journal).is_file()


def test_an_agent_that_fails_is_an_error_with_its_reason():
    expert = Agent(ScriptedModel([says("Not yet.")]), limits=Limits(steps=1), output_type=Verdict)
    outcome = Agent(asks("Is it?"), tools=[expert.as_tool("expert")]).run_sync("Ask.")
    text = outcome.messages[3].content
    assert text.startswith("Error: The agent behind expert ended as budget: the limit steps = 1 is reached")
    assert "Its last answer:\nNot yet." in text


def test_an_agent_whose_server_is_down_is_an_error_and_the_caller_goes_on():
    expert = Agent("http://127.0.0.1:9/v1")
    outcome = Agent(asks("Is it?"), tools=[expert.as_tool("expert")]).run_sync("Ask.")
    assert outcome.status == "finished"
    reason = "The agent behind expert could not start: No answer from http://127.0.0.1:9/v1"
    assert reason in outcome.messages[3].content


def test_its_name_must_be_that_of_a_tool():
    with pytest.raises(ConfigError, match="Tool name 'my expert' is not allowed"):
        Agent(ScriptedModel([])).as_tool("my expert")


async def test_the_reason_of_a_failed_agent_ends_with_one_full_stop():
    def approve(_request: ApprovalRequest) -> bool:
        msg = "Nobody is here."
        raise ValueError(msg)

    @tool
    def ring() -> str:
        """Ring."""
        return "rung"

    expert = Agent(
        ScriptedModel([calls(("ring", {}))]), tools=[ring], permissions=[Permission(tool="ring", do="ask")],
        approve=approve,
    )  # fmt: skip
    model = ScriptedModel([calls(("expert", {"prompt": "Go."})), says("Done.")])
    outcome = await Agent(model, tools=[expert.as_tool("expert")]).run("Go.")
    (text,) = [message.content for message in outcome.messages if isinstance(message, ToolResult)]
    assert "ValueError: Nobody is here." in text
    assert ".." not in text

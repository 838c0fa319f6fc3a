"""Whole runs through the public door: what the model is sent, what is written down, how it ends."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from agent import Agent, Endpoint, EndpointRejected, Ladder, Limits, Rung, Tool, ToolContext, Verify, tool
from agent.journal.events import EffortSwitched, Event
from agent.journal.journal import read_journal
from agent.loop.prompts import SYSTEM_PROMPT
from agent.messages import RawCall, Reply, Usage
from agent.model.profiles import GENERIC
from agent.testing import ScriptedModel, ScriptedServer, calls, says
from agent.testing.faults import stall

ENV = {"PATH": os.environ["PATH"]}
SYSTEM = {"role": "system", "content": SYSTEM_PROMPT}


@tool
def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def asked(*wanted: tuple[str, str, str], text: str = "", **more: str) -> dict[str, Any]:
    """An assistant message that calls: id, name, arguments."""
    made = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        for call_id, name, arguments in wanted
    ]
    return {"role": "assistant", "content": text, **more, "tool_calls": made}


def answered(call_id: str, content: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def told(events: list[Event]) -> list[str]:
    """The story in a line per event: its kind, and the fields that decide."""
    shown = ("rung", "effort", "trigger", "action", "attempt", "ok", "tool", "status")
    lines: list[str] = []
    for event in events:
        names = [each.name for each in fields(event)]
        parts = [f"{name}={getattr(event, name)}" for name in shown if name in names]
        lines.append(" ".join([event.kind, *parts]))
    return lines


async def test_a_call_and_an_answer():
    model = ScriptedModel([calls(("add", {"a": 2, "b": 3})), says("It is 5.")])
    events: list[Event] = []

    outcome = await Agent(model, tools=[add]).run("What is 2 + 3?", observe=events.append)

    assert (outcome.outcome, outcome.answer, outcome.steps, outcome.exit_code) == ("finished", "It is 5.", 2, 0)
    assert (outcome.output, outcome.notices, outcome.journal) == (None, (), None)
    definition = {
        "type": "function",
        "function": {
            "name": "add",
            "description": "Add two integers.",
            "strict": True,
            "parameters": {
                "additionalProperties": False,
                "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
                "required": ["a", "b"],
                "type": "object",
            },
        },
    }
    same = {
        "model": "scripted",
        "max_tokens": 8_192,
        "stream": False,
        "reasoning_effort": "none",
        "temperature": 0.0,
        "tools": [definition],
        "tool_choice": "auto",
    }
    call = asked(("call00000", "add", '{"a": 2, "b": 3}'))
    assert model.bodies == [
        {**same, "messages": [SYSTEM, user("What is 2 + 3?")]},
        {**same, "messages": [SYSTEM, user("What is 2 + 3?"), call, answered("call00000", "5")]},
    ]
    assert told(events) == [
        "run_started",
        "requested rung=0 effort=none",
        "replied rung=0",
        "turn_taken",
        "call_started tool=add",
        "call_ended",
        "progressed",
        "requested rung=0 effort=none",
        "replied rung=0",
        "turn_taken",
        "run_ended status=finished",
    ]


async def test_a_failed_verification_goes_back_to_the_model_which_then_passes(tmp_path: Path):
    @tool
    def mend() -> str:
        """Mend it."""
        (tmp_path / "flag").touch()
        return "mended"

    model = ScriptedModel([says("Done."), calls(("mend", {})), says("Now it is.")])
    events: list[Event] = []
    verify = Verify(command="echo checking; test -e flag", attempts=3)

    outcome = await Agent(model, tools=[mend], workspace=tmp_path, env=ENV, verify=verify).run(
        "Mend it.", observe=events.append
    )

    assert (outcome.outcome, outcome.reason) == ("verified", "the verification passed at attempt 2")
    assert model.bodies[2]["messages"] == [
        SYSTEM,
        user("Mend it."),
        {"role": "assistant", "content": "Done."},
        user(
            "Verification failed (attempt 1 of 3).\nCommand: echo checking; test -e flag\nExit code: 1\n"
            "Output:\nchecking"
        ),
        asked(("call00000", "mend", "{}")),
        answered("call00000", "mended"),
    ]
    assert told(events)[3:] == [
        "turn_taken",
        "verify_started attempt=1",
        "verify_ended attempt=1 ok=False",
        "triggered trigger=verify_failed action=climb",
        "moved rung=2 effort=high",
        "said",
        "requested rung=2 effort=high",
        "replied rung=2",
        "effort_switched effort=high",
        "turn_taken",
        "call_started tool=mend",
        "call_ended",
        "progressed",
        "requested rung=2 effort=high",
        "replied rung=2",
        "turn_taken",
        "verify_started attempt=2",
        "verify_ended attempt=2 ok=True",
        "run_ended status=verified",
    ]


async def test_a_verification_that_never_passes_ends_the_run_with_its_last_output(tmp_path: Path):
    model = ScriptedModel([says("Done.")] * 2)
    verify = Verify(command="echo broken; false", attempts=2)

    outcome = await Agent(model, workspace=tmp_path, env=ENV, verify=verify).run("Mend it.")

    assert (outcome.outcome, outcome.exit_code) == ("verify_failed", 1)
    assert outcome.reason == "the verification failed 2 times; its last output:\nbroken"


async def test_at_the_top_of_the_ladder_the_attempts_that_are_left_are_still_given(tmp_path: Path):
    model = ScriptedModel([says("Done.")] * 3)
    verify = Verify(command="false", attempts=3)

    outcome = await Agent(
        model, workspace=tmp_path, env=ENV, verify=verify, ladder=Ladder(rungs=(Rung(effort="high"),))
    ).run("Mend it.")

    assert (outcome.outcome, len(model.bodies)) == ("verify_failed", 3)


@pytest.mark.parametrize(
    ("cached", "expected"),
    [
        (48, {"cached_tokens": 48, "prefilled_tokens": 952, "source": "engine"}),
        (None, {"cached_tokens": 0, "prefilled_tokens": 1_000, "source": "estimate"}),
    ],
)
async def test_a_switch_of_effort_is_asked_for_with_its_sampling_and_its_cost_is_told(
    cached: int | None, expected: dict[str, Any]
):
    usage = Usage(prompt_tokens=1_000, completion_tokens=4, cached_tokens=cached)
    model = ScriptedModel([says(""), says(""), says("Yes.", usage=usage)])
    events: list[Event] = []

    await Agent(model).run("Well?", observe=events.append)

    assert [(body["reasoning_effort"], body["temperature"], body.get("top_p")) for body in model.bodies] == [
        ("none", 0.0, None),
        ("none", 0.0, None),
        ("high", 0.7, 0.95),
    ]
    assert [event for event in events if isinstance(event, EffortSwitched)] == [
        EffortSwitched(step=3, effort="high", prompt_tokens=1_000, **expected)
    ]


async def test_a_fresh_context_tells_what_was_tried_and_puts_the_workspace_back(tmp_path: Path):
    (tmp_path / "keep.txt").write_text("original")

    @tool
    def spoil(how: str) -> str:
        """Spoil the workspace."""
        (tmp_path / "keep.txt").write_text(how)
        (tmp_path / "new.txt").write_text(how)
        return f"spoilt by {how}"

    ladder = Ladder(rungs=(Rung(effort="none"), Rung(effort="none", fresh_context=True)), triggers={"empty_reply": 1})
    model = ScriptedModel([calls(("spoil", {"how": "fire"})), says(""), says("I give up.")])
    events: list[Event] = []

    outcome = await Agent(model, tools=[spoil], workspace=tmp_path, ladder=ladder).run("Help.", observe=events.append)

    assert outcome.outcome == "finished"
    assert (tmp_path / "keep.txt").read_text() == "original"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keep.txt"]
    assert model.bodies[2]["messages"] == [
        SYSTEM,
        user(
            "Help.\n\nAn earlier attempt at this task failed: the reply was empty\nWhat it tried, in order:\n"
            '- spoil {"how": "fire"} -> ok: spoilt by fire\n'
            "The workspace is back in the state it had at the start. Take another way."
        ),
    ]
    renewed = [event for event in events if event.kind == "context_renewed"]
    assert [event.restored for event in renewed] == [("keep.txt", "new.txt")]


async def test_a_workspace_that_cannot_be_put_back_ends_the_run(tmp_path: Path):
    work = tmp_path / "work"
    work.mkdir()

    @tool
    def burn() -> None:
        """Remove the workspace itself."""
        work.rmdir()

    ladder = Ladder(rungs=(Rung(), Rung(fresh_context=True)), triggers={"empty_reply": 1})
    model = ScriptedModel([calls(("burn", {})), says("")])

    outcome = await Agent(model, tools=[burn], workspace=work, ladder=ladder).run("Help.")

    assert (outcome.outcome, outcome.reason) == (
        "error",
        f"the workspace cannot be put back: The workspace '{work}' cannot be used: No such file or directory. "
        "Create it, or use another folder.",
    )


# A structured result.


class Sum(BaseModel):
    """The sum."""

    value: int


async def test_a_structured_result_comes_by_a_call_and_text_alone_is_answered_with_a_forced_one():
    model = ScriptedModel([says("It is 5."), calls(("final_result", {"value": 5}))])

    outcome = await Agent(model, result=Sum).run("What is 2 + 3?")

    assert (outcome.outcome, outcome.output, outcome.answer) == ("finished", {"value": 5}, "It is 5.")
    assert model.bodies[1]["messages"][2:] == [
        {"role": "assistant", "content": "It is 5."},
        user("Give the result by calling final_result; text alone does not end this task."),
    ]
    assert [body["tool_choice"] for body in model.bodies] == [
        "auto",
        {"type": "function", "function": {"name": "final_result"}},
    ]


async def test_a_result_of_the_wrong_form_is_asked_for_again_and_never_taken():
    model = ScriptedModel([calls(("final_result", {"value": "five"})), calls(("final_result", {"value": 5}))])

    outcome = await Agent(model, result=Sum).run("What is 2 + 3?")

    assert (outcome.outcome, outcome.output, outcome.steps) == ("finished", {"value": 5}, 2)


# Several calls in one reply.


async def test_calls_run_together_exclusive_ones_alone_and_results_keep_the_order_of_the_calls():
    running: list[str] = []
    log: list[str] = []

    async def _work(name: str, ticks: int) -> str:
        running.append(name)
        log.append(f"{name} beside {sorted(set(running) - {name})}")
        for _ in range(ticks):
            await asyncio.sleep(0.01)
        running.remove(name)
        return name

    @tool(read_only=True)
    async def together(name: str, ticks: int) -> str:
        """Run beside others."""
        return await _work(name, ticks)

    @tool(exclusive=True)
    async def alone(name: str) -> str:
        """Run alone."""
        return await _work(name, 1)

    wanted = [
        ("together", {"name": "a", "ticks": 5}),
        ("together", {"name": "b", "ticks": 1}),
        ("alone", {"name": "c"}),
        ("together", {"name": "d", "ticks": 3}),
        ("together", {"name": "e", "ticks": 1}),
    ]
    model = ScriptedModel([calls(*wanted), says("Done.")])

    await Agent(model, tools=[together, alone]).run("Go.")

    assert log == ["a beside []", "b beside ['a']", "c beside []", "d beside []", "e beside ['d']"]
    assert [message["content"] for message in model.bodies[1]["messages"][3:]] == ["a", "b", "c", "d", "e"]


async def test_twin_calls_of_one_reply_are_run_once():
    done: list[str] = []

    @tool
    def note(text: str) -> str:
        """Write down."""
        done.append(text)
        return f"noted {text}"

    twins = calls(("note", '{"text": "x"}'), ("note", '{ "text":"x" }'), ("note", '{"text": "y"}'))
    model = ScriptedModel([twins, says("Done.")])

    await Agent(model, tools=[note]).run("Go.")

    assert done == ["x", "y"]
    assert [message["content"] for message in model.bodies[1]["messages"][3:]] == [
        "noted x",
        "This call is the same as an earlier one of the same reply, which was run once. See its result.",
        "noted y",
    ]


async def test_the_same_call_with_the_same_result_gets_a_note():
    again = calls(("add", {"a": 1, "b": 1}))
    model = ScriptedModel([again, again, says("Done.")])

    await Agent(model, tools=[add]).run("Go.")

    assert [message["content"] for message in model.bodies[2]["messages"] if message["role"] == "tool"] == [
        "2",
        "2\n(You made this very call before, and its result is the same. Calling it once more will not change it: do "
        "something else.)",
    ]


# What tools are given.


class Counter:
    """Some state of the user's."""

    number = 0


async def test_tools_get_the_state_the_workspace_and_the_environment(tmp_path: Path):
    @tool
    def look(context: ToolContext[Counter]) -> str:
        """Look around."""
        context.state.number += 1
        return f"{context.state.number} {context.workspace == tmp_path} {context.env['X']}"

    model = ScriptedModel([calls(("look", {})), calls(("look", {})), says("Done.")])
    counter = Counter()

    await Agent(model, tools=[look], workspace=tmp_path, state=counter, env={"X": "y"}).run("Go.")

    assert [message["content"] for message in model.bodies[2]["messages"] if message["role"] == "tool"] == [
        "1 True y",
        "2 True y",
    ]


def test_run_sync_is_run_for_those_without_a_loop():
    model = ScriptedModel([says("Yes.")])

    assert Agent(model).run_sync("Well?").answer == "Yes."


async def test_two_runs_of_one_agent_at_once_do_not_mix():
    def play(request: Any) -> Reply:
        task = json.loads(request.messages[1])["content"]
        done = len([message for message in request.messages if b'"role":"tool"' in message])
        return calls(("echo", {"text": f"{task}{done}"})) if done < 5 else says(f"{task} is done.")

    @tool
    async def echo(text: str) -> str:
        """Say it again, later."""
        await asyncio.sleep(0.001)
        return text

    agent = Agent(ScriptedModel([play] * 99), tools=[echo])

    outcomes = await asyncio.gather(agent.run("A"), agent.run("B"))

    assert [outcome.answer for outcome in outcomes] == ["A is done.", "B is done."]
    for outcome, task in zip(outcomes, "AB", strict=True):
        results = [message.content for message in outcome.messages if type(message).__name__ == "ToolResult"]
        assert results == [f"{task}{number}" for number in range(5)]


# Families of models.


async def test_a_generic_model_is_never_sent_an_effort_and_never_gets_its_reasoning_back():
    bad = calls(("add", '{"a": "one", "b": 2}'), reasoning="Hm.")
    model = ScriptedModel([bad, bad, calls(("add", {"a": 1, "b": 2}), reasoning="Hm."), says("3")], profile=GENERIC)

    outcome = await Agent(model, tools=[add]).run("Go.")

    assert outcome.outcome == "finished"
    assert not any("reasoning_effort" in body or "top_p" in body for body in model.bodies)
    assert "Hm." not in json.dumps(model.bodies)


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
async def test_a_mistral_model_gets_its_reasoning_back_under_the_name_it_came_with(field: str):
    call = RawCall(name="add", arguments='{"a": 1, "b": 2}')
    thought = Reply(reasoning="Hm.", tool_calls=(call,), finish_reason="tool_calls", extra={"reasoning_field": field})
    model = ScriptedModel([thought, says("3")])

    await Agent(model, tools=[add]).run("Go.")

    assert model.bodies[1]["messages"][2] == asked(("call00000", "add", '{"a": 1, "b": 2}'), **{field: "Hm."})


# The constrained re-ask.

BAD = calls(("add", '{"a": "one", "b": 2}'))
REFUSED = EndpointRejected("tool_choice is not supported", url="http://x/v1", status=400)


async def test_a_broken_call_is_asked_for_again_and_never_enters_the_history():
    model = ScriptedModel([BAD, calls(("add", {"a": 1, "b": 2})), says("3")])
    events: list[Event] = []

    await Agent(model, tools=[add]).run("Go.", observe=events.append)

    assert model.bodies[1] == {
        **model.bodies[0],
        "tool_choice": {"type": "function", "function": {"name": "add"}},
    }
    assert model.bodies[2]["messages"][2:] == [
        asked(("call00000", "add", '{"a": 1, "b": 2}')),
        answered("call00000", "3"),
    ]
    assert told(events)[3:6] == [
        "triggered trigger=invalid_call action=reask",
        "requested rung=0 effort=none",
        "replied rung=0",
    ]


async def test_where_a_named_tool_choice_is_refused_the_text_is_held_to_the_schema_instead():
    model = ScriptedModel([BAD, REFUSED, says('{"a": 1, "b": 2}'), says("3")])

    outcome = await Agent(model, tools=[add]).run("Go.")

    assert outcome.outcome == "finished"
    held = model.bodies[2]
    assert (held["tool_choice"], held["structured_outputs"]) == ("none", {"json": add.parameters})
    assert held["messages"] == model.bodies[0]["messages"]
    assert model.bodies[3]["messages"][3] == answered("call00000", "3")


async def test_a_server_that_refuses_every_constraint_is_gone_on_with_by_feedback():
    """The run once ended as an error, because of a request that only we wanted."""
    model = ScriptedModel([BAD, REFUSED, REFUSED, calls(("add", {"a": 1, "b": 2})), says("3")])

    outcome = await Agent(model, tools=[add]).run("Go.")

    assert (outcome.outcome, outcome.answer) == ("finished", "3")
    assert outcome.notices == (
        "The server takes no request that holds the reply to a tool's schema, so a broken call is only answered, not "
        "asked for again: http://x/v1 refused the request with HTTP 400: tool_choice is not supported",
    )
    assert model.bodies[3]["messages"][3] == answered(
        "call00000",
        'Arguments for "add" do not match: $.a must be an integer, got "one" (schema: {"type":"integer"}). Send the '
        "call again.",
    )


# Time, and Ctrl-C.


async def test_the_time_of_a_run_ends_a_request_that_hangs():
    with ScriptedServer([stall()]) as server:
        outcome = await Agent(Endpoint(server.url), limits=Limits(wall_s=0.2)).run("Well?")

    assert (outcome.outcome, outcome.reason) == ("budget", "the limit wall_s = 0.2 ran out during a request")


async def interrupted(agent: Agent, prompt: str, *, at: str) -> list[Event]:
    """Cancel the run in the middle of something, as Ctrl-C does, and return what its journal holds."""
    reached = asyncio.Event()
    running = asyncio.create_task(agent.run(prompt, observe=lambda event: reached.set() if event.kind == at else None))
    await reached.wait()
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert agent.runs is not None
    return list(read_journal(next(agent.runs.iterdir()) / "journal.jsonl"))


def hanging() -> Tool:
    @tool
    async def hang() -> None:
        """Take for ever."""
        await asyncio.sleep(3_600)

    return hang


async def test_ctrl_c_in_the_middle_of_a_call_ends_the_journal_whole(tmp_path: Path):
    agent = Agent(ScriptedModel([calls(("hang", {}))]), tools=[hanging()], runs=tmp_path)

    events = await interrupted(agent, "Go.", at="call_started")

    assert told(events)[-2:] == ["call_started tool=hang", "run_ended status=interrupted"]
    assert getattr(events[-1], "reason", "") == "the run was interrupted"


async def test_ctrl_c_in_the_middle_of_a_verification_ends_the_journal_whole(tmp_path: Path):
    verify = Verify(command="sleep 1000")
    agent = Agent(ScriptedModel([says("Done.")]), runs=tmp_path, verify=verify, env=ENV)

    events = await interrupted(agent, "Go.", at="verify_started")

    assert told(events)[-2:] == ["verify_started attempt=1", "run_ended status=interrupted"]


async def test_ctrl_c_in_the_middle_of_a_request_ends_the_journal_whole(tmp_path: Path):
    with ScriptedServer([stall()]) as server:
        events = await interrupted(Agent(Endpoint(server.url), runs=tmp_path), "Go.", at="requested")

    assert told(events)[-2:] == ["requested rung=0 effort=None", "run_ended status=interrupted"]


# Limits.


@pytest.mark.parametrize(
    ("limits", "requests", "reason"),
    [
        (Limits(steps=1), 1, "the limit steps = 1 is reached (1 used). Raise it with `budgets: {steps: ...}`"),
        (Limits(tool_calls=1), 2, "the limit tool_calls = 1 does not allow 1 more (1 used). Raise it with `budgets: "
                                  "{tool_calls: ...}`"),
        (Limits(tokens=110), 1, "the limit tokens = 110 is reached (120 used). Raise it with `budgets: {tokens: ...}`"),
        (Limits(output_tokens=20), 1, "the limit output_tokens = 20 is reached (20 used). Raise it with `budgets: "
                                      "{output_tokens: ...}`"),
        (Limits(reasoning_tokens=5), 1, "the limit reasoning_tokens = 5 is reached (8 used). Raise it with `budgets: "
                                        "{reasoning_tokens: ...}`"),
        (Limits(steps=0), 0, "the limit steps = 0 is reached (0 used). Raise it with `budgets: {steps: ...}`"),
    ],
)  # fmt: skip
async def test_every_limit_ends_the_run_before_more_is_spent(limits: Limits, requests: int, reason: str):
    usage = Usage(prompt_tokens=100, completion_tokens=20, reasoning_tokens=8)
    script = [calls(("add", {"a": 1, "b": number}), usage=usage) for number in range(9)]
    model = ScriptedModel(script)

    outcome = await Agent(model, tools=[add], limits=limits).run("Go.")

    assert (outcome.outcome, outcome.exit_code, len(model.requests)) == ("budget", 3, requests)
    assert outcome.reason == f"{reason}, or set it to null."


async def test_the_last_call_that_a_limit_allows_is_still_answered():
    model = ScriptedModel([calls(("add", {"a": 1, "b": 2})), says("3")])

    outcome = await Agent(model, tools=[add], limits=Limits(tool_calls=1)).run("Go.")

    assert (outcome.outcome, outcome.usage.tool_calls) == ("finished", 1)


async def test_a_cut_reply_gets_four_times_the_room():
    cut = calls(("add", {}), finish_reason="length")
    model = ScriptedModel([cut, cut, says("3")], window_tokens=None)
    ladder = Ladder(triggers={})

    await Agent(model, tools=[add], ladder=ladder).run("Go.")

    assert [body["max_tokens"] for body in model.bodies] == [8_192, 32_768, 131_072]
    assert [len(body["messages"]) for body in model.bodies] == [2, 2, 2]


async def test_a_reply_gets_no_more_room_than_the_budget_leaves():
    usage = Usage(prompt_tokens=100, completion_tokens=20)
    model = ScriptedModel([calls(("add", {"a": 1, "b": 2}), usage=usage), says("3", usage=usage)])

    await Agent(model, tools=[add], limits=Limits(output_tokens=300)).run("Go.")

    assert [body["max_tokens"] for body in model.bodies] == [300, 280]


async def test_the_same_call_after_a_failed_verification_is_no_repetition(tmp_path: Path) -> None:
    """It is an answer to the verdict, and gets no note that it will not change anything."""
    (tmp_path / "w").mkdir()

    @tool
    def save() -> str:
        """Save."""
        return "saved"

    again = [calls(("save", {})), says("Done.")]
    model = ScriptedModel([*again, *again])
    agent = Agent(model, tools=[save], verify=Verify(command="exit 1", attempts=2), workspace=tmp_path / "w")
    await agent.run("Save it.")
    results = [message["content"] for message in model.bodies[-1]["messages"] if message["role"] == "tool"]
    assert results == ["saved", "saved"]

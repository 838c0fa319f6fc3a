"""Whole runs through the public API: what the model is sent, which events are recorded, how the run ends."""

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
from agent.journal.events import ContextRenewed, Event, PrefixChanged
from agent.journal.journal import read_journal
from agent.messages import RawCall, Reply, Usage
from agent.model.profiles import GENERIC
from agent.testing import ScriptedModel, ScriptedServer, calls, says
from agent.testing.faults import stall

ENV = {"PATH": os.environ["PATH"]}
SYSTEM = {"role": "system", "content": "Work."}


@tool
def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def asked(*wanted: tuple[str, str, str], text: str = "", **more: str) -> dict[str, Any]:
    """Return an assistant message with calls, given as id, name and arguments."""
    made = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        for call_id, name, arguments in wanted
    ]
    return {"role": "assistant", "content": text, **more, "tool_calls": made}


def answered(call_id: str, content: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def event_lines(events: list[Event]) -> list[str]:
    """Return one line per event: its kind and its main fields."""
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

    outcome = await Agent(model, tools=[add], instructions="Work.").run("What is 2 + 3?", observe=events.append)

    assert (outcome.status, outcome.answer, outcome.steps, outcome.exit_code) == ("finished", "It is 5.", 2, 0)
    assert (outcome.output, outcome.notices, outcome.journal) == ("It is 5.", (), None)
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
    assert event_lines(events) == [
        "run_started rung=0",
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


async def test_a_failed_verification_is_sent_to_the_model_which_then_passes(tmp_path: Path):
    @tool
    def fix() -> str:
        """Fix it."""
        (tmp_path / "flag").touch()
        return "fixed"

    model = ScriptedModel([says("Done."), calls(("fix", {})), says("Now it is.")])
    events: list[Event] = []
    verify = Verify(command="echo checking; test -e flag", attempts=3)

    agent = Agent(model, tools=[fix], instructions="Work.", workspace=tmp_path, env=ENV, verify=verify)
    outcome = await agent.run("Fix it.", observe=events.append)

    assert (outcome.status, outcome.reason) == ("verified", "the verification passed on attempt 2")
    assert model.bodies[2]["messages"] == [
        SYSTEM,
        user("Fix it."),
        {"role": "assistant", "content": "Done."},
        user(
            "Verification failed (attempt 1 of 3).\nCommand: echo checking; test -e flag\nExit code: 1\n"
            "Output:\nchecking"
        ),
        asked(("call00000", "fix", "{}")),
        answered("call00000", "fixed"),
    ]
    assert event_lines(events)[3:] == [
        "turn_taken",
        "verify_started attempt=1",
        "verify_ended attempt=1 ok=False",
        "triggered trigger=verify_failed action=climb",
        "moved rung=2 effort=high",
        "said",
        "requested rung=2 effort=high",
        "replied rung=2",
        "prefix_changed effort=high",
        "turn_taken",
        "call_started tool=fix",
        "files_changed",
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

    outcome = await Agent(model, workspace=tmp_path, env=ENV, verify=verify).run("Fix it.")

    assert (outcome.status, outcome.exit_code) == ("verify_failed", 1)
    assert outcome.reason == "the verification failed on the last attempt (2); its output:\nbroken"


async def test_the_reason_of_a_failed_verification_that_printed_nothing_promises_no_output(tmp_path: Path):
    """It ended with "its output:", and nothing followed."""
    outcome = await Agent(
        ScriptedModel([says("Done.")]), workspace=tmp_path, env=ENV, verify=Verify(command="false", attempts=1)
    ).run("Fix it.")

    assert outcome.reason == "the verification failed on the last attempt (1); it printed nothing"


async def test_the_remaining_verification_attempts_are_used_at_the_top_of_the_ladder(tmp_path: Path):
    model = ScriptedModel([says("Done.")] * 3)
    verify = Verify(command="false", attempts=3)

    outcome = await Agent(
        model, workspace=tmp_path, env=ENV, verify=verify, ladder=Ladder(rungs=(Rung(effort="high"),))
    ).run("Fix it.")

    assert (outcome.status, len(model.bodies)) == ("verify_failed", 3)


@pytest.mark.parametrize(
    ("cached", "expected"),
    [
        (48, {"cached_tokens": 48, "prefilled_tokens": 952, "source": "engine"}),
        (None, {"cached_tokens": 0, "prefilled_tokens": 1_000, "source": "estimate"}),
    ],
)
async def test_an_effort_switch_changes_the_sampling_and_its_cost_is_recorded(
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
    assert [event for event in events if isinstance(event, PrefixChanged)] == [
        PrefixChanged(step=3, because=("effort",), effort="high", prompt_tokens=1_000, **expected)
    ]


def spoiling(folder: Path) -> Tool:
    @tool
    def spoil(names: str) -> str:
        """Change files."""
        for name in names.split():
            (folder / name).write_text(f"{name} is spoilt\n")
        return f"spoilt {names}"

    return spoil


RENEWING = (Rung(effort="none"), Rung(effort="none", fresh_context=True))
DIFF = """\
```diff
--- a/keep.txt
+++ b/keep.txt
@@ -1 +1 @@
-original
+keep.txt is spoilt
--- /dev/null
+++ b/new.txt
@@ -0,0 +1 @@
+new.txt is spoilt
```"""


async def test_a_failed_verification_restores_the_workspace_and_keeps_the_changes_as_a_patch(tmp_path: Path):
    (tmp_path / "keep.txt").write_text("original\n")
    model = ScriptedModel([calls(("spoil", {"names": "keep.txt new.txt"})), says("Done."), says("Done again.")])
    verify = Verify(command="echo no; test ! -e new.txt", attempts=2)
    events: list[Event] = []

    agent = Agent(
        model,
        tools=[spoiling(tmp_path)],
        instructions="Work.",
        workspace=tmp_path,
        env=ENV,
        verify=verify,
        ladder=Ladder(rungs=RENEWING),
    )
    outcome = await agent.run("Help.", observe=events.append)

    assert (outcome.status, outcome.reason) == ("verified", "the verification passed on attempt 2")
    assert (tmp_path / "keep.txt").read_text() == "original\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".agent", "keep.txt"]
    assert (tmp_path / ".agent" / "attempts" / "1" / "changes.diff").read_text() == (
        DIFF.removeprefix("```diff\n").removesuffix("```")
    )
    assert model.bodies[2]["messages"] == [
        SYSTEM,
        user(
            "Help.\n\nYou have worked on this task before; the conversation was restarted because the work that you "
            "submitted failed the verification.\nYour changes did not pass the verification, so the files are back in "
            "their state at the start. Your changes are shown below and kept in .agent/attempts/1/changes.diff.\n\n"
            "Verification failed (attempt 1 of 2).\nCommand: echo no; test ! -e new.txt\nExit code: 1\nOutput:\nno\n"
            "Line numbers in this output are those of your changed files, not of the files as they are now.\n"
            "Attempts left: 1.\n\n"
            "What you wrote or thought, oldest first:\n> Done.\n\n"
            f"The changes that did not pass:\n{DIFF}\n\n"
            "Your calls so far, oldest first:\n"
            '- spoil {"names": "keep.txt new.txt"} -> ok: spoilt keep.txt new.txt\n'
            "- (you submitted your work: verification attempt 1 failed)\n\n"
            "Find the cause of the failure first. Then bring back what was right in your changes, correct the rest, "
            "test it, and submit the work again."
        ),
    ]
    (renewed,) = [event for event in events if isinstance(event, ContextRenewed)]
    assert (renewed.restored, renewed.patch, renewed.conflicts) == (
        ("keep.txt", "new.txt"), ".agent/attempts/1/changes.diff", (),
    )  # fmt: skip


async def test_a_workspace_that_cannot_be_restored_ends_the_run(tmp_path: Path):
    work = tmp_path / "work"
    work.mkdir()

    @tool
    def burn() -> None:
        """Remove the workspace itself."""
        work.rmdir()

    model = ScriptedModel([calls(("burn", {})), says("Done.")])
    agent = Agent(
        model, tools=[burn], workspace=work, ladder=Ladder(rungs=RENEWING), verify=Verify(command="true"), env=ENV
    )
    outcome = await agent.run("Help.")

    assert (outcome.status, outcome.reason) == (
        "error",
        f"the workspace cannot be restored: The workspace '{work}' cannot be used: No such file or directory. "
        "Create it, or use another folder.",
    )


async def test_a_workspace_that_is_gone_and_not_to_be_restored_does_not_end_the_run(tmp_path: Path):
    work = tmp_path / "work"
    work.mkdir()

    @tool
    def burn() -> str:
        """Remove the workspace itself."""
        work.rmdir()
        return "burnt"

    ladder = Ladder(rungs=RENEWING, triggers={"empty_reply": 1})
    model = ScriptedModel([calls(("burn", {})), says(""), says("It is gone.")])

    outcome = await Agent(model, tools=[burn], workspace=work, ladder=ladder).run("Help.")

    assert (outcome.status, outcome.answer) == ("finished", "It is gone.")
    assert model.bodies[2]["messages"][1]["content"] == (
        "Help.\n\nYou have worked on this task before; the conversation was restarted because your replies were empty."
        "\nThe files are as you left them.\n\nThe results of your last calls:\n\n=== burn {} -> ok\nburnt\n\n"
        "Check which of your conclusions are proven, then take a step that you have not tried."
    )


# A structured result.


class Sum(BaseModel):
    """The sum."""

    value: int


async def test_a_structured_result_comes_from_a_call_which_is_forced_after_a_text_answer():
    model = ScriptedModel([says("It is 5."), calls(("final_result", {"value": 5}))])

    outcome = await Agent(model, output_type=Sum).run("What is 2 + 3?")

    assert (outcome.status, outcome.output, outcome.answer) == ("finished", Sum(value=5), "It is 5.")
    assert model.bodies[1]["messages"][2:] == [
        {"role": "assistant", "content": "It is 5."},
        user("Give the result by calling final_result; text alone does not end this task."),
    ]
    assert [body["tool_choice"] for body in model.bodies] == [
        "auto",
        {"type": "function", "function": {"name": "final_result"}},
    ]


async def test_a_result_that_does_not_match_the_schema_is_re_asked_and_never_accepted():
    model = ScriptedModel([calls(("final_result", {"value": "five"})), calls(("final_result", {"value": 5}))])

    outcome = await Agent(model, output_type=Sum).run("What is 2 + 3?")

    assert (outcome.status, outcome.output, outcome.steps) == ("finished", Sum(value=5), 2)


# Several calls in one reply.


async def test_calls_run_concurrently_exclusive_ones_alone_and_results_keep_the_call_order():
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
        """Run concurrently with other calls."""
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


DUPLICATE = "This call is the same as an earlier one of the same reply, which was run once. See its result."


class Project:
    """Tools that look at a text and change it; each call is written down."""

    def __init__(self) -> None:
        self.versions = ["v0"]
        self.done: list[str] = []

    def tools(self) -> list[Tool]:
        @tool(read_only=True)
        def look(at: str) -> str:
            """Look."""
            self.done.append("look")
            return f"{at} is {self.versions[-1]}"

        @tool(exclusive=True)
        def run_tests() -> str:
            """Run the tests, which may write files."""
            self.done.append("run_tests")
            return f"1 failed in {self.versions[-1]}"

        @tool(exclusive=True)
        def edit_file(text: str) -> str:
            """Edit."""
            self.done.append("edit_file")
            self.versions.append(text)
            return "edited"

        @tool(exclusive=True)
        def undo_change() -> str:
            """Undo the last change."""
            self.done.append("undo_change")
            return f"{self.versions.pop()} is undone"

        return [look, run_tests, edit_file, undo_change]

    async def results(self, *wanted: tuple[str, str | dict[str, Any]]) -> list[str]:
        model = ScriptedModel([calls(*wanted), says("Done.")])
        await Agent(model, tools=self.tools()).run("Go.")
        return [message["content"] for message in model.bodies[1]["messages"] if message["role"] == "tool"]


async def test_equal_calls_of_a_read_only_tool_in_one_reply_are_executed_once():
    project = Project()
    found = await project.results(("look", '{"at": "x"}'), ("look", '{ "at":"x" }'), ("look", '{"at": "y"}'))
    assert (project.done, found) == (["look", "look"], ["x is v0", DUPLICATE, "y is v0"])


async def test_run_tests_edit_file_run_tests_in_one_reply_runs_three_calls():
    """The second run of the tests was answered with the result of the first, from before the edit."""
    project = Project()
    found = await project.results(("run_tests", {}), ("edit_file", {"text": "v1"}), ("run_tests", {}))
    assert (project.done, found) == (
        ["run_tests", "edit_file", "run_tests"],
        ["1 failed in v0", "edited", "1 failed in v1"],
    )


async def test_undo_change_twice_in_one_reply_undoes_two_changes():
    project = Project()
    project.versions = ["v0", "v1", "v2"]
    assert await project.results(("undo_change", {}), ("undo_change", {})) == ["v2 is undone", "v1 is undone"]


async def test_looking_again_after_a_change_in_the_same_reply_is_not_a_duplicate():
    project = Project()
    looks = ("look", {"at": "x"})
    found = await project.results(looks, ("edit_file", {"text": "v1"}), looks, looks)
    assert found == ["x is v0", "edited", "x is v1", DUPLICATE]


async def test_an_invalid_call_changes_nothing_so_an_equal_call_after_it_is_a_duplicate():
    project = Project()
    looks = ("look", {"at": "x"})
    found = await project.results(looks, ("edit_file", {"txt": "v1"}), looks)
    assert (project.done, found[0], found[2]) == (["look"], "x is v0", DUPLICATE)


async def test_the_same_call_with_the_same_result_gets_a_note():
    again = calls(("add", {"a": 1, "b": 1}))
    model = ScriptedModel([again, again, says("Done.")])

    await Agent(model, tools=[add]).run("Go.")

    assert [message["content"] for message in model.bodies[2]["messages"] if message["role"] == "tool"] == [
        "2",
        "2\n(You made this very call before, and its result is the same. Calling it once more will not change it: do "
        "something else.)",
    ]


# What tools receive.


class Counter:
    """State of the application."""

    number = 0


async def test_tools_get_the_state_the_workspace_and_the_environment(tmp_path: Path):
    @tool
    def look(context: ToolContext[Counter]) -> str:
        """Look around."""
        context.deps.number += 1
        return f"{context.deps.number} {context.workspace == tmp_path} {context.env['X']}"

    model = ScriptedModel([calls(("look", {})), calls(("look", {})), says("Done.")])
    counter = Counter()

    await Agent(model, tools=[look], workspace=tmp_path, deps=counter, env={"X": "y"}).run("Go.")

    assert [message["content"] for message in model.bodies[2]["messages"] if message["role"] == "tool"] == [
        "1 True y",
        "2 True y",
    ]


def test_run_sync_works_without_an_event_loop():
    model = ScriptedModel([says("Yes.")])

    assert Agent(model).run_sync("Well?").answer == "Yes."


async def test_two_concurrent_runs_of_one_agent_do_not_mix():
    def play(request: Any) -> Reply:
        task = json.loads(request.messages[1])["content"]
        done = len([message for message in request.messages if b'"role":"tool"' in message])
        return calls(("echo", {"text": f"{task}{done}"})) if done < 5 else says(f"{task} is done.")

    @tool
    async def echo(text: str) -> str:
        """Return the text after a moment."""
        await asyncio.sleep(0.001)
        return text

    agent = Agent(ScriptedModel([play] * 99), tools=[echo])

    outcomes = await asyncio.gather(agent.run("A"), agent.run("B"))

    assert [outcome.answer for outcome in outcomes] == ["A is done.", "B is done."]
    for outcome, task in zip(outcomes, "AB", strict=True):
        results = [message.content for message in outcome.messages if type(message).__name__ == "ToolResult"]
        assert results == [f"{task}{number}" for number in range(5)]


# Model families.


async def test_a_generic_model_is_sent_neither_an_effort_nor_its_reasoning():
    bad = calls(("add", '{"a": "one", "b": 2}'), reasoning="Hm.")
    model = ScriptedModel([bad, bad, calls(("add", {"a": 1, "b": 2}), reasoning="Hm."), says("3")], profile=GENERIC)

    outcome = await Agent(model, tools=[add]).run("Go.")

    assert outcome.status == "finished"
    assert not any("reasoning_effort" in body or "top_p" in body for body in model.bodies)
    messages = [message for body in model.bodies for message in body["messages"]]
    assert {key for message in messages for key in message} == {"role", "content", "tool_calls", "tool_call_id"}
    # What it thought comes back only as a note in the summary of a fresh context.
    assert [message["role"] for message in messages if "Hm." in str(message["content"])] == ["user", "user"]


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
async def test_a_mistral_model_gets_its_reasoning_back_in_the_field_it_came_in(field: str):
    call = RawCall(name="add", arguments='{"a": 1, "b": 2}')
    reply = Reply(reasoning="Hm.", tool_calls=(call,), finish_reason="tool_calls", extra={"reasoning_field": field})
    model = ScriptedModel([reply, says("3")])

    await Agent(model, tools=[add]).run("Go.")

    assert model.bodies[1]["messages"][2] == asked(("call00000", "add", '{"a": 1, "b": 2}'), **{field: "Hm."})


# The constrained re-ask.

BAD = calls(("add", '{"a": "one", "b": 2}'))
REFUSED = EndpointRejected("tool_choice is not supported", url="http://x/v1", status=400)


async def test_an_invalid_call_is_re_asked_and_never_enters_the_history():
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
    assert event_lines(events)[3:6] == [
        "triggered trigger=invalid_call action=reask",
        "requested rung=0 effort=none",
        "replied rung=0",
    ]


async def test_if_a_named_tool_choice_is_refused_the_text_is_constrained_to_the_schema():
    model = ScriptedModel([BAD, REFUSED, says('{"a": 1, "b": 2}'), says("3")])

    outcome = await Agent(model, tools=[add]).run("Go.")

    assert outcome.status == "finished"
    constrained = model.bodies[2]
    assert (constrained["tool_choice"], constrained["structured_outputs"]) == ("none", {"json": add.parameters})
    assert constrained["messages"] == model.bodies[0]["messages"]
    assert model.bodies[3]["messages"][3] == answered("call00000", "3")


async def test_if_the_server_refuses_every_constraint_an_invalid_call_gets_feedback():
    """The run once ended as an error because of the refused re-ask."""
    asked_alone = says("Hi.")  # whether it is the field that is refused is tried with one word
    model = ScriptedModel([BAD, REFUSED, REFUSED, REFUSED, asked_alone, calls(("add", {"a": 1, "b": 2})), says("3")])

    outcome = await Agent(model, tools=[add]).run("Go.")

    assert (outcome.status, outcome.answer) == ("finished", "3")
    assert (
        "The server cannot constrain a reply to a tool's schema, so an invalid call gets feedback but no constrained "
        "re-ask: http://x/v1 refused the request with HTTP 400: tool_choice is not supported"
    ) in outcome.notices
    assert sum("tool_choice" in notice and "cannot constrain" not in notice for notice in outcome.notices) == 2
    assert model.bodies[5]["messages"][3] == answered(
        "call00000",
        'Arguments for "add" do not match: $.a must be an integer, got "one" (schema: {"type":"integer"}). Send the '
        "call again.",
    )


# Time limit and Ctrl-C.


async def test_the_time_limit_of_a_run_ends_a_hanging_request():
    with ScriptedServer([stall()]) as server:
        outcome = await Agent(Endpoint(server.url), limits=Limits(wall_s=0.2)).run("Well?")

    assert (outcome.status, outcome.reason) == ("budget", "the limit wall_s = 0.2 was reached during a request")


async def interrupted(agent: Agent, prompt: str, *, at: str, why: str | None = None) -> list[Event]:
    """Cancel the run after the first event of kind `at`, as Ctrl-C does, and return the events in its journal."""
    reached = asyncio.Event()
    running = asyncio.create_task(agent.run(prompt, observe=lambda event: reached.set() if event.kind == at else None))
    await reached.wait()
    await asyncio.sleep(0.05)
    running.cancel(why)
    with pytest.raises(asyncio.CancelledError):
        await running
    assert agent.runs is not None
    return list(read_journal(next(Path(agent.runs).glob("[!.]*")) / "journal.jsonl"))


def hanging() -> Tool:
    @tool
    async def hang() -> None:
        """Never return."""
        await asyncio.sleep(3_600)

    return hang


async def test_ctrl_c_during_a_call_leaves_a_complete_journal(tmp_path: Path):
    agent = Agent(ScriptedModel([calls(("hang", {}))]), tools=[hanging()], runs=tmp_path)

    events = await interrupted(agent, "Go.", at="call_started")

    assert event_lines(events)[-2:] == ["call_started tool=hang", "run_ended status=interrupted"]
    assert getattr(events[-1], "reason", "") == "the run was interrupted"


async def test_the_reason_of_a_cancellation_is_recorded(tmp_path: Path):
    agent = Agent(ScriptedModel([calls(("hang", {}))]), tools=[hanging()], runs=tmp_path)
    events = await interrupted(agent, "Go.", at="call_started", why="the user closed the page")
    assert getattr(events[-1], "reason", "") == "the run was interrupted: the user closed the page"


async def test_ctrl_c_during_a_verification_leaves_a_complete_journal(tmp_path: Path):
    verify = Verify(command="sleep 1000")
    agent = Agent(ScriptedModel([says("Done.")]), runs=tmp_path, verify=verify, env=ENV)

    events = await interrupted(agent, "Go.", at="verify_started")

    assert event_lines(events)[-2:] == ["verify_started attempt=1", "run_ended status=interrupted"]


async def test_ctrl_c_during_a_request_leaves_a_complete_journal(tmp_path: Path):
    with ScriptedServer([stall()]) as server:
        events = await interrupted(Agent(Endpoint(server.url), runs=tmp_path), "Go.", at="requested")

    assert event_lines(events)[-2:] == ["requested rung=0 effort=None", "run_ended status=interrupted"]


# Limits.


@pytest.mark.parametrize(
    ("limits", "requests", "reason"),
    [
        (Limits(steps=1), 1, "the limit steps = 1 is reached (1 used). Raise `limits.steps`"),
        (Limits(tool_calls=1), 2, "the limit tool_calls = 1 does not allow 1 more (1 used). Raise `limits.tool_calls`"),
        (Limits(tokens=110), 1, "the limit tokens = 110 is reached (120 used). Raise `limits.tokens`"),
        (Limits(output_tokens=20), 1, "the limit output_tokens = 20 is reached (20 used). "
                                      "Raise `limits.output_tokens`"),
        (Limits(reasoning_tokens=5), 1, "the limit reasoning_tokens = 5 is reached (8 used). "
                                        "Raise `limits.reasoning_tokens`"),
        (Limits(steps=0), 0, "the limit steps = 0 is reached (0 used). Raise `limits.steps`"),
    ],
)  # fmt: skip
async def test_every_limit_ends_the_run_before_more_is_spent(limits: Limits, requests: int, reason: str):
    usage = Usage(prompt_tokens=100, completion_tokens=20, reasoning_tokens=8)
    script = [calls(("add", {"a": 1, "b": number}), usage=usage) for number in range(9)]
    model = ScriptedModel(script)

    outcome = await Agent(model, tools=[add], limits=limits).run("Go.")

    assert (outcome.status, outcome.exit_code, len(model.requests)) == ("budget", 3, requests)
    assert outcome.reason == f"{reason}, or set it to None (null in a task)."


async def test_the_model_still_answers_after_the_last_call_that_a_limit_allows():
    model = ScriptedModel([calls(("add", {"a": 1, "b": 2})), says("3")])

    outcome = await Agent(model, tools=[add], limits=Limits(tool_calls=1)).run("Go.")

    assert (outcome.status, outcome.usage.tool_calls) == ("finished", 1)


async def test_max_tokens_is_multiplied_by_four_after_a_truncated_reply():
    truncated = calls(("add", {}), finish_reason="length")
    model = ScriptedModel([truncated, truncated, says("3")], window_tokens=None)
    ladder = Ladder(triggers={})

    await Agent(model, tools=[add], ladder=ladder).run("Go.")

    assert [body["max_tokens"] for body in model.bodies] == [8_192, 32_768, 131_072]
    assert [len(body["messages"]) for body in model.bodies] == [2, 2, 2]


async def test_max_tokens_is_limited_to_what_the_budget_leaves():
    usage = Usage(prompt_tokens=100, completion_tokens=20)
    model = ScriptedModel([calls(("add", {"a": 1, "b": 2}), usage=usage), says("3", usage=usage)])

    await Agent(model, tools=[add], limits=Limits(output_tokens=300)).run("Go.")

    assert [body["max_tokens"] for body in model.bodies] == [300, 280]


async def test_the_same_call_after_a_failed_verification_does_not_count_as_repeated(tmp_path: Path) -> None:
    """It is a reaction to the verification, so its result carries no note about repetition."""
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

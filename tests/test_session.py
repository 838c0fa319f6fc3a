"""Sessions: turns that go on from each other, saved by their journals, resumed, forked, bounded."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from agent import Agent, ConfigError, EndpointError, Ladder, Limits, Rung, ToolContext, ToolError, ready_tools, tool
from agent.errors import EndpointUnreachable
from agent.events import CallStarted, RunEnded, TextDelta
from agent.journal.runs import list_runs, read_run, summarize
from agent.messages import ToolResult
from agent.testing import ScriptedModel, calls, says

DOWN = EndpointUnreachable("down", url="http://x/v1")


def chat(*texts: str) -> ScriptedModel:
    return ScriptedModel([says(text) for text in texts])


async def test_each_turn_goes_on_from_the_last_one():
    model = chat("5", "6")
    session = Agent(model).session()

    first, second = await session.run("2 + 3?"), await session.run("And one more?")

    assert (first.answer, second.answer) == ("5", "6")
    assert [one["content"] for one in model.bodies[1]["messages"][1:]] == ["2 + 3?", "5", "And one more?"]
    assert [one["role"] for one in session.to_chat()] == ["system", "user", "assistant", "user", "assistant"]
    assert session.usage == first.usage + second.usage


async def test_a_turn_is_streamed_and_the_next_one_goes_on_from_it():
    model = chat("It is 5.", "6")
    session = Agent(model).session()
    stream = session.stream("2 + 3?")
    parts = [event.text async for event in stream if isinstance(event, TextDelta)]
    assert ("".join(parts), stream.outcome.answer) == ("It is 5.", "It is 5.")
    await session.run("And one more?")
    assert [one["content"] for one in model.bodies[1]["messages"][1:]] == ["2 + 3?", "It is 5.", "And one more?"]


async def test_a_streamed_turn_that_is_left_early_stays_in_the_session():
    @tool
    async def wait() -> str:
        """Wait."""
        await asyncio.Event().wait()
        return ""

    session = Agent(ScriptedModel([calls(("wait", {}))]), tools=[wait]).session()
    async with session.stream("2 + 3?") as stream:
        async for event in stream:
            if isinstance(event, CallStarted):
                break
    with pytest.raises(
        RuntimeError, match=r"after a cancelled run write .*aclose\(\)` and `await session\.resume\(\)`"
    ):
        _ = stream.outcome
    (turn,) = session.turns
    assert (turn.messages[1].content, turn.messages[-1].role) == ("2 + 3?", "tool")


async def test_a_session_is_found_again_by_its_name_and_goes_on(tmp_path: Path):
    model = chat("5", "6", "7")
    session = Agent(model, runs=tmp_path).session("sums")
    await session.run("2 + 3?")
    await session.run("And one more?")

    again = Agent(model, runs=tmp_path).session("sums")
    outcome = await again.run("And another?")

    assert again.turns[:2] == session.turns
    assert (outcome.run, len(model.bodies[2]["messages"])) == ("sums-003", 6)
    assert Agent(model, runs=tmp_path).sessions() == ("sums",)
    assert again.usage.steps == 3


async def test_a_fork_goes_on_from_an_earlier_turn_and_leaves_the_session_alone(tmp_path: Path):
    model = chat("5", "6", "other")
    session = Agent(model, runs=tmp_path).session("sums")
    await session.run("2 + 3?")
    await session.run("And one more?")

    fork = session.fork("other", turns=1)
    await fork.run("And ten more?")

    assert [one["content"] for one in model.bodies[2]["messages"][1:]] == ["2 + 3?", "5", "And ten more?"]
    assert [turn.run for turn in fork.turns] == ["sums-001", "other-001"]
    assert len(session.turns) == 2
    with pytest.raises(ConfigError, match=r"There is a session named 'other' in .* agent\.session\('other'\)\.$"):
        session.fork("other")
    with pytest.raises(ConfigError, match="`turns` is 3, but the session 'sums' has 2"):
        session.fork(turns=3)


async def test_a_fork_is_kept_before_it_has_a_turn_of_its_own(tmp_path: Path):
    """It was lost if the program ended before."""
    model = chat("5", "6", "16", "26")
    session = Agent(model, runs=tmp_path).session("sums")
    await session.run("2 + 3?")
    await session.run("And one more?")
    session.fork("other", turns=1)

    again = Agent(model, runs=tmp_path)
    assert again.sessions() == ("sums", "other")
    fork = again.session("other")
    assert (fork.turns, fork.usage) == (session.turns[:1], session.turns[0].spent)
    with pytest.raises(ConfigError, match=r"There is a session named 'other' in .* agent\.session\('other'\)\.$"):
        session.fork("other")
    await fork.run("And ten more?")
    await again.session("other").run("And ten more?")

    assert [one["content"] for one in model.bodies[3]["messages"][1:]] == [
        "2 + 3?", "5", "And ten more?", "16", "And ten more?",
    ]  # fmt: skip
    assert [turn.run for turn in again.session("other").turns] == ["sums-001", "other-001", "other-002"]
    assert again.sessions() == ("sums", "other")
    assert [run.run for run in map(summarize, list_runs(tmp_path))] == [
        "sums-001", "sums-002", "other-001", "other-002",
    ]  # fmt: skip


async def test_a_fork_of_a_fork_is_kept_too(tmp_path: Path):
    session = Agent(chat("a", "b"), runs=tmp_path).session("one")
    await session.run("1")
    two = session.fork("two")
    await two.run("2")
    two.fork("three")
    two.fork("four", turns=0)
    agent = Agent(chat(), runs=tmp_path)
    assert [turn.run for turn in agent.session("three").turns] == ["one-001", "two-001"]
    assert agent.session("four").turns == ()
    assert set(agent.sessions()) == {"one", "two", "three", "four"}


async def test_a_fork_does_not_change_when_the_turn_it_began_with_is_resumed(tmp_path: Path):
    session = Agent(chat("x"), limits=Limits(steps=0), runs=tmp_path).session("sums")
    await session.run("2 + 3?")
    session.fork("other")
    parent = Agent(chat("5"), runs=tmp_path)
    await parent.session("sums").resume()

    fork = parent.session("other")
    assert [one["role"] for one in fork.to_chat()] == ["system", "user"]
    with pytest.raises(
        ConfigError, match=r"'sums-001', is one of the session that it was forked from\. Continue after"
    ):
        await fork.resume()


async def test_a_fork_with_turns_of_its_own_outlives_the_session_it_came_from(tmp_path: Path):
    session = Agent(chat("5", "15"), runs=tmp_path).session("sums")
    await session.run("2 + 3?")
    await session.fork("other").run("And ten more?")
    session.fork("third")
    shutil.rmtree(tmp_path / "sums-001")

    agent = Agent(chat(), runs=tmp_path)
    assert [turn.run for turn in agent.session("other").turns] == ["other-001"]
    assert [one["content"] for one in agent.session("other").to_chat()[1:]] == ["2 + 3?", "5", "And ten more?", "15"]
    with pytest.raises(ConfigError, match=r"Cannot read the journal .*sums-001"):
        agent.session("third")


async def test_a_fork_that_cannot_be_saved_is_refused(tmp_path: Path):
    session = Agent(chat("5"), runs=tmp_path).session("sums")
    await session.run("2 + 3?")
    (tmp_path / ".forks").write_text("no folder")
    with pytest.raises(ConfigError, match=r"Cannot save the fork as .*other\.json: File exists"):
        session.fork("other")


def test_a_damaged_record_of_a_fork_is_named(tmp_path: Path):
    agent = Agent(chat(), runs=tmp_path)
    agent.session("one").fork("two")
    (tmp_path / ".forks" / "two.json").write_text('{"session": 3}')
    assert agent.sessions() == ()
    with pytest.raises(ConfigError, match=r"Cannot read .*two\.json, which says how the session 'two' begins: "):
        agent.session("two")


@tool
def fail(number: int) -> int:
    """Fail."""
    raise ToolError(f"no {number}")


async def test_the_next_turn_begins_on_the_rung_where_the_last_one_ended():
    ladder = Ladder(rungs=(Rung(effort="none"), Rung(effort="high")), triggers={"tool_error": 1})
    model = ScriptedModel([calls(("fail", {"number": 1})), says("No."), says("Still high.")])
    session = Agent(model, tools=[fail], ladder=ladder).session()

    await session.run("Try.")
    await session.run("Again.")

    assert [body["reasoning_effort"] for body in model.bodies] == ["none", "high", "high"]


async def test_the_limits_of_a_session_hold_for_all_turns_together():
    session = Agent(chat("a", "b", "c")).session(limits=Limits(steps=2, wall_s=None, output_tokens=None))
    outcomes = [await session.run(text) for text in ("1", "2", "3")]
    assert [outcome.status for outcome in outcomes] == ["finished", "finished", "budget"]
    assert outcomes[2].reason.startswith(
        "the session's limit steps = 2 is reached (2 used). Continue with a higher one"
    )


async def test_the_journal_of_a_turn_has_the_limits_that_were_given_and_names_the_sessions(tmp_path: Path):
    """It had what the session's limits left, and its reason said `the limit steps = 0 is reached (0 used)`."""
    agent = Agent(chat("a"), limits=Limits(steps=9), runs=tmp_path)
    session = agent.session("sums", limits=Limits(steps=1))
    await session.run("1")
    second = await session.run("2", limits=Limits(steps=7))

    first, events = read_run(tmp_path / "sums-002")
    ended = events[-1]
    assert isinstance(ended, RunEnded)
    assert (first.limits, ended.reason) == (Limits(steps=7), second.reason)
    assert first.shared_limits[0].limits == Limits(steps=1)
    assert second.reason.startswith(
        "the session's limit steps = 1 is reached (1 used). Continue with a higher one: agent.session('sums', "
    )


async def test_calls_count_towards_the_sessions_limit():
    @tool
    def look() -> str:
        """Look."""
        return "seen"

    model = ScriptedModel([calls(("look", {})), says("a"), calls(("look", {}), ("look", {}))])
    session = Agent(model, tools=[look]).session("s", limits=Limits(tool_calls=2))
    await session.run("1")
    outcome = await session.run("2")
    assert outcome.reason.startswith("the session's limit tool_calls = 2 does not allow 2 more (1 used). Continue with")


async def test_a_resumed_turn_stays_within_the_sessions_limits(tmp_path: Path):
    """It had only those of the agent."""
    session = Agent(chat("a"), runs=tmp_path).session("sums", limits=Limits(steps=1))
    await session.run("1")
    assert (await session.run("2")).status == "budget"
    assert (await session.resume()).reason.startswith("the session's limit steps = 1 is reached (1 used).")
    more = Agent(chat("b"), runs=tmp_path).session("sums", limits=Limits(steps=2))
    assert (await more.resume()).answer == "b"


async def test_a_turns_own_limit_is_not_taken_for_the_sessions():
    session = Agent(chat("a")).session(limits=Limits(steps=2))
    outcome = await session.run("1", limits=Limits(steps=0))
    assert outcome.reason.startswith("the limit steps = 0 is reached (0 used).")


async def test_a_copy_is_made_once_and_every_turn_works_in_it(tmp_path: Path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "a.txt").write_text("a\n")
    model = ScriptedModel(
        [calls(("write_file", {"path": "b.txt", "content": "b\n"})), says("Made."),
         calls(("read_file", {"path": "b.txt"})), says("It says b."),
         calls(("write_file", {"path": "c.txt", "content": "c\n"})), says("Forked.")]
    )  # fmt: skip
    tools = [ready_tools.write_file, ready_tools.read_file]
    agent = Agent(model, tools=tools, workspace=project, workspace_mode="copy", runs=tmp_path / "runs")
    session = agent.session("work")

    first, second = await session.run("Make b."), await session.run("Read b.")
    forked = await session.fork("other").run("Make c.")

    assert first.workspace == second.workspace != project
    assert "b" in second.messages[-2].content
    assert forked.workspace not in {first.workspace, project}
    assert sorted(path.name for path in forked.workspace.glob("*.txt")) == ["a.txt", "b.txt", "c.txt"]
    assert [path.name for path in project.glob("*.txt")] == ["a.txt"]


@pytest.mark.parametrize("is_named", [True, False])
async def test_a_session_that_is_reopened_goes_on_in_its_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_named: bool
):
    """It got another copy, without what the turns before had made."""
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    model = ScriptedModel(
        [calls(("write_file", {"path": "b.txt", "content": "b\n"})), says("Made."),
         calls(("read_file", {"path": "b.txt"})), says("It says b."),
         calls(("read_file", {"path": "b.txt"})), says("Still.")]
    )  # fmt: skip
    agent = Agent(
        model, tools=["write_file", "read_file"], workspace=project if is_named else None, workspace_mode="copy",
        runs=tmp_path / "runs",
    )  # fmt: skip
    first = await agent.session("work").run("Make b.")
    second = await agent.session("work").run("Read b.")
    assert (second.workspace, "b" in second.messages[-2].content) == (first.workspace, True)

    agent.session("work").fork("other")
    forked = await agent.session("other").run("Read b.")
    assert forked.workspace != first.workspace
    assert (forked.workspace / "b.txt").read_text() == "b\n"


async def test_a_copy_that_would_be_deleted_after_a_turn_is_refused(tmp_path: Path):
    agent = Agent(chat("x"), workspace=tmp_path, workspace_mode="copy")
    with pytest.raises(ConfigError, match="A session cannot work in a copy that is deleted after a turn"):
        await agent.session().run("Hi.")


async def test_a_turn_that_could_not_start_changes_nothing():
    model = ScriptedModel([says("5")])
    agent = Agent("http://127.0.0.1:9/v1")
    session = agent.session()
    with pytest.raises(EndpointError):
        await session.run("Hi.")
    assert (session.turns, session.messages, model.bodies) == ((), (), [])


async def test_an_interrupted_turn_is_part_of_the_session_and_is_resumed(tmp_path: Path):
    waiting = asyncio.Event()

    @tool
    async def wait(context: ToolContext) -> str:
        """Wait."""
        if not waiting.is_set():
            waiting.set()
            await asyncio.sleep(60)
        return "waited"

    model = ScriptedModel([says("Hello."), calls(("wait", {})), says("Done.")])
    session = Agent(model, tools=[wait], runs=tmp_path).session("slow")
    await session.run("Hi.")
    task = asyncio.ensure_future(session.run("Wait."))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [turn.run for turn in session.turns] == ["slow-001", "slow-002"]
    again = Agent(model, tools=[wait], runs=tmp_path).session("slow")
    outcome = await again.resume()

    assert (outcome.status, outcome.answer, len(again.turns)) == ("finished", "Done.", 2)
    with pytest.raises(ConfigError, match="has already ended"):
        await again.resume()
    assert len(again.turns) == 2


@pytest.mark.parametrize("is_reopened", [False, True])
async def test_the_turn_after_a_cancelled_one_knows_of_the_calls_that_were_interrupted(
    tmp_path: Path, *, is_reopened: bool
):
    waiting = asyncio.Event()

    @tool(exclusive=True)
    async def wait(context: ToolContext) -> str:
        """Wait."""
        waiting.set()
        await asyncio.sleep(60)
        return "waited"

    @tool
    def add(a: int) -> int:
        """Add one."""
        return a + 1

    agent = Agent(
        ScriptedModel([calls(("add", {"a": 1}), ("wait", {}), ("add", {"a": 2})), says("I see.")]),
        tools=[wait, add], runs=tmp_path,
    )  # fmt: skip
    session = agent.session("slow")
    task = asyncio.ensure_future(session.run("Wait."))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    session = agent.session("slow") if is_reopened else session
    outcome = await session.run("What happened?")

    results = [message for message in outcome.messages if isinstance(message, ToolResult)]
    assert [(result.status, result.content) for result in results] == [
        ("ok", "2"),
        (
            "interrupted",
            "Interrupted: the run was stopped while this call was under way, so its effect is unknown. Check the state "
            "before you call it again.",
        ),
        (
            "interrupted",
            "Interrupted: the run was stopped before this call was made. Send it again if it is still needed.",
        ),
    ]
    assert outcome.answer == "I see."


async def test_a_turn_cancelled_without_runs_stays_in_the_conversation_as_far_as_it_came():
    """It was lost with its finished calls: only a journal was read."""
    waiting = asyncio.Event()

    @tool
    async def wait(context: ToolContext) -> str:
        """Wait."""
        waiting.set()
        await asyncio.sleep(60)
        return "waited"

    @tool
    def add(a: int) -> int:
        """Add one."""
        return a + 1

    model = ScriptedModel([calls(("add", {"a": 1})), calls(("wait", {})), says("I see.")])
    session = Agent(model, tools=[add, wait]).session()
    seen: list[str] = []
    task = asyncio.ensure_future(session.run("Add, then wait.", observe=lambda event: seen.append(event.kind)))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (len(session.turns), session.usage.steps, seen[0]) == (1, 2, "run_started")
    results = [message for message in session.messages if isinstance(message, ToolResult)]
    assert [(result.status, result.content[:11]) for result in results] == [("ok", "2"), ("interrupted", "Interrupted")]
    with pytest.raises(ConfigError, match="only if the agent has `runs`"):
        await session.resume()
    assert (await session.run("What happened?")).answer == "I see."
    assert model.bodies[-1]["messages"][1]["content"] == "Add, then wait."


async def test_a_session_without_instructions_has_the_system_prompt_of_a_run():
    model = chat("5", "5")
    agent = Agent(model)
    await agent.session().run("2 + 3?")
    await agent.run("2 + 3?")
    assert model.bodies[0]["messages"] == model.bodies[1]["messages"]


@pytest.mark.parametrize("name", ["a/b", "", "..", "x" * 91])
def test_a_name_that_no_turn_could_have_is_refused_when_the_session_is_made(name: str):
    agent = Agent(chat("5"))
    for make in (agent.session, agent.session("a").fork):
        with pytest.raises(ConfigError, match="The session cannot be named") as caught:
            make(name)
        assert caught.value.key == "name"


async def test_a_keyword_that_a_session_does_not_have_is_answered_with_what_to_write():
    given: Any = {"session_id": "a"}
    with pytest.raises(TypeError, match=r"agent\.session\(name\)"):
        Agent(chat()).session(**given)
    given = {"deps": 1}
    with pytest.raises(TypeError, match=r"run\(\) has no parameter 'deps'. It is a setting of the agent"):
        await Agent(chat()).session().run("Hi.", **given)


async def test_a_turn_while_another_one_runs_is_refused_and_none_is_lost():
    """Both ran on from the same conversation, and it went on without one of them."""
    session = Agent(chat("5", "6")).session("sums")
    first, second = await asyncio.gather(session.run("2 + 3?"), session.run("3 + 3?"), return_exceptions=True)
    assert not isinstance(first, BaseException)
    assert isinstance(second, ConfigError)
    assert str(second) == (
        "A turn of the session 'sums' is running. Wait until it has ended, or fork the session before: session.fork()."
    )
    assert (await session.run("3 + 3?")).answer == "6"
    assert [one["content"] for one in session.to_chat()[1:]] == ["2 + 3?", "5", "3 + 3?", "6"]


async def test_two_programs_cannot_take_the_same_turn(tmp_path: Path):
    one, two = (Agent(chat("a", "b"), runs=tmp_path).session("shared") for _ in range(2))
    await one.run("Hi.")
    advice = r"has gone on elsewhere: its turn 'shared-001' is in .* agent\.session\('shared'\), or from here with"
    with pytest.raises(ConfigError, match=advice):
        await two.run("Hi.")

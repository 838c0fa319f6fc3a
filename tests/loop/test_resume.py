"""A run killed at any moment can be resumed: nothing is executed twice, lost, or asked of the model twice."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from agent import Agent, ConfigError, EndpointUnreachable, Ladder, Limits, Outcome, Rung, Tool, Verify, tool
from agent.journal.events import (
    CallEnded,
    CallStarted,
    ContextRenewed,
    Event,
    FilesChanged,
    Replied,
    Resumed,
    RunEnded,
    VerifyEnded,
    VerifyStarted,
)
from agent.journal.journal import JOURNAL_NAME, read_journal
from agent.messages import Reply, ToolResult, Usage
from agent.model.protocol import Connection
from agent.model.wire import Request
from agent.testing import ScriptedModel, calls, says
from agent.testing.legality import refusal

ENV = {"PATH": os.environ["PATH"]}
# The default one, with one more fresh context: one for replies that stay empty, one for work that stays wrong.
LADDER = replace(Ladder(), rungs=(*Ladder().rungs, Rung(effort="high", fresh_context=True)))


class Killed(BaseException):
    """Simulates SIGKILL: the process stops, and what is on the disk stays."""


SCENES = {
    "first 2 room": calls(("note", {"name": "a"}), ("note", {"name": "b"}), reasoning="Two at once."),
    "first 5 room": says(""),
    "first 6 room": calls(("note", {"nam": "c"})),
    "first 6 note": calls(("note", {"name": "c"})),
    "first 8 room": replace(calls(("note", {})), finish_reason="length"),
    "first 8 more room": calls(("note", {"name": "d"})),
    "first 10 more room": calls(("write", {"path": "first.txt"})),
    "first 12 more room": says("Done."),
    "first 14 more room": calls(("write", {"path": "second.txt"})),
    "first 16 more room": says(""),
    "first 17 more room": says(""),
    "renewed 2 more room": calls(("note", {"name": "e"})),
    "renewed 4 more room": says("Done again."),
}
"""What the model replies, by the part of the run, the number of messages, and the room or the forced tool."""


@dataclass(kw_only=True)
class World:
    """What survives a killed process: the workspace, the journal and the effects of the tools."""

    folder: Path
    asked: list[list[str]] = field(default_factory=list[list[str]])
    """The scenes that the model was asked for: one list per process."""
    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def effects(self) -> Counter[str]:
        file = self.folder / "effects"
        return Counter(file.read_text().split()) if file.exists() else Counter()

    @property
    def run_folder(self) -> Path:
        return next((self.folder / "runs").glob("[!.]*"))

    @property
    def journal(self) -> Path:
        return self.run_folder / JOURNAL_NAME

    def agent(self) -> Agent:
        self.asked.append([])
        (self.folder / "work").mkdir(exist_ok=True)
        return Agent(
            ScriptedModel([self._play] * 99),
            tools=self.tools(),
            workspace=self.folder / "work",
            runs=self.folder / "runs",
            instructions="Be good.",
            ladder=LADDER,
            verify=Verify(command="test -e flag", attempts=3),
            env=ENV,
        )

    def tools(self) -> list[Tool]:
        @tool
        async def note(name: str) -> str:
            """Record the call outside of the workspace."""
            with (self.folder / "effects").open("a") as file:
                file.write(f"{name}\n")
            return f"noted {name}"

        @tool(exclusive=True)
        async def write(path: str) -> str:
            """Write a file."""
            (self.folder / "work" / path).write_text(f"This is {path}.\n")
            return f"wrote {path}"

        return [note, write]

    def _play(self, request: Request) -> Reply:
        """Play the model.

        An empty, an invalid and a truncated reply; a failed verification; replies that stay empty, which renew the
        context after a silent verification; another failed verification, which also puts the files back; the fix.
        """
        messages = [json.loads(message) for message in request.messages]
        self.bodies.append(json.loads(request.encode(stream=False)))
        prompt = messages[1]["content"]
        part = (
            "restored" if "kept in .agent" in prompt else "renewed" if "your replies were empty" in prompt else "first"
        )
        room = "more room" if request.max_tokens > 8_192 else "room"
        scene = f"{part} {len(messages)} {request.force_tool or room}"
        self.asked[-1].append(scene)
        if part == "restored":  # the write may have been interrupted
            is_fixed = any(message["content"] == "wrote flag" for message in messages)
            return says("Now it is done.") if is_fixed else calls(("write", {"path": "flag"}))
        return SCENES[scene]

    def live(self, *, events: int | None = None) -> Outcome | None:
        """Start or resume the run. Killed after this number of events; returns None if it was killed."""
        numbers = count(1)
        size_bytes = 0

        def observe(event: Event) -> None:
            nonlocal size_bytes
            if next(numbers) == events and not isinstance(event, RunEnded):
                size_bytes = self.journal.stat().st_size
                raise Killed

        agent = self.agent()
        resumes = (self.folder / "runs").exists()
        try:
            if resumes:
                return asyncio.run(agent.resume(self.run_folder, observe=observe))
            return asyncio.run(agent.run("Work.", observe=observe))
        except Killed:
            # A concurrent call may have written more events, which no killed process could do.
            os.truncate(self.journal, size_bytes)
            return None


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, World]:
    """Return the run that is never killed."""
    world = World(folder=tmp_path_factory.mktemp("whole"))
    outcome = world.live()
    assert outcome is not None
    return outcome, world


def check(world: World, outcome: Outcome, whole: Outcome) -> None:
    """Check that the run ended like the whole one, and reported each call of unknown effect as interrupted."""
    assert (outcome.status, outcome.reason) == ("verified", "the verification passed on attempt 3")
    events = read_journal(world.journal)
    ended = [event.result for event in events if isinstance(event, CallEnded)]
    interrupted = [result for result in ended if result.status == "interrupted"]
    assert all(result.content.startswith("Interrupted: ") for result in interrupted)
    assert len({result.tool_call_id for result in ended}) == len(ended)
    started = {event.tool_call_id: event for event in events if isinstance(event, CallStarted)}
    assert len(started) == len([event for event in events if isinstance(event, CallStarted)])
    unknown = Counter(json.loads(started[result.tool_call_id].arguments).get("name") for result in interrupted)
    # Only a call that is reported as interrupted may or may not have been executed.
    assert {name: world.effects[name] or unknown[name] for name in "abcde"} == dict.fromkeys("abcde", 1)
    check_files(world, interrupted, outcome)
    assert [body for body in world.bodies if refusal(body) is not None] == []
    if not interrupted:
        assert outcome.messages == whole.messages
        assert spent(outcome) == spent(whole)
    # Every reply in the journal was requested once.
    answered = len([event for event in events if isinstance(event, Replied)])
    assert sum(len(scenes) for scenes in world.asked) == answered
    if not any(result.name == "write" for result in interrupted):
        assert len({scene for scenes in world.asked for scene in scenes}) == answered


def check_files(world: World, interrupted: list[ToolResult], outcome: Outcome) -> None:
    """Check that what a verification failed for was put back, and is in the patch that the model was told of."""
    names = sorted(path.name for path in (world.folder / "work").iterdir())
    assert "flag" in names
    if any(result.name == "write" for result in interrupted):
        return  # an interrupted write may or may not have happened, and nobody knows whose a file of it is
    assert names == [".agent", "flag"]
    (renewed,) = [event for event in read_journal(world.journal) if event.kind == "context_renewed" and event.patch]
    patch = (world.folder / "work" / renewed.patch).read_text()
    assert [line for line in patch.splitlines() if line.startswith("+This")] == [
        "+This is first.txt.", "+This is second.txt.",
    ]  # fmt: skip
    assert f"kept in {renewed.patch}." in str(outcome.messages[1].content)
    assert len(list((world.folder / "work" / ".agent" / "attempts").iterdir())) == 1


def spent(outcome: Outcome) -> object:
    return replace(outcome.usage, wall_s=0.0)


def test_the_scripted_run_meets_every_kind_of_failure(whole: tuple[Outcome, World]):
    outcome, world = whole
    events = read_journal(world.journal)
    seen = {getattr(event, "trigger", "") or event.kind for event in events}

    check(world, outcome, outcome)
    assert {"empty_reply", "invalid_call", "truncated", "verify_failed", "prefix_changed"} <= seen
    renewed = [event for event in events if isinstance(event, ContextRenewed)]
    assert [(event.restored, event.patch) for event in renewed] == [
        ((), ""),
        (("first.txt", "second.txt"), ".agent/attempts/2/changes.diff"),
    ]
    assert [event.attempt for event in events if isinstance(event, VerifyEnded)] == [1, 0, 2, 3]
    changed = [(*event.files, event.saved) for event in events if isinstance(event, FilesChanged)]
    assert changed == [("first.txt", ""), ("second.txt", ""), (".agent/attempts/2/changes.diff",), ("flag", "")]


def test_a_run_killed_after_any_event_resumes_as_if_it_had_not_been_killed(
    whole: tuple[Outcome, World], tmp_path: Path
):
    outcome, reference = whole
    for events in range(1, len(read_journal(reference.journal))):
        world = World(folder=tmp_path / str(events))
        world.folder.mkdir()
        assert world.live(events=events) is None
        assert len(read_journal(world.journal)) == events
        resumed = world.live()
        assert resumed is not None
        check(world, resumed, outcome)


@pytest.mark.parametrize("events", [5, 6, 7])
def test_a_run_that_is_killed_repeatedly_still_reaches_its_end(
    whole: tuple[Outcome, World], tmp_path: Path, events: int
):
    world = World(folder=tmp_path)
    outcome = None
    for _ in range(60):
        outcome = outcome or world.live(events=events)
    assert outcome is not None
    check(world, outcome, whole[0])


def test_a_partial_line_is_ignored_wherever_it_is_cut(whole: tuple[Outcome, World], tmp_path: Path):
    data = whole[1].journal.read_bytes()
    events = read_journal(whole[1].journal)
    partial = tmp_path / JOURNAL_NAME
    ends = [at + 1 for at, byte in enumerate(data) if byte == ord("\n")]
    for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        for cut in {start + 1, (start + end) // 2, end - 1}:
            partial.write_bytes(data[:cut])
            assert read_journal(partial) == events[:number]


@pytest.mark.parametrize("cut_bytes", [1, 40])
def test_a_partial_line_is_removed_and_the_run_resumes(whole: tuple[Outcome, World], tmp_path: Path, cut_bytes: int):
    for events in (2, 5, 9, 20):
        world = World(folder=tmp_path / str(events))
        world.folder.mkdir()
        world.live(events=events)
        os.truncate(world.journal, world.journal.stat().st_size - cut_bytes)
        outcome = world.live()
        assert outcome is not None
        assert outcome.status == "verified"
        assert [event.kind for event in read_journal(world.journal)][events - 1] == "resumed"


def test_a_run_with_a_partial_first_line_cannot_be_resumed(tmp_path: Path):
    world = World(folder=tmp_path)
    world.live(events=1)
    os.truncate(world.journal, 100)

    with pytest.raises(ConfigError) as caught:
        world.live()
    assert (
        str(caught.value) == f"The journal {world.journal} does not begin with the start of a run. Run the task again."
    )


# Resuming runs that were not killed.


@tool(read_only=True)
async def look(at: int) -> str:
    """Look at something."""
    return f"saw {at}"


LOOKS = [calls(("look", {"at": number})) for number in range(9)]


async def begin(runs: Path, *replies: Any, **settings: Any) -> tuple[Outcome, Path]:
    """Run an agent and return its outcome and the run folder."""
    outcome = await Agent(ScriptedModel(replies), tools=[look], runs=runs, **settings).run("Look.")
    assert outcome.journal is not None
    return outcome, outcome.journal.parent


async def resume(folder: Path, *replies: Any, **settings: Any) -> tuple[Outcome, ScriptedModel]:
    model = ScriptedModel(replies)
    return await Agent(model, tools=[look], **settings).resume(folder), model


async def test_a_run_that_reached_a_limit_continues_under_a_higher_one(tmp_path: Path):
    first, folder = await begin(tmp_path, *LOOKS, limits=Limits(steps=2))
    again, model = await resume(folder, limits=Limits(steps=2))
    last, _ = await resume(folder, LOOKS[2], says("Seen."), limits=Limits(steps=4))

    assert (first.status, first.steps) == ("budget", 2)
    assert (again.status, again.steps, model.requests) == ("budget", 2, [])
    assert (last.status, last.steps, last.usage.tool_calls) == ("finished", 4, 3)


async def test_calls_that_a_limit_forbade_are_executed_once_the_limit_is_raised(tmp_path: Path):
    first, folder = await begin(tmp_path, LOOKS[0], LOOKS[1], limits=Limits(tool_calls=1))
    last, model = await resume(folder, says("Seen."), limits=Limits(tool_calls=2))

    assert (first.status, first.reason) == (
        "budget",
        "the limit tool_calls = 1 does not allow 1 more (1 used). Raise `limits.tool_calls`, or "
        "set it to None (null in a task).",
    )
    assert (last.status, last.usage.tool_calls, len(model.requests)) == ("finished", 2, 1)
    assert model.bodies[0]["messages"][-1]["content"] == "saw 1"


async def test_a_run_that_lost_its_server_sends_the_request_again(tmp_path: Path):
    gone = EndpointUnreachable("refused", url="http://x/v1")
    first, folder = await begin(tmp_path, LOOKS[0], gone)
    last, model = await resume(folder, says("Seen."))

    assert (first.status, first.reason) == ("error", str(gone))
    assert (last.status, len(model.requests)) == ("finished", 1)


async def test_a_stuck_run_starts_over_on_the_ladder(tmp_path: Path):
    first, folder = await begin(tmp_path, *[says("")] * 6)
    last, model = await resume(folder, says(""), LOOKS[0], says("Seen."))

    assert (first.status, first.reason) == (
        "stuck",
        "the ladder has no rung left after empty_reply: the reply was empty",
    )
    assert (last.status, [body["reasoning_effort"] for body in model.bodies]) == ("finished", ["none"] * 3)


async def test_a_failed_verification_is_repeated_before_the_model_is_asked(tmp_path: Path):
    work = tmp_path / "work"
    work.mkdir()
    settings: dict[str, Any] = {"workspace": work, "env": ENV, "verify": Verify(command="test -e flag", attempts=2)}
    first, folder = await begin(tmp_path / "runs", says("Done."), says("Done."), **settings)
    second, asked = await resume(folder, says("Still done."), **settings)
    (work / "flag").touch()
    third, not_asked = await resume(folder, **settings)

    assert (first.status, second.status, third.status) == ("verify_failed", "verify_failed", "verified")
    assert (len(asked.requests), len(not_asked.requests)) == (1, 0)
    assert [e.attempt for e in read_journal(folder / JOURNAL_NAME) if isinstance(e, VerifyStarted)] == [1, 2, 1, 2, 1]


async def test_a_resumed_run_continues_counting_its_time(tmp_path: Path):
    _, folder = await begin(tmp_path, *LOOKS, limits=Limits(steps=1))
    ended = read_journal(folder / JOURNAL_NAME)[-1]
    await resume(folder, says("Seen."))

    resumed = [event for event in read_journal(folder / JOURNAL_NAME) if isinstance(event, Resumed)]
    assert isinstance(ended, RunEnded)
    server = {"base_url": "http://scripted.invalid/v1", "model": "scripted", "window_tokens": 32_768}
    assert resumed == [Resumed(wall_s=ended.spent.wall_s, limits=Limits(), **server)]


@pytest.mark.parametrize("verify", [None, Verify(command="true")])
async def test_a_run_that_has_ended_cannot_be_resumed(tmp_path: Path, verify: Verify | None):
    outcome, folder = await begin(tmp_path, says("Seen."), verify=verify)

    with pytest.raises(ConfigError) as caught:
        await resume(folder)
    assert str(caught.value) == (
        f"Run {outcome.run!r} has already ended as {outcome.status!r}. There is nothing to resume."
    )


async def test_a_run_cannot_be_resumed_with_other_tools(tmp_path: Path):
    outcome, folder = await begin(tmp_path, *LOOKS, limits=Limits(steps=1))

    with pytest.raises(ConfigError) as caught:
        await Agent(ScriptedModel([]), tools=[]).resume(folder)
    assert str(caught.value) == (
        f"Cannot resume run {outcome.run!r}: it used other tools (look). Resume it with the same tools, or run the "
        "task again."
    )


async def test_a_run_cannot_be_resumed_without_its_workspace(tmp_path: Path):
    (tmp_path / "work").mkdir()
    _, folder = await begin(tmp_path / "runs", *LOOKS, limits=Limits(steps=1), workspace=tmp_path / "work")
    (tmp_path / "work").rmdir()

    with pytest.raises(ConfigError) as caught:
        await resume(folder)
    assert str(caught.value) == (
        f"The workspace '{tmp_path}/work' cannot be used: No such file or directory. Create it, or use another folder."
    )


async def test_a_run_cannot_be_resumed_while_it_is_running(tmp_path: Path):
    refused: list[str] = []

    @tool(name="look", read_only=True)
    async def meddle(at: int) -> str:
        """Look at something."""
        try:
            await Agent(ScriptedModel([]), tools=[meddle]).resume(next(tmp_path.glob("[!.]*")))
        except ConfigError as error:
            refused.append(str(error))
        return f"saw {at}"

    outcome = await Agent(ScriptedModel([LOOKS[0], says("Seen.")]), tools=[meddle], runs=tmp_path).run("Look.")

    assert outcome.status == "finished"
    (text,) = refused
    assert text.startswith(f"Run {outcome.run!r} is running in this process, since 2")
    assert text.endswith(" UTC. Wait for it to end, or stop it first.")


class Waiting(ScriptedModel):
    """A server that answers its first question late; meanwhile something else happens."""

    def __init__(self, script: Sequence[Reply], meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__(script)
        self.meanwhile = meanwhile

    @asynccontextmanager
    async def open(self, *, session: str | None = None) -> AsyncGenerator[Connection]:
        await self.meanwhile()
        async with super().open(session=session) as connection:
            yield connection


async def test_a_second_resume_while_the_first_waits_for_the_server_is_refused(tmp_path: Path):
    """It read the journal before it took the lock: what the other one did meanwhile was done a second time."""
    done: list[int] = []
    refused: list[str] = []

    @tool
    async def put(at: int) -> str:
        """Put."""
        done.append(at)
        return f"put {at}"

    script = [calls(("put", {"at": 1})), says("Done.")]
    await Agent(ScriptedModel([]), tools=[put], runs=tmp_path, limits=Limits(steps=0)).run("Put.")
    folder = next(tmp_path.glob("[!.]*"))

    async def other() -> None:
        for _ in range(3):
            try:
                await Agent(ScriptedModel(script), tools=[put], runs=tmp_path).resume(folder)
            except ConfigError as error:
                refused.append(str(error))

    outcome = await Agent(Waiting(script, other), tools=[put], runs=tmp_path).resume(folder)

    assert (outcome.status, done) == ("finished", [1])
    assert [f"Run {folder.name!r} is running in this process" in text for text in refused] == [True] * 3
    assert [event.kind for event in read_journal(folder / "journal.jsonl")].count("resumed") == 1


async def test_a_resume_that_cannot_reach_its_server_releases_the_run(tmp_path: Path):
    await Agent(ScriptedModel([]), tools=[look], runs=tmp_path, limits=Limits(steps=0)).run("Look.")
    folder = next(tmp_path.glob("[!.]*"))

    async def fail() -> None:
        raise EndpointUnreachable("it is down", url="http://x")

    with pytest.raises(EndpointUnreachable):
        await Agent(Waiting([], fail), tools=[look]).resume(folder)
    outcome = await Agent(ScriptedModel([says("Seen.")]), tools=[look]).resume(folder)
    assert outcome.status == "finished"


async def test_an_interrupted_call_counts_neither_as_repeated_nor_as_progress(tmp_path: Path):
    """Its empty fingerprint once equalled the empty fingerprint of the missing call before it."""
    world = World(folder=tmp_path)
    tools = [look]
    events: list[Event] = []

    def kill(event: Event) -> None:
        if isinstance(event, CallStarted):
            raise Killed

    with pytest.raises(Killed):
        await Agent(ScriptedModel([LOOKS[0]]), tools=tools, runs=world.folder).run("Look.", observe=kill)
    folder = next(tmp_path.glob("[!.]*"))
    outcome = await Agent(ScriptedModel([says("Seen.")]), tools=tools).resume(folder, observe=events.append)

    assert [event.kind for event in events] == [
        "resumed", "call_ended", "requested", "replied", "prefix_changed", "turn_taken", "run_ended",
    ]  # fmt: skip
    assert outcome.messages[3] == ToolResult(
        tool_call_id="call00000",
        name="look",
        content=(
            "Interrupted: the run was stopped while this call was under way, so its effect is unknown. Check the "
            "state before you call it again."
        ),
        status="interrupted",
    )


async def test_the_cost_of_an_effort_switch_is_recorded_even_after_a_kill(tmp_path: Path):
    def kill(event: Event) -> None:
        if isinstance(event, Replied) and event.rung == 2:
            raise Killed

    usage = Usage(prompt_tokens=500, completion_tokens=3, cached_tokens=32)
    ladder = Ladder(rungs=(Rung(effort="none"), Rung(effort="none"), Rung(effort="high")), triggers={"empty_reply": 1})
    model = ScriptedModel([says(""), says(""), says("Seen.", usage=usage)])
    with pytest.raises(Killed):
        await Agent(model, tools=[look], runs=tmp_path, ladder=ladder).run("Look.", observe=kill)
    outcome, _ = await resume(next(tmp_path.glob("[!.]*")))

    found = [event for event in read_journal(outcome.journal or Path()) if event.kind == "prefix_changed"]
    assert [(event.because, event.prompt_tokens, event.prefilled_tokens, event.source) for event in found] == [
        (("effort",), 500, 468, "engine")
    ]


# A real process, a real SIGKILL.

SCRIPT = '''
import asyncio, sys, time
from pathlib import Path
from agent import Agent, tool
from agent.testing import ScriptedModel, calls, says

folder = Path(sys.argv[1])

@tool
def note(name: str) -> str:
    """Record the call; in a process that is to be killed, hang before or after one of the calls."""
    if name == sys.argv[2]:
        (folder / name).touch()
        time.sleep(60)
    with (folder / "effects").open("a") as file:
        file.write(name + "\\n")
    if name == sys.argv[3]:
        (folder / name).touch()
        time.sleep(60)
    return f"noted {name}"

def play(request):
    done = len([message for message in request.messages if b'"role":"tool"' in message])
    return calls(("note", {"name": f"n{done}"}), ("note", {"name": f"n{done + 1}"})) if done < 24 else says("Done.")

agent = Agent(ScriptedModel([play] * 99), tools=[note], runs=folder / "runs")
runs = list((folder / "runs").glob("[!.]*"))
if runs:
    outcome = asyncio.run(agent.resume(runs[0]))
else:
    outcome = agent.run_sync("Work.")
print(outcome.status)
'''


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sigkill_at_random_moments_neither_loses_nor_repeats_a_call(tmp_path: Path, seed: int):
    chance = random.Random(seed)
    (tmp_path / "one_process.py").write_text(SCRIPT)
    for number in range(3):
        size_bytes = _journal_size(tmp_path) + chance.randrange(9_000)
        last = f"n{8 * number + chance.randrange(6)}"
        process = _start_process(tmp_path, *chance.choice([(last, ""), ("", last)]))
        while not (tmp_path / last).exists() and _journal_size(tmp_path) <= size_bytes:
            assert process.poll() is None, "it ended by itself"
            time.sleep(0.0005)
        process.kill()
        assert process.communicate() == ("", None)
        assert process.returncode == -signal.SIGKILL
    assert _start_process(tmp_path, "", "").communicate(timeout=60) == ("finished\n", None)
    run = next((tmp_path / "runs").glob("[!.]*"))
    unknown = _interrupted(run)
    done = Counter((tmp_path / "effects").read_text().split())
    for number in range(24):
        name = f"n{number}"
        # Only a call that is reported as interrupted may or may not have been executed.
        assert done[name] == 1 or (done[name] == 0 and unknown[name] == 1), name
    assert max(unknown.values(), default=0) <= 1


def _start_process(folder: Path, hangs_before: str, hangs_after: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(folder / "one_process.py"), str(folder), hangs_before, hangs_after]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _journal_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "runs").glob(f"*/{JOURNAL_NAME}"))


def _interrupted(run: Path) -> Counter[str]:
    events = read_journal(run / JOURNAL_NAME)
    ids = {e.result.tool_call_id for e in events if isinstance(e, CallEnded) and e.result.status == "interrupted"}
    started = [event for event in events if isinstance(event, CallStarted) and event.tool_call_id in ids]
    return Counter(json.loads(event.arguments)["name"] for event in started)

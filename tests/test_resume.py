"""A run that was killed at any moment goes on: nothing is done twice, nothing is lost, the model is asked nothing twice."""

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
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from agent import Agent, ConfigError, EndpointUnreachable, Ladder, Limits, Outcome, Rung, Tool, Verify, tool
from agent.events import CallEnded, CallStarted, Event, Replied, Requested, Resumed, RunEnded, VerifyStarted
from agent.journal import JOURNAL_NAME, read_journal
from agent.messages import Reply, ToolResult, Usage
from agent.testing import ScriptedModel, calls, says
from agent.testing.legality import refusal
from agent.wire import Request

ENV = {"PATH": os.environ["PATH"]}


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it happens, but what is on the disk stays."""


@dataclass(kw_only=True)
class World:
    """What outlives a process: the workspace, the journal and what the tools did."""

    folder: Path
    asked: list[list[str]] = field(default_factory=list[list[str]])
    """What the model was asked, by the scene it stood for: one list per life."""
    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def effects(self) -> Counter[str]:
        file = self.folder / "effects"
        return Counter(file.read_text().split()) if file.exists() else Counter()

    @property
    def run_folder(self) -> Path:
        return next((self.folder / "runs").iterdir())

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
            verify=Verify(command="test -e flag", attempts=3),
            env=ENV,
        )

    def tools(self) -> list[Tool]:
        @tool
        async def note(name: str) -> str:
            """Leave a trace outside of the workspace."""
            with (self.folder / "effects").open("a") as file:
                file.write(f"{name}\n")
            return f"noted {name}"

        @tool
        async def mend() -> str:
            """Make the verification pass."""
            (self.folder / "work" / "flag").touch()
            return "mended"

        return [note, mend]

    def _play(self, request: Request) -> Reply:
        """Play the model: an empty reply, a broken call, a cut one, two failed verifications, a fresh start, success."""
        messages = [json.loads(message) for message in request.messages]
        self.bodies.append(json.loads(request.encode(stream=False)))
        renewed = "An earlier attempt" in messages[1]["content"]
        room = "more room" if request.max_tokens > 8_192 else "room"
        scene = f"{'renewed' if renewed else 'first'} {len(messages)} {request.force_tool or room}"
        self.asked[-1].append(scene)
        if renewed:
            mended = any(message["content"] == "mended" for message in messages)
            return says("Now it is done.") if mended else calls(("mend", {}))
        return {
            "first 2 room": calls(("note", {"name": "a"}), ("note", {"name": "b"}), reasoning="Two at once."),
            "first 5 room": says(""),
            "first 6 room": calls(("note", {"nam": "c"})),
            "first 6 note": calls(("note", {"name": "c"})),
            "first 8 room": replace(calls(("note", {})), finish_reason="length"),
            "first 8 more room": calls(("note", {"name": "d"})),
            "first 10 more room": says("Done."),
            "first 12 more room": calls(("note", {"name": "e"})),
            "first 14 more room": says("Done again."),
        }[scene]

    def live(self, *, events: int | None = None) -> Outcome | None:
        """Run, or go on with the run; killed after so many events. None: it was."""
        left = count(1)
        size_bytes = 0

        def observe(_: Event) -> None:
            nonlocal size_bytes
            if next(left) == events:
                size_bytes = self.journal.stat().st_size
                raise Killed

        agent = self.agent()
        begun = (self.folder / "runs").exists()
        try:
            if begun:
                return asyncio.run(agent.resume(self.run_folder, observe=observe))
            return asyncio.run(agent.run("Work.", observe=observe))
        except Killed:
            # A call beside the one that was killed got a step further, which no killed process does.
            os.truncate(self.journal, size_bytes)
            return None


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, World]:
    """The run that nobody kills."""
    world = World(folder=tmp_path_factory.mktemp("whole"))
    outcome = world.live()
    assert outcome is not None
    return outcome, world


def check(world: World, outcome: Outcome, whole: Outcome) -> None:
    """However often it was killed, the run ended like the whole one, and says what it does not know."""
    assert (outcome.outcome, outcome.reason) == ("verified", "the verification passed at attempt 3")
    events = read_journal(world.journal)
    ended = [event.result for event in events if isinstance(event, CallEnded)]
    interrupted = [result for result in ended if result.status == "interrupted"]
    assert all(result.content.startswith("Interrupted: ") for result in interrupted)
    assert len({result.tool_call_id for result in ended}) == len(ended)
    begun = {event.tool_call_id: event for event in events if isinstance(event, CallStarted)}
    assert len(begun) == len([event for event in events if isinstance(event, CallStarted)])
    unknown = Counter(json.loads(begun[result.tool_call_id].arguments).get("name") for result in interrupted)
    # Only of a call that is reported as interrupted nobody knows whether it was done.
    assert {name: world.effects[name] or unknown[name] for name in "abcde"} == dict.fromkeys("abcde", 1)
    assert [body for body in world.bodies if refusal(body) is not None] == []
    if not interrupted:
        assert outcome.messages == whole.messages
        assert spent(outcome) == spent(whole)
    # Every answer that reached the journal was paid for once.
    answered = len([event for event in events if isinstance(event, Replied)])
    assert sum(len(life) for life in world.asked) == answered
    if not any("mend" in str(result) for result in interrupted):
        assert len({scene for life in world.asked for scene in life}) == answered


def spent(outcome: Outcome) -> object:
    return replace(outcome.usage, wall_s=0.0)


def test_the_story_of_these_tests_meets_every_kind_of_trouble(whole: tuple[Outcome, World]):
    outcome, world = whole
    told = [getattr(event, "trigger", "") or event.kind for event in read_journal(world.journal)]

    check(world, outcome, outcome)
    assert {"empty_reply", "invalid_call", "truncated", "verify_failed", "effort_switched", "context_renewed"} <= {*told}


def test_a_run_killed_after_any_event_goes_on_as_if_nothing_had_been(whole: tuple[Outcome, World], tmp_path: Path):
    outcome, reference = whole
    for events in range(1, len(read_journal(reference.journal))):
        world = World(folder=tmp_path / str(events))
        world.folder.mkdir()
        assert world.live(events=events) is None
        assert len(read_journal(world.journal)) == events
        resumed = world.live()
        assert resumed is not None
        check(world, resumed, outcome)


@pytest.mark.parametrize("events", [4, 5, 7])
def test_a_run_killed_again_and_again_still_comes_to_its_end(
    whole: tuple[Outcome, World], tmp_path: Path, events: int
):
    world = World(folder=tmp_path)
    outcome = None
    for _ in range(60):
        outcome = outcome or world.live(events=events)
    assert outcome is not None
    check(world, outcome, whole[0])


def test_half_a_line_counts_as_none_wherever_it_is_cut(whole: tuple[Outcome, World], tmp_path: Path):
    data = whole[1].journal.read_bytes()
    events = read_journal(whole[1].journal)
    torn = tmp_path / JOURNAL_NAME
    ends = [at + 1 for at, byte in enumerate(data) if byte == ord("\n")]
    for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        for cut in {start + 1, (start + end) // 2, end - 1}:
            torn.write_bytes(data[:cut])
            assert read_journal(torn) == events[:number]


@pytest.mark.parametrize("cut_bytes", [1, 40])
def test_half_a_line_is_cut_off_and_the_run_goes_on(
    whole: tuple[Outcome, World], tmp_path: Path, cut_bytes: int
):
    for events in (2, 5, 9, 20):
        world = World(folder=tmp_path / str(events))
        world.folder.mkdir()
        world.live(events=events)
        os.truncate(world.journal, world.journal.stat().st_size - cut_bytes)
        outcome = world.live()
        assert outcome is not None
        assert outcome.outcome == "verified"
        assert [event.kind for event in read_journal(world.journal)][events - 1] == "resumed"


def test_a_run_whose_first_line_is_torn_cannot_be_resumed(tmp_path: Path):
    world = World(folder=tmp_path)
    world.live(events=1)
    os.truncate(world.journal, 100)

    with pytest.raises(ConfigError) as caught:
        world.live()
    assert str(caught.value) == f"The journal {world.journal} holds no start of a run. Start the task anew."


# A real process, a real SIGKILL.

SCRIPT = '''
import json, os, sys
from pathlib import Path
from agent import Agent, tool
from agent.testing import ScriptedModel, calls, says

folder = Path(sys.argv[1])

@tool
def note(name: str) -> str:
    """Leave a trace."""
    with (folder / "effects").open("a") as file:
        file.write(name + "\\n")
        file.flush()
    return f"noted {name}"

def play(request):
    done = len([message for message in request.messages if b'"role":"tool"' in message])
    return calls(("note", {"name": f"n{done}"}), ("note", {"name": f"n{done + 1}"})) if done < 24 else says("Done.")

agent = Agent(ScriptedModel([play] * 99), tools=[note], runs=folder / "runs")
runs = list((folder / "runs").glob("*"))
import asyncio
if runs:
    outcome = asyncio.run(agent.resume(runs[0]))
else:
    outcome = agent.run_sync("Work.")
print(outcome.outcome)
'''


@pytest.mark.parametrize("seed", [1, 2])
def test_sigkill_at_random_moments_loses_nothing_and_repeats_nothing(tmp_path: Path, seed: int):
    chance = random.Random(seed)
    (tmp_path / "life.py").write_text(SCRIPT)
    kills, output = 0, ""
    while not output:
        size_bytes = _journal_size(tmp_path) + chance.randrange(12_000)
        process = subprocess.Popen(
            [sys.executable, str(tmp_path / "life.py"), str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        # The fourth life is left alone.
        while kills < 3 and process.poll() is None and _journal_size(tmp_path) <= size_bytes:
            time.sleep(0.0005)
        if kills < 3:
            process.kill()
        output = process.communicate(timeout=60)[0]
        kills += process.returncode == -signal.SIGKILL
    assert output == "finished\n"
    assert kills >= 1
    run = next((tmp_path / "runs").iterdir())
    unknown = _interrupted(run)
    done = Counter((tmp_path / "effects").read_text().split())
    for number in range(24):
        name = f"n{number}"
        # Only of a call that is reported as interrupted nobody knows whether it was done.
        assert done[name] == 1 or (done[name] == 0 and unknown[name] == 1), name
    assert max(unknown.values(), default=0) <= 1


def _journal_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "runs").glob(f"*/{JOURNAL_NAME}"))


def _interrupted(run: Path) -> Counter[str]:
    events = read_journal(run / JOURNAL_NAME)
    ids = {e.result.tool_call_id for e in events if isinstance(e, CallEnded) and e.result.status == "interrupted"}
    begun = [event for event in events if isinstance(event, CallStarted) and event.tool_call_id in ids]
    return Counter(json.loads(event.arguments)["name"] for event in begun)

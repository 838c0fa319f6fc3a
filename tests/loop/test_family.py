"""Runs that work in one folder: one's commands neither change nor fake the verification of another."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import Agent, Sandbox, ToolContext, Verify, tool
from agent.journal.events import Event, Noticed
from agent.loop.family import Family, Member
from agent.testing import ScriptedModel, calls, says
from tools.processes import read_process, start_process

DONE = says("Done.")
# Waits for 1 s at most for somebody who reacts to it, so that a pass is quick and a failure certain.
CHECK = "touch checking; for _ in $(seq 50); do grep -q right a.txt && exit 0; sleep 0.02; done; exit 1"
FAKE = "while [ ! -e checking ]; do sleep 0.01; done; echo right > a.txt; sleep 60"
BACKGROUND = calls(("start_process", {"command": FAKE, "wait_s": 0}))
ASK = calls(("expert", {"prompt": "Go."}))


def agent_with(model: ScriptedModel, *tools: Any, verify: Verify | None = None) -> Agent[None, str]:
    return Agent(model, tools=tools, verify=verify, sandbox=Sandbox(), env={"PATH": os.defpath})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder that both runs have, as none names one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("wrong\n")
    return tmp_path


async def test_what_the_caller_has_in_the_background_makes_no_run_of_its_tools_verified(here: Path):
    """Only the background commands of the run that verifies were stopped; its caller's faked a pass."""
    expert = agent_with(ScriptedModel([DONE]), verify=Verify(command=CHECK, attempts=1))
    model, events = ScriptedModel([BACKGROUND, ASK, calls(("read_process", {"process": 1})), DONE]), list[Event]()
    caller = agent_with(model, start_process, read_process, expert.as_tool("expert"))
    outcome = await caller.run("Go.", observe=events.append)
    assert ((here / "a.txt").read_text(), outcome.status) == ("wrong\n", "finished")
    answer, read = (str(model.bodies[at]["messages"][-1]["content"]) for at in (2, 3))
    assert "verify_failed" in answer
    before = "the verification for another agent that works in this folder"
    assert answer.endswith(
        f"Before {before}, these background commands of yours were stopped: `{FAKE}`. Start them again if you need "
        "them."
    )
    assert "Start them again" not in read, "it is told once"
    notices = [event.text for event in events if isinstance(event, Noticed)]
    assert f"Background commands were stopped before {before}: `{FAKE}`." in notices


async def test_what_the_caller_has_in_the_background_of_another_folder_goes_on(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    expert = replace(agent_with(ScriptedModel([DONE]), verify=Verify(command="true")), workspace=tmp_path / "a")
    model = ScriptedModel([BACKGROUND, ASK, calls(("read_process", {"process": 1})), DONE])
    caller = agent_with(model, start_process, read_process, expert.as_tool("expert"))
    await replace(caller, workspace=tmp_path / "b").run("Go.")
    assert str(model.bodies[3]["messages"][-1]["content"]).startswith("Process 1 is running.")


async def test_a_tool_knows_what_the_caller_has_in_the_background(here: Path):
    """An MCP server outside the sandbox was started while a command of the caller could replace its files."""

    @tool
    def running(context: ToolContext[Any]) -> str:
        """Return the commands that are running."""
        return ", ".join(context.running_commands())

    model = ScriptedModel([calls(("running", {})), DONE])
    expert = agent_with(model, running)
    caller = agent_with(ScriptedModel([BACKGROUND, ASK, DONE]), start_process, expert.as_tool("expert"))
    await caller.run("Go.")
    assert model.bodies[1]["messages"][-1]["content"] == f"`{FAKE}`"
    assert list(here.iterdir()) == [here / "a.txt"]


class Commands:
    """The commands of a run, which only say what becomes of them."""

    def __init__(self, family: Family, *folders: Path) -> None:
        self.running, self.told = ["a server"], list[str]()
        self.member = Member(family, folders, lambda: self.running, self.stop, self.on_stopped)

    async def stop(self) -> Sequence[str]:
        stopped, self.running = self.running, []
        return stopped

    def on_stopped(self, stopped: Sequence[str], before: str) -> str:
        self.told.append(before)
        return ", ".join(stopped)


async def test_a_call_of_another_run_waits_for_the_verification_and_the_verification_for_one_under_way(tmp_path: Path):
    """A command that another run of the caller started meanwhile would do what a background command does."""
    family, order = Family(), list[str]()
    one, other = Commands(family, tmp_path), Commands(family, tmp_path / "below")

    async def call(name: str, until: asyncio.Event) -> None:
        async with other.member.calling():
            order.append(f"{name} starts")
            await until.wait()
            order.append(f"{name} ends")

    async def verify() -> None:
        async with one.member.alone(before="the verification"):
            order.append("verified")

    first, ended = asyncio.Event(), asyncio.Event()
    ended.set()
    with one.member.joined(), other.member.joined():
        async with asyncio.TaskGroup() as tasks:
            for task in (call("first", first), verify(), call("second", ended)):
                tasks.create_task(task)
                await asyncio.sleep(0)
            assert other.running, "nothing is stopped while the call runs"
            first.set()
    assert order == ["first starts", "first ends", "verified", "second starts", "second ends"]
    assert (one.running, other.running, other.told) == (["a server"], [], ["the verification"])
    assert (other.member.untold(), other.member.untold()) == ("a server", "")


async def test_a_run_that_ended_and_one_that_writes_elsewhere_are_not_waited_for(tmp_path: Path):
    family = Family()
    one, shares, ended = (
        Commands(family, tmp_path / "a"),
        Commands(family, tmp_path / "b", tmp_path / "c"),
        Commands(family, tmp_path / "a"),
    )
    with one.member.joined(), shares.member.joined():
        with ended.member.joined():
            pass
        async with shares.member.calling(), ended.member.calling(), one.member.alone(before="the verification"):
            pass
        assert (shares.running, ended.running) == (["a server"], ["a server"])
        async with Commands(family, tmp_path / "c").member.alone(before="the verification"):
            pass
        assert shares.running == []


async def test_a_cancelled_verification_lets_the_others_go_on(tmp_path: Path):
    family = Family()
    one, other = Commands(family, tmp_path), Commands(family, tmp_path)
    with one.member.joined(), other.member.joined():
        async with other.member.calling():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01), one.member.alone(before="the verification"):
                    raise AssertionError
        async with other.member.calling():
            pass

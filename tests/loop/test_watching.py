"""Observers and approvers of a user: sync or async, in order, and an exception in one ends in the outcome."""

import asyncio
import logging
from datetime import datetime
from pathlib import Path

import pytest

from agent import Agent, ApprovalRequest, Permission, ToolError, tool
from agent.events import Event, RunStarted
from agent.journal.journal import read_journal
from agent.testing import ScriptedModel, calls, says


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def adding() -> ScriptedModel:
    return ScriptedModel([calls(("add", {"a": 2, "b": 3})), says("5")])


async def test_an_async_observer_gets_every_event_in_order_before_the_run_returns():
    """It was never awaited: a RuntimeWarning, and all events lost."""
    direct: list[str] = []
    late: list[str] = []

    async def observe(event: Event) -> None:
        await asyncio.sleep(0.001)
        late.append(event.kind)

    await Agent(adding(), tools=[add]).run("Go.", observe=lambda event: direct.append(event.kind))
    await Agent(adding(), tools=[add]).run("Go.", observe=observe)

    assert late == direct
    assert late[-1] == "run_ended"


@pytest.mark.parametrize("kind", ["run_started", "call_started", "call_ended", "turn_taken"])
async def test_an_observer_that_raises_ends_the_run_with_its_reason(kind: str, tmp_path: Path):
    def observe(event: Event) -> None:
        if event.kind == kind:
            raise KeyError("missing")

    outcome = await Agent(adding(), tools=[add], runs=tmp_path).run("Go.", observe=observe, name="run")

    assert (outcome.status, outcome.reason) == ("error", "`observe` raised KeyError: 'missing'")
    assert read_journal(tmp_path / "run" / "journal.jsonl")[-1].kind == "run_ended"


async def test_an_async_observer_that_raises_at_the_very_end_is_a_notice():
    async def observe(event: Event) -> None:
        if event.kind == "run_ended":
            raise ValueError("late")

    outcome = await Agent(adding(), tools=[add]).run("Go.", observe=observe)

    assert (outcome.status, outcome.notices) == ("finished", ("`observe` raised ValueError: late",))


ASK = Permission(tool="add", do="ask")


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("answer", [True, False])
async def test_an_approver_may_be_sync_or_async(is_async: bool, answer: bool):
    """A sync one killed the run: object bool can't be used in 'await' expression."""

    async def later(_: ApprovalRequest) -> bool:
        return answer

    def at_once(_: ApprovalRequest) -> bool:
        return answer

    approve = later if is_async else at_once
    outcome = await Agent(adding(), tools=[add], permissions=[ASK], approve=approve).run("Go.")

    assert outcome.messages[3].content == "5" if answer else "refused" in outcome.messages[3].content


async def test_an_approver_that_raises_ends_the_run_and_the_call_is_asked_again_when_it_is_resumed(tmp_path: Path):
    def broken(_: ApprovalRequest) -> bool:
        raise RuntimeError("no terminal")

    model = adding()
    first = Agent(model, tools=[add], permissions=[ASK], approve=broken, runs=tmp_path)
    ended = await first.run("Go.", name="run")
    resumed = await Agent(model, tools=[add], permissions=[ASK], approve=lambda _: True, runs=tmp_path).resume("run")

    assert (ended.status, ended.reason) == ("error", "`approve` raised RuntimeError: no terminal")
    assert (resumed.status, resumed.messages[3].content) == ("finished", "5")


async def test_every_event_has_its_time(tmp_path: Path):
    events: list[Event] = []
    await Agent(adding(), tools=[add], runs=tmp_path).run("Go.", observe=events.append, name="run")

    times = [datetime.fromisoformat(event.at or "") for event in events if not isinstance(event, RunStarted)]
    assert times == sorted(times)
    assert all(time.utcoffset() is not None for time in times)
    kept = read_journal(tmp_path / "run" / "journal.jsonl")
    assert [event.at for event in kept] == [event.at for event in events]


async def test_what_a_run_does_is_logged_below_one_logger(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG, logger="tramontane"):
        await Agent(adding(), tools=[add]).run("Go.")
    lines = [(one.levelname, one.getMessage().partition(": ")[2].partition(" in ")[0]) for one in caplog.records]
    assert [one.name for one in caplog.records] == ["tramontane.run"] * len(lines)
    assert lines[0] == ("INFO", "started with scripted at http://scripted.invalid/v1")
    assert ("DEBUG", "add ok") in lines
    assert lines[-1][0] == "INFO"
    assert lines[-1][1].startswith("finished after 2 steps")


@tool
def broken() -> str:
    """Fail."""
    msg = "no such table\nat all"
    raise KeyError(msg)


@tool
def unwilling() -> str:
    """Refuse."""
    raise ToolError("not today")


async def test_a_tool_that_raises_is_logged_as_a_warning_with_its_traceback_at_debug(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG, logger="tramontane"):
        model = ScriptedModel([calls(("broken", {}), ("unwilling", {})), says("It fails.")])
        await Agent(model, tools=[broken, unwilling]).run("Go.")
    lines = [(one.levelname, one.getMessage().partition(": ")[2]) for one in caplog.records]
    warnings = [text for level, text in lines if level == "WARNING"]
    assert warnings == ["the tool broken raised KeyError: 'no such table\\nat all'"], "a ToolError is meant to happen"
    (traceback,) = [text for level, text in lines if level == "DEBUG" and "Traceback" in text]
    assert "raise KeyError(msg)" in traceback


def test_nothing_is_printed_unless_logging_is_set_up(capfd: pytest.CaptureFixture[str]):
    logging.getLogger("tramontane.run").warning("a notice")
    assert capfd.readouterr().err == ""

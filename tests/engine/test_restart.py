"""Test that a run waits for an engine that dies in the middle of a reply and is restarted."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent import Agent, Limits, tool
from agent.journal.events import Replied, Retried
from agent.journal.journal import read_journal
from agent.messages import RawCall, Reply

if TYPE_CHECKING:
    from conftest import LiveEngine

pytestmark = pytest.mark.engine


async def test_a_run_waits_for_an_engine_that_dies_in_mid_reply_and_is_restarted(engine: LiveEngine, tmp_path: Path):
    if engine.pid is None:
        pytest.skip("the engine was not started by these tests, so they may not kill it")
    group = engine.pid

    def kill_and_restart() -> None:
        time.sleep(2)  # by now the run has sent its next request and waits for the reply
        os.killpg(group, signal.SIGKILL)
        engine.restart()

    accident = threading.Thread(target=kill_and_restart)

    @tool
    def unplug() -> str:
        """Stop the engine"""
        os.killpg(group, signal.SIGSTOP)
        accident.start()
        return "It is stopped."

    call = Reply(tool_calls=(RawCall(name="unplug", arguments="{}"),), finish_reason="tool_calls")
    model = engine.recording_model(answers=[call], patience_s=300.0)
    agent = Agent(model, tools=[unplug], limits=Limits(steps=2), workspace=tmp_path, runs=tmp_path / "runs")
    outcome = await agent.run("Stop the engine.")
    accident.join()
    assert outcome.journal is not None
    events = read_journal(outcome.journal)

    assert outcome.status in {"finished", "budget"}
    assert len([event for event in events if isinstance(event, Replied)]) == 2
    retried = [event for event in events if isinstance(event, Retried)]
    assert [event.attempt for event in retried] == list(range(1, len(retried) + 1))
    # First the connection broke, then the port was closed; every wait is recorded, and they grow.
    assert len(retried) >= 4
    assert all(event.step == 2 and event.reason.startswith("No answer from http://127.0.0.1:") for event in retried)
    assert retried[-1].wait_s > retried[0].wait_s
    assert outcome.usage.steps == 2

"""Commands in the background are stopped before the verification, and the model is told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from agent import Agent, Outcome, Sandbox, Verify
from agent.journal.events import Event, Noticed, VerifyEnded
from agent.testing import ScriptedModel, calls, says
from tools.files import write_file
from tools.processes import read_process, start_process

DONE = says("Done.")
# Waits for 1 s at most for somebody who reacts to it, so that a pass is quick and a failure certain.
CHECK = "touch checking; for _ in $(seq 50); do grep -q right a.txt && exit 0; sleep 0.02; done; exit 1"
FAKE = "while [ ! -e checking ]; do sleep 0.01; done; echo right > a.txt; sleep 60"


async def run(folder: Path, command: str, verify: Verify, *script: Any) -> tuple[Outcome, ScriptedModel, list[Event]]:
    (folder / "a.txt").write_text("wrong\n")
    events: list[Event] = []
    started = calls(("start_process", {"command": command, "wait_s": 0}))
    model = ScriptedModel([started, *script])
    agent = Agent(
        model, tools=[write_file, start_process, read_process], workspace=folder, verify=verify, sandbox=Sandbox(),
        env={"PATH": os.defpath},
    )  # fmt: skip
    return await agent.run("Go.", observe=events.append), model, events


async def test_a_background_command_that_shows_the_verification_other_files_makes_no_run_verified(tmp_path: Path):
    """It put the right file in place when the tests began to read, and took it away again."""
    outcome, _, events = await run(tmp_path, FAKE, Verify(command=CHECK, attempts=1), DONE)
    assert outcome.status == "verify_failed"
    assert (tmp_path / "a.txt").read_text() == "wrong\n"
    assert [event.text for event in events if isinstance(event, Noticed)] == [
        f"Background commands were stopped before the verification: `{FAKE}`."
    ]


async def test_after_a_failed_verification_the_model_is_told_once_what_was_stopped(tmp_path: Path):
    write = calls(("write_file", {"path": "a.txt", "content": "x"}), ("read_process", {"process": 1, "wait_s": 0}))
    _, model, events = await run(tmp_path, "sleep 60", Verify(command="exit 1", attempts=3), DONE, write, DONE, DONE)
    told = "Before the verification, these background commands of yours were stopped: `sleep 60`. Start them again if"
    says_so = [told in event.say for event in events if isinstance(event, VerifyEnded)]
    assert says_so == [True, False, False]
    assert told in str(model.bodies[2]["messages"][-1]["content"])
    (read,) = [
        message["content"] for message in model.bodies[3]["messages"] if "Process 1 has" in str(message.get("content"))
    ]
    assert read.startswith("Process 1 has ended (exit code 137 (killed by SIGKILL)).")

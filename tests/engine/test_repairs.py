"""Bugs are fixed on the real engine: the demo's task ends verified, and a folder of unseen bugs runs to completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.journal.events import CallEnded, CallStarted, RunEnded, VerifyEnded
from agent.journal.journal import read_journal

if TYPE_CHECKING:
    from conftest import LiveEngine

pytestmark = pytest.mark.engine

EXAMPLES = Path(__file__).parents[2] / "examples"


def agent_run(engine: LiveEngine, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `agent run` with this environment's pytest on its PATH, as in an activated environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {"PATH": path, "HOME": str(folder), "AGENT_RUNS_DIR": str(folder / "runs")}
    command = [sys.executable, "-m", "agent", "run", *arguments, "--base-url", engine.base_url]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=900, check=False)


def test_the_demo_runs_the_tests_reads_and_edits_the_file_and_is_verified(engine: LiveEngine, tmp_path: Path):
    before = {path: path.read_text() for path in (EXAMPLES / "fix_bug").rglob("*.py")}
    done = agent_run(engine, tmp_path, str(EXAMPLES / "fix_bug" / "task.yaml"))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout

    (journal,) = tmp_path.glob("runs/*/journal.jsonl")
    events = read_journal(journal)
    called = [event.tool for event in events if isinstance(event, CallStarted)]
    assert called[0] == called[-1] == "run_shell"
    assert {"read_file", "edit_file"} <= set(called)
    results = [event.result.content for event in events if isinstance(event, CallEnded)]
    assert "1 failed" in results[0]
    assert " passed in " in results[-1]
    assert [event.ok for event in events if isinstance(event, VerifyEnded)][-1]
    assert isinstance(events[-1], RunEnded)
    assert events[-1].status == "verified"
    assert {path: path.read_text() for path in before} == before


def test_a_folder_of_unseen_bugs_runs_to_completion(engine: LiveEngine, tmp_path: Path):
    few = tmp_path / "bugs"
    few.mkdir()
    for folder in sorted((EXAMPLES / "fix_bug_batch").glob("*/"))[:4]:
        (few / folder.name).symlink_to(folder)
    done = agent_run(engine, tmp_path, str(few), "--json", "--set", "limits.steps=12")

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["kind"] for line in lines] == ["task_ended"] * 4 + ["batch_ended"]
    assert done.returncode in {0, 1}, done.stderr
    assert len(list(tmp_path.glob("runs/*/journal.jsonl"))) == 4

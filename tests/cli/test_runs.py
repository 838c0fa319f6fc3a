"""`agent runs`: the columns of its table."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from agent import Agent, Task
from agent.cli import main
from agent.cli.runs import table
from agent.journal.runs import RunSummary
from agent.policy.budget import Spent
from agent.testing import ScriptedModel, says

NOW = datetime(2026, 11, 28, 14, 0, tzinfo=timezone(timedelta(hours=1)))


def run_of(at: str, status: str, task: str, seconds: float, steps: int, tokens: int) -> RunSummary:
    spent = Spent(steps=steps, prompt_tokens=tokens, output_tokens=1, wall_s=seconds)
    return RunSummary(run=f"{at[:10]}-x", status=status, at=at, task=task, model="medium", spent=spent)


RUNS = [
    run_of("2025-03-04T12:00:00+00:00", "finished", "", 0.84, 1, 99),
    RunSummary(run="2026-01-01-x", status="damaged"),
    run_of("2026-11-27T23:30:00+00:00", "verify_failed", "fix_bug", 59.4, 12, 4_999),
    run_of("2026-11-28T08:05:00+00:00", "stuck", "a-name-that-is-longer-than-its-column", 3_599.7, 140, 12_345_678),
    run_of("2026-11-28T12:59:00+00:00", "running", "evil \x1b[31mtask\x1b[0m", 125.0, 3, 6_000),
]


def test_tokens_that_the_server_did_not_count_are_marked():
    run = run_of("2025-03-04T12:00:00+00:00", "finished", "", 0.84, 1, 5_000)
    line = table([replace(run, spent=replace(run.spent, estimated_tokens=99))], now=NOW, columns=None)[1]
    assert line.split()[7] == "~5,001"


def test_runs_are_listed_with_time_duration_steps_and_tokens_in_aligned_columns():
    assert table(RUNS, now=NOW, columns=None) == [
        "run           started             took  steps      tokens  status         task                      model",
        "2025-03-04-x  Mar 04  2025       0.8 s      1         100  finished       -                         medium",
        "2026-01-01-x                                               damaged",
        "2026-11-27-x  Nov 28 00:30        59 s     12       5,000  verify_failed  fix_bug                   medium",
        "2026-11-28-x  Nov 28 09:05  1 h 00 min    140  12,345,679  stuck          a-name-that-is-longer...  medium",
        "2026-11-28-x  Nov 28 13:59  2 min 05 s      3       6,001  running        evil task                 medium",
    ]


def test_a_line_is_not_longer_than_the_terminal_is_wide():
    lines = table(RUNS[2:3], now=NOW, columns=60)
    assert lines == [
        "run           started       took  steps  tokens  status  ...",
        "2026-11-27-x  Nov 28 00:30  59 s     12   5,000  verify_f...",
    ]
    assert [len(line) for line in lines] == [60, 60]


def test_json_has_what_the_table_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("AGENT_RUNS_DIR", str(tmp_path))
    task, model = Task(prompt="Hi.", name="greet"), ScriptedModel([says("Hello.")])
    agent = Agent.from_task(task, model, environ={}, runs=tmp_path)
    outcome = agent.run_sync("Hi.")
    assert main(["runs", "--json"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert datetime.fromisoformat(line.pop("at")).tzinfo == UTC
    assert line["spent"].pop("wall_s") >= 0
    spent = {"steps": 1, "tool_calls": 0, "prompt_tokens": 100, "cached_tokens": 0, "output_tokens": 2}
    assert line == {
        "run": outcome.run, "status": "finished", "task": "greet", "model": "scripted",
        "spent": {**spent, "reasoning_tokens": 0, "estimated_tokens": 0},
    }  # fmt: skip

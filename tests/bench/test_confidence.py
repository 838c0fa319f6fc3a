"""Tests of the confidence bench: its pure parts, its judge, and its model before a made-up engine; measures nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import confidence_calls
import pytest
from confidence import BEGIN, END, cheap_part, drawn, write_section
from confidence_calls import Judge, SureModel
from confidence_records import (
    Again,
    Confidence,
    Damaged,
    Doubt,
    Edit,
    Label,
    Play,
    Span,
    confidence_of,
    find_span,
)
from confidence_report import auc, least_sure, report
from escalation import MARK, write_report
from escalation_runs import BenchTask, read_tasks
from escalation_stats import Setup
from test_escalation import run_of

from agent.messages import RawCall
from agent.model.profiles import POCKET
from agent.model.wire import Request
from agent.testing import ScriptedModel, says

BUG = "def add(a, b):\n    return a - b\n"


def edit_call(new: str, old: str = "a - b", tool: str = "edit_file") -> RawCall:
    return RawCall(id="c", name=tool, arguments=json.dumps({"path": "calc.py", "old": old, "new": new}))


@pytest.fixture
def task(tmp_path: Path) -> BenchTask:
    folder = tmp_path / "tasks" / "0001_operator"
    (folder / "project").mkdir(parents=True)
    (folder / "project" / "calc.py").write_text(BUG)
    (folder / "task.yaml").write_text(
        "prompt: Fix it.\nmodel: pocket\nworkspace: project\ntools: [edit_file]\nverify: grep -q 'a + b' calc.py\n"
    )
    return read_tasks(tmp_path / "tasks")[0]


def edit_of(lowest: float, label: Label, *, again: Label = "right", tokens: int = 50) -> Edit:
    sure = Confidence(total=lowest, mean=lowest / 10, lowest=lowest, tokens=10)
    doubt = Confidence(total=-50.0, mean=-5.0, lowest=-20.0, tokens=10)
    return Edit(
        effort="none",
        confidence=sure,
        label=label,
        again=Again(label=again, computed_tokens=tokens),
        damaged=Damaged(kind="wrong_tool", confidence=doubt, undamaged=sure, label="refused"),
    )


def play_of(task: str, *edits: Edit, **changes: object) -> Play:
    play = Play(
        task=task,
        bug_kind="operator",
        task_digest="d1",
        doubt="",
        status="verified",
        reason="",
        requests=4,
        asked_again=0,
        computed_tokens=500,
        edits=edits,
    )
    return replace(play, **changes)


# Tokens and statistics.


def test_a_call_that_was_cut_off_has_no_confidence():
    tokens = ["[TOOL_CALLS]", "a", "[ARGS]", "{", "}", "[TOOL_CALLS]", "b", "[ARGS]", "{"]
    assert find_span(tokens, 0) == Span(start=0, arguments=2, end=5)
    assert find_span(tokens, 1) is None
    assert find_span(tokens, 2) is None


def test_the_token_that_ends_a_call_is_scored_and_the_two_before_its_parts_are_not():
    assert list(Span(start=2, arguments=4, end=7).places()) == [3, 5, 6, 7]
    assert confidence_of([-1.0, -3.0]) == Confidence(total=-4.0, mean=-2.0, lowest=-3.0, tokens=2)


def test_equal_scores_tell_nothing():
    assert auc([2.0, 3.0], [1.0, 0.0]) == 1.0
    assert auc([1.0], [2.0]) == 0.0
    assert auc([1.0, 1.0], [1.0]) == 0.5
    assert math.isnan(auc([], [1.0]))


def test_the_least_sure_edits_are_asked_first():
    edits = [("0001", edit_of(lowest, "right")) for lowest in (-0.1, -3.0, -0.5, -2.0)]
    assert [edit.confidence.lowest for _, edit in least_sure(edits, "lowest", 0.5)] == [-3.0, -2.0]


def test_a_smaller_sample_is_part_of_a_larger_one(task: BenchTask):
    tasks = [replace(task, name=f"{number:04}_x") for number in range(9)]
    assert drawn(tasks, 9)[:4] == drawn(tasks, 4) != tasks[:4]


def test_a_play_ends_where_the_ladder_changes_the_effort():
    assert [(rung.effort, rung.constrained) for rung in cheap_part(POCKET.ladder).rungs] == [
        ("none", False),
        ("none", True),
    ]


# The judge.


@pytest.mark.parametrize(
    ("now", "call", "label"),
    [
        (BUG, edit_call("a + b"), "right"),
        (BUG, edit_call("a * b"), "wrong"),
        (BUG, edit_call("a + b", old="not there"), "wrong"),
        (BUG.replace("-", "*"), edit_call("a - b", old="a * b"), "undone"),
        (BUG, edit_call("a + b", tool="edit_fils"), "refused"),
        (BUG, None, "no_edit"),
    ],
)
async def test_an_edit_is_judged_by_the_project_that_it_leaves(
    task: BenchTask, tmp_path: Path, now: str, call: RawCall | None, label: Label
):
    workspace, scratch = tmp_path / "now", tmp_path / "scratch"
    workspace.mkdir()
    scratch.mkdir()
    (workspace / "calc.py").write_text(now)
    assert await Judge(task=task, scratch=scratch).label(workspace, call) == label
    assert (workspace / "calc.py").read_text() == now
    assert list(scratch.iterdir()) == []


# The model.


def completion(call: RawCall, logprob: float) -> Mapping[str, Any]:
    tokens = ["[TOOL_CALLS]", call.name, "[ARGS]", call.arguments, "</s>"]
    function = {"name": call.name, "arguments": call.arguments}
    return {
        "prompt_token_ids": [1, 3],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}},
        "choices": [
            {
                "message": {"tool_calls": [{"id": "c", "function": function}]},
                "finish_reason": "tool_calls",
                "token_ids": [9, 60, 32, 61, 2],
                "logprobs": {"content": [{"token": token, "logprob": logprob} for token in tokens]},
            }
        ],
    }


@pytest.mark.parametrize(("logprob", "efforts"), [(-0.1, ["none"]), (-2.0, ["none", "high"])])
async def test_only_a_doubtful_edit_is_asked_again_one_rung_up(
    task: BenchTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logprob: float, efforts: list[str]
):
    asked: list[str] = []

    def engine(url: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        asked.append(body["reasoning_effort"])
        return completion(edit_call("a - b" if len(asked) == 1 else "a + b"), logprob)

    monkeypatch.setattr(confidence_calls, "post_json", engine)
    model = SureModel(
        model=ScriptedModel([says("not used")], profile=POCKET),
        judge=Judge(task=task, scratch=tmp_path),
        workspace=task.project,
        salt="s",
        doubt=Doubt(measure="lowest", below=-1.0),
    )
    async with model.open() as connection:
        reply = await connection.ask(Request(model="pocket", messages=[], tools=b"[]", max_tokens=9, effort="none"))
    assert asked == efforts
    assert reply.tool_calls[0] == edit_call("a - b" if len(efforts) == 1 else "a + b")
    assert (model.asked_again, model.computed_tokens) == (len(efforts) - 1, 11 * len(efforts))


# The report.


SETUP = Setup(
    date="2026-11-29T02:00:00+00:00",
    model="pocket",
    model_digest="0123456789abcdef",
    engine="0.32.0",
    python="3.11.7",
    cores=2,
    load_average=0.5,
    concurrency=4,
    steps=30,
    arms={"ladder": None},
)


def test_the_report_counts_what_asking_again_makes_of_the_least_sure_edits():
    plays = [play_of(f"{number:04}", edit_of(-0.01, "right"), edit_of(-0.02, "right")) for number in range(9)]
    plays += [play_of("0010", edit_of(-3.0, "wrong"), edit_of(-2.0, "right", again="wrong"))]
    plays += [play_of("0011", edit_of(-0.03, "right"), computed_tokens=400)]
    ladder = {play.task: run_of(play.task) for play in plays}
    ladder["0010"] = run_of("0010", status="stuck", output_tokens=1100)
    plays += [play_of("0010", doubt="lowest < -1", asked_again=1, computed_tokens=600)]
    lines = report([SETUP], plays, ladder).splitlines()
    assert "| all | 20 | 1 | 1.00 (1.00 to 1.00) | 1.00 (1.00 to 1.00) | 1.00 (1.00 to 1.00) |" in lines
    assert "| minimum, 10% | 2 | -2 | 1 of 1 | 1 | 1 | 1 | 1 | 0 | 1.02 | 0.84 | 1 |" in lines
    assert "| wrong_tool | 21 | 21 | 0 | 1.00 (1.00 to 1.00) | 1.00 (1.00 to 1.00) | 1.00 (1.00 to 1.00) |" in lines
    assert "| those tasks | 1 | 0 (0.0% to 79.3%) | 1 (20.7% to 100.0%) | 1,500 | 600 | 0.40 |" in lines
    assert "Asked again: 1 edits. Verified only with the rule: 1 tasks; only without it: 0." in lines


def test_each_bench_keeps_the_other_ones_report_in_a_card(tmp_path: Path):
    card = tmp_path / "CARD.md"
    card.write_text(f"# The model\n\n{BEGIN}\nold\n{END}\n\n{MARK}\n\nold\n")
    for _ in range(2):
        write_section(card, "sure")
        write_report(card, "escalated\n")
    assert card.read_text() == f"# The model\n\n{BEGIN}\n\nsure\n\n{END}\n\n{MARK}\n\nescalated\n"

"""Tests of the escalation bench's pure parts and of one run against a scripted model; measures nothing."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from escalation import MARK, write_report
from escalation_faults import FAULT_KINDS, Damage, FaultKind, FaultPlan, TrialModel
from escalation_report import report
from escalation_runs import Bench, Job, Wanted, arm_from_file, arms_of, patience, read_tasks, schedule
from escalation_stats import Record, Setup, comparable, difference, oracle, percentile, ratio, success, wilson

from agent import Limits, Rung
from agent.messages import Reply
from agent.model.profiles import MISTRAL
from agent.model.wire import Request
from agent.parsing.validation import CheckedCall, InvalidCall, check
from agent.task.parts import ToolUse
from agent.task.tool_loading import load_tools
from agent.testing import ScriptedModel, calls, says
from agent.tooling.toolbox import Toolbox

TOOLBOX = Toolbox(load_tools([ToolUse(use=name) for name in ("read_file", "edit_file", "run_shell")], directory=Path()))
EDIT = {"path": "calc.py", "old": "a - b", "new": 'a + b  # "sum"'}


def run_of(task: str = "0001_operator", arm: str = "none", **changes: object) -> Record:
    record = Record(
        task=task,
        bug_kind=task.partition("_")[2],
        task_digest="d1",
        arm=arm,
        seed=1,
        fault_rate=0.0,
        status="verified",
        reason="",
        requests=4,
        reasks=0,
        cured=0,
        output_tokens=100,
        reasoning_tokens=0,
        prompt_tokens=1000,
        cached_tokens=600,
        effort_switches=0,
        switch_prefilled_tokens=0,
        tool_calls=3,
        verifications=1,
        wall_s=1.0,
        engine_s=0.5,
        tools_s=0.1,
        verify_s=0.3,
    )
    return replace(record, **changes)


# Statistics.


def test_wilson_returns_the_textbook_intervals():
    def bounds(rate: float, count: int) -> tuple[float, float]:
        found = wilson(rate, count)
        return round(found.low, 4), round(found.high, 4)

    assert bounds(0.5, 10) == (0.2366, 0.7634)
    assert bounds(0.0, 10) == (0.0, 0.2775)
    assert bounds(1.0, 10) == (0.7225, 1.0)
    assert bounds(0.0, 0) == (0.0, 1.0)


def test_more_seeds_per_task_do_not_narrow_the_interval():
    once = [run_of(f"{number:04}_x", status="verified" if number % 2 else "stuck") for number in range(10)]
    often = [replace(record, seed=seed) for record in once for seed in (1, 2, 3)]
    assert success(often) == success(once)


def test_a_difference_is_paired_by_task():
    ours = [run_of(f"{number:04}_x", output_tokens=1000 * number + 10) for number in range(1, 30)]
    theirs = [run_of(f"{number:04}_x", arm="high", output_tokens=1000 * number) for number in range(1, 40)]
    found = difference(ours, theirs, lambda record: record.output_tokens)
    # Tasks differ by thousands of tokens, but the arms by 10 in each task, so resampling tasks changes nothing.
    assert (found.value, found.interval.low, found.interval.high) == (10.0, 10.0, 10.0)
    assert ratio(theirs[:29], ours, lambda record: record.requests).value == 1.0


def test_intervals_are_deterministic():
    ours = [run_of(f"{number:04}_x", output_tokens=number * number) for number in range(20)]
    theirs = [replace(record, output_tokens=100) for record in ours]
    found = [difference(ours, theirs, lambda record: record.output_tokens) for _ in range(2)]
    assert found[0] == found[1]
    assert found[0].interval.low < found[0].value < found[0].interval.high


def test_percentiles_are_interpolated():
    runs = [run_of(wall_s=value) for value in (4.0, 1.0, 3.0, 2.0)]
    assert percentile(runs, lambda record: record.wall_s, 0.5) == 2.5
    assert percentile(runs, lambda record: record.wall_s, 0.9) == pytest.approx(3.7)


def test_the_oracle_takes_the_cheaper_success_or_else_the_cheaper_failure():
    cheap = [
        run_of("a_x", output_tokens=10),
        run_of("b_x", output_tokens=10, status="stuck"),
        run_of("c_x", output_tokens=10, status="stuck"),
    ]
    dear = [
        run_of("a_x", "high", output_tokens=50),
        run_of("b_x", "high", output_tokens=50),
        run_of("b_x", "high", output_tokens=70, seed=2, status="budget"),
        run_of("c_x", "high", output_tokens=5, status="budget"),
        run_of("d_x", "high"),
    ]
    found = [(record.task, record.seed, record.status, record.output_tokens) for record in oracle(cheap, dear)]
    assert found == [
        ("a_x", 1, "verified", 10),
        ("b_x", 1, "verified", 50),
        ("b_x", 2, "stuck", 10),
        ("c_x", 1, "budget", 5),
    ]


def test_only_tasks_finished_by_every_arm_are_compared():
    records = [
        run_of("a_x"),
        run_of("b_x"),
        run_of("a_x", "high"),
        run_of("a_x", "high", seed=2),
        run_of("b_x", "high"),
    ]
    assert comparable(records) == {"none": records[:1], "high": records[2:4]}


# Faults.


def test_the_faults_of_a_run_depend_only_on_seed_task_and_step():
    plans = [FaultPlan(rate=0.3, seed=1, task="0001_operator") for _ in range(2)]
    assert [plans[0].at(step) for step in range(50)] == [plans[1].at(step) for step in range(50)]
    other = FaultPlan(rate=0.3, seed=2, task="0001_operator")
    assert [plans[0].at(step) for step in range(50)] != [other.at(step) for step in range(50)]


def test_the_faults_at_a_low_rate_are_a_subset_of_those_at_a_high_rate():
    low, high = FaultPlan(rate=0.1, seed=1, task="t"), FaultPlan(rate=0.3, seed=1, task="t")
    assert all(low.at(step) in (None, high.at(step)) for step in range(1000))
    assert 60 < sum(low.at(step) is not None for step in range(1000)) < 140
    kinds = Counter(damage.kind for step in range(4000) if (damage := high.at(step)) is not None)
    assert all(240 < kinds[kind] < 360 for kind in FAULT_KINDS)


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_a_damaged_call_is_invalid_unless_a_lost_quote_can_be_repaired(kind: FaultKind):
    outcomes: list[CheckedCall | InvalidCall] = []
    for seed in range(60):
        (raw,) = Damage(kind=kind, seed=seed).to(calls(("edit_file", EDIT))).tool_calls
        outcomes.append(check(raw, TOOLBOX, call_id="abcdefghi"))
    valid = [outcome for outcome in outcomes if isinstance(outcome, CheckedCall)]
    if kind == "bad_json":
        # The loop repairs a lost quote only if the result is exactly what the model wrote.
        assert all(json.loads(outcome.call.arguments) == EDIT for outcome in valid)
        assert len(valid) < 20
    else:
        assert not valid


def test_a_call_without_arguments_gets_a_damaged_name():
    for kind in ("wrong_argument", "wrong_type"):
        damaged = Damage(kind=kind, seed=1).to(calls(("list_files", {})))
        assert damaged.tool_calls[0].name != "list_files"


def test_damage_does_not_change_other_calls_or_the_usage():
    reply = calls(("read_file", {"path": "a.py"}), ("read_file", {"path": "b.py"}))
    damaged = Damage(kind="wrong_tool", seed=3).to(reply)
    assert sum(left != right for left, right in zip(reply.tool_calls, damaged.tool_calls, strict=True)) == 1
    assert damaged.usage == reply.usage


async def ask_all(model: TrialModel, requests: list[Request]) -> list[Reply]:
    async with model.open() as connection:
        return [await connection.ask(request) for request in requests]


async def test_a_reask_is_not_damaged_and_does_not_count_as_a_step():
    call = calls(("read_file", {"path": "a.py"}))
    script = ScriptedModel([call] * 4)
    model = TrialModel(model=script, plan=FaultPlan(rate=1.0, seed=1, task="t"), cache_salt="s")
    free = Request(model="m", messages=[b"{}"], tools=TOOLBOX.definitions, max_tokens=9)
    held = replace(free, force_tool="read_file")
    replies = await ask_all(model, [free, held, replace(free, tool_choice="required"), free])
    assert [reply == call for reply in replies] == [False, True, True, False]
    again = TrialModel(model=ScriptedModel([call] * 2), plan=model.plan, cache_salt="s")
    assert await ask_all(again, [free, free]) == [replies[0], replies[3]]
    assert model.damaged.total() == 2


async def test_each_request_carries_its_own_seed_and_the_salt():
    free = Request(model="m", messages=[b'{"role":"user"}'], tools=b"[]", max_tokens=9)
    bodies = []
    for task in ("a", "a", "b"):
        script = ScriptedModel([says("hi"), says("hi")])
        model = TrialModel(model=script, plan=FaultPlan(rate=0.0, seed=1, task=task), cache_salt="salt")
        await ask_all(model, [free, free])
        bodies.append(script.bodies)
    assert bodies[0] == bodies[1]
    plain = json.loads(free.encode(stream=False))
    assert [{**body, "seed": 0} for body in bodies[0]] == [{**plain, "seed": 0, "cache_salt": "salt"}] * 2
    assert len({body["seed"] for found in bodies[1:] for body in found}) == 4


# Arms, order, and one run.


def make_task(folder: Path, name: str) -> None:
    for part in ("project", "hidden"):
        (folder / name / part).mkdir(parents=True)
    (folder / name / "project" / "calc.py").write_text("def add(a, b):\n    return a - b\n")
    (folder / name / "hidden" / "wanted.txt").write_text("a + b")
    (folder / name / "task.yaml").write_text(
        "prompt: Fix it.\nworkspace: {path: project, copy: true}\ntools: [read_file, edit_file]\n"
        'verify: grep -q -f "$AGENT_TASK_DIR/hidden/wanted.txt" calc.py\n'
    )


def test_an_arm_that_cannot_climb_tolerates_as_many_failures_as_the_whole_ladder():
    arms = arms_of(MISTRAL)
    assert patience(MISTRAL.ladder) == {
        "invalid_call": 3, "unknown_tool": 3, "tool_error": 9, "repeat": 6, "no_progress": 3, "empty_reply": 6,
        "truncated": 6, "answer_in_reasoning": 6,
    }  # fmt: skip
    assert arms["reask"].ladder.rungs == (Rung(effort="none"), Rung(effort="none", constrained=True))
    assert [name for name, arm in arms.items() if arm.is_sampled(MISTRAL)] == [
        "high", "ladder", "phases", "both", "branches",
    ]  # fmt: skip


def test_a_ladder_from_a_file_gets_default_thresholds_for_the_triggers_it_omits(tmp_path: Path):
    file = tmp_path / "slow.yaml"
    file.write_text("escalation: {rungs: [{effort: none}, {effort: high}], triggers: {verify_failed: 2, repeat: null}}")
    ladder = arm_from_file("slow", file).ladder
    assert ladder.rungs == (Rung(effort="none"), Rung(effort="high"))
    assert (ladder.triggers["verify_failed"], ladder.triggers["tool_error"]) == (2, 3)
    assert "repeat" not in ladder.triggers


def test_arms_take_turns_and_only_sampled_arms_use_more_seeds(tmp_path: Path):
    for name in ("0001_operator", "0002_comparison"):
        make_task(tmp_path, name)
    known = arms_of(MISTRAL)
    wanted = Wanted(seeds=[1, 2], fault_rates=[0.0, 0.3], fault_tasks=1)
    jobs = schedule(read_tasks(tmp_path), [known["none"], known["high"]], wanted, MISTRAL)
    assert [str(job) for job in jobs] == [
        "0001_operator none seed 1",
        "0001_operator high seed 1",
        "0001_operator high seed 2",
        "0002_comparison high seed 1",
        "0002_comparison none seed 1",
        "0002_comparison high seed 2",
        "0001_operator none seed 1 faults 0.3",
        "0001_operator high seed 1 faults 0.3",
    ]


async def test_a_run_works_in_a_copy_and_is_recorded(tmp_path: Path):
    make_task(tmp_path / "tasks", "0001_operator")
    (task,) = read_tasks(tmp_path / "tasks")
    edit = ("edit_file", {"path": "calc.py", "old": "a - b", "new": "a + b"})
    script = ScriptedModel([says("Done."), calls(edit, reasoning="a minus, not a plus"), says("Done.")])
    bench = Bench(model=script, limits=Limits(steps=30), scratch=tmp_path / "scratch", salt="s")
    arm = arms_of(MISTRAL)["ladder"]
    record = await bench.run(Job(task=task, arm=arm, seed=1, fault_rate=0.0))
    assert replace(record, wall_s=0.0, engine_s=0.0, tools_s=0.0, verify_s=0.0) == run_of(
        arm="ladder",
        task_digest=task.digest,
        reason="the verification passed on attempt 2",
        requests=3,
        output_tokens=record.output_tokens,
        reasoning_tokens=4,
        prompt_tokens=300,
        cached_tokens=0,
        effort_switches=1,
        switch_prefilled_tokens=100,
        tool_calls=1,
        verifications=2,
        climbs={"verify_failed": 1},
        wall_s=0.0,
        engine_s=0.0,
        tools_s=0.0,
        verify_s=0.0,
    )
    assert "a - b" in (task.project / "calc.py").read_text()
    assert list((tmp_path / "scratch").iterdir()) == []


# The report.


def test_the_report_is_built_from_the_records_alone():
    setup = Setup(
        date="2026-11-25T02:00:00+00:00",
        model="pocket",
        model_digest="0123456789abcdef",
        engine="0.32.0",
        python="3.11.7",
        cores=2,
        load_average=0.5,
        concurrency=4,
        steps=30,
        arms={"none": None, "high": None, "ladder": None},
        held_out_kinds=("reversed",),
        tasks={"seed": 7},
    )
    records = [
        run_of("0001_operator", "high", output_tokens=400, reasoning_tokens=300, wall_s=4.0),
        run_of("0002_reversed", "high", output_tokens=400, reasoning_tokens=300, wall_s=4.0),
        run_of("0001_operator", "none", status="error"),
        run_of("0001_operator", "none"),
        run_of("0002_reversed", "none", status="verify_failed"),
        run_of("0001_operator", "ladder"),
        run_of("0002_reversed", "ladder", output_tokens=500, climbs={"verify_failed": 1}),
        run_of("0003_gone", "none", status="error"),
        run_of("0001_operator", "none", fault_rate=0.3, faults={"bad_json": 1}, status="stuck"),
    ]
    lines = report([setup], records).splitlines()
    assert "- Model: `pocket`, weights SHA-256 0123456789abcdef. Engine: vLLM 0.32.0." in lines
    assert "2 tasks that every arm has finished with all its seeds." in lines
    assert [line for line in lines if line.startswith("| `")][:4] == [
        "| `none` | 2 | 50.0% (9.5% to 90.5%) | 100 | 0 | 200 | 1,000 | 600 | 400 |",
        "| `high` | 2 | 100.0% (34.2% to 100.0%) | 400 | 300 | 400 | 1,000 | 600 | 400 |",
        "| `ladder` | 2 | 100.0% (34.2% to 100.0%) | 300 | 0 | 300 | 1,000 | 600 | 400 |",
        "| `oracle` | 2 | 100.0% (34.2% to 100.0%) | 250 | 150 | 250 | 1,000 | 600 | 400 |",
    ]
    assert "| reversed (held out) | 1 | 0% | 100% | 100% | 100% |" in lines
    assert "| `ladder` | 2 | 0 | 1 | 1 | verify_failed 1 |" in lines
    assert "| `none` | 1 | 100.0% | 0.0% | 100 | 100 | 1.00 |" in lines
    assert "Total damage: bad_json 1." in lines


def test_a_report_keeps_the_text_of_a_card_above_it(tmp_path: Path):
    plain, card = tmp_path / "report.md", tmp_path / "CARD.md"
    card.write_text(f"# The model\n\nBy hand.\n\n{MARK}\n\nold\n")
    for _ in range(2):
        write_report(plain, "new\n")
        write_report(card, "new\n")
    assert plain.read_text() == "new\n"
    assert card.read_text() == f"# The model\n\nBy hand.\n\n{MARK}\n\nnew\n"

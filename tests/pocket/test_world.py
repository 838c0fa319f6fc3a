"""Tests of the generated projects: bugs and repairs, disjoint splits, traces in words, and real test runs."""

import ast
import json
import re
from pathlib import Path
from random import Random

import pytest
from pocket.world.bugs import BUG_KINDS, HELD_OUT, BugKind, LineEdit, changes, line_edit
from pocket.world.examples import outcomes
from pocket.world.functions import shape
from pocket.world.live_project import LiveProject
from pocket.world.names import shared_words
from pocket.world.projects import generate_project
from pocket.world.pytest_runner import PytestRunner
from pocket.world.repairs import RepairSession, unique_edit
from pocket.world.tasks import write_tasks
from pocket.world.tracing import TooHardError, trace

from agent import load_task

TOTAL = """\
def total(prices, most):
    cost = 0
    for price in prices:
        if price < most:
            cost += price
    return cost"""


def traced(source: str, *arguments: object) -> tuple[str, object]:
    nodes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    return trace(nodes, next(reversed(nodes)), arguments)


def test_every_possible_kind_of_change_is_found():
    found = {
        (change.kind, edit.old.strip(), edit.new.strip())
        for change in changes(TOTAL)
        if (edit := line_edit(TOTAL, change.source))
    }

    assert {
        ("comparison", "if price < most:", "if price <= most:"),
        ("inverted_condition", "if price < most:", "if price >= most:"),
        ("reversed_comparison", "if price < most:", "if price > most:"),
        ("wrong_start", "cost = 0", "cost = 1"),
        ("operator", "cost += price", "cost -= price"),
        ("lost_accumulation", "cost += price", "cost = price"),
        ("missing_return", "return cost", "cost"),
        ("early_return", "return cost", "return cost"),
        ("wrong_variable", "return cost", "return price"),
    } <= found


@pytest.mark.parametrize("kind", BUG_KINDS)
def test_a_project_fails_its_tests_and_a_change_of_one_line_repairs_it(kind: BugKind):
    for seed in range(3):
        made = generate_project(Random(seed), "test", kind)
        assert made.kind == kind
        assert made.wrong_values(made.faulty)
        assert made.wrong_values(made.correct) == []
        values = outcomes([made.correct, made.partner], made.function, made.checked)
        assert values == [example.value for example in made.checked]
        assert kind == "exchanged_branches" or made.repair is not None


def test_some_change_passes_the_hidden_tests_and_each_such_change_passes_the_visible_ones():
    for seed in range(8):
        made = generate_project(Random(seed), "test", "operator")
        wanted = [example.value for example in made.checked]
        passing = [
            change.source
            for change in changes(made.faulty)
            if outcomes([change.source, made.partner], made.function, made.checked) == wanted
        ]
        assert passing
        assert all(made.wrong_values(source) == [] for source in passing)


def test_the_splits_share_no_names_or_bodies_and_the_held_out_kinds_are_only_in_the_test_split():
    train = [generate_project(Random(seed), "train") for seed in range(60)]
    test = [generate_project(Random(seed), "test") for seed in range(60)]

    assert shared_words() == set()
    assert not {one.kind for one in train} & HELD_OUT
    assert len(HELD_OUT) >= 2
    names = [
        {word for made in split for text in made.files.values() for word in identifiers(text)}
        for split in (train, test)
    ]
    assert names[0] & names[1] <= BUILTINS
    bodies = [{shape(made.correct) for made in split} for split in (train, test)]
    assert bodies[0].isdisjoint(bodies[1])


BUILTINS = {"range", "len", "sum", "min", "max"}


def identifiers(text: str) -> set[str]:
    nodes = list(ast.walk(ast.parse(text)))
    found = {node.id for node in nodes if isinstance(node, ast.Name)}
    found |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    return found | {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


def test_a_trace_holds_every_step():
    assert traced(TOTAL, [1, 5], 3) == (
        "cost = 0; price = 1; 1 < 3 = True; cost = 0 + 1 = 1; price = 5; 5 < 3 = False; 1",
        1,
    )
    assert traced("def f(n):\n    if n == 0:\n        return 1\n    return n * f(n - 1)", 1) == (
        "1 == 0 = False; 1 * f(1 - 1) = 1 * f(0); 0 == 0 = True; 1; 1 * 1 = 1",
        1,
    )
    assert traced("def g(xs):\n    return sum(xs) - xs[-1]", [4, 5, 6]) == (
        "sum([4, 5, 6]) - [4, 5, 6][-1] = 4 + 5 + 6 - [4, 5, 6][-1] = 9 + 6 - [4, 5, 6][-1] = 15 - [4, 5, 6][-1] "
        "= 15 - 6 = 9",
        9,
    )


def test_traces_with_large_numbers_or_endless_recursion_are_rejected():
    with pytest.raises(TooHardError):
        traced("def f(n):\n    return n * n", 50)
    with pytest.raises(TooHardError):
        traced("def f(n):\n    return f(n + 1)", 0)


def test_an_edit_includes_enough_lines_to_be_unique():
    before = "def f(a):\n    if a:\n        return a\n    return a\n"
    after = "def f(a):\n    if a:\n        return a\n    return 1\n"

    assert line_edit(before, after) == LineEdit(line=3, old="    return a", new="    return 1")
    edit = unique_edit(before, after)
    assert edit is not None
    assert before.count(str(edit["old"])) == 1
    assert before.replace(str(edit["old"]), str(edit["new"])) == after


def test_pytest_runs_for_real_and_does_not_reuse_the_previous_project():
    with PytestRunner() as runner:
        good = {
            "one.py": "def one():\n    return 1\n",
            "test_one.py": "from one import one\n\n\ndef test_one():\n    assert one() == 1\n",
        }
        bad = {**good, "one.py": "def one():\n    return 2\n"}
        assert runner.pytest(runner.put(good))[1] == 0
        printed, code = runner.pytest(runner.put(bad))
        assert runner.pytest(runner.put(good))[1] == 0

    assert code == 1
    assert re.sub(r"\d\.\d\ds", "0.01s", printed) == (
        "F                                                                        [100%]\n"
        "=================================== FAILURES ===================================\n"
        "___________________________________ test_one ___________________________________\n\n"
        "    def test_one():\n>       assert one() == 1\nE       assert 2 == 1\nE        +  where 2 = one()\n\n"
        "test_one.py:5: AssertionError\n"
        "=========================== short test summary info ============================\n"
        "FAILED test_one.py::test_one - assert 2 == 1\n1 failed in 0.01s\n"
    )


def test_a_repair_session_ends_with_passing_tests_and_marks_wrong_guesses():
    played = guessed = 0
    with PytestRunner() as runner:
        for seed in range(25):
            rng = Random(seed)
            made = generate_project(rng, "train")
            live = LiveProject(runner, made)
            exchanges = RepairSession(rng, live, made).play()
            text = live.text()
            live.close()
            if exchanges is None:
                continue
            played += 1
            *_, edit, tests, answer = exchanges[-1].turns
            if text != made.with_source(made.correct):  # the search found a repair that is written differently
                assert "I should try all in order." in edit.think
            assert " passed in " in tests.calls[0].result
            assert "failed" not in tests.calls[0].result
            assert answer.text == f"I fixed {made.function} in {made.path}. The tests pass now."
            for turn in (turn for exchange in exchanges for turn in exchange.turns if turn.guesses):
                guessed += 1
                assert all(f"{guess} " in turn.think for guess in turn.guesses)
                assert len(turn.guesses) == 1
                assert re.search(
                    r"\. No\. I should try all in order\. .*( Yes\.| None of them\.)$", turn.think, re.DOTALL
                )
    assert played > 20
    assert guessed > 3


def test_tasks_are_written_with_hidden_tests(tmp_path: Path):
    write_tasks(tmp_path / "tasks", count=len(BUG_KINDS), seed=3)

    folders = sorted(path for path in (tmp_path / "tasks").iterdir() if path.is_dir())
    assert [folder.name.partition("_")[2] for folder in folders] == list(BUG_KINDS)
    task = load_task(folders[0] / "task.yaml")
    assert task.workspace.copy
    assert task.verify is not None
    shown = "".join(path.read_text() for path in (folders[0] / "project").rglob("*.py"))
    (hidden,) = (folders[0] / "hidden").glob("test_*.py")
    assert hidden.read_text() not in shown
    assert json.loads((tmp_path / "tasks/tasks.json").read_text())["held_out_kinds"] == sorted(HELD_OUT)
    with pytest.raises(FileExistsError, match="is not empty"):
        write_tasks(tmp_path / "tasks", count=1, seed=3)

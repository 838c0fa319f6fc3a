"""A task's own files that a run changed are named at its end, and not loaded by the next run."""

from __future__ import annotations

import importlib
import marshal
import os
import shutil
import struct
import sys
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import MAGIC_NUMBER, cache_from_source
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest

from agent import Agent, ConfigError, Outcome, Task, load_task
from agent.cli import main
from agent.task.own_files import checked_own_files, own_files
from agent.testing import ScriptedModel, calls, says

if TYPE_CHECKING:
    from conftest import Nest

TOOL = 'from agent import tool\n@tool\ndef hello() -> str:\n    """Say hello."""\n    return \'hi\'\n'


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "mine.py").write_text(TOOL)
    (folder / "task.yaml").write_text("prompt: Go.\nworkspace: .\ntools: [write_file, './mine.py:hello']\n")
    return folder


def agent(work: Path, *script: object) -> Agent:
    model = ScriptedModel([*script, says("Done.")])
    return Agent.from_task(load_task(work / "task.yaml"), model, environ=os.environ, runs=work.parent / "runs")


def write(work: Path, path: str, content: str) -> Outcome:
    return agent(work, calls(("write_file", {"path": path, "content": content}))).run_sync("Go.")


@contextmanager
def killed() -> Generator[None]:
    """Have runs in the block end without the record of what they changed, as those do that are killed."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("agent.workspace.left_behind.record_end", Mock())
        yield


def accept(refused: pytest.ExceptionInfo[ConfigError]) -> None:
    """Do what the message of a refusal says."""
    for word in str(refused.value).rpartition(": rm ")[2].split():
        Path(word).unlink()


@pytest.mark.parametrize("path", ["mine.py", "task.yaml"])
def test_a_file_of_the_task_that_its_run_changed_is_named_and_refused_by_the_next_run(path: str, work: Path):
    mark = work.parent / "ran"
    text = (work / path).read_text() + (
        f"__import__('pathlib').Path({str(mark)!r}).touch()\n" if path == "mine.py" else "sandbox: none\n"
    )
    outcome = write(work, path, text)
    assert outcome.notices == (
        f"The run changed files of tasks, tools or servers: {work / path}. They run outside the sandbox, or say "
        "what does. Look at them before you run such a task again.",
    )
    mark.unlink(missing_ok=True)
    with pytest.raises(
        ConfigError, match=rf"the run {outcome.run} changed it\. Look at it\. To accept it as it is: rm "
    ) as refused:
        agent(work)
    assert not mark.exists()
    accept(refused)
    agent(work)


def test_a_file_that_was_changed_after_a_killed_run_is_refused(work: Path):
    with killed():
        assert write(work, "a.txt", "x").notices == ()
    (work / "mine.py").write_text(TOOL + "# changed\n")
    with pytest.raises(ConfigError, match=r"was killed, and may have changed it") as refused:
        agent(work)
    accept(refused)
    agent(work)
    time.sleep(0.02)  # the clock of files has steps of up to 10 ms
    (work / "mine.py").write_text(TOOL + "# changed again, by the user\n")
    agent(work)


def test_the_users_own_changes_between_runs_are_no_finding(work: Path):
    write(work, "a.txt", "x")
    (work / "mine.py").write_text(TOOL + "# mine\n")
    assert write(work, "a.txt", "y").notices == ()


def test_a_file_outside_the_workspace_is_not_looked_at(work: Path):
    outside = (work / "task.yaml").rename(work.parent / "task.yaml")
    outside.write_text("prompt: Go.\nworkspace: work\ntools: [write_file]\n")
    assert own_files(load_task(outside)).existing() == set()


def test_a_module_that_a_tools_file_imports_from_its_folder_is_refused_too(work: Path):
    (work / "helper.py").write_text("X = 1\n")
    (work / "mine.py").write_text(
        "import os, sys\nsys.path.insert(0, os.path.dirname(__file__))\nimport helper\n" + TOOL
    )
    outcome = write(work, "helper.py", "X = 2\n")
    assert str(work / "helper.py") in outcome.notices[0]
    with pytest.raises(ConfigError, match=r"helper\.py runs outside the sandbox"):
        agent(work)


@pytest.mark.parametrize("path", ["mine.py", "task.yaml"])
def test_what_the_run_of_another_task_changed_is_refused(path: str, work: Path):
    (work / "jobs").mkdir()
    other = work / "jobs" / "other.yaml"
    other.write_text("prompt: Go.\nworkspace: ..\ntools: [write_file]\n")
    changed = (work / path).read_text() + ("sandbox: none\n" if path == "task.yaml" else "# changed\n")
    model = ScriptedModel([calls(("write_file", {"path": path, "content": changed})), says("Done.")])
    outcome = Agent.from_task(load_task(other), model, environ=os.environ, runs=work.parent / "runs").run_sync("Go.")
    assert f"{work / path}." in outcome.notices[0]
    with pytest.raises(ConfigError, match="runs outside the sandbox or says what does"):
        agent(work)


def test_a_yaml_file_with_a_prompt_that_is_no_task_is_the_models_to_edit(work: Path):
    (work / "evals").mkdir()
    (work / "evals" / "a.yaml").write_text("prompt: Hi\nproviders: [x]\n")
    assert work / "evals" / "a.yaml" not in own_files(load_task(work / "task.yaml")).files


@pytest.mark.parametrize("module", ["json.py", "pydantic/__init__.py"])
@pytest.mark.parametrize("how", [nullcontext, killed])
def test_a_module_that_a_run_put_beside_a_tools_file_is_named_and_refused(
    module: str, how: Callable[[], AbstractContextManager[None]], work: Path
):
    """The next run's tools file or MCP server would import it in place of Python's own."""
    with how():
        outcome = write(work, module, "raise SystemExit\n")
    assert [str(work / module) in notice for notice in outcome.notices] == [True]
    with pytest.raises(ConfigError, match=rf"{work / module} runs outside the sandbox .* {outcome.run} "):
        agent(work)


def test_other_modules_beside_a_tools_file_are_the_models_to_write(work: Path):
    assert write(work, "counting.py", "x = 1\n").notices == ()
    agent(work)


OTHERS = {
    "a hidden folder": (".tasks/b.yaml", "prompt: b\nworkspace: ..\n"),
    "JSON": ("b.json", '{"prompt": "b", "workspace": "."}\n'),
    "a quoted key": ("b.yaml", '"prompt": b\nworkspace: .\n'),
    "another extension": ("b.txt", "prompt: b\nworkspace: .\n"),
}


@pytest.mark.parametrize(("path", "text"), OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("first", ["made", "changed", "changed by itself", "changed and killed"])
def test_a_task_that_a_run_made_or_changed_is_refused_whatever_its_name(path: str, text: str, first: str, work: Path):
    """Only plain YAML files with a plain key were known; `sandbox: none` in any other held for the next run."""
    other, runs = work / path, work.parent / "runs"
    if first != "made":
        other.parent.mkdir(exist_ok=True)
        other.write_text(text.replace("b", "a"))
    changed = calls(("write_file", {"path": path, "content": text}))
    if first == "changed by itself":
        other.write_text(
            text.replace("}", ', "tools": ["write_file"]}') if "{" in text else text + "tools: [write_file]"
        )
        model = ScriptedModel([changed, says("Done.")])
        outcome = Agent.from_task(load_task(other), model, environ=os.environ, runs=runs).run_sync("Go.")
        assert str(other) in outcome.notices[0]
    else:
        with killed() if first == "changed and killed" else nullcontext():
            outcome = agent(work, changed).run_sync("Go.")
    with pytest.raises(ConfigError, match=rf"the run {outcome.run} (was killed, and may have )?changed it") as refused:
        Agent.from_task(load_task(other), ScriptedModel([]), environ=os.environ, runs=runs)
    accept(refused)
    Agent.from_task(load_task(other), ScriptedModel([]), environ=os.environ, runs=runs)


def test_a_tools_file_that_a_run_made_before_a_task_named_it_is_refused(work: Path):
    outcome = write(work, "new.py", TOOL)
    (work / "task.yaml").write_text("prompt: Go.\nworkspace: .\ntools: ['./new.py:hello']\n")
    with pytest.raises(ConfigError, match=rf"new\.py runs outside the sandbox .* {outcome.run} changed it"):
        agent(work)


def test_a_task_that_the_user_made_after_a_run_or_before_it_is_no_finding(work: Path):
    (work / "before.txt").write_text("prompt: b\nworkspace: .\n")
    os.utime(work / "before.txt", (1, 1))
    time.sleep(0.02)  # the clock of files has steps of up to 10 ms
    write(work, "a.txt", "x")
    time.sleep(0.02)
    (work / "after.txt").write_text("prompt: b\nworkspace: .\n")
    for name in ("before.txt", "after.txt"):
        Agent.from_task(load_task(work / name), ScriptedModel([]), environ=os.environ, runs=work.parent / "runs")


def test_a_changed_file_is_refused_however_many_runs_there_were_since_and_without_their_folders(work: Path):
    """A tool that a run had changed was accepted after 50 newer runs, or once the run was removed."""
    runs = work.parent / "runs"
    outcome = write(work, "mine.py", TOOL + "# changed\n")
    shutil.copy(runs / outcome.run / "journal.jsonl", work.parent)
    shutil.rmtree(runs / outcome.run)
    for number in range(60):
        (runs / f"29991231-0000{number:02}-abcdef").mkdir()
        shutil.copy(work.parent / "journal.jsonl", runs / f"29991231-0000{number:02}-abcdef")
    with pytest.raises(ConfigError, match=rf"mine\.py runs outside the sandbox .* {outcome.run} changed it"):
        agent(work)


def test_all_that_a_run_changed_is_refused_at_once_and_accepted_with_one_command(work: Path):
    changes = [("write_file", {"path": path, "content": TOOL + "# changed\n"}) for path in ("mine.py", "json.py")]
    outcome = agent(work, calls(*changes)).run_sync("Go.")
    with pytest.raises(ConfigError) as refused:
        agent(work)
    how = f"runs outside the sandbox or says what does, and the run {outcome.run} changed it."
    assert f"{work / 'mine.py'} {how}" in str(refused.value)
    assert f"{work / 'json.py'} {how}" in str(refused.value)
    assert "Look at them. To accept them as they are: rm " in str(refused.value)
    accept(refused)
    agent(work)


def test_a_tools_file_that_a_run_made_is_not_run_to_print_its_tools(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("AGENT_RUNS_DIR", str(work.parent / "runs"))
    monkeypatch.chdir(work)
    assert main(["tools", "./mine.py:hello"]) == 0
    outcome = write(work, "mine.py", TOOL + "raise SystemExit\n")
    assert main(["tools", "./mine.py:hello"]) == 2
    assert f"mine.py runs outside the sandbox or says what does, and the run {outcome.run} changed it." in (
        capsys.readouterr().err
    )


def test_contents_that_a_run_left_are_refused_again_when_they_come_back(work: Path):
    """As with `git stash` and `git stash pop`."""
    write(work, "mine.py", TOOL + "# changed\n")
    (work / "mine.py").write_text(TOOL)
    agent(work)
    (work / "mine.py").write_text(TOOL + "# changed\n")
    with pytest.raises(ConfigError, match=r"mine\.py runs outside the sandbox"):
        agent(work)


def test_the_times_of_runs_in_one_folder_have_a_bound(work: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("agent.workspace.changed_files._MAX_TIMES", 4)
    write(work, "new.py", TOOL)
    for _ in range(9):
        write(work, "a.txt", "x")
    (times,) = (work.parent / "runs/.index/times").iterdir()
    assert len(times.read_text().splitlines()) <= 6
    (work / "task.yaml").write_text("prompt: Go.\nworkspace: .\ntools: ['./new.py:hello']\n")
    with pytest.raises(ConfigError, match=r"new\.py runs outside the sandbox .* changed it"):
        agent(work)


IMPORTS = {
    "by a computed name": ("importlib.import_module('hel' + 'per')", "helper.py"),
    "over another": ("import helper", "helper/__init__.py"),
    "if it is there": ("importlib.import_module('or' + 'json')", "orjson.py"),
}


@pytest.mark.parametrize(("imports", "path"), IMPORTS.values(), ids=IMPORTS)
def test_what_a_tools_file_imports_of_what_a_run_left_is_refused(imports: str, path: str, work: Path):
    (work / "helper.py").write_text("x = 1\n")
    beginning = "import importlib, os, sys\nsys.path.insert(0, os.path.dirname(__file__))\ntry:\n    "
    (work / "mine.py").write_text(f"{beginning}{imports}\nexcept ImportError: pass\n{TOOL}")
    mark = work.parent / "ran"
    outcome = write(work, path, f"__import__('pathlib').Path({str(mark)!r}).touch()\n")
    _forget(work)
    with pytest.raises(ConfigError, match=rf"{path} runs outside the sandbox .* {outcome.run} changed it") as refused:
        agent(work)
    assert not mark.exists()
    accept(refused)
    agent(work)
    _forget(work)


def test_a_tools_file_reads_no_bytecode_that_a_run_left_beside_its_modules(work: Path):
    helper = work / "helper.py"
    helper.write_text("x = 1\n")
    (work / "mine.py").write_text(
        "import os, sys\nsys.path.insert(0, os.path.dirname(__file__))\nimport helper\n" + TOOL
    )
    mark = work.parent / "ran"
    facts = helper.stat()
    code = compile(f"__import__('pathlib').Path({str(mark)!r}).touch()", "helper.py", "exec")
    cached = Path(cache_from_source(str(helper)))
    cached.parent.mkdir()
    times = struct.pack("<III", 0, int(facts.st_mtime), facts.st_size)
    cached.write_bytes(MAGIC_NUMBER + times + marshal.dumps(code))
    _forget(work)
    agent(work)
    _forget(work)
    assert not mark.exists()


def test_a_module_that_a_tools_file_imports_by_a_computed_name_is_named_when_a_run_changes_it(work: Path):
    (work / "helper.py").write_text("x = 1\n")
    (work / "mine.py").write_text(
        "import importlib, os, sys\nsys.path.insert(0, os.path.dirname(__file__))\n"
        f"importlib.import_module('hel' + 'per')\n{TOOL}"
    )
    _forget(work)
    assert str(work / "helper.py") in write(work, "helper.py", "x = 2\n").notices[0]
    _forget(work)


def test_an_environment_of_a_server_that_a_run_changed_is_named_and_refused(work: Path):
    package = work / ".venv/lib/python3.12/site-packages/acme/__init__.py"
    package.parent.mkdir(parents=True)
    package.touch()
    (work / ".venv/pyvenv.cfg").touch()
    (work / ".venv/bin").mkdir()
    (work / ".venv/bin/python").touch(0o755)
    (work / "server.yaml").write_text(
        "prompt: Go.\nworkspace: .\nmcp: {s: {command: [.venv/bin/python, -m, acme], sandbox: none}}\n"
    )
    task = load_task(work / "server.yaml")
    assert checked_own_files(task, work.parent / "runs").environments == {work / ".venv"}
    outcome = write(work, str(package.relative_to(work)), "import os\n")
    with pytest.raises(ConfigError, match=rf"\.venv runs outside the sandbox .* {outcome.run} changed it") as refused:
        checked_own_files(task, work.parent / "runs")
    package.with_name("users.py").touch()  # what the user installs beside it accepts nothing
    with pytest.raises(ConfigError, match=rf"\.venv runs outside the sandbox .* {outcome.run} changed it"):
        checked_own_files(task, work.parent / "runs")
    accept(refused)
    checked_own_files(task, work.parent / "runs")


def _forget(work: Path) -> None:
    """Have the next tools file import its modules anew, as another process does."""
    of_tests = str(work.parents[1])  # this one's, and those of others
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(of_tests):
            del sys.modules[name]
    sys.path[:] = [entry for entry in sys.path if not entry.startswith(of_tests)]
    importlib.invalidate_caches()


def test_folders_nested_deeper_than_python_can_recurse_end_no_start(work: Path, nest: Nest):
    nest(work, 1100)
    assert work / "task.yaml" in own_files(load_task(work / "task.yaml")).files


def test_planted_files_that_look_like_tasks_take_a_bounded_time(work: Path, monkeypatch: pytest.MonkeyPatch):
    """30 hard links to one file of 1 MB delayed the next start by 70 seconds."""
    (work / "jobs").mkdir()
    (work / "jobs/real.yaml").write_text("prompt: Go.\n")
    (work / "jobs/00.yaml").write_text("prompt: |\n" + " a\n" * 60_000)
    for number in range(1, 30):
        (work / f"jobs/{number:02}.yaml").hardlink_to(work / "jobs/00.yaml")
    read: list[Path] = []

    def loaded(path: Path) -> Task:
        read.append(path)
        return load_task(path)

    monkeypatch.setattr("agent.task.own_files._loaded", loaded)
    found = own_files(load_task(work / "task.yaml")).files
    assert work / "jobs/real.yaml" in found
    assert sum(path.stat().st_size for path in read) <= 512 * 1024

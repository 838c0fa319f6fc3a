"""What agent itself runs from: an environment in the workspace stays as it is, whatever a run tries."""

from __future__ import annotations

import argparse
import importlib
import json
import marshal
import subprocess
import sys
import time
import zipfile
from importlib.util import MAGIC_NUMBER, cache_from_source
from pathlib import Path

import pytest

from agent import Agent, ConfigError, Sandbox, tool
from agent.cli import main
from agent.messages import ToolResult
from agent.ready_tools import write_file
from agent.sandbox.imports import guarded_imports
from agent.sandbox.own_code import own_code
from agent.testing import ScriptedModel, calls, says

RUN = """
import asyncio, json, sys
from pathlib import Path
from agent import Agent, ConfigError, Rules, find_sandbox
from agent.messages import ToolResult
from agent.testing import ScriptedModel, calls, says
from tools.files import write_file
from tools.shell import run_shell

workspace, kind, made = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
model = ScriptedModel([*[calls((name, arguments)) for name, arguments in made], says("Done.")])
try:
    sandbox = find_sandbox(kind, Rules())
    env = {"PATH": "/usr/bin:/bin"}
    agent = Agent(model, tools=[run_shell, write_file], workspace=workspace, sandbox=sandbox, env=env)
    outcome = asyncio.run(agent.run("Go."))
except ConfigError as error:
    print(json.dumps(str(error)))
else:
    print(json.dumps([one.content for one in outcome.messages if isinstance(one, ToolResult)]))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with agent installed in its own virtual environment."""
    project = tmp_path / "project"
    environment = project / "env" / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/python3*/site-packages")
    (packages / "own.pth").write_text("\n".join(entry for entry in sys.path if entry) + "\n")
    (packages / "module.py").write_text("GOOD = True\n")
    (project / "a.py").write_text("x = 1\n")
    return project


def attempts(project: Path, *made: tuple[str, dict[str, str]], kind: str = "bubblewrap") -> list[str] | str:
    python = project / "env" / "venv" / "bin" / "python"
    done = subprocess.run(
        [python, "-c", RUN, project, kind, json.dumps(made)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "command",
    [
        "cd env/venv/lib/python3*/site-packages; echo BAD > module.py; echo BAD > new.py",
        "mv env other; cp -r other env; echo BAD > env/venv/lib/python3*/site-packages/module.py",
        "mv env/venv env/other; mkdir -p env/venv",
        "rm -rf env; ln -sn /tmp env || true",
        "echo BAD > env/venv/pyvenv.cfg; rm env/venv/bin/python; echo BAD > env/venv/bin/python",
        "chmod -R 777 env/venv; echo BAD > env/venv/pyvenv.cfg; ln -f a.py env/venv/pyvenv.cfg",
    ],
)
def test_no_command_changes_the_environment_that_agent_runs_from(project: Path, command: str):
    def state() -> dict[str, object]:
        top = project / "env"
        return {str(path): path.read_bytes() if path.is_file() else "" for path in top.rglob("*")
                if "__pycache__" not in path.parts and path.name != "tmp"}  # fmt: skip

    before = state()
    result = attempts(project, ("run_shell", {"command": command}), ("run_shell", {"command": "echo 2 > a.py"}))
    assert isinstance(result, list)
    assert state() == before
    assert (project / "a.py").read_text() == "2\n"


@pytest.mark.parametrize("path", ["env/venv/pyvenv.cfg", "env/venv/new/deep.py", "link/new.py", "env/link/x.py"])
def test_no_tool_writes_into_the_environment_that_agent_runs_from(project: Path, path: str):
    (project / "link").symlink_to("env/venv")
    (project / "env" / "link").symlink_to(project / "env" / "venv" / "lib")
    written = {"path": path, "content": "BAD"}
    assert attempts(project, ("write_file", written), ("write_file", {"path": "env/a.py", "content": "x"})) == [
        f'Error: "{path}" is part of what this agent itself runs from, which a run cannot change. Leave it as it is.',
        "Wrote 1 byte to env/a.py.",
    ]


def test_landlock_cannot_make_it_read_only_so_the_run_is_refused(project: Path):
    assert attempts(project, kind="landlock") == (
        f"agent itself runs from '{project}/env/venv', which commands may change, and Landlock cannot make it "
        "read-only. Install bubblewrap, install tramontane outside of the workspace (`pipx install tramontane`), or "
        "let the run work in a copy, with workspace: {path: ..., copy: true}, or workspace_mode='copy' of an Agent."
    )


def test_a_workspace_inside_what_agent_runs_from_is_refused():
    folder = next(path for path in own_code() if path.name == "agent") / "sandbox"
    with pytest.raises(ConfigError) as refused:
        Sandbox().check_own_code(folder)
    assert str(refused.value) == (
        f"A run cannot change '{folder}': agent itself runs from '{folder.parent}'. Let it work in a copy, with "
        "workspace: {path: ..., copy: true}, or workspace_mode='copy' of an Agent, or install tramontane elsewhere."
    )


def test_a_projects_own_environment_stays_writable_if_agent_runs_from_elsewhere(tmp_path: Path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    sandbox = Sandbox(isolation="landlock")
    sandbox.check_own_code(tmp_path)
    assert not any(path.is_relative_to(tmp_path) for path in own_code())


def test_a_module_that_commands_may_have_written_is_not_imported_in_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """An editable install puts the project itself on the path, where `import mcp` may find what the model wrote."""
    for name in ("early_module", "late_module"):
        (tmp_path / f"{name}.py").touch()
    (tmp_path / "late_package").mkdir()
    (tmp_path / "late_package" / "__init__.py").touch()
    (tmp_path / "late_namespace").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    __import__("early_module")
    with guarded_imports([tmp_path]):
        __import__("early_module")
        __import__("wave")  # of the standard library, which is elsewhere
        for name in ("late_module", "late_package", "late_namespace"):
            with pytest.raises(ImportError, match="commands of this run may change it"):
                __import__(name)
    __import__("late_module")
    for name in ("early_module", "late_module"):
        del sys.modules[name]


@tool
def write_module(name: str) -> str:
    """Write a module as a command would, and bytecode of another; then import as programs do in a run."""
    folder = Path.cwd()
    (folder / f"{name}.py").write_text("raise SystemExit('the module of the model ran')\n")
    cached = Path(cache_from_source(str(folder / "own_module.py")))
    cached.parent.mkdir(exist_ok=True)
    facts, code = (folder / "own_module.py").stat(), compile("raise SystemExit('its bytecode ran')", "x", "exec")
    head = MAGIC_NUMBER + bytes(4) + int(facts.st_mtime).to_bytes(4, "little") + facts.st_size.to_bytes(4, "little")
    cached.write_bytes(head + marshal.dumps(code))
    importlib.invalidate_caches()
    __import__("own_module")
    __import__(name)
    return "Imported."


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a program that is run there, so that it is on the path."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "own_module.py").touch()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(folder)
    return folder


def test_a_program_in_the_workspace_imports_its_own_modules_but_none_that_the_run_wrote(program: Path):
    model = ScriptedModel([calls(("write_module", {"name": "this_is_new"})), says("Done.")])
    outcome = Agent(model, tools=[write_module, write_file], workspace=program).run_sync("Go.")
    (result,) = [message for message in outcome.messages if isinstance(message, ToolResult)]
    assert "'this_is_new' is not imported from" in result.content
    assert "it was changed during this run" in result.content
    assert "own_module" in sys.modules
    del sys.modules["own_module"]
    with pytest.raises(SystemExit, match="the module of the model ran"):  # after the run it is the caller's own
        __import__("this_is_new")


def test_the_guard_of_one_run_does_not_open_what_that_of_another_refuses(program: Path):
    refused = pytest.raises(ImportError, match="commands of this run may change it")
    with guarded_imports([program]), guarded_imports([program], since_ns=time.time_ns()), refused:
        __import__("own_module")
    assert "own_module" not in sys.modules


@pytest.mark.parametrize("how", ["archive", "link"])
def test_a_module_in_an_archive_or_behind_a_link_that_the_run_made_is_not_imported(
    how: str, program: Path, monkeypatch: pytest.MonkeyPatch
):
    (program.parent / "data.py").touch()
    with guarded_imports([program], since_ns=time.time_ns() - 10**8):
        if how == "link":
            (program / "new_module.py").symlink_to(program.parent / "data.py")
        else:
            with zipfile.ZipFile(program / "all.zip", "w") as archive:
                archive.writestr("new_module.py", "")
            monkeypatch.syspath_prepend(program / "all.zip")
        importlib.invalidate_caches()
        with pytest.raises(ImportError, match="it was changed during this run"):
            __import__("new_module")


@pytest.mark.parametrize("command", ["show x", "diff x", "runs", "schema"])
def test_a_command_looks_for_no_optional_module_in_a_project_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
):
    """`agent show` once ran a msvcrt.py that a run had left in a project that was installed as editable."""
    (tmp_path / "not_on_linux.py").write_text("raise AssertionError('this ran outside of the sandbox')\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module(f"agent.cli.{command.split()[0]}")

    def looks_for_it(_: argparse.Namespace) -> int:
        try:
            importlib.import_module("not_on_linux")
        except ImportError:
            return 7
        return 0

    monkeypatch.setattr(module, "main", looks_for_it)

    assert main(command.split()) == 7


def test_what_a_command_imports_first_is_not_looked_for_in_a_project_either(tmp_path: Path):
    """`subprocess` looks for msvcrt, so the guard must stand before it is imported."""
    (tmp_path / "msvcrt.py").write_text("open('ran', 'w')\nraise ImportError\n")
    code = (
        "import sys; sys.path.append(sys.argv[1]); from agent.cli import main; sys.exit(main(['runs', '--runs', 'x']))"
    )
    subprocess.run([sys.executable, "-P", "-c", code, tmp_path], cwd=tmp_path, check=False, capture_output=True)

    assert not (tmp_path / "ran").exists()

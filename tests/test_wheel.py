"""The wheel, installed beside projects that have their own `agent`, `tools` and `serving`; nothing is downloaded."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("tramontane", "_tramontane", "_editable_impl_tramontane")


@dataclass(frozen=True, kw_only=True)
class Installed:
    """A Python that has Tramontane installed."""

    python: Path

    def run(self, folder: Path, *arguments: str, path: str = ".") -> str:
        """Run Python in a project whose folders are on PYTHONPATH, and return what it printed."""
        return output([str(self.python), *arguments], folder, {"PYTHONPATH": path})

    def agent(self, folder: Path, *arguments: str) -> str:
        """Run the installed `agent` command in such a project."""
        return output([str(self.python.with_name("agent")), *arguments], folder, {"PYTHONPATH": "."})


def output(argv: Sequence[str], folder: Path, environ: Mapping[str, str] = os.environ) -> str:
    clean = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "PYTEST_ADDOPTS"}}
    done = subprocess.run(
        argv,
        cwd=folder,
        env={**clean, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    output([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], ROOT)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Install the wheel into a new environment, with the dependencies of this one and without this checkout."""
    home = tmp_path_factory.mktemp("installed")
    python = home / "venv" / "bin" / "python"
    output([sys.executable, "-m", "venv", "--without-pip", str(home / "venv")], home)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    output([*pip, str(wheel)], home)
    dependencies = home / "dependencies"
    dependencies.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(OURS):
            (dependencies / entry.name).symlink_to(entry)
    (site,) = (home / "venv" / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(f"{dependencies}\n")
    return Installed(python=python)


def test_the_wheel_has_one_package_its_alias_and_nothing_that_only_this_repository_needs(wheel: Path):
    with ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0] for name in names} == {"agent", "tramontane", "tramontane-0.1.0.dist-info"}
    assert not [name for name in names if re.search(r"bench|train|\.pyc|/(test_|conftest)", name)]
    assert {name for name in names if name.startswith("agent/")} >= {
        f"agent/{name}" for name in ("__init__.py", "__init__.pyi", "py.typed", "ready_tools.py", "testing/faults.py")
    }
    # The two models are 14 MB of weights; all else together is small.
    assert wheel.stat().st_size < 13_000_000


PROGRAM = """\
from agent import Agent, ready_tools
from agent.testing import ScriptedModel, calls, says
import agent, tramontane, agent.testing.faults, tramontane.testing.faults

assert agent.Agent is tramontane.Agent and agent.__all__ == tramontane.__all__
assert agent.testing is tramontane.testing and agent.testing.faults is tramontane.testing.faults
assert agent.ready_tools.read_file is ready_tools.find("read_file")
model = ScriptedModel([calls(("read_file", {"path": "a.txt"})), says("done")])
outcome = Agent(model, tools=[ready_tools.read_file]).run_sync("Read a.txt.")
print(outcome.messages[3].content)
"""


def test_both_import_names_give_the_same_objects(installed: Installed, tmp_path: Path):
    (tmp_path / "a.txt").write_text("hello\n")
    (tmp_path / "main.py").write_text(PROGRAM)
    assert "hello" in installed.run(tmp_path, "-W", "error", "main.py")


def test_the_command_and_python_m_with_both_names_run_the_same_program(installed: Installed, tmp_path: Path):
    told = {installed.run(tmp_path, "-m", name, "--version") for name in ("agent", "tramontane")}
    assert told == {installed.agent(tmp_path, "--version")} == {"agent (tramontane) 0.1.0\n"}


@pytest.mark.parametrize("name", ["agent", "tramontane"])
def test_python_m_imports_no_module_that_a_run_left_in_the_current_folder(
    name: str, installed: Installed, tmp_path: Path
):
    (tmp_path / "task.yaml").write_text("prompt: Do it.\ntools: [read_file]\n")
    for module in (
        "argparse",
        "ast",
        "json",
        "pathlib",
        "pydantic",
        "re",
        "shlex",
        "typing",
        "typing_extensions",
        "yaml",
    ):
        (tmp_path / f"{module}.py").write_text(f"raise SystemExit('imported {module}')\n")
    found = installed.run(tmp_path, "-m", name, "validate", "task.yaml", path="")
    assert found == "task.yaml: the task 'task' is valid (read_file).\n"


# What a project may call its own modules, and the files that it then has.
LAYOUTS = {
    "modules": ("{}.py",),
    "packages": ("{}/__init__.py", "{}/mine.py"),
    "folders without __init__.py": ("{}/mine.py",),
}
OWN_TEST = """\
from pathlib import Path

{imports}
from tramontane import Agent, Endpoint, ready_tools
from tramontane.testing import says


def test_mine(scripted_model):
    assert {values} == ("agent", "tools", "serving")
    assert Agent(scripted_model([says("hi")]), tools=[ready_tools.search]).run_sync("x").answer == "hi"
"""


def project(folder: Path, layout: str) -> Path:
    names = ("agent", "tools", "serving")
    for name in names:
        for file in LAYOUTS[layout]:
            path = folder / file.format(name)
            path.parent.mkdir(exist_ok=True)
            path.write_text("" if "__init__" in path.name else f"mine = {name!r}\n")
    dot = "" if layout == "modules" else ".mine"
    imports = "\n".join(f"from {name}{dot} import mine as {name}_mine" for name in names)
    values = f"({', '.join(f'{name}_mine' for name in names)})"
    (folder / "test_mine.py").write_text(OWN_TEST.format(imports=imports, values=values))
    (folder / "task.yaml").write_text("prompt: Do it.\ntools: [read_file, run_tests, debug_start, ./own.py:shout]\n")
    (folder / "own.py").write_text(
        'from tramontane import tool\n\n@tool\ndef shout(text: str) -> str:\n    """Shout."""\n    return text\n'
    )
    return folder


VALID = "task.yaml: the task 'task' is valid (read_file, run_tests, debug_start, shout).\n"
QUICK = ("-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:asyncio", "-W", "error")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_project_with_its_own_agent_tools_and_serving_works_beside_the_wheel(
    layout: str, installed: Installed, tmp_path: Path
):
    folder = project(tmp_path, layout)
    assert "1 passed" in installed.run(folder, "-m", "pytest", *QUICK)
    assert installed.agent(folder, "validate", "task.yaml") == VALID
    assert "read_file" in installed.run(folder, "-m", "tramontane", "tools")


@pytest.mark.parametrize("layout", ["modules", "packages"])
def test_a_project_with_its_own_agent_and_tools_works_beside_a_checkout(layout: str, tmp_path: Path):
    """A folder without `__init__.py` does not: the checkout's packages of the same name come first."""
    checkout, folder = Installed(python=Path(sys.executable)), project(tmp_path, layout)
    assert "1 passed" in checkout.run(folder, "-m", "pytest", *QUICK)
    assert checkout.agent(folder, "validate", "task.yaml") == VALID


def test_our_names_work_in_a_project_whose_agent_folder_has_no_init(installed: Installed, tmp_path: Path):
    project(tmp_path, "folders without __init__.py")
    (tmp_path / "agent" / "errors.py").write_text("mine = 'errors'\n")
    (tmp_path / "agent" / "testing").mkdir()  # without modules, so it hides nothing
    program = (
        "from agent.mine import mine\nfrom agent.errors import mine as errors\n"
        "from agent import Agent, ready_tools\nfrom agent.testing import says\nimport tramontane.errors\n"
        "print(mine, errors, tramontane.errors.__name__, tramontane.errors.ConfigError.__name__)"
    )
    assert installed.run(tmp_path, "-c", program) == "agent errors tramontane.errors ConfigError\n"


def test_a_projects_own_agent_wins_though_it_is_found_after_ours(installed: Installed, tmp_path: Path):
    """An editable install of the project puts it after site-packages."""
    folder = project(tmp_path, "packages")
    program = (
        f"import sys; sys.path.append({str(folder)!r})\n"
        "import agent.mine, tools.mine, tramontane\nprint(agent.mine.mine, tools.mine.mine, tramontane.Agent.__name__)"
    )
    assert installed.run(tmp_path, "-c", program, path="") == "agent tools Agent\n"


def test_old_names_of_tools_and_serving_work_with_a_warning(installed: Installed, tmp_path: Path):
    (tmp_path / "old.py").write_text(
        "from agent import Agent, ready_tools\nfrom serving import plan\nfrom tools.files import read_file\n"
        "assert read_file is ready_tools.read_file\nprint(plan.__module__)\n"
    )
    told = installed.run(tmp_path, "old.py")
    assert told.splitlines()[-1] == "tramontane.serving.capacity.planner"
    assert "old.py:2: DeprecationWarning: The import name 'serving' of tramontane works in this release only" in told
    assert (
        "old.py:3: DeprecationWarning: The import name 'tools' of tramontane works in this release only: write `from "
        "agent import ready_tools`." in told
    )
    (tmp_path / "task.yaml").write_text("prompt: Do it.\ntools: ['tools.files:read_file']\n")
    assert "read_file" in installed.agent(tmp_path, "validate", "task.yaml")


RUN = """\
import asyncio, os, sys
from pathlib import Path
from tramontane import Agent, Sandbox, ready_tools
from tramontane.messages import ToolResult
from tramontane.testing import ScriptedModel, calls, says

replies = [
    calls(("search", {"pattern": "def half"})),
    calls(("run_tests", {})),
    calls(("debug_start", {"program": "main.py"})),
    calls(("run_shell", {"command": "echo from the shell"})),
    says("done"),
]
tools = ["search", "run_tests", "debug_start", "run_shell"]
agent = Agent(
    ScriptedModel(replies), tools=[ready_tools.find(name) for name in tools], workspace="project", env=dict(os.environ),
    sandbox=Sandbox() if "none" in sys.argv else None,
)
outcome = agent.run_sync("Do it.")
for message in outcome.messages:
    if isinstance(message, ToolResult):
        print("RESULT", message.content)
"""


@pytest.mark.parametrize("sandbox", ["best", "none"])
def test_tools_that_start_helper_programs_work_from_the_wheel(sandbox: str, installed: Installed, tmp_path: Path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "main.py").write_text("def half(x):\n    return x / 0\n\n\nhalf(2)\n")
    (folder / "test_half.py").write_text("def test_half():\n    assert 4 / 2 == 3\n")
    (tmp_path / "run.py").write_text(RUN)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.defpath])  # the project's Python is the one here
    told = output([str(installed.python), "run.py", sandbox], tmp_path, {"PATH": path})
    found, tests, debugged, shell = told.split("RESULT ")[1:]
    assert "main.py:1" in found
    assert "1 failed" in tests
    assert "assert" in tests
    assert "test_half.py" in tests
    assert "ZeroDivisionError" in debugged or "Landlock" in debugged
    assert "from the shell" in shell


def test_the_helper_process_that_stops_an_engine_starts_from_the_wheel(installed: Installed, tmp_path: Path):
    program = (
        "import os, signal, subprocess\nfrom tramontane.serving.running.process_group import identify\n"
        "from tramontane.serving.running.watchdog import Watchdog\n"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "Watchdog(identify(child.pid), 'm')\nprint(child.pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([installed.python, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    # The child is ours no longer: it is gone when its pipe to us closes.
    pid = int(done.stdout)
    deadline = 300
    while Path(f"/proc/{pid}").exists() and deadline:
        deadline -= 1
        subprocess.run(["sleep", "0.1"], check=True)
    assert deadline, "the watchdog did not stop its process"


MISTAKES = """\
from agent import Agent, Agnet, Endpoint, Limits, Task, ToolContext, ready_tools, tool  # wrong
from agent.testing import ScriptedModle  # wrong
from tramontane import Agnet as Same  # wrong
from tramontane.testing import says, sayss  # wrong
from tramontane.serving import plam  # wrong

Agent(Endpoint("http://127.0.0.1:8000/v1"), toools=[ready_tools.raed_file])  # wrong

@tool
def take(count: int, context: ToolContext[list[int]]) -> int:
    context.deps.append("one")  # wrong
    return count

take("one", ToolContext())  # wrong
agent: Agent[int, str] = Agent("http://127.0.0.1:8000/v1", deps="one")  # wrong
counter = Agent("http://127.0.0.1:8000/v1", output_type=int)
counter.run_sync("Count.").output.upper()  # wrong
Agent("http://127.0.0.1:8000/v1", output_type={"type": "object"}).run_sync("Count.").output.upper()  # wrong
counter.run_sync("Count.", history=3)  # wrong
counter.run_sync("Count.", message_history=[])  # wrong
Limits(step=3)  # wrong
Task(prompt="Do it.", workspace=3)  # wrong
Task(prompt="Do it.", tool=["read_file"])  # wrong
"""
WRONG = {number for number, line in enumerate(MISTAKES.splitlines(), start=1) if line.endswith("# wrong")}


def checked_files(folder: Path) -> list[str]:
    for path in (ROOT / "tests" / "typing_api.py", *(ROOT / "examples").glob("*.py")):
        shutil.copy(path, folder)
    files = sorted(path.name for path in folder.glob("*.py"))
    (folder / "mistakes.py").write_text(MISTAKES)
    return files


def test_mypy_strict_accepts_the_public_api_and_the_examples_against_the_wheel(installed: Installed, tmp_path: Path):
    files = checked_files(tmp_path)
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(installed.python)]
    command += ["--cache-dir", str(ROOT / ".mypy_cache"), *files, "mistakes.py"]  # so that a second run is short
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout.splitlines()
    wrong = {int(line.split(":")[1]) for line in told[:-1] if line.startswith("mistakes.py")}
    assert [line for line in told[:-1] if not line.startswith("mistakes.py")] == []
    assert wrong == WRONG


def test_pyright_strict_accepts_the_public_api_and_the_examples_against_the_wheel(installed: Installed, tmp_path: Path):
    checked_files(tmp_path)
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict", "pythonVersion": "3.11"}')
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", str(installed.python)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    errors = json.loads(done.stdout)["generalDiagnostics"]
    wrong = {(Path(error["file"]).name, error["range"]["start"]["line"] + 1) for error in errors}
    assert wrong == {("mistakes.py", line) for line in WRONG}, errors

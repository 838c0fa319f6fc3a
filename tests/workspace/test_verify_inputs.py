"""A verification that passes because the run changed what it loads is said; work on tests and code is not."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from agent import Agent, Outcome, Verify, tool
from agent.journal.events import Event, Noticed, VerifyEnded
from agent.testing import ScriptedModel, calls, says
from agent.workspace import verify_environments, verify_inputs
from agent.workspace.verify_environments import files_of_environments
from agent.workspace.verify_inputs import noticing_verify_inputs

if TYPE_CHECKING:
    from conftest import Nest

PYTEST = "python -m pytest -q"
PASSED = VerifyEnded(attempt=1, ok=True, exit_code=0, output="", elapsed_s=0.1)
FAILED = VerifyEnded(attempt=1, ok=False, exit_code=1, output="", elapsed_s=0.1)
PROJECT = {
    "app.py": "def f(): return 1\n",
    "tests/test_x.py": "from app import f\ndef test_f(): assert f() == 2\n",
    "pyproject.toml": '[project]\nname = "app"\n\n[tool.pytest.ini_options]\naddopts = "-q"\n\n[tool.ruff]\n',
    "package.json": '{"name": "app", "scripts": {"test": "jest"}, "dependencies": {}}',
    "Makefile": "test:\n\tpytest\n",
    "scripts/check.sh": "pytest\n",
    "conftest.py": "\n",
    "submodule/.git": "gitdir: ../.git/modules/submodule\n",
    ".venv/pyvenv.cfg": "home = /usr/bin\n",
    ".venv/bin/pytest": "#!python\n",
    ".venv/lib/python3.12/site-packages/a.pth": "/src\n",
}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    write(folder, PROJECT)
    return folder


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def noticed(work: Path, command: str, changes: Mapping[str, str], path: str = os.defpath) -> list[str]:
    """Return the files that a notice names after a verification passed, with what it says of each."""
    events: list[Event] = []
    record = noticing_verify_inputs(work, command, {"PATH": path}, events.append, None)
    write(work, changes)
    record(PASSED)
    texts = [event.text for event in events if isinstance(event, Noticed)]
    return [name for text in texts for name in text.split(": ", 1)[1].split(". Read")[0].split(", ")]


PACKAGES = ".venv/lib/python3.12/site-packages"
LOADED = [
    (PYTEST, "conftest.py", "conftest.py"),
    (PYTEST, "tests/conftest.py", "tests/conftest.py (new)"),
    (PYTEST, "submodule/conftest.py", "submodule/conftest.py (new)"),
    (PYTEST, "pytest.ini", "pytest.ini (new)"),
    (PYTEST, ".pytest.toml", ".pytest.toml (new)"),
    (PYTEST, "sitecustomize.py", "sitecustomize.py (new)"),
    (PYTEST, "pytest.py", "pytest.py (new)"),
    (PYTEST, "json/__init__.py", "json/__init__.py (new)"),
    (PYTEST, "argparse.pyc", "argparse.pyc (new)"),
    (PYTEST, "argparse/__init__.pyc", "argparse/__init__.pyc (new)"),
    (PYTEST, "pygments.py", "pygments.py (new)"),
    ("env X=1 timeout 5 pytest -q", "tests/conftest.py", "tests/conftest.py (new)"),
    ("sh -c 'pytest -q'", "tox.ini", "tox.ini (new)"),
    ("cd tests && pytest", "conftest.py", "conftest.py"),
    ("make test", "Makefile", "Makefile"),
    ("make test", "conftest.py", "conftest.py"),
    ("./scripts/check.sh", "scripts/check.sh", "scripts/check.sh"),
    ("sh scripts/check.sh", "conftest.py", "conftest.py"),
    ("python app.py --check", "app.py", "app.py"),
    ("pytest -c scripts/check.sh", "scripts/check.sh", "scripts/check.sh"),
    ("jest --config=scripts/check.sh", "scripts/check.sh", "scripts/check.sh"),
    ("npx jest", "jest.config.js", "jest.config.js (new)"),
    (".venv/bin/python -m pytest", ".venv/pyvenv.cfg", ".venv/pyvenv.cfg"),
    ("uv run pytest", ".venv/bin/python", ".venv/bin/python"),
    ("cd tests && poetry run pytest -q", ".venv/bin/python", ".venv/bin/python"),
    ("pdm run python -m pytest", PACKAGES + "/new.pth", PACKAGES + "/new.pth (new)"),
    ("uv run --frozen pytest", PACKAGES + "/pytest.py", PACKAGES + "/pytest.py (new)"),
]


@pytest.mark.parametrize(("command", "path", "said"), LOADED)
def test_a_pass_after_the_run_changed_what_the_verification_loads_is_said(
    command: str, path: str, said: str, work: Path
):
    write(work, {".venv/bin/python": "#!/bin/sh\n"})
    assert noticed(work, command, {path: "exit 0\n"}) == [said]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("pytest/__main__.py", "pytest/__main__.py"),
        ("_pytest/new.py", "_pytest/new.py (new)"),
        ("pluggy.py", "pluggy.py (new)"),
        ("evil-1.dist-info/entry_points.txt", "evil-1.dist-info/entry_points.txt (new)"),
        ("pytest_cov/plugin.py", "pytest_cov/plugin.py"),
        ("single.py", "single.py"),
        ("pytest/__pycache__/__main__.cpython-312.pyc", "pytest/__pycache__/__main__.cpython-312.pyc"),
        ("__pycache__/single.cpython-312.pyc", "__pycache__/single.cpython-312.pyc"),
        ("pytest.pyc", "pytest.pyc (new)"),
        ("pluggy.abi3.so", "pluggy.abi3.so (new)"),
        ("exceptiongroup.py", "exceptiongroup.py (new)"),
        ("pygments/__init__.py", "pygments/__init__.py (new)"),
        ("sitecustomize.pyc", "sitecustomize.pyc (new)"),
    ],
)
def test_a_changed_runner_or_plugin_in_an_environment_of_the_workspace_is_said(path: str, said: str, work: Path):
    plugins = "[console_scripts]\na = b:c\n\n[pytest11]\npytest_cov = pytest_cov.plugin\nsingle=single\nodd = /etc:x\n"
    installed = {
        "pytest/__main__.py": "",
        "pytest_cov/plugin.py": "",
        "single.py": "",
        "pytest/__pycache__/__main__.cpython-312.pyc": "compiled",
        "__pycache__/single.cpython-312.pyc": "compiled",
        "cov-1.dist-info/entry_points.txt": plugins,
    }
    write(work, {f"{PACKAGES}/{name}": text for name, text in installed.items()} | {".venv/bin/python": ""})
    changes = {f"{PACKAGES}/{path}": "[pytest11]\nevil = zevil\n"}
    assert noticed(work, PYTEST, changes, f"{work}/.venv/bin:/usr/bin") == [f"{PACKAGES}/{said}"]


def test_bytecode_that_python_writes_or_a_run_removes_gives_no_notice(work: Path):
    old = work / PACKAGES / "pytest/__pycache__/old.cpython-312.pyc"
    write(work, {".venv/bin/python": "", f"{PACKAGES}/pytest/__pycache__/old.cpython-312.pyc": "compiled"})
    events: list[Event] = []
    record = noticing_verify_inputs(work, PYTEST, {"PATH": f"{work}/.venv/bin"}, events.append, None)
    old.rename(old.with_name("new.cpython-312.pyc"))
    record(PASSED)
    assert events == [PASSED]


def test_links_to_one_environment_are_read_once(work: Path):
    """3,000 links `lib/pythonN` made the product read pytest 3,000 times."""
    write(work, {f"{PACKAGES}/pytest/__init__.py": "", f"{PACKAGES}/x.pth": ""})
    for version in range(13, 23):
        (work / f".venv/lib/python3.{version}").symlink_to("python3.12")
    found, _ = files_of_environments(work, [".venv/bin/python"])
    assert [path for path in found if path.endswith("x.pth")] == [f"{PACKAGES}/x.pth"]


@pytest.mark.parametrize("module", [verify_inputs, verify_environments])
def test_a_limit_that_was_reached_is_said_once(module: ModuleType, work: Path, monkeypatch: pytest.MonkeyPatch):
    """20,100 files in a folder `aaa` hid a new tests/conftest.py, without a word."""
    write(work, {f"{PACKAGES}/pytest/{number}.py": "" for number in range(9)})
    events: list[Event] = []
    record = noticing_verify_inputs(work, PYTEST, {"PATH": f"{work}/.venv/bin"}, events.append, None)
    monkeypatch.setattr(module, "_MAX_ENTRIES" if module is verify_inputs else "_MAX_FILES", 5)
    record(PASSED)
    record(PASSED)
    assert [event.text.count("the limit of this check") for event in events if isinstance(event, Noticed)] == [1, 0]


def test_an_installed_package_that_is_no_plugin_gives_no_notice(work: Path):
    write(work, {".venv/bin/python": ""})
    changes = {
        f"{PACKAGES}/left-1.dist-info/entry_points.txt": "[console_scripts]\nleft = left:main\n",
        f"{PACKAGES}/left/__init__.py": "x = 1\n",
    }
    assert noticed(work, PYTEST, changes, f"{work}/.venv/bin:/usr/bin") == []


def test_a_conftest_beside_the_mark_of_an_environment_or_behind_a_link_is_said(work: Path):
    """The names begin with `test`, so pytest loads what is in these folders; neither was looked at."""
    (work / "test_l").symlink_to(".h")
    (work / "again").symlink_to("tests")
    changes = {"test_x/pyvenv.cfg": "", "test_x/conftest.py": "x = 1\n", ".h/conftest.py": "x = 1\n"}
    assert noticed(work, PYTEST, changes) == ["test_l/conftest.py (new)", "test_x/conftest.py (new)"]


def test_a_link_that_a_run_makes_to_a_known_folder_gives_no_notice(work: Path):
    write(work, {"tests/conftest.py": "x = 1\n"})
    events: list[Event] = []
    record = noticing_verify_inputs(work, PYTEST, {}, events.append, None)
    (work / "again").symlink_to("tests")
    (work / "loop").symlink_to(".")
    record(PASSED)
    assert events == [PASSED]


def test_folders_nested_deeper_than_python_can_recurse_lose_no_passed_run(work: Path, nest: Nest):
    events: list[Event] = []
    record = noticing_verify_inputs(work, PYTEST, {}, events.append, None)
    nest(work, 1100)
    record(PASSED)
    assert events == [PASSED]


@pytest.mark.parametrize("path", [".venv/bin/pytest", ".venv/lib/python3.12/site-packages/a.pth"])
def test_an_environment_on_the_path_is_part_of_the_verification(path: str, work: Path):
    assert noticed(work, "pytest -q", {path: "exit 0\n"}, f"{work}/.venv/bin:/usr/bin") == [path]


def test_a_program_that_hides_another_on_the_path_is_said(work: Path):
    assert noticed(work, PYTEST, {"bin/python": "exit 0\n"}, f"{work}/bin:/usr/bin") == ["bin/python (new)"]


HARMLESS = [
    (PYTEST, "tests/test_x.py", "def test_g(): pass\n"),
    (PYTEST, "tests/test_new.py", "def test_g(): pass\n"),
    ("pytest tests/test_x.py", "tests/test_x.py", "def test_g(): pass\n"),
    ("python tests/test_x.py", "tests/test_x.py", "def test_g(): pass\n"),
    (PYTEST, "app.py", "def f(): return 2\n"),
    (PYTEST, "app/json.py", "x = 1\n"),
    (PYTEST, "Makefile", "all:\n"),
    ("cargo test", "conftest.py", "x = 1\n"),
    ("python hello.py", "hello.py", "print('Hello')\n"),  # the task asks for it: it cannot have passed before
    ('cd "$HIDDEN" && PYTHONPATH="$OLDPWD" python -m pytest -q', "tests/conftest.py", "x = 1\n"),
    (PYTEST, "pyproject.toml", PROJECT["pyproject.toml"].replace('"app"', '"application"')),
    ("npm test", "package.json", '{"name": "app", "scripts": {"test": "jest"}, "dependencies": {"left-pad": "1"}}'),
    (PYTEST, "node_modules/a/conftest.py", "x = 1\n"),
]


@pytest.mark.parametrize(("command", "path", "text"), HARMLESS)
def test_work_on_tests_and_code_gives_no_notice(command: str, path: str, text: str, work: Path):
    assert noticed(work, command, {path: text}) == []


@pytest.mark.parametrize(
    ("command", "path", "text"),
    [
        (PYTEST, "pyproject.toml", PROJECT["pyproject.toml"].replace('"-q"', '"-k nothing"')),
        ("npm test", "package.json", '{"name": "app", "scripts": {"test": "true"}, "dependencies": {}}'),
        (PYTEST, "setup.cfg", "[metadata]\nname = app\n[tool:pytest]\naddopts = -k nothing\n"),
    ],
)
def test_of_shared_files_only_what_the_runner_reads_counts(command: str, path: str, text: str, work: Path):
    assert [name.removesuffix(" (new)") for name in noticed(work, command, {path: text})] == [path]


def test_a_removed_file_a_pipe_and_a_link_out_do_not_stop_the_run(work: Path, tmp_path: Path):
    events: list[Event] = []
    record = noticing_verify_inputs(work, PYTEST, {}, events.append, None)
    (work / "conftest.py").unlink()
    os.mkfifo(work / "pytest.ini")
    (tmp_path / "outside.py").touch()
    (work / "tests/conftest.py").symlink_to(tmp_path / "outside.py")
    record(PASSED)
    assert [event.text for event in events[1:] if isinstance(event, Noticed)] == [
        "The verification passed, but the run changed what it loads: conftest.py (removed), tests/conftest.py (new). "
        "Read these changes before you trust the result: they can make it pass whatever the work is."
    ]


def test_a_failed_verification_gives_no_notice_and_each_file_is_named_once(work: Path):
    events: list[Event] = []
    record = noticing_verify_inputs(work, PYTEST, {}, events.append, None)
    write(work, {"conftest.py": "import os\n"})
    record(FAILED)
    assert events == [FAILED]
    record(PASSED)
    record(PASSED)
    assert [event.kind for event in events[1:]] == ["verify_ended", "noticed", "verify_ended"]


def test_a_resumed_run_compares_with_the_files_before_its_first_process(work: Path, tmp_path: Path):
    folder, events = tmp_path / "run", list[Event]()
    noticing_verify_inputs(work, "python hello.py; pytest", {}, events.append, folder)
    write(work, {"conftest.py": "import os\n", "hello.py": "print()\n"})
    noticing_verify_inputs(work, "python hello.py; pytest", {}, events.append, folder)(PASSED)
    assert [event.text.split(": ")[1] for event in events if isinstance(event, Noticed)] == [
        "conftest.py. Read these changes before you trust the result"
    ]


@tool
def cheat(name: str) -> str:
    """Write a file that makes every verification pass."""
    Path(name).write_text("exit 0\n")
    return "Written."


def run(work: Path, verify: Verify | None) -> Outcome:
    model = ScriptedModel([calls(("cheat", {"name": str(work / "scripts/check.sh")})), says("Done.")])
    return Agent(model, tools=[cheat], workspace=work, sandbox="none", verify=verify).run_sync("Fix it.")


def test_a_run_that_rewrote_its_verification_is_verified_with_a_notice(work: Path):
    outcome = run(work, Verify(command="sh scripts/check.sh"))
    assert outcome.status == "verified"
    assert [text for text in outcome.notices if "scripts/check.sh. Read" in text]


def test_a_run_without_verification_has_no_notice_of_it(work: Path):
    assert [text for text in run(work, None).notices if "verification" in text] == []

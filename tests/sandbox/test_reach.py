"""Whose code a command runs: that of a folder which a run can change, or other code, whatever folder it starts in."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest

from agent.sandbox.reach import runs_code_in


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("work/lib/pack", "work/.venv/bin", "tools/modules"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("work/server.py", "work/server.js", "work/lib/pack/__init__.py", "tools/server.py", "tools/server.js"):
        (tmp_path / name).touch()
    (tmp_path / "tools/installed").write_text(f"#!{sys.executable}\n")
    (tmp_path / "tools/started").write_text("#!/bin/sh\n")
    (tmp_path / "tools/elf").write_bytes(b"\x7fELF")
    (tmp_path / "tools/leads").symlink_to(tmp_path / "work/server.py")
    for name in ("installed", "started", "elf"):
        (tmp_path / "tools" / name).chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        "python3 work/server.py", "python3 work/not_yet.py", "python3 work", "node work/server.js", "node work",
        "node --require ./work/x /tools/server.js", "python3 tools/leads", "sh -c 'exec node work/server.js'",
        "npx --prefix work thing", "npx ./work", "uv run --directory work server.py", "uv --project=work run server",
        "make -C work serve", "env PYTHONPATH=work python3 tools/server.py", "tools/elf work/server.js",
    ],
)  # fmt: skip
def test_a_command_that_names_code_in_a_folder_runs_it(project: Path, command: str):
    assert runs_code_in([project / "work"], _words(command), project)


@pytest.mark.parametrize(
    "command",
    [
        "python3 -m server", "python3 -c 'import pack'", "python3 -", "npx -y thing", "uvx thing", "uv run thing",
        "node .", "sh /tools/start.sh", "docker compose run thing", "not-installed-anywhere", "{tools}/started",
        "env -i {tools}/elf", "java -jar /x.jar",
    ],
)  # fmt: skip
def test_a_command_that_looks_for_code_in_its_folder_runs_what_is_there(project: Path, command: str):
    words = _words(command.replace("{tools}", str(project / "tools")))
    assert runs_code_in([project / "work"], words, project / "work")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PYTHONPATH", "tools:work/lib"), ("NODE_PATH", "work/node_modules"), ("NODE_OPTIONS", "--require {work}/x.js"),
        ("LD_PRELOAD", "{work}/x.so"), ("PATH", "/usr/bin:{work}/bin"), ("HOME", "{work}"), ("BASH_ENV", "{work}/rc"),
        ("LD_LIBRARY_PATH", "work"),
    ],
)  # fmt: skip
def test_variables_that_lead_into_a_folder_decide_what_runs(project: Path, name: str, value: str):
    env = {name: value.replace("{work}", str(project / "work"))}
    assert runs_code_in([project / "work"], ("tools/elf",), project, env)
    assert not runs_code_in([project / "work"], ("tools/elf",), project, {name: value.replace("{work}", "/elsewhere")
                                                                        .replace("work", "elsewhere")})  # fmt: skip


def test_a_path_of_this_process_that_leads_into_a_folder_decides_what_runs(
    project: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{project / 'work/.venv/bin'}")
    assert runs_code_in([project / "work"], ("tools/elf",), project)


@pytest.mark.parametrize(
    "command",
    [
        "{tools}/installed --repository .", "{tools}/elf {work}", "python3 {tools}/server.py {work}/data",
        "node {tools}/server.js .", "{tools}/elf --token=ab/cd+e/f=",
    ],
)  # fmt: skip
def test_code_elsewhere_that_is_given_a_folder_as_data_is_not_of_it(project: Path, command: str):
    words = _words(command.replace("{tools}", str(project / "tools")).replace("{work}", str(project / "work")))
    env = {"API_TOKEN": "eyJh/bGci+Oi/x="}
    assert not runs_code_in([project / "work"], words, project / "work", env)


@pytest.mark.parametrize("command", ["npx -y @scope/server work", "uvx server --db work", "docker run -v work:/x y"])
def test_a_package_that_is_started_above_a_folder_takes_it_as_data(project: Path, command: str):
    assert not runs_code_in([project / "work"], _words(command), project)


def _words(command: str) -> list[str]:
    return shlex.split(command)

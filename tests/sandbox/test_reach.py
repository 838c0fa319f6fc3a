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
    for name in ("space/lib/pack", "space/.venv/bin", "tools/modules"):
        (tmp_path / name).mkdir(parents=True)
    for name in (
        "space/server.py",
        "space/server.js",
        "space/lib/pack/__init__.py",
        "tools/server.py",
        "tools/server.js",
    ):
        (tmp_path / name).touch()
    (tmp_path / "tools/installed").write_text(f"#!{sys.executable}\n")
    (tmp_path / "tools/started").write_text("#!/bin/sh\n")
    (tmp_path / "tools/elf").write_bytes(b"\x7fELF")
    (tmp_path / "tools/leads").symlink_to(tmp_path / "space/server.py")
    for name in ("installed", "started", "elf"):
        (tmp_path / "tools" / name).chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        "python3 space/server.py", "python3 space/not_yet.py", "python3 space", "node space/server.js", "node space",
        "node --require ./space/x /tools/server.js", "python3 tools/leads", "sh -c 'exec node space/server.js'",
        "npx --prefix space thing", "npx ./space", "uv run --directory space server.py",
        "uv --project=space run server",
        "make -C space serve", "env PYTHONPATH=space python3 tools/server.py", "tools/elf space/server.js",
    ],
)  # fmt: skip
def test_a_command_that_names_code_in_a_folder_runs_it(project: Path, command: str):
    assert runs_code_in([project / "space"], _words(command), project)


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
    assert runs_code_in([project / "space"], words, project / "space")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PYTHONPATH", "tools:space/lib"), ("NODE_PATH", "space/node_modules"), ("NODE_OPTIONS",
        "--require {space}/x.js"),
        ("LD_PRELOAD", "{space}/x.so"), ("PATH", "/usr/bin:{space}/bin"), ("HOME", "{space}"), ("BASH_ENV",
        "{space}/rc"),
        ("LD_LIBRARY_PATH", "space"),
    ],
)  # fmt: skip
def test_variables_that_lead_into_a_folder_decide_what_runs(project: Path, name: str, value: str):
    env = {name: value.replace("{space}", str(project / "space"))}
    assert runs_code_in([project / "space"], ("tools/elf",), project, env)
    assert not runs_code_in([project / "space"], ("tools/elf",), project, {name: value.replace("{space}", "/elsewhere")
                                                                        .replace("space", "elsewhere")})  # fmt: skip


def test_a_path_of_this_process_that_leads_into_a_folder_decides_what_runs(
    project: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{project / 'space/.venv/bin'}")
    assert runs_code_in([project / "space"], ("tools/elf",), project)


@pytest.mark.parametrize(
    "command",
    [
        "{tools}/elf", "{tools}/installed --repository .", "python3 {tools}/server.py", "node {tools}/server.js",
        "uvx mcp-server-git", "flock L make -s serve", "prlimit npm start", "invoke serve", "tini -- npm start",
    ],
)  # fmt: skip
def test_whatever_starts_in_a_folder_may_look_for_code_there(project: Path, command: str):
    """Programs were taken as fixed by their first word: `flock lock make serve` ran the folder's Makefile outside."""
    words = _words(command.replace("{tools}", str(project / "tools")))
    assert runs_code_in([project / "space"], words, project / "space")


@pytest.mark.parametrize(
    "command",
    [
        "sh -c 'cd space; exec python3 server.py'", "sh -c 'cd space&&python3 server.py'",
        "sh -c 'exec python3 sp?ce/x.py'",
        'sh -c "cd $D; python3 server.py"', "env -Cspace python3 server.py", "make -sCspace serve",
        "make -sfspace/Makefile",
        "node -r ./hook.js space", "perl -Ispace/lib main.pl", "uvx --python 3.12 --from ./space/pkg srv",
        "pipx run --spec ./space/pkg srv", "npx -p zod -p ./space/pkg srv",
        "npx supergateway --stdio 'node space/server.js'",
        "uvx mcp-proxy --cwd space python server.py", "java -cp lib/x.jar:space/dist Main", "java @space/args",
        "python3 -m space.server", "python3 -c 'import space.server'", "uvicorn space.server:app",
        "npx -y @scope/server space", "uvx server --db space", "docker run -v space:/app img python /app/server.py",
        "docker run -v space:/app mcp/git python /app/server.py",
        "npx @modelcontextprotocol/server-x --run 'node space/x'",
        "gunicorn --chdir space app", "{tools}/elf {space}", "python3 {tools}/server.py {space}/data",
        "sh tools/start.sh",
        "node tools/leads.js", "python3 main.py", "python3 -m tools.imports",
    ],
)  # fmt: skip
def test_a_command_that_names_a_folder_in_any_way_may_run_its_code(project: Path, command: str):
    """Of these, 22 were started outside the sandbox: options, lists of paths and texts for a shell were not split."""
    (project / "tools/start.sh").write_text("cd space\nexec ./server\n")
    (project / "tools/leads.js").write_text("require('../space/server.js')\n")
    (project / "main.py").write_text("import tools.imports\n")
    (project / "tools/imports.py").write_text("import space.server\n")
    words = _words(command.replace("{tools}", str(project / "tools")).replace("{space}", str(project / "space")))
    assert runs_code_in([project / "space"], words, project)


@pytest.mark.parametrize(
    "env",
    [
        {"PERL5LIB": "space/perl5"}, {"PERL5OPT": "-Ispace/lib"}, {"JAVA_TOOL_OPTIONS": "-javaagent:space/a.jar"},
        {"npm_config_userconfig": "space/.npmrc"}, {"UV_CONFIG_FILE": "space/uv.toml"}, {"ANYTHING": "../{name}/space"},
    ],
)  # fmt: skip
def test_a_variable_that_names_a_folder_decides_what_runs_even_if_nothing_is_there_yet(
    project: Path, env: dict[str, str]
):
    found = {name: value.replace("{name}", project.name) for name, value in env.items()}
    assert runs_code_in([project / "space"], ("tools/elf",), project, found)


def test_a_program_below_a_folder_of_the_same_name_is_other_code(project: Path):
    """In a workspace called `space`, each program below /space was taken for one of it."""
    elsewhere = "/space/bin/server"
    assert not runs_code_in(
        [project / "space"], (elsewhere, "--config=/etc/space/x"), project, {"LIB": f"{elsewhere}:/space"}
    )
    assert runs_code_in([project / "space"], (elsewhere, f"--config={project}/space/x"), project)
    assert runs_code_in([project / "space"], (elsewhere, f"{project}/tools/../space/x"), project)
    assert runs_code_in([project / "space"], (elsewhere, "-I/x", "./space"), project)


def test_a_folder_that_is_not_there_yet_counts(tmp_path: Path):
    """A task with `workspace: {path: ws, create: true}` had no folder that a run can change."""
    assert runs_code_in([tmp_path / "ws"], ("node", "server.js"), tmp_path, {"NODE_PATH": "ws"})
    assert runs_code_in([tmp_path / "ws"], ("node", "ws/server.js"), tmp_path)


@pytest.mark.parametrize(
    "command",
    [
        "npx -y @modelcontextprotocol/server-filesystem space", "uvx mcp-server-git --repository space",
        "uvx mcp-server-git==2026.7.1 --repository space", "mcp-server-git --repository {space}",
        "pipx run mcp-server-sqlite --db-path space/x.db", "docker run -i --rm -v space:/data mcp/filesystem /data",
        "npx -y @scope/server", "uvx server --db elsewhere", "{tools}/elf --token=ab/cd+e/f=",
        "python3 {tools}/server.py",
        "sh -c 'exec node other/netspaces.js'", "docker run -i mcp/fetch",
        "{tools}/elf --workers 3 homespace framework",
    ],
)  # fmt: skip
def test_other_code_and_servers_that_only_work_on_a_folder_are_not_of_it(project: Path, command: str):
    words = _words(command.replace("{tools}", str(project / "tools")).replace("{space}", str(project / "space")))
    env = {"API_TOKEN": "eyJh/bGci+Oi/x="}
    assert not runs_code_in([project / "space"], words, project, env)


def _words(command: str) -> list[str]:
    return shlex.split(command)

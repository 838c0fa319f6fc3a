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
        "{tools}/elf", "{tools}/installed --repository .", "python3 {tools}/server.py", "node {tools}/server.js",
        "uvx mcp-server-git", "flock L make -s serve", "prlimit npm start", "invoke serve", "tini -- npm start",
    ],
)  # fmt: skip
def test_whatever_starts_in_a_folder_may_look_for_code_there(project: Path, command: str):
    """Programs were taken as fixed by their first word: `flock lock make serve` ran the folder's Makefile outside."""
    words = _words(command.replace("{tools}", str(project / "tools")))
    assert runs_code_in([project / "work"], words, project / "work")


@pytest.mark.parametrize(
    "command",
    [
        "sh -c 'cd work; exec python3 server.py'", "sh -c 'cd work&&python3 server.py'",
        "sh -c 'exec python3 w?rk/x.py'",
        'sh -c "cd $D; python3 server.py"', "env -Cwork python3 server.py", "make -sCwork serve",
        "make -sfwork/Makefile",
        "node -r ./hook.js work", "perl -Iwork/lib main.pl", "uvx --python 3.12 --from ./work/pkg srv",
        "pipx run --spec ./work/pkg srv", "npx -p zod -p ./work/pkg srv",
        "npx supergateway --stdio 'node work/server.js'",
        "uvx mcp-proxy --cwd work python server.py", "java -cp lib/x.jar:work/dist Main", "java @work/args",
        "python3 -m work.server", "python3 -c 'import work.server'", "uvicorn work.server:app",
        "npx -y @scope/server work", "uvx server --db work", "docker run -v work:/app img python /app/server.py",
        "docker run -v work:/app mcp/git python /app/server.py",
        "npx @modelcontextprotocol/server-x --run 'node work/x'",
        "gunicorn --chdir work app", "{tools}/elf {work}", "python3 {tools}/server.py {work}/data", "sh tools/start.sh",
        "node tools/leads.js", "python3 main.py", "python3 -m tools.imports",
    ],
)  # fmt: skip
def test_a_command_that_names_a_folder_in_any_way_may_run_its_code(project: Path, command: str):
    """Of these, 22 were started outside the sandbox: options, lists of paths and texts for a shell were not split."""
    (project / "tools/start.sh").write_text("cd work\nexec ./server\n")
    (project / "tools/leads.js").write_text("require('../work/server.js')\n")
    (project / "main.py").write_text("import tools.imports\n")
    (project / "tools/imports.py").write_text("import work.server\n")
    words = _words(command.replace("{tools}", str(project / "tools")).replace("{work}", str(project / "work")))
    assert runs_code_in([project / "work"], words, project)


@pytest.mark.parametrize(
    "env",
    [
        {"PERL5LIB": "work/perl5"}, {"PERL5OPT": "-Iwork/lib"}, {"JAVA_TOOL_OPTIONS": "-javaagent:work/a.jar"},
        {"npm_config_userconfig": "work/.npmrc"}, {"UV_CONFIG_FILE": "work/uv.toml"}, {"ANYTHING": "../{name}/work"},
    ],
)  # fmt: skip
def test_a_variable_that_names_a_folder_decides_what_runs_even_if_nothing_is_there_yet(
    project: Path, env: dict[str, str]
):
    found = {name: value.replace("{name}", project.name) for name, value in env.items()}
    assert runs_code_in([project / "work"], ("tools/elf",), project, found)


def test_a_program_below_a_folder_of_the_same_name_is_other_code(project: Path):
    """In a workspace called `work`, each program below /work was taken for one of it."""
    elsewhere = "/work/bin/server"
    assert not runs_code_in(
        [project / "work"], (elsewhere, "--config=/etc/work/x"), project, {"LIB": f"{elsewhere}:/work"}
    )
    assert runs_code_in([project / "work"], (elsewhere, f"--config={project}/work/x"), project)
    assert runs_code_in([project / "work"], (elsewhere, f"{project}/tools/../work/x"), project)
    assert runs_code_in([project / "work"], (elsewhere, "-I/x", "./work"), project)


def test_a_folder_that_is_not_there_yet_counts(tmp_path: Path):
    """A task with `workspace: {path: ws, create: true}` had no folder that a run can change."""
    assert runs_code_in([tmp_path / "ws"], ("node", "server.js"), tmp_path, {"NODE_PATH": "ws"})
    assert runs_code_in([tmp_path / "ws"], ("node", "ws/server.js"), tmp_path)


@pytest.mark.parametrize(
    "command",
    [
        "npx -y @modelcontextprotocol/server-filesystem work", "uvx mcp-server-git --repository work",
        "uvx mcp-server-git==2026.7.1 --repository work", "mcp-server-git --repository {work}",
        "pipx run mcp-server-sqlite --db-path work/x.db", "docker run -i --rm -v work:/data mcp/filesystem /data",
        "npx -y @scope/server", "uvx server --db elsewhere", "{tools}/elf --token=ab/cd+e/f=",
        "python3 {tools}/server.py",
        "sh -c 'exec node other/networks.js'", "docker run -i mcp/fetch", "{tools}/elf --workers 3 homework framework",
    ],
)  # fmt: skip
def test_other_code_and_servers_that_only_work_on_a_folder_are_not_of_it(project: Path, command: str):
    words = _words(command.replace("{tools}", str(project / "tools")).replace("{work}", str(project / "work")))
    env = {"API_TOKEN": "eyJh/bGci+Oi/x="}
    assert not runs_code_in([project / "work"], words, project, env)


def _words(command: str) -> list[str]:
    return shlex.split(command)

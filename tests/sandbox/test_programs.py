"""Programs that are started outside the sandbox never come from a folder that a command may change."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent import Rules, Sandbox, ToolContext, find_sandbox
from agent.sandbox import Isolation, bubblewrap, container
from agent.sandbox.programs import SYSTEM_FOLDERS, find_program, interpreter, trusted_path

PYTHON = Path(sys.executable).parent
WORDS = "#!/bin/sh\ntouch '{mark}'\nexit 1\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A project with an activated virtual environment."""
    folder = tmp_path / "project"
    (folder / ".venv/bin").mkdir(parents=True)
    return folder


def plant(path: Path, *, mark: Path | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(WORDS.format(mark=mark or path.with_suffix(".ran")))
    path.chmod(0o755)
    return path


def run(sandbox: Sandbox, workspace: Path, command: str, *, path: str = "", **env: str) -> str:
    variables = {"PATH": path or os.defpath, **env}
    with sandbox.launch(["/bin/sh", "-c", command], workspace=workspace, env=variables) as launch:
        done = subprocess.run(
            launch.argv, env=dict(launch.env), pass_fds=launch.pass_fds, cwd=workspace, timeout=30, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    return done.stdout.decode(errors="replace")


def sandbox(kind: Isolation, **rules: Any) -> Sandbox:
    return find_sandbox(kind, Rules(**rules))


@pytest.mark.parametrize("name", ["bwrap", "nsenter", "prlimit", "rg", "git", "docker"])
def test_a_program_planted_in_the_workspace_is_not_found(name: str, workspace: Path, monkeypatch: pytest.MonkeyPatch):
    planted = plant(workspace / ".venv/bin" / name)
    monkeypatch.setenv("PATH", f"{planted.parent}:{os.defpath}")
    assert find_program(name, untrusted=[workspace]) != str(planted)
    monkeypatch.setenv("PATH", str(planted.parent))
    assert find_program(name, untrusted=[workspace]) is None


@pytest.mark.parametrize("way", ["folder", "program", "chain", "dots"])
def test_a_link_that_leads_through_the_workspace_makes_no_program_trusted(
    way: str, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real, entry = plant(tmp_path / "real/rg"), tmp_path / "mine"
    if way == "folder":
        (workspace / "bin").symlink_to(real.parent)
        entry.symlink_to(workspace / "bin")
    elif way == "dots":
        (workspace / "bin").symlink_to(real.parent)
        entry = Path(f"{tmp_path}/real/../project/bin")
    else:
        entry.mkdir()
        (workspace / "rg").symlink_to(real)
        (entry / "rg").symlink_to(workspace / "rg" if way == "program" else workspace / ".venv/../rg")
    monkeypatch.setenv("PATH", str(entry))
    assert find_program("rg") == str(real)
    assert find_program("rg", untrusted=[workspace]) is None


def test_a_program_that_was_replaced_since_it_was_found_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = plant(tmp_path / "bin/rg")
    monkeypatch.setenv("PATH", str(program.parent))
    assert find_program("rg") == str(program)
    before = program.stat()
    program.write_text(program.read_text().replace("1", "0"))
    os.utime(program, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(OSError, match=r"the program .*/bin/rg was replaced while this process was running"):
        find_program("rg")


def test_a_program_that_every_user_can_change_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = plant(tmp_path / "open/rg")
    monkeypatch.setenv("PATH", str(program.parent))
    program.parent.chmod(0o777)
    assert find_program("rg") is None


def test_a_program_in_the_current_folder_is_not_found(workspace: Path, monkeypatch: pytest.MonkeyPatch):
    planted = plant(workspace / ".venv/bin/bwrap")
    monkeypatch.chdir(workspace)
    monkeypatch.setenv("PATH", str(planted.parent))
    assert find_program("bwrap") is None
    assert planted.parent.as_posix() not in trusted_path([])


def test_the_systems_own_program_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    planted = plant(tmp_path / "bin/sh")
    monkeypatch.setenv("PATH", f"{planted.parent}:{os.defpath}")
    found = find_program("sh")
    assert found is not None
    assert found != str(planted)
    assert trusted_path([]).split(":")[0] in SYSTEM_FOLDERS


@pytest.mark.parametrize("kind", ["bubblewrap", "landlock"])
def test_a_planted_bwrap_is_not_run_by_the_next_command(
    kind: Isolation, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    mark = tmp_path / "ran"
    monkeypatch.setenv("PATH", f"{workspace}/.venv/bin:{os.defpath}")
    for name in ("bwrap", "nsenter", "prlimit", "python3", "python"):
        plant(workspace / ".venv/bin" / name, mark=mark)
    assert run(sandbox(kind), workspace, "echo fine").strip() == "fine"
    assert not mark.exists()


def test_the_launchers_python_is_not_a_link_in_the_workspace(workspace: Path, monkeypatch: pytest.MonkeyPatch):
    """In an environment inside the workspace, sys.executable is a symlink that a command can replace."""
    link = workspace / ".venv/bin/python"
    link.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(link))
    assert interpreter(untrusted=[workspace]) == str(Path("/proc/self/exe").resolve())
    with sandbox("landlock").launch(["true"], workspace=workspace, env={"PATH": os.defpath}) as launch:
        assert not launch.argv[0].startswith(str(workspace))
    line = container.command_line(["true"], image="i", workspace=workspace, env={}, rules=Rules(), stdin_fd=7)
    assert not line[0].startswith(str(workspace))


def test_a_python_inside_the_workspace_is_refused_with_words():
    running = Path("/proc/self/exe").resolve()
    with pytest.raises(OSError, match=r"in a folder that commands may change\. Install tramontane"):
        interpreter(untrusted=[running.parent])


@pytest.mark.parametrize("kind", ["bubblewrap", "landlock"])
@pytest.mark.parametrize("name", ["LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GCONV_PATH"])
def test_a_variable_that_loads_libraries_reaches_the_command_but_not_the_launcher(
    kind: Isolation, name: str, workspace: Path
):
    """The task may set it; a command could put a library into that folder, and the launcher would load it outside."""
    value = str(workspace / "lib")
    with sandbox(kind).launch(["true"], workspace=workspace, env={"PATH": os.defpath, name: value}) as launch:
        assert name not in launch.env
    assert run(sandbox(kind), workspace, f'echo "${name}" 2>/dev/null', **{name: value}).splitlines()[-1] == value


def test_the_docker_client_loads_no_library_and_starts_no_program_of_the_workspace(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", f"{workspace}/.venv/bin:{os.defpath}")
    env = container.client_env({"LD_PRELOAD": "x", "TOKEN": "t"}, untrusted=[workspace])
    assert "LD_PRELOAD" not in env
    assert env["TOKEN"] == "t"
    assert str(workspace) not in env["PATH"]
    line = container.command_line(
        ["true"], image="i", workspace=workspace, env={"LD_PRELOAD": "x"}, rules=Rules(), stdin_fd=7
    )
    assert "--env=LD_PRELOAD=x" in line


# What the PATH makes readable.


def visible(env_path: Path, workspace: Path, **rules: Any) -> set[Path]:
    return set(bubblewrap.program_folders({"PATH": str(env_path)}, writable=[workspace], **rules))


@pytest.mark.parametrize("kind", ["bubblewrap", "landlock"])
@pytest.mark.parametrize("way", ["pth", "python3", "python", "lib", "bin", "pyvenv.cfg"])
def test_a_file_or_link_in_the_workspace_makes_no_folder_readable(
    kind: Isolation, way: str, workspace: Path, tmp_path: Path
):
    outside = tmp_path / "outside"
    (outside / "lib").mkdir(parents=True)
    (outside / "key").write_text("canary")
    (outside / "python3").write_text("x")
    venv = workspace / ".venv"
    if way == "pth":
        (venv / "lib/python3.11/site-packages").mkdir(parents=True)
        (venv / "lib/python3.11/site-packages/x.pth").write_text(f"{outside}\n")
    elif way == "bin":
        (venv / "bin").rmdir()
        (venv / "bin").symlink_to(outside)
    elif way in {"python", "python3"}:
        (venv / "bin" / way).symlink_to(outside / "key")
    else:
        (venv / way).symlink_to(outside)
    printed = run(sandbox(kind), workspace, f"cat {outside}/key", path=f"{venv}/bin:{os.defpath}")
    assert "canary" not in printed
    assert not any(path.is_relative_to(outside) for path in visible(venv / "bin", workspace))


@pytest.mark.parametrize("target", ["{prefix}/bin/python3", "{relative}/prefix/bin/python3", "{current}/bin/python3"])
def test_a_python_installed_in_an_unusual_place_works_in_the_workspaces_environment(
    target: str, workspace: Path, tmp_path: Path
):
    prefix, current = tmp_path / "prefix", tmp_path / "current"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin/python3").touch()
    (prefix / "lib/python3.12").mkdir(parents=True)
    (prefix / "lib/python3.12/os.py").touch()
    (prefix / "secret").touch()
    current.symlink_to(prefix)
    relative = os.path.relpath(tmp_path, workspace / ".venv/bin")
    (workspace / ".venv/bin/python").symlink_to(target.format(prefix=prefix, relative=relative, current=current))
    found = {path.resolve() for path in visible(workspace / ".venv/bin", workspace)}
    assert {prefix / "bin", prefix / "lib"} <= found
    assert not any((prefix / "secret").is_relative_to(path) for path in found)


@pytest.mark.parametrize("planted", ["bin/python3", "keys/python3", ".ssh/bin/python3", "lib/python3.12/python3"])
def test_a_folder_without_a_standard_library_beside_it_is_no_installed_python(
    planted: str, workspace: Path, tmp_path: Path
):
    place = tmp_path / "outside" / planted
    place.parent.mkdir(parents=True)
    place.touch()
    (tmp_path / "outside/lib/python3.12").mkdir(parents=True, exist_ok=True)
    if planted != "bin/python3":
        (tmp_path / "outside/lib/python3.12/os.py").touch()
    (workspace / ".venv/bin/python").symlink_to(place)
    assert not any(
        path.resolve().is_relative_to(tmp_path / "outside") for path in visible(workspace / ".venv/bin", workspace)
    )


def test_the_environment_of_the_original_adds_no_folder_to_a_run_in_its_copy(workspace: Path, tmp_path: Path):
    """An earlier run may have worked in the original, whose .venv/bin is on the PATH."""
    copy, outside = tmp_path / "copy", tmp_path / "outside"
    copy.mkdir()
    outside.mkdir()
    (workspace / ".venv/lib").symlink_to(outside)
    (workspace / ".venv/bin/python3").symlink_to(outside / "key")
    (outside / "key").write_text("x")
    found = visible(workspace / ".venv/bin", copy, untrusted=[workspace])
    assert workspace / ".venv/bin" in found
    assert not any(path.resolve().is_relative_to(outside) for path in found)


def test_the_interpreter_of_a_version_manager_works_in_the_workspaces_environment(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    home = tmp_path / "home"
    installed = plant(home / ".pyenv/versions/3.12.1/bin/python3.12")
    (home / ".ssh").mkdir()
    monkeypatch.setenv("HOME", str(home))
    (workspace / ".venv/bin/python3").symlink_to(installed)
    (workspace / ".venv/bin/python").symlink_to(home / ".pyenv/versions/../../.ssh")
    found = visible(workspace / ".venv/bin", workspace)
    assert installed.parent in found
    assert installed.parent.parent / "lib" in found
    assert not any(path.is_relative_to(home / ".ssh") for path in found)


@pytest.mark.parametrize("kind", ["bubblewrap", "landlock"])
def test_the_agents_own_environment_copied_into_the_workspace_still_runs_python(kind: Isolation, workspace: Path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(workspace / ".venv2")], check=True)
    path = f"{workspace}/.venv2/bin:{os.defpath}"
    assert run(sandbox(kind), workspace, "python -c 'print(6 * 7)'", path=path).strip() == "42"


def test_a_tools_helper_is_not_the_workspaces(workspace: Path, monkeypatch: pytest.MonkeyPatch):
    planted = plant(workspace / ".venv/bin/rg")
    monkeypatch.setenv("PATH", f"{planted.parent}:{os.defpath}")
    context = ToolContext(workspace=workspace)
    assert context.find_program("rg") != str(planted)
    assert not context.interpreter().startswith(str(workspace))

"""Nothing that a command starts outlives it, whatever session it is in: not its end, its deadline, or the agent's."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent import Rules, Sandbox, ToolContext
from agent.sandbox import CommandLimits, Shared, landlock, landlock_launcher
from tools.processes import start_process, stop_process
from tools.shell import run_shell

if TYPE_CHECKING:
    from conftest import Called, Held, Walled

ENV = {"PATH": os.defpath}
LIMITED = Rules(limits=CommandLimits(processes=256))
WALLS = ("bubblewrap", "landlock", "landlock without namespaces", "container")


def _python(code: str) -> str:
    return f"python3 -c '{code}' > /dev/null 2>&1 < /dev/null"


# Each leaves a process that holds the descriptor 3 open, and in the end its ID in the file `left`.
DAEMONS: Mapping[str, str] = {
    "in a session of its own": "setsid -f bash -c 'echo $$ > left; sleep 20' > /dev/null 2>&1",
    "forked twice": _python(
        "import os, time\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\n"
        'open("left", "w").write(str(os.getpid()))\ntime.sleep(20)'
    ),
    "deaf to signals": (
        "(trap '' TERM HUP INT QUIT USR1 USR2 ALRM CHLD; setsid -f bash -c 'echo $$ > left; sleep 20' > /dev/null 2>&1)"
    ),
    "stopped": "setsid -f bash -c 'echo $$ > left; kill -STOP $$' > /dev/null 2>&1",
    "below a subreaper of its own": _python(
        "import ctypes, os, time\nif os.fork(): os._exit(0)\nos.setsid()\nctypes.CDLL(None).prctl(36, 1, 0, 0, 0)\n"
        "if os.fork():\n    time.sleep(20)\nif os.fork(): os._exit(0)\nos.setsid()\n"
        'open("left", "w").write(str(os.getpid()))\ntime.sleep(20)'
    ),
    "after an attack on what ends it": (
        "setsid -f bash -c 'echo $$ > left; sleep 20' > /dev/null 2>&1; kill -9 $PPID; kill -ALRM $PPID; "
        "kill -STOP $PPID"
    ),
}
_LEFT = "while [ ! -s left ]; do sleep 0.02; done"
STORM = _python(
    "import os, time\nend = time.time() + 4\nif os.fork(): os._exit(0)\n"
    "while time.time() < end:\n    os.setsid()\n    if os.fork(): os._exit(0)"
)
"""None of its processes lives long enough to be found and then killed by its ID."""


def context_of(workspace: Path, sandbox: Sandbox) -> ToolContext[Any]:
    return ToolContext(workspace=workspace, env=ENV, sandbox=sandbox)


def bash(command: str) -> list[str]:
    return ["bash", "-c", f"exec 3> held; {command}"]


async def is_left(workspace: Path) -> int:
    """Wait until a daemon has written its ID."""
    until = time.monotonic() + 10
    while not (workspace / "left").exists() or not (text := (workspace / "left").read_text().strip()):
        assert time.monotonic() < until
        await asyncio.sleep(0.01)
    return int(text)


@pytest.mark.parametrize("name", [name for name in DAEMONS if "attack" not in name])
async def test_without_a_sandbox_the_daemon_stays(tmp_path: Path, held: Held, name: str):
    await context_of(tmp_path, Sandbox()).run(bash(f"{DAEMONS[name]}; {_LEFT}"), timeout_s=20)
    daemon = await is_left(tmp_path)
    assert held.is_open()
    os.kill(daemon, signal.SIGKILL)


@pytest.mark.parametrize("wall", WALLS)
@pytest.mark.parametrize("name", DAEMONS)
async def test_a_daemon_ends_with_its_command(tmp_path: Path, held: Held, name: str, wall: str, walled: Walled):
    """Under Landlock, what made itself a session outlived the command and the run."""
    command = f"{DAEMONS[name]}; {_LEFT}; exit 3"
    ended = await context_of(tmp_path, walled(wall, LIMITED)).run(bash(command), timeout_s=20)
    assert (ended.exit_code, (tmp_path / "left").exists()) == (3, True), ended.output
    held.until_gone()


@pytest.mark.parametrize("wall", WALLS)
async def test_daemons_end_with_a_command_that_is_killed_at_its_deadline(
    tmp_path: Path, held: Held, wall: str, walled: Walled
):
    daemons = "; ".join(command for name, command in DAEMONS.items() if "attack" not in name)
    ended = await context_of(tmp_path, walled(wall, LIMITED)).run(bash(f"{daemons}; sleep 30"), timeout_s=2)
    assert (ended.timed_out, (tmp_path / "left").exists()) == (True, True), ended.output
    held.until_gone(15 if wall == "container" else 5)


@pytest.mark.parametrize("wall", WALLS)
async def test_processes_that_fork_replacements_in_ever_new_sessions_end_with_their_command(
    tmp_path: Path, held: Held, wall: str, walled: Walled
):
    started = time.monotonic()
    await context_of(tmp_path, walled(wall, LIMITED)).run(bash(f"{STORM}; {STORM}; sleep 0.2"), timeout_s=20)
    held.until_gone()
    assert time.monotonic() - started < 4, "they ended by themselves"


_AGENT = """
import asyncio, sys
from dataclasses import replace
from json import dumps
from pathlib import Path
from agent import Rules, find_sandbox
from agent.sandbox.process import Output, start_process

async def main(kind, wall):
    sandbox = find_sandbox(kind, Rules())
    if "without" in wall:
        sandbox = replace(sandbox, namespaces=False)
    argv, env = ["bash", "-c", sys.argv[3]], {"PATH": "/usr/bin:/bin"}
    with sandbox.launch(argv, workspace=Path.cwd(), env=env) as launch:
        await start_process(launch, folder=Path.cwd(), output=Output())
    await asyncio.sleep(60)

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


@pytest.mark.parametrize("wall", ["bubblewrap", "landlock", "landlock without namespaces"])
async def test_a_command_ends_with_an_agent_that_is_killed(tmp_path: Path, held: Held, wall: str, walled: Walled):
    """Under Landlock, it went on and changed the workspace while the run was resumed."""
    walled(wall, LIMITED)
    command = f"exec 3> held; {DAEMONS['in a session of its own']}; sleep 30"
    with subprocess.Popen([sys.executable, "-c", _AGENT, wall.split()[0], wall, command], cwd=tmp_path) as agent:
        await is_left(tmp_path)
        agent.kill()
    held.until_gone()


@pytest.mark.parametrize("wall", ["landlock", "landlock without namespaces"])
async def test_a_command_under_landlock_ends_as_it_did(tmp_path: Path, wall: str, walled: Walled):
    """Two processes stand between it and the agent; its exit code, its signals and its deadline pass through them."""
    context = context_of(tmp_path, walled(wall, LIMITED))
    assert (await context.run(["bash", "-c", "exit 7"], timeout_s=20)).exit_code == 7
    assert (await context.run(["bash", "-c", "kill -9 $$"], timeout_s=20)).exit_code == -signal.SIGKILL
    assert (await context.run(["bash", "-c", "kill -SEGV $$"], timeout_s=20)).exit_code == -signal.SIGSEGV
    assert (await context.run(["bash", "-c", "kill 0; sleep 9"], timeout_s=20)).exit_code == -signal.SIGTERM
    piped = await context.run(["bash", "-c", "yes | head -1; echo ${PIPESTATUS[0]}"], timeout_s=20)
    assert piped.output == "y\n141\n", "it ignored SIGPIPE, as the launcher's Python does"
    asked = "trap 'echo asked; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    process = await context.start(["bash", "-c", asked])
    while "ready" not in process.take_output():
        await asyncio.sleep(0.02)
    process.terminate()
    assert await process.wait(10) == 5
    assert process.take_output().replace("Terminated\n", "") == "asked\n", "the signal arrives once"
    await process.kill()


@pytest.mark.parametrize("wall", ["bubblewrap", "landlock", "landlock without namespaces"])
async def test_a_background_process_of_the_run_lives_on_and_ends_when_it_is_stopped(
    tmp_path: Path, held: Held, called: Called, wall: str, walled: Walled
):
    shared = Shared()
    context = replace(context_of(tmp_path, walled(wall, LIMITED)), shared=shared)
    command = f"exec 3> held; {DAEMONS['in a session of its own']}; sleep 60"
    assert "is running" in await called(start_process, context, command=command, wait_s=0)
    await is_left(tmp_path)
    await called(run_shell, context, command="true")
    assert held.is_open()
    await called(stop_process, context, process=1)
    held.until_gone()
    await shared.aclose()


@pytest.mark.parametrize("wall", ["bubblewrap", "landlock"])
async def test_a_command_sees_its_own_processes_only(tmp_path: Path, wall: str, walled: Walled):
    ran = await context_of(tmp_path, walled(wall, LIMITED)).run(
        ["bash", "-c", "cat /proc/[0-9]*/comm; [ -e /proc/$$/comm ] && cat /proc/$$/comm; kill -9 1"], timeout_s=20
    )
    names = set(ran.output.split("\n"))
    assert "bash" in names
    assert len([name for name in ran.output.split("\n") if name]) <= 7, ran.output


async def test_commands_of_no_run_do_not_share_a_home(tmp_path: Path, walled: Walled):
    """Under Landlock, all commands of the process did: one could plant a module that the next one imports."""
    context = context_of(tmp_path, walled("landlock without namespaces", LIMITED))
    assert (await context.run(["sh", "-c", "echo x > ~/planted; ls ~"], timeout_s=20)).output == "planted\n"
    assert (await context.run(["sh", "-c", "ls -A ~"], timeout_s=20)).output == ""


async def test_a_command_that_cannot_be_sandboxed_is_not_run_and_the_reason_is_one_line(tmp_path: Path, walled: Walled):
    """The limit of namespaces may be reached during a run; here, a system call filter refuses them."""
    context, launcher = context_of(tmp_path, walled("bubblewrap", LIMITED)), Path(landlock_launcher.__file__)
    rules = {"read": ["/"], "write": [], "network": False, "namespaces": True, "limits": {}, "env": {}, "filter": ""}
    line = ["python3", "-I", "-S", str(launcher), dumps(rules), "/bin/echo", "started"]
    ended = await context.run(line, timeout_s=20, read=[launcher])
    assert (ended.exit_code, ended.output) == (
        1,
        "The command could not be sandboxed: Operation not permitted. What this machine allows has changed since the "
        "run started: end it and resume it.\n",
    )


def test_what_landlock_cannot_do_here_is_in_the_first_line_of_a_run(monkeypatch: pytest.MonkeyPatch):
    def said(sandbox: Sandbox) -> str:
        return str(sandbox).partition("homes are hidden, ")[2]

    monkeypatch.setattr(landlock, "scopes_signals", lambda: False)
    found = Sandbox(isolation="landlock", note="bubblewrap is not installed")
    seen = "this machine's processes can be seen and its shared memory segments reached"
    assert said(found) == (
        f"no network; but {seen}, your other processes can be signalled, .git can be changed "
        "(bubblewrap is not installed)"
    )
    monkeypatch.setattr(landlock, "scopes_signals", lambda: True)
    assert said(found) == f"no network; but {seen}, .git can be changed (bubblewrap is not installed)"
    assert said(replace(found, namespaces=True, note="")) == "no network; but .git can be changed"
    assert said(replace(found, namespaces=True, note="", rules=Rules(network=True))) == (
        "network allowed; but sockets of services can be reached, .git can be changed"
    )
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert said(replace(found, namespaces=True, note="")) == (
        "no network; but sockets of services can be reached, UDP is not blocked, .git can be changed"
    )

"""What the commands of one run share, seen by its commands: /tmp and home, and the network between them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from agent import Agent, ConfigError, Outcome, Rules, Sandbox, Tool, ToolContext, Verify, find_sandbox, tool
from agent.messages import ToolResult
from agent.sandbox import Isolation, Shared, namespaces
from agent.testing import ScriptedModel, calls, says
from tools.processes import start_process, stop_process
from tools.shell import run_shell

ENV = {"PATH": f"{Path(sys.executable).parent}:{os.defpath}"}
ISOLATIONS: Sequence[Isolation] = ("bubblewrap", "landlock")


def sandbox_of(isolation: Isolation, rules: Rules | None = None) -> Sandbox:
    try:
        return find_sandbox(isolation, rules or Rules())
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield an empty folder outside of /tmp, so that /tmp is empty in the sandbox."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        yield Path(name)


@pytest.fixture(autouse=True)
def place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which the folders of runs are made."""
    (place := folder / "place").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.fixture
def workspace(folder: Path) -> Path:
    (workspace := folder / "workspace").mkdir()
    return workspace


def left_in(place: Path) -> list[str]:
    return [path.name for path in place.iterdir() if not path.name.endswith("-workspaces")]


async def run(
    workspace: Path, isolation: Isolation, *commands: str | tuple[Tool, Mapping[str, Any]], verify: Verify | None = None
) -> Outcome:
    """Run commands, or calls of other tools, one a step."""
    made = [(run_shell, {"command": each}) if isinstance(each, str) else each for each in commands]
    model = ScriptedModel([*(calls((tool.name, arguments)) for tool, arguments in made), says("Done.")])
    tools = {tool.name: tool for tool, _ in made}.values()
    agent = Agent(
        model, tools=list(tools), workspace=workspace, env=ENV, sandbox=sandbox_of(isolation), verify=verify
    )  # fmt: skip
    return await agent.run("Work.")


def results(outcome: Outcome) -> list[str]:
    return [message.content for message in outcome.messages if isinstance(message, ToolResult)]


@pytest.mark.parametrize("isolation", ISOLATIONS)
async def test_a_script_in_the_temporary_folder_is_still_there_one_command_later(
    workspace: Path, place: Path, isolation: Isolation
):
    write = "echo 'echo again' > $TMPDIR/script; echo x > ~/.note; [ $HOME = $TMPDIR ] && mktemp > made && echo written"
    found = results(await run(workspace, isolation, write, "sh $TMPDIR/script; cat ~/.note; ls $TMPDIR | wc -l"))

    assert found == ["written\n", "again\nx\n2\n"]
    assert left_in(place) == [], "it is removed when the run ends"


@pytest.mark.parametrize("isolation", ISOLATIONS)
async def test_git_status_does_not_list_the_bytecode_that_commands_of_the_run_made(
    workspace: Path, isolation: Isolation
):
    """It listed `?? __pycache__/` in a project without a .gitignore."""
    git = ["git", "-C", str(workspace), "-c", "user.name=a", "-c", "user.email=a@b"]
    (workspace / "one.py").write_text("import two\n")
    (workspace / "two.py").write_text("")
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "First"], check=True)
    command = "python one.py; ls -d __pycache__; touch new; git status --short"
    assert results(await run(workspace, isolation, command)) == ["__pycache__\n?? new\n"]


async def test_under_bubblewrap_it_is_tmp(workspace: Path):
    assert results(await run(workspace, "bubblewrap", "echo here > /tmp/a", "cat /tmp/a; echo ~"))[1] == "here\n/tmp\n"


@pytest.mark.parametrize("isolation", ISOLATIONS)
async def test_another_run_does_not_see_it(workspace: Path, place: Path, isolation: Isolation):
    seen: list[str] = []

    @tool
    async def run_another() -> str:
        """Run another."""
        (other := workspace.parent / "other").mkdir()
        seen.extend(results(await run(other, isolation, f"ls -A $TMPDIR; cat {place}/*/tmp/secret")))
        return ""

    await run(workspace, isolation, "echo canary > $TMPDIR/secret", (run_another, {}))
    assert "canary" not in seen[0]
    assert seen[0].endswith("exit code 1")


@pytest.mark.parametrize("isolation", ISOLATIONS)
async def test_the_verification_has_a_temporary_folder_and_a_home_of_its_own(
    workspace: Path, place: Path, isolation: Isolation
):
    """A module in ~/.local of the model's home could change what the verification runs."""
    command = "ls -A ~ > seen; ls -A $TMPDIR >> seen; echo x > ~/left; [ $(wc -l < tries) = 2 ]; code=$?; exit $code"
    tries = "echo x >> tries"
    model = ScriptedModel(
        [calls(("run_shell", {"command": f"{tries}; echo x > ~/planted"})), says("Done."),
         calls(("run_shell", {"command": f"{tries}; ls ~"})), says("Done.")]
    )  # fmt: skip
    agent = Agent(
        model, tools=[run_shell], workspace=workspace, env=ENV, sandbox=sandbox_of(isolation),
        verify=Verify(command=command),
    )  # fmt: skip
    outcome = await agent.run("Work.")

    assert (outcome.status, results(outcome)[1]) == ("verified", "planted\n")
    assert (workspace / "seen").read_text() == "", "neither the run's files nor those of the first verification"
    assert left_in(place) == []


@pytest.mark.parametrize("isolation", ISOLATIONS)
async def test_what_a_run_left_there_is_removed_however_it_ends(workspace: Path, place: Path, isolation: Isolation):
    outside = workspace.parent / "outside"
    outside.mkdir()
    mess = f"mkdir -p a/b; ln -s {outside} a/link; touch a/b/file; chmod 0 a/b a; (while :; do date > t; done) &"
    model = ScriptedModel(
        [calls(("run_shell", {"command": f"cd $TMPDIR; {mess}"}))]
    )  # then the script has ended, which is an error
    agent = Agent(model, tools=[run_shell], workspace=workspace, env=ENV, sandbox=sandbox_of(isolation))
    with pytest.raises(AssertionError):
        await agent.run("Work.")

    assert left_in(place) == []
    assert outside.is_dir()


@pytest.mark.parametrize("isolation", ISOLATIONS)
async def test_a_run_that_was_killed_and_is_resumed_finds_its_files(workspace: Path, place: Path, isolation: Isolation):
    killed, resumed = (
        ToolContext(workspace=workspace, env=ENV, sandbox=sandbox_of(isolation), shared=Shared("20261128-1"))
        for _ in range(2)
    )
    await killed.run(["sh", "-c", "echo here > $TMPDIR/a"], timeout_s=20)
    assert (await resumed.run(["sh", "-c", "cat $TMPDIR/a"], timeout_s=20)).output == "here\n"
    assert resumed.shared is not None
    await resumed.shared.aclose()
    assert left_in(place) == []


async def test_a_folder_of_that_name_that_others_can_reach_is_not_used(workspace: Path, place: Path):
    (place / "tramontane-r").mkdir(mode=0o777)
    (place / "tramontane-r").chmod(0o777)
    shared = Shared("r")
    assert shared.folder().parent.name != "tramontane-r"
    await shared.aclose()
    (place / "tramontane-r").rmdir()
    (place / "tramontane-r").symlink_to(workspace)
    assert Shared("r").folder().parent.name != "tramontane-r"
    assert list(workspace.iterdir()) == []


SERVE = "printf found > page; exec python -u -m http.server --bind 127.0.0.1 8765"
FETCH = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8765/page', timeout=5).read().decode())"


async def test_a_server_of_start_process_could_not_be_reached_by_a_later_command(workspace: Path, folder: Path):
    """Each command had a network of its own. Another run and the verification still have."""
    if not namespaces.can_enter():
        pytest.skip("a network cannot be shared on this machine")
    seen: list[str] = []
    (other := folder / "other").mkdir()

    @tool
    async def run_another() -> str:
        """Run another."""
        seen.extend(results(await run(other, "bubblewrap", f'python -c "{FETCH}"')))
        return ""

    outcome = await run(
        workspace, "bubblewrap", (start_process, {"command": SERVE, "wait_s": 1}), f'python -c "{FETCH}"',
        (run_another, {}), (stop_process, {"process": 1}), f'python -c "{FETCH}"',
        verify=Verify(command=f'python -c "{FETCH}"', attempts=1),
    )  # fmt: skip
    started, reached, _, stopped, after = results(outcome)

    assert started.startswith("Process 1 is running. Output:\nServing HTTP on 127.0.0.1 port 8765")
    assert "cannot" not in started
    assert (reached, "GET /page" in stopped) == ("found\n", True)
    assert all("Connection refused" in text for text in (after, seen[0]))
    assert outcome.status != "verified"


async def test_where_no_command_reaches_another_start_process_says_so(workspace: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("agent.sandbox.namespaces.can_enter", lambda: False)  # as where nsenter is missing
    start = (start_process, {"command": "echo up; sleep 60", "wait_s": 1})
    found = results(await run(workspace, "bubblewrap", start, "exec 3<>/dev/tcp/127.0.0.1/1"))
    assert found[0] == (
        "Process 1 is running. Output:\nup\n"
        "(Other tools cannot reach its ports: here, each command has a network of its own.)"
    )
    assert "refused" in found[1], "it has a loopback interface of its own"
    found = results(await run(workspace, "landlock", start))
    assert found[0].endswith("\nup\n(It cannot open a port: here, no command has a network, not even localhost.)")


async def test_the_shared_network_leads_nowhere_else_and_gives_no_rights(context: ToolContext[Any]):
    assert context.shared is not None
    context.shared.connect()
    assert context.shared.network() is not None
    look = "grep -c : /proc/net/dev; cat /proc/net/route | wc -l; grep CapEff /proc/self/status"
    found = await output_of(context, f"{look}; ls /proc/self/fd | wc -l; unshare -n true; nsenter -t 1 -n true")
    assert found.startswith("1\n1\nCapEff:\t0000000000000000\n4\n")
    assert found.count("Operation not permitted") == 2


async def test_no_open_file_is_left_of_the_networks(workspace: Path):
    assert namespaces.can_enter()  # what makes them is kept for all runs of this process
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        await run(workspace, "bubblewrap", (start_process, {"command": "true", "wait_s": 1}), "true")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest_asyncio.fixture
async def context(workspace: Path) -> AsyncIterator[ToolContext[Any]]:
    shared = Shared()
    context = ToolContext[Any](
        workspace=workspace, env=ENV, sandbox=sandbox_of("bubblewrap"), shared=shared
    )  # fmt: skip
    yield context
    await context.resources.aclose(pytest.fail)
    await shared.aclose()


async def output_of(context: ToolContext[Any], command: str, **paths: Sequence[Path]) -> str:
    return (await context.run(["/bin/bash", "-c", command], timeout_s=20, **paths)).output


@pytest.fixture
def in_tmp() -> Iterator[Path]:
    """Yield a folder in the machine's own /tmp, where people do keep projects."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


async def test_a_workspace_in_the_machines_tmp_can_be_used(in_tmp: Path, folder: Path):
    """The folders that bubblewrap mounts on are made by it, through any symlink: an earlier command could plant one."""
    (workspace := in_tmp / "below" / "workspace").mkdir(parents=True)
    (outside := folder / "outside").mkdir()
    plant = f"echo kept > /tmp/a; cd /tmp && mv {in_tmp} /tmp/moved; ln -sfT /oldroot{outside} {in_tmp}; true"
    look = f"cat /tmp/a; pwd; echo made > made; ls -A {in_tmp}; ls /tmp"
    found = results(await run(workspace, "bubblewrap", plant, look))

    assert "Device or resource busy" in found[0]
    assert found[1] == f"kept\n{workspace}\nbelow\na\n{in_tmp.name}\n"
    assert (list(outside.iterdir()), list(workspace.iterdir())) == ([], [workspace / "made"])


async def test_a_command_that_reaches_into_the_machines_tmp_has_an_empty_one(
    context: ToolContext[Any], in_tmp: Path, folder: Path
):
    (given := in_tmp / "below").mkdir()
    (given / "file").write_text("given")
    (outside := folder / "outside").mkdir()
    await output_of(context, f"echo kept > /tmp/a; ln -sT /oldroot{outside} {in_tmp}")

    assert await output_of(context, f"cat {given}/file; ls /tmp", read=[given]) == f"given{in_tmp.name}\n"
    assert await output_of(context, "cat /tmp/a") == "kept\n"
    assert list(outside.iterdir()) == []


async def test_a_folder_of_a_tool_is_reached_only_if_it_is_passed(context: ToolContext[Any]):
    await output_of(context, "echo kept > /tmp/a")
    with context.private_folder() as folder:
        (folder / "file").write_text("given")
        assert "No such file" in await output_of(context, f"cat {folder}/file; true")
        assert await output_of(context, f"cat {folder}/file /tmp/a", read=[folder]) == "givenkept\n"
        await output_of(context, f"mkdir {folder}/d; touch {folder}/d/f; chmod 0 {folder}/d", write=[folder])
    assert not folder.exists()


async def test_the_limits_of_a_command_hold_there(workspace: Path):
    """The folder is on the machine's disk, not in a file system of limited size."""
    rules = Rules()
    sandbox = sandbox_of("bubblewrap", rules)
    shared = Shared()
    context = ToolContext[Any](workspace=workspace, env=ENV, sandbox=sandbox, shared=shared)
    over = rules.limits.file_mb * 1_000_000 + 1
    assert "File size limit exceeded" in await output_of(context, f"truncate -s {over} /tmp/big; true")
    assert "not permitted" in await output_of(context, "touch /tmp/s; chmod 4755 /tmp/s 2>&1")
    await shared.aclose()

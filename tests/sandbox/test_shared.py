"""What the commands of one run share, seen by its commands: /tmp and home, and the network between them."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from agent import Agent, ConfigError, Outcome, Rules, Sandbox, Tool, ToolContext, Verify, find_sandbox, tool
from agent.messages import ToolResult
from agent.sandbox import Isolation, Shared
from agent.testing import ScriptedModel, calls, says
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
         calls(("run_shell", {"command": f"{tries}; ls -A ~"})), says("Done.")]
    )  # fmt: skip
    agent = Agent(
        model, tools=[run_shell], workspace=workspace, env=ENV, sandbox=sandbox_of(isolation),
        verify=Verify(command=command),
    )  # fmt: skip
    outcome = await agent.run("Work.")

    assert (outcome.outcome, results(outcome)[1]) == ("verified", "planted\n")
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
        ToolContext(
            workspace=workspace, state=None, env=ENV, sandbox=sandbox_of(isolation), shared=Shared("20261128-1")
        )
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


@pytest_asyncio.fixture
async def context(workspace: Path) -> AsyncIterator[ToolContext[Any]]:
    shared = Shared()
    context = ToolContext[Any](
        workspace=workspace, state=None, env=ENV, sandbox=sandbox_of("bubblewrap"), shared=shared
    )  # fmt: skip
    yield context
    await context.resources.aclose()
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
    look = f"cat /tmp/a; pwd; echo made > made; ls -A {in_tmp}; ls -A /tmp"
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
    context = ToolContext[Any](workspace=workspace, state=None, env=ENV, sandbox=sandbox, shared=shared)
    over = rules.limits.file_mb * 1_000_000 + 1
    assert "File size limit exceeded" in await output_of(context, f"truncate -s {over} /tmp/big; true")
    assert "not permitted" in await output_of(context, "touch /tmp/s; chmod 4755 /tmp/s 2>&1")
    await shared.aclose()

"""Claims: two runs in place never work in the same folder, whatever becomes of their processes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from agent import Agent, ConfigError, Limits, tool
from agent.messages import ToolResult
from agent.testing import ScriptedModel, calls, says
from agent.workspace import claims
from agent.workspace.claims import claimed, claims_folder


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(claims.tempfile, "tempdir", str(folder))
    return folder


def refusal(workspace: Path, other: Path) -> str:
    return (
        f"Run 'r1' is working in '{other}', so a second run cannot change '{workspace}' in place. Wait for it, or let "
        "this one work in a copy or a git worktree: workspace: {path: ..., copy: true}, or "
        "workspace_mode='copy' of an Agent."
    )


@pytest.mark.parametrize(("first", "second"), [("a", "a"), ("a", "a/b"), ("a/b", "a")])
def test_overlapping_folders_are_refused(tmp_path: Path, first: str, second: str):
    with claimed(tmp_path / first, "r1"):
        with pytest.raises(ConfigError) as caught, claimed(tmp_path / second, "r2"):
            pass
        assert str(caught.value) == refusal(tmp_path / second, tmp_path / first)
    with claimed(tmp_path / second, "r2"):
        pass


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("a", "ab"), ("a/b", "a/c")])
def test_separate_folders_can_be_claimed_together(tmp_path: Path, first: str, second: str):
    with claimed(tmp_path / first, "r1"), claimed(tmp_path / second, "r2"):
        pass


def test_a_claim_elsewhere_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each of 512 runs that began together once opened the claims of all others, one process at a time."""
    opened: list[str] = []
    with claimed(tmp_path / "a/b", "r1"), claimed(tmp_path / "c", "r2"):
        path_open = Path.open

        def counted(path: Path, mode: str) -> IO[Any]:
            opened.append(path.name)
            return path_open(path, mode)

        monkeypatch.setattr(Path, "open", counted)
        with claimed(tmp_path / "d", "r3"):
            assert opened == ["lock"]


@pytest.mark.parametrize("depth", [1, 30])
def test_folders_deeper_than_the_name_of_a_claim_can_tell_are_refused_only_if_they_overlap(tmp_path: Path, depth: int):
    deep = tmp_path.joinpath(*"n" * depth)
    with claimed(deep / "a", "r1"), claimed(deep / "b", "r2"), pytest.raises(ConfigError), claimed(deep, "r3"):
        pass


def test_a_claim_is_released_even_if_the_run_fails(tmp_path: Path):
    with pytest.raises(RuntimeError), claimed(tmp_path, "r1"):
        raise RuntimeError
    assert [path.name for path in claims_folder().iterdir()] == ["lock"]


def test_the_claim_of_another_process_counts_until_that_process_is_killed(tmp_path: Path):
    script = (
        "import sys, time; from pathlib import Path; from agent.workspace.claims import claimed\n"
        "with claimed(Path(sys.argv[1]), 'r1'):\n    print('claimed', flush=True); time.sleep(60)"
    )
    environ = {**os.environ, "TMPDIR": str(claims_folder().parent)}
    process = subprocess.Popen([sys.executable, "-c", script, tmp_path / "a"], stdout=subprocess.PIPE, env=environ)
    assert process.stdout is not None
    assert process.stdout.readline() == b"claimed\n"
    with pytest.raises(ConfigError) as caught, claimed(tmp_path / "a", "r2"):
        pass
    assert str(caught.value) == refusal(tmp_path / "a", tmp_path / "a")

    process.kill()
    process.communicate()
    with claimed(tmp_path / "a", "r2"):
        assert len(list(claims_folder().glob("claim-*"))) == 1, "the claim of the killed process is removed"


def test_the_folder_of_the_claims_is_private(tmp_path: Path):
    with claimed(tmp_path, "r1"):
        assert claims_folder().stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o077 for path in claims_folder().glob("claim-*")} == {0}


@pytest.mark.parametrize("planted", ["file", "link", "open folder"])
def test_a_folder_of_claims_that_somebody_else_can_change_is_refused(tmp_path: Path, planted: str):
    folder = claims_folder()
    problem = "it is a symlink, or other users can write to it"
    if planted == "file":
        folder.touch()
        problem = "File exists"
    elif planted == "link":
        (tmp_path / "elsewhere").mkdir()
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.mkdir()
        folder.chmod(0o777)

    with pytest.raises(ConfigError) as caught, claimed(tmp_path, "r1"):
        pass
    assert str(caught.value) == (
        f"The folder '{folder}', which keeps two runs from working in the same folder, cannot be used: {problem}. "
        "Remove it, or set TMPDIR to a folder of your own."
    )


async def test_a_second_run_in_place_is_refused_and_one_in_a_copy_is_not(tmp_path: Path):
    """The restore of one of two runs in a folder once removed the files of the other."""
    work = tmp_path / "work"
    (work / "inside").mkdir(parents=True)
    found: list[str] = []

    @tool
    async def start_another() -> str:
        """Start another run while this one works."""
        for settings in ({"workspace": work}, {"workspace": work / "inside"}):
            try:
                await Agent(ScriptedModel([]), tools=[start_another], **settings).run("Go.")
            except ConfigError as error:
                found.append(str(error))
        second = Agent(ScriptedModel([says("Done.")]), tools=[start_another], workspace=work, workspace_mode="copy")
        found.append((await second.run("Go.")).status)
        reads = Agent(ScriptedModel([says("Read.")]), tools=[look], workspace=work)
        found.append((await reads.run("Go.")).status)
        return "started"

    @tool(read_only=True)
    def look() -> str:
        """Look."""
        return "seen"

    first = Agent(ScriptedModel([calls(("start_another", {})), says("Done.")]), tools=[start_another], workspace=work)
    outcome = await first.run("Go.")

    name = f"Run {outcome.run!r} is working in '{work}', so a second run cannot change "
    assert [text.removeprefix(name).partition(" in place")[0] for text in found] == [
        f"'{work}'", f"'{work}/inside'", "finished", "finished",
    ]  # fmt: skip
    assert (await Agent(ScriptedModel([says("Done.")]), tools=[start_another], workspace=work).run("Go.")).ok


@tool
def list_claims() -> str:
    """List the folders that are claimed now."""
    return ", ".join(path.read_text().splitlines()[0] for path in claims_folder().glob("claim-*")) or "none"


@pytest.mark.parametrize(
    ("recorded", "configured", "claim"),
    [
        ({"workspace": "."}, {"workspace_mode": "copy"}, "."),
        ({"workspace": ".", "workspace_mode": "copy"}, {"workspace_mode": "in_place"}, "none"),
        ({}, {"workspace": "."}, "none"),  # the current folder, which is not restored
        ({"workspace": "."}, {"workspace": None}, "."),
    ],
)
async def test_a_resumed_run_claims_what_it_claimed_at_first_whatever_the_new_agent_is_configured_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recorded: dict[str, Any],
    configured: dict[str, Any],
    claim: str,
):
    """The new agent's mode decided: a run in place lost its claim, and one in a copy claimed the original."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    model = ScriptedModel([calls(("list_claims", {}))])
    agent = Agent(model, tools=[list_claims], limits=Limits(steps=1), runs=tmp_path / "runs", **recorded)
    first = await agent.run("Go.")
    assert first.journal is not None
    model = ScriptedModel([calls(("list_claims", {})), says("Done.")])
    outcome = await replace(agent, model=model, limits=Limits(), **configured).resume(first.journal.parent)

    expected = str(work) if claim == "." else claim
    results = [message.content for message in outcome.messages if isinstance(message, ToolResult)]
    assert [text.splitlines()[0] for text in results] == [expected] * 2  # a note that the call was repeated follows

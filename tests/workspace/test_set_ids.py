"""Files that run as their owner lose that permission at the end of a run, if the run made them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from agent import Agent, Rules, find_sandbox
from agent.testing import ScriptedModel, calls, says
from agent.workspace.set_ids import without_set_ids
from tools.shell import run_shell


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_files_that_run_as_their_owner_lose_it_in_folders_that_nobody_lists_too_and_older_ones_keep_it(tmp_path: Path):
    (deep := tmp_path / "a/deep\n").mkdir(parents=True)
    files = [tmp_path / "old", tmp_path / "user", tmp_path / "group", deep / "both", tmp_path / "plain"]
    for file in files:
        file.write_text("x")
    files[0].chmod(0o4755)
    os.link(files[0], tmp_path / "a/link")
    (tmp_path / "symlink").symlink_to(files[0])
    changed_ns = files[0].stat().st_ctime_ns
    while time.time_ns() <= changed_ns or files[4].stat().st_ctime_ns <= changed_ns:
        files[4].chmod(0o644)
    for file, mode in zip(files[1:4], (0o4755, 0o2750, 0o6711), strict=True):
        file.chmod(mode)
    deep.chmod(0o3111)
    text = without_set_ids(tmp_path, since_ns=changed_ns + 1)
    assert [_mode(file) for file in files] == [0o4755, 0o755, 0o750, 0o711, 0o644]
    assert f'"{tmp_path}/a/deep\\n/both"' in text
    assert str(files[0]) not in text
    assert without_set_ids(tmp_path, since_ns=changed_ns + 1) == ""


async def test_a_run_in_a_container_leaves_no_file_that_runs_as_its_user(docker_image: str, tmp_path: Path):
    """In a container, which has no system call filter of ours, a command could make one, for others of the machine."""
    command = "cp /bin/true s; chmod 6755 s; test -u s && echo made"
    model = ScriptedModel([calls(("run_shell", {"command": command, "timeout_s": 120})), says("Done.")])
    sandbox = find_sandbox("container", Rules(), image=docker_image)
    agent = Agent(model, tools=[run_shell], workspace=tmp_path, sandbox=sandbox, env={"PATH": os.defpath})
    outcome = await agent.run("Go.")
    assert model.bodies[1]["messages"][-1]["content"] == "made\n"
    assert _mode(tmp_path / "s") == 0o755
    assert outcome.notices[-1].endswith(f"{tmp_path / 's'}. That permission was taken away.")

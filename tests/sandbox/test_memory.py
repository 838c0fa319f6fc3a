"""Files in memory count within the memory limit of a command: no place of its own holds more than that."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent import Rules, ToolContext
from agent.sandbox import CommandLimits, Shared, bubblewrap
from agent.sandbox.rules import MB

if TYPE_CHECKING:
    from conftest import Walled

ENV = {"PATH": os.defpath}
LIMIT_MB = 600
LIMITS = CommandLimits(memory_mb=LIMIT_MB, file_mb=20)
# Fills every file system in memory that it may write to, up to 800 MB each, and prints how much each took.
FILL = r"""
import os
total = 0
for line in open('/proc/self/mounts'):
    _, place, kind, *_ = line.split()
    if kind not in ('tmpfs', 'devtmpfs', 'ramfs'):
        continue
    taken, names = 0, []
    try:
        for number in range(80):
            names.append(f'{place}/fill{number}')
            with open(names[-1], 'wb', buffering=0) as file:
                for _ in range(10):
                    taken += file.write(bytes(1_000_000))
    except OSError:
        pass
    if taken:
        print(place, taken)
print('filled')
"""


def filled(output: str) -> dict[str, int]:
    assert output.endswith("filled\n"), output
    return {name: int(taken) for name, _, taken in (line.partition(" ") for line in output.splitlines()[:-1])}


@pytest.mark.parametrize("of_a_run", [True, False], ids=["of a run", "alone"])
@pytest.mark.parametrize("wall", ["bubblewrap", "landlock", "landlock without namespaces", "container"])
async def test_what_is_written_to_memory_stays_within_the_limit(
    tmp_path: Path, wall: str, walled: Walled, of_a_run: bool
):
    """In bubblewrap, `/`, `/dev` and `/etc/ssh` were file systems of half the machine's memory each; /tmp had 2 GB."""
    sandbox = walled(wall, Rules(limits=LIMITS))
    shared = Shared() if of_a_run else None
    context = ToolContext[Any](workspace=tmp_path, env=ENV, sandbox=sandbox, shared=shared)
    taken = filled((await context.run(["python3", "-c", FILL], timeout_s=60)).output)
    if shared is not None:
        await shared.aclose()

    # The memory of a container includes its files; the engine itself gives it a /dev of 64 MB.
    most = LIMIT_MB * MB // (1 if wall == "container" else 2)
    assert sum(taken.values()) <= most, taken
    assert bool(taken) != wall.startswith("landlock"), "Landlock has no file system in memory"


async def test_without_a_memory_limit_each_file_system_in_memory_still_has_one(tmp_path: Path, walled: Walled):
    rules = Rules(limits=CommandLimits(memory_mb=0, file_mb=20), temporary_bytes=30 * MB)
    context = ToolContext[Any](workspace=tmp_path, env=ENV, sandbox=walled("bubblewrap", rules))
    taken = filled((await context.run(["python3", "-c", FILL], timeout_s=60)).output)
    assert set(taken) == {"/tmp", "/var/tmp", "/run", "/dev/shm"}
    assert all(29 * MB <= each <= 31 * MB for each in taken.values()), taken


def test_the_default_limits_give_each_file_system_two_gigabytes():
    assert Rules().temporary_bytes_each(4) == 2_000 * MB
    assert Rules(limits=LIMITS).temporary_bytes_each(3) == 100 * MB


def test_a_folder_that_holds_secrets_is_not_opened_by_landlock():
    """/etc/ssl/private was readable, because /etc/ssl was."""
    paths = {Path(name) for name in bubblewrap.etc_without_secrets()}
    assert not {path for path in paths if Path("/etc/ssl/private").is_relative_to(path)}
    assert Path("/etc/passwd") in paths
    if Path("/etc/ssl/certs").is_dir():
        assert Path("/etc/ssl/certs") in paths

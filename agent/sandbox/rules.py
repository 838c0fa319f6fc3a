"""What a sandboxed command may do beyond its workspace, as data."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MB = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandLimits:
    """Bounds of one command, each of them for every process of it; 0: none."""

    processes: int = 512
    """At once. No such bound holds for root, nor under Landlock."""
    memory_mb: int = 16_000
    """Address space."""
    file_mb: int = 2_000
    """The largest file that it may write."""
    cpu_s: int = 900


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What a command may reach."""

    network: bool = False
    read: tuple[Path, ...] = ()
    """Absolute; files and folders it may read beside the workspace and the programs."""
    write: tuple[Path, ...] = ()
    """Absolute; files and folders it may change beside the workspace."""
    limits: CommandLimits = field(default_factory=CommandLimits)
    temporary_bytes: int = 2_000 * MB
    """How much /tmp and its like hold, each."""

    def words(self) -> Iterator[str]:
        """Say what is let through."""
        yield "network allowed" if self.network else "no network"
        if self.read:
            yield f"reads {', '.join(map(str, self.read))}"
        if self.write:
            yield f"writes {', '.join(map(str, self.write))}"


def resource_limits(limits: CommandLimits) -> dict[str, int]:
    """Return each bound by the name of its resource, as in RLIMIT_AS; none is above what this process may have."""
    wanted = {
        "NPROC": limits.processes, "AS": limits.memory_mb * MB, "FSIZE": limits.file_mb * MB, "CPU": limits.cpu_s,
    }  # fmt: skip
    found = {"CORE": 0}
    for name, value in wanted.items():
        _, most = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))
        if value:
            found[name] = value if most == resource.RLIM_INFINITY else min(value, most)
    return found

"""Define what a sandboxed command may do beyond its workspace; data only."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import ConfigError
from ..keywords import checked_keywords
from .programs import links_to

MB = 1_000_000
TMP = Path("/", "tmp")
"""Home and temporary folder of a command under bubblewrap and in a container."""


@checked_keywords()
@dataclass(frozen=True, kw_only=True, slots=True)
class CommandLimits:
    """Resource limits of one command, applied to each of its processes; 0 means no limit.

    Attributes:
        processes: Processes at the same time. Has no effect for root or under Landlock.
        memory_mb: Address space. In a container, memory of all its processes. Files in memory take at most half of it.
        file_mb: Largest file that it may write.
        cpu_s: CPU time.
    """

    processes: int = 512
    memory_mb: int = 16_000
    file_mb: int = 2_000
    cpu_s: int = 900


@checked_keywords()
@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What a command may reach.

    Attributes:
        network: True allows commands to use the network.
        read: Absolute paths of files and folders that it may read in addition to the workspace and the programs.
        write: Absolute paths of files and folders that it may change in addition to the workspace.
        hidden: Absolute paths in the workspace that it must neither read nor change: a folder is empty and read-only
            for it, a file cannot be opened. Has no effect under Landlock; see `Sandbox.can_hide`.
        untrusted: Absolute folders whose programs and symlinks are not trusted, besides those that commands may change.
        limits: Resource limits of each command.
        temporary_bytes: Largest size of each file system in memory, such as /var/tmp, or /tmp where it is not a folder
            of the run.
    """

    network: bool = False
    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    untrusted: tuple[Path, ...] = ()
    limits: CommandLimits = field(default_factory=CommandLimits)
    temporary_bytes: int = 2_000 * MB

    def temporary_bytes_each(self, number: int) -> int:
        """Return the size of each of a command's file systems in memory; all of them fill at most half its memory."""
        most = self.limits.memory_mb * MB // (2 * number)
        return min(self.temporary_bytes, most) if most else self.temporary_bytes

    def words(self) -> Iterator[str]:
        """Yield a description of each permission."""
        yield "network allowed" if self.network else "no network"
        if self.read:
            yield f"reads {', '.join(map(str, self.read))}"
        if self.write:
            yield f"writes {', '.join(map(str, self.write))}"


def without_replaceable(rules: Rules, workspace: Path) -> Rules:
    """Return the rules without the paths that a command may replace by a symlink: those in what it may change.

    It reaches these anyway, as long as they are no symlinks.

    Args:
        rules: of the command.
        workspace: the folder that commands run in and may change.
    """
    roots = [root.resolve() for root in (workspace, *rules.write)]
    read, write = (tuple(path for path in paths if not _lies_in(path, roots)) for paths in (rules.read, rules.write))
    return replace(rules, read=read, write=write)


def check_workspace(rules: Rules, workspace: Path) -> None:
    """Check that commands cannot replace their workspace by a symlink.

    Raises:
        ConfigError: it lies in a folder that they may change.
    """
    for root in rules.write:
        if _lies_in(workspace, [root.resolve()]):
            msg = (
                f"`sandbox.write` lists {str(root)!r}, and the workspace {str(workspace)!r} lies in it: a command "
                "could put a symlink in the workspace's place. Make that folder the workspace, or list folders "
                "beside the workspace."
            )
            raise ConfigError(msg, key="sandbox")


def _lies_in(path: Path, roots: Sequence[Path]) -> bool:
    """Return whether a path, or a symlink on the way to it, lies below a root and is not the root itself."""
    steps = links_to(path) or [path]
    return any(step.parent.is_relative_to(root) for step in steps for root in roots)


@dataclass(frozen=True, kw_only=True, slots=True)
class Temporary:
    """A folder of this machine that a command has as its /tmp."""

    folder: Path
    covered: frozenset[str] = frozenset()
    """Names of folders in it that an empty file system must cover: the mounts of a command below /tmp would otherwise
    be made in the folder itself, where an earlier command may have planted a symlink."""


def resource_limits(limits: CommandLimits) -> dict[str, int]:
    """Return each limit by the name of its resource, as in RLIMIT_AS; none exceeds this process's own hard limit."""
    wanted = {
        "NPROC": limits.processes, "AS": limits.memory_mb * MB, "FSIZE": limits.file_mb * MB, "CPU": limits.cpu_s,
    }  # fmt: skip
    found = {"CORE": 0}
    for name, value in wanted.items():
        _, most = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))
        if value:
            found[name] = value if most == resource.RLIM_INFINITY else min(value, most)
    return found

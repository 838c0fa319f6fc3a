"""Build the bubblewrap command line in which a command sees the workspace, the programs it needs, and little else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from .rules import TMP, Rules, Temporary, resource_limits

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix/store")
"""Programs and their settings. What is not listed here or in the rules does not exist for the command: homes, /run
with the sockets of services, /var, other disks."""
_SECRETS = ("/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers", "/etc/krb5.keytab",
            "/etc/machine-id")  # fmt: skip
_SECRET_FOLDERS = ("/etc/ssh", "/etc/ssl/private", "/etc/sudoers.d", "/etc/kubernetes", "/etc/NetworkManager",
                   "/etc/wireguard")  # fmt: skip
_ID = 65534
"""The user `nobody` inside the sandbox. Outside it stays the user who started it, so that files it writes belong to the
workspace's owner."""


def command_line(
    argv: Sequence[str], *, program: str, workspace: Path, env: Mapping[str, str], rules: Rules, filter_fd: int | None,
    temporary: Temporary | None = None, entering: Sequence[str] = (),
) -> list[str]:  # fmt: skip
    """Return the whole command line.

    Start it with `env` as its environment: bubblewrap's own environment can be read in /proc/1/environ, even by a
    command whose environment was cleared.

    Args:
        argv: the command and its arguments.
        program: path of bubblewrap.
        workspace: the folder that it runs in, and the only one it may change.
        env: its whole environment; programs on its PATH can be run.
        rules: what else is allowed.
        filter_fd: open file with the system call filter. None means that this machine has no filter.
        temporary: the folder for /tmp. None means an empty one that goes with the command.
        entering: words before bubblewrap that make it start in a network. Empty: a network of its own.
    """
    line = [
        *entering, program, "--unshare-user", "--uid", str(_ID), "--gid", str(_ID), "--unshare-ipc", "--unshare-pid",
        "--unshare-uts", "--unshare-cgroup-try", "--hostname", "sandbox", "--die-with-parent",
        "--cap-drop", "ALL",
    ]  # fmt: skip
    if not rules.network and not entering:
        line.append("--unshare-net")
    line += [*_system(), "--proc", "/proc", *_kernel_settings(), "--dev", "/dev"]
    empty = [Path("/", *parts) for parts in (("tmp",), ("var", "tmp"), ("run",), ("dev", "shm"))]
    if temporary is not None:
        line += ["--bind", str(temporary.folder), str(TMP)]
        empty = [*empty[1:], *(TMP / name for name in sorted(temporary.covered))]
    for path in empty:
        line += ["--size", str(rules.temporary_bytes), "--tmpfs", str(path)]
    readable = [*program_folders(env), *rules.read]
    for path in sorted({path for path in readable if path.exists() and not _is_system(path)}):
        line += ["--ro-bind", str(path), str(path)]
    for path in (workspace, *rules.write):
        line += ["--bind", str(path), str(path)]
    line += [*_read_only_git(workspace), "--chdir", str(workspace)]
    if filter_fd is not None:
        line += ["--seccomp", str(filter_fd)]
    bounds = [f"--{name.lower()}={value}" for name, value in resource_limits(rules.limits).items()]
    return [*line, "--", "prlimit", *bounds, "--", *argv]  # prlimit of util-linux


def program_folders(env: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the folders of the programs on a PATH and of their libraries, such as a Python environment's."""
    return _programs_on(env.get("PATH", ""))


@lru_cache(maxsize=16)
def _programs_on(path: str) -> tuple[Path, ...]:
    found: dict[Path, None] = {}
    for name in path.split(os.pathsep):
        folder = Path(name)
        if not folder.is_absolute() or not folder.is_dir():
            continue
        found |= dict.fromkeys(_with_libraries(folder))
        for python in (folder / "python", folder / "python3"):
            if python.is_symlink() and python.exists():
                # A virtual environment links to an interpreter elsewhere; every step of the link has to be readable.
                step = python.readlink().parent
                found |= dict.fromkeys([*_with_libraries(folder / step), *_with_libraries(python.resolve().parent)])
        found |= dict.fromkeys(_editable(folder.parent))
    return tuple(found)


def _editable(prefix: Path) -> Iterator[Path]:
    """Yield the folders of packages that a Python environment uses in place (editable installs)."""
    for file in prefix.glob("lib/python3*/site-packages/*.pth"):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            path = Path(line)
            if path.is_absolute() and path.is_dir():
                yield path


def _with_libraries(folder: Path) -> Iterator[Path]:
    if folder.name == "shims":  # pyenv: its scripts look for the program elsewhere in pyenv's folder
        yield folder.parent
        return
    yield folder
    if folder.name in {"bin", "sbin"}:
        # Not the whole parent folder: ~/.local also contains keyrings.
        yield from (folder.parent / name for name in ("lib", "lib64", "libexec", "include", "pyvenv.cfg"))


def _system() -> Iterator[str]:
    for name in SYSTEM:
        path = Path(name)
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), name)
        elif path.exists():
            yield from ("--ro-bind", name, name)
    for name in _SECRETS:
        if Path(name).is_file():
            yield from ("--ro-bind", os.devnull, name)
    for name in _SECRET_FOLDERS:
        if Path(name).is_dir():
            yield from ("--tmpfs", name)


def _kernel_settings() -> Iterator[str]:
    # They belong to root, and so does the command if root started it.
    for name in ("/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi", "/proc/scsi"):
        if Path(name).is_dir():
            yield from ("--ro-bind", name, name)
    for name in ("/proc/sysrq-trigger", "/proc/kcore", "/proc/timer_list"):
        if Path(name).exists():
            yield from ("--ro-bind", os.devnull, name)


def _is_system(path: Path) -> bool:
    return any(path == Path(name) or Path(name) in path.parents for name in SYSTEM)


def _read_only_git(workspace: Path) -> Iterator[str]:
    # Anyone who uses git there later runs its hooks and settings outside the sandbox.
    git = workspace / ".git"
    if git.exists() and not git.is_symlink():
        yield from ("--ro-bind", str(git), str(git))


def etc_without_secrets() -> Iterator[str]:
    """Yield the paths in /etc except for secrets."""
    for path in sorted(Path("/etc").iterdir()):
        if str(path) not in _SECRETS and str(path) not in _SECRET_FOLDERS:
            yield str(path)


def executable() -> str | None:
    """Return the path of bubblewrap. None if it is not installed."""
    return shutil.which("bwrap")

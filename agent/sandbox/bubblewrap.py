"""Build the bubblewrap command line in which a command sees the workspace, the programs it needs, and little else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from .programs import find_program, is_inside, links_to, loader_variables
from .protected import Protected, protected_paths
from .rules import TMP, Rules, Temporary, resource_limits

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix/store")
"""Programs and their settings. What is not listed here or in the rules does not exist for the command: homes, /run
with the sockets of services, /var, other disks."""
_SECRETS = ("/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers", "/etc/krb5.keytab",
            "/etc/machine-id")  # fmt: skip
_SECRET_FOLDERS = ("/etc/ssh", "/etc/ssl/private", "/etc/sudoers.d", "/etc/kubernetes", "/etc/NetworkManager",
                   "/etc/wireguard")  # fmt: skip
_SCRATCH = (Path("/", "var", "tmp"), Path("/", "run"), Path("/", "dev", "shm"))
"""File systems in memory that a command may fill, besides /tmp if it is no folder of the run."""
_INTERPRETERS = (
    ".pyenv/versions", ".local/share/uv/python", ".local/share/mise/installs", ".asdf/installs", ".rye/py",
    "miniconda3", "anaconda3", "miniforge3", "mambaforge", ".local/share/hatch/env",
)  # fmt: skip
"""Below a home: where version managers install interpreters; nothing else lies there."""
_ID = 65534
"""The user `nobody` inside the sandbox. Outside it stays the user who started it, so that files it writes belong to the
workspace's owner."""


def command_line(
    argv: Sequence[str], *, program: str, workspace: Path, env: Mapping[str, str], rules: Rules, filter_fd: int | None,
    temporary: Temporary | None = None, entering: Sequence[str] = (), has_network: bool = False,
    mounts: int | None = None, protected: Protected | None = None, folder: Path | None = None,
) -> list[str]:  # fmt: skip
    """Return the whole command line.

    Start it with `env` as its environment, except for `loader_variables`: bubblewrap's own environment can be read in
    /proc/1/environ, even by a command whose environment was cleared.

    Args:
        argv: the command and its arguments.
        program: path of bubblewrap.
        workspace: the folder that it runs in, and the only one it may change.
        env: its whole environment; programs on its PATH can be run.
        rules: what else is allowed.
        filter_fd: open file with the system call filter. None means that this machine has no filter.
        temporary: the folder for /tmp. None means an empty one that goes with the command.
        entering: words before bubblewrap that make it start in other namespaces.
        has_network: whether one of them is a network. False: it has one of its own.
        mounts: the open mount namespace among them, in which `protected` is mounted. The command does not inherit it.
        protected: what it must not change. None means only what the rules hide, and our own code.
        folder: where it runs instead of the workspace; empty, if it is none of the folders that it sees.
    """
    line = [
        *entering, program, "--unshare-user", "--uid", str(_ID), "--gid", str(_ID), "--unshare-ipc", "--unshare-pid",
        "--unshare-uts", "--unshare-cgroup-try", "--hostname", "sandbox", "--die-with-parent",
        "--cap-drop", "ALL",
    ]  # fmt: skip
    if not rules.network and not has_network:
        line.append("--unshare-net")
    line += [*_system(), "--proc", "/proc", *_kernel_settings(), "--dev", "/dev"]
    empty = [TMP, *_SCRATCH]
    if temporary is not None:
        line += ["--bind", str(temporary.folder), str(TMP)]
        empty = [*_SCRATCH, *(TMP / name for name in sorted(temporary.covered))]
    for path in empty:
        line += ["--size", str(rules.temporary_bytes_each(len(empty))), "--tmpfs", str(path)]
    programs = program_folders(env, writable=(workspace, *rules.write), untrusted=rules.untrusted)
    readable = [*programs, *rules.read]
    for path in sorted({path for path in readable if path.exists() and not _is_system(path)}):
        line += ["--ro-bind", str(path), str(path)]
    for path in (workspace, *rules.write):
        line += ["--bind", str(path), str(path)]
    for name, value in loader_variables(env).items():
        line += ["--setenv", name, value]
    if mounts is None:
        line += _protecting(protected or protected_paths(workspace, rules))
    else:
        line += ["--sync-fd", str(mounts)]
    if folder is not None and not is_inside(folder, (workspace, *rules.write)):
        line += ["--dir", str(folder)]  # elsewhere a command could redirect bubblewrap
    line += ["--chdir", str(folder or workspace)]
    # Both are file systems in memory, each of half of the machine's.
    line += ["--remount-ro", "/dev", "--remount-ro", "/"]
    if filter_fd is not None:
        line += ["--seccomp", str(filter_fd)]
    bounds = [f"--{name.lower()}={value}" for name, value in resource_limits(rules.limits).items()]
    # Of util-linux; by its path, because the PATH of the command need not have it.
    return [*line, "--", find_program("prlimit") or "prlimit", *bounds, "--", *argv]


def program_folders(
    env: Mapping[str, str], *, writable: Sequence[Path] = (), untrusted: Sequence[Path] = ()
) -> tuple[Path, ...]:  # fmt: skip
    """Return the folders of the programs on a PATH and of their libraries, such as a Python environment's.

    A program in a folder that commands may have changed adds no folder elsewhere, except that of a Python which is
    installed there: a symlink or a .pth file there would make any folder readable.

    Args:
        env: holds the PATH.
        writable: absolute paths that commands may change, and so reach anyway; nothing in them is returned.
        untrusted: absolute folders that an earlier command may have changed.
    """
    suspect = (*writable, *untrusted)
    found = _programs_on(env.get("PATH", ""), suspect, interpreter_homes())
    return tuple(path for path in found if not is_inside(path, suspect) or _stays_inside(path, untrusted))


@lru_cache(maxsize=64)
def _programs_on(path: str, suspect: tuple[Path, ...], homes: tuple[Path, ...]) -> tuple[Path, ...]:
    found: dict[Path, None] = {}
    for name in path.split(os.pathsep):
        folder = Path(name)
        if not folder.is_absolute() or not folder.is_dir():
            continue
        is_trusted = not is_inside(folder, suspect)
        found |= dict.fromkeys(_with_libraries(folder))
        for python in (folder / "python", folder / "python3"):
            if python.is_symlink() and python.exists():
                # A virtual environment links to an interpreter elsewhere; every step of the link has to be readable.
                steps = (folder / python.readlink().parent, python.resolve().parent)
                for step in steps:
                    if is_trusted or _is_in_a_home(step, homes) or _is_installation(step):
                        found |= dict.fromkeys(_with_libraries(step))
        if is_trusted:
            found |= dict.fromkeys(_editable(folder.parent))
    return tuple(found)


def interpreter_homes() -> tuple[Path, ...]:
    """Return the folders in which version managers install interpreters, and the Python of this process."""
    home = Path(os.environ.get("HOME") or "/")
    named = [os.environ.get(name) for name in ("PYENV_ROOT", "UV_PYTHON_INSTALL_DIR", "CONDA_ROOT")]
    folders = [home / name for name in _INTERPRETERS] + [Path(name) for name in named if name and name.startswith("/")]
    return (*folders, Path(sys.base_prefix) / "bin")


def _is_in_a_home(folder: Path, homes: Sequence[Path]) -> bool:
    """Return whether a folder lies in one of the homes of interpreters, by its name and once links are followed."""
    return all(
        any(path.is_relative_to(home) or path.is_relative_to(home.resolve()) for home in homes)
        for path in (Path(os.path.normpath(folder)), folder.resolve())
    )


def _is_installation(folder: Path) -> bool:
    """Return whether a folder is the `bin` of a Python with its standard library beside it.

    Commands cannot make one outside of the folders that they may change, so this holds wherever a symlink leads.
    """
    return all(
        path.name == "bin" and next(path.parent.glob("lib/python3*/os.py"), None) is not None
        for path in (Path(os.path.normpath(folder)), folder.resolve())
    )


def _stays_inside(path: Path, folders: Sequence[Path]) -> bool:
    """Return whether a path lies in one of the folders, and each symlink on the way as well."""
    roots, steps = [folder.resolve() for folder in folders], links_to(path)
    return steps is not None and all(any(step.is_relative_to(root) for root in roots) for step in steps)


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
            yield from ("--tmpfs", name, "--remount-ro", name)


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


def _protecting(protected: Protected) -> Iterator[str]:
    """Yield the mounts where no helper can make them: bubblewrap looks for each by its path."""
    # First, because each covers what was mounted in it before.
    for path in protected.fixed:
        yield from ("--bind", str(path), str(path))
    for path in protected.real_read_only():
        yield from ("--ro-bind", str(path), str(path))
    for path in protected.hidden:
        if path.is_dir():
            yield from ("--tmpfs", str(path), "--remount-ro", str(path))
        elif path.exists():
            yield from ("--ro-bind", os.devnull, str(path))


def etc_without_secrets() -> Iterator[str]:
    """Yield paths that make up /etc except for secrets; a folder that holds one is replaced by what else is in it."""
    secrets = {*_SECRETS, *_SECRET_FOLDERS}
    holds_one = {str(parent) for secret in secrets for parent in Path(secret).parents}
    folders = ["/etc"]
    while folders:
        with os.scandir(folders.pop()) as items:
            paths = sorted(item.path for item in items)
        folders += [path for path in paths if path in holds_one]
        yield from (path for path in paths if path not in holds_one and path not in secrets)


def executable(*, untrusted: Iterable[Path] = ()) -> str | None:
    """Return the path of bubblewrap. None if it is not installed, or only where commands may change it.

    Raises:
        OSError: it was replaced while this process was running.
    """
    return find_program("bwrap", untrusted=untrusted)

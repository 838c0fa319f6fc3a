"""Find the programs that are started outside the sandbox; none from a folder that a command may change."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

SYSTEM_FOLDERS = (
    "/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin", "/run/current-system/sw/bin",
    "/opt/homebrew/bin",
)  # fmt: skip
"""Searched before the rest of the PATH, which often begins with a folder of the project, such as `.venv/bin`."""
_MAX_LINKS = 40
_LOADER_NAMES = frozenset({"GCONV_PATH", "GLIBC_TUNABLES", "LOCPATH"})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Program:
    steps: tuple[Path, ...]
    """The real paths of each symlink on the way to it, and last its own."""
    identity: tuple[int, ...]
    is_system: bool


def find_program(name: str, *, untrusted: Iterable[Path] = ()) -> str | None:
    """Return the real path of a program that may be started outside the sandbox. None if there is none.

    The first call for a name searches the PATH of this process, the system's folders in it first; later calls return
    the same program.

    Args:
        name: file name of the program.
        untrusted: absolute folders that commands may change; a program there, or reached by a symlink there, is
            skipped. So is one on the user's PATH that lies in the current folder, or that every user can change.

    Raises:
        OSError: the program was replaced since the first call.
    """
    roots, current = _roots(untrusted), _current_folder()
    for found in _programs(name, os.environ.get("PATH", os.defpath)):
        path = found.steps[-1]
        if any(_is_below(step, roots if found.is_system else [*roots, *current]) for step in found.steps):
            continue
        # The system's own programs are replaced by an upgrade, and commands cannot write there.
        if not found.is_system and _identity(path) != found.identity:
            msg = f"the program {path} was replaced while this process was running. If you did that, start again"
            raise OSError(errno.ESTALE, msg)
        return str(path)
    return None


def installed_program(name: str, *, untrusted: Iterable[Path] = ()) -> str:
    """Return the real path of a program, as `find_program` does.

    Raises:
        OSError: it is not installed where commands cannot change it, or was replaced since the first call.
    """
    found = find_program(name, untrusted=untrusted)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, f"{name} is not installed in a folder that commands cannot change")
    return found


def interpreter(*, untrusted: Iterable[Path] = ()) -> str:
    """Return the path of the Python of this process, for programs that need only its standard library (`-I -S`).

    Raises:
        OSError: it lies in a folder that commands may change.
    """
    # Not sys.executable: in a virtual environment that is a symlink, which can be replaced.
    running = Path("/proc/self/exe")
    path = (running if running.exists() else Path(sys.executable)).resolve()
    if _is_below(path, _roots(untrusted)):
        msg = (
            f"the Python that runs agent ({path}) lies in a folder that commands may change. Install tramontane with a "
            "Python outside of the workspace"
        )
        raise OSError(errno.EPERM, msg)
    return str(path)


def trusted_path(untrusted: Iterable[Path]) -> str:
    """Return the PATH of this process without the folders that commands can change, those of the system first."""
    roots = [*_roots(untrusted), *_current_folder()]
    folders = _ordered(os.environ.get("PATH", os.defpath))
    return os.pathsep.join(name for name in folders if name in SYSTEM_FOLDERS or not is_inside(Path(name), roots))


def loader_variables(env: Mapping[str, str]) -> Mapping[str, str]:
    """Return the variables that make any program load code from a folder.

    The launchers must not have them in their own environment: they start outside the sandbox, and a command could put a
    library into that folder.
    """
    return {name: env[name] for name in env if name.startswith(("LD_", "DYLD_")) or name in _LOADER_NAMES}


def project_folder(folder: Path) -> Sequence[Path]:
    """Return a folder in which a run may have worked. Empty if it is a home, or above one."""
    home = Path(os.environ.get("HOME") or "/")
    return () if home.is_relative_to(folder.absolute()) else (folder.absolute(),)


def links_to(path: Path) -> Sequence[Path] | None:
    """Return the real path of each symlink on the way to a path, and last its own. None if it does not exist."""
    found: list[Path] = []
    here, left = Path("/"), list(reversed(path.parts[1:]))
    while left:
        name = left.pop()
        if name == "..":
            here = here.parent
            continue
        here /= name
        try:
            facts = here.lstat()
            if not stat.S_ISLNK(facts.st_mode):
                continue
            target = here.readlink()
        except OSError:
            return None
        found.append(here)
        if len(found) > _MAX_LINKS:
            return None
        parts = target.parts[1:] if target.is_absolute() else target.parts
        here = Path("/") if target.is_absolute() else here.parent
        left += reversed(parts)
    return [*found, here]


def is_inside(path: Path, folders: Iterable[Path]) -> bool:
    """Return whether a path, or a symlink on the way to it, lies in one of the folders."""
    roots = _roots(folders)
    return any(_is_below(step, roots) for step in links_to(path) or [path])


def _current_folder() -> Sequence[Path]:
    try:
        return project_folder(Path.cwd())
    except OSError:  # it was removed
        return ()


def _roots(folders: Iterable[Path]) -> Sequence[Path]:
    return [folder.resolve() for folder in dict.fromkeys(folders)]


def _is_below(path: Path, roots: Sequence[Path]) -> bool:
    return any(path.is_relative_to(root) for root in roots)


@lru_cache(maxsize=64)
def _programs(name: str, path: str) -> tuple[_Program, ...]:
    found: list[_Program] = []
    for folder in _ordered(path):
        steps = links_to(Path(folder, name))
        if steps is None or not steps[-1].is_file() or not os.access(steps[-1], os.X_OK):
            continue
        is_system = folder in SYSTEM_FOLDERS
        if is_system or not any(step.lstat().st_mode & stat.S_IWOTH for step in (steps[-1], steps[-1].parent)):
            found.append(_Program(steps=tuple(steps), identity=_identity(steps[-1]), is_system=is_system))
    return tuple(found)


def _ordered(path: str) -> Sequence[str]:
    """Return the absolute folders of a PATH, those of the system first."""
    folders = dict.fromkeys(name for name in path.split(os.pathsep) if name.startswith("/"))
    return sorted(folders, key=lambda name: name not in SYSTEM_FOLDERS)


def _identity(path: Path) -> tuple[int, ...]:
    facts = path.stat()
    return (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)

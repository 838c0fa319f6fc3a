"""Fill the submodules of a new worktree from those of the original; fetches nothing, and names what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError
from .git_command import add_worktree, run_git

_SUBMODULE_MODE = "160000"
_LFS_POINTER = b"version https://git-lfs.github.com/spec/v1"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Submodule:
    path: str
    commit: str


def fill_submodules(original: Path, worktree: Path, check: Callable[[Path], None]) -> list[str]:
    """Check out the submodules of a worktree, at the commits that it names; return the paths of those left empty.

    Args:
        original: the top folder of the repository.
        worktree: a worktree of it.
        check: raises ConfigError for a repository that must not be used.
    """
    empty: list[str] = []
    for one in _submodules(worktree):
        source, target = original / one.path, worktree / one.path
        try:
            _check_source(source, original.resolve() / one.path)
            check(source)
            add_worktree(source, target, one.commit)
        except ConfigError:
            empty.append(one.path)
        else:
            empty += [f"{one.path}/{path}" for path in fill_submodules(source, target, check)]
    return empty


def lfs_pointers(worktree: Path) -> list[str]:
    """Return the files of which a worktree holds only what git-lfs puts in their place."""
    names = run_git(worktree, "ls-files", "-z", ":(attr:filter=lfs)").split("\0")
    return [name for name in names if name and _begins_with(worktree / name, _LFS_POINTER)]


def _check_source(source: Path, place: Path) -> None:
    """Check that a submodule is checked out there, and not elsewhere through a symlink.

    Raises:
        ConfigError: it is not.
    """
    if source.resolve() != place or Path(run_git(source, "rev-parse", "--show-toplevel")) != place:
        msg = f"The submodule {str(source)!r} is not checked out."
        raise ConfigError(msg, key="workspace")


def _submodules(worktree: Path) -> Iterator[_Submodule]:
    for entry in run_git(worktree, "ls-tree", "-r", "-z", "HEAD").split("\0"):
        facts, tab, path = entry.partition("\t")
        if tab and facts.startswith(_SUBMODULE_MODE):
            yield _Submodule(path=path, commit=facts.split()[2])


def _begins_with(file: Path, start: bytes) -> bool:
    if file.is_symlink() or not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.read(len(start)) == start

"""Prepare the folder a run works in: in place, created, or as a copy or git worktree that leaves the original alone."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ..errors import ConfigError
from ..names import listed
from ..sandbox import Sandbox
from ..sandbox.beneath import open_regular
from .git_command import USE_COPY, add_worktree, run_git
from .git_history import copy_history
from .submodules import fill_submodules, lfs_pointers
from .unfinished import newest_snapshot, record_snapshot
from .withheld import SecretFiles
from .workspace import Snapshot, Workspace

WorkspaceMode = Literal["in_place", "create", "copy", "worktree"]
"""How a run uses its folder; see `Agent.workspace_mode`."""

_ABOUT = "a worktree of {top} at {commit}"
"""Description of a worktree, which what it lacks follows; resumed runs read the repository's folder from it."""
_ABOUT_TOP = re.compile(r"a worktree of (.+?) at [0-9a-f]{4,64}(?=$|[,;])", re.DOTALL)
_MAX_PATH_BYTES = 4096
_NO_HISTORY = (
    "The copy of {original} that the run works in has no git history, because {reason}. If the run needs it, let it "
    "work in a git worktree or in the folder itself."
)


@dataclass(frozen=True, kw_only=True)
class PreparedWorkspace:
    """The folder that a run works in, and its snapshot."""

    workspace: Workspace
    worktree: str = ""
    """What it was checked out from, and what it lacks. Empty if it is not a worktree."""
    snapshot: Path | None = None
    """The copy made before the run. None if there is none."""
    note: str = ""
    """Why the snapshot failed."""
    notices: tuple[str, ...] = ()
    """What the user is told at the start of the run."""


def prepare_workspace(
    path: str | Path | None, mode: WorkspaceMode, folder: Path, *, kept: bool, changes: bool,
    secret: SecretFiles,
) -> PreparedWorkspace:  # fmt: skip
    """Prepare the folder that a run works in; snapshot it for a fresh context, `agent diff` and `agent undo`.

    Args:
        path: the folder that the caller named. None means the current folder, which is never restored.
        mode: how to use it.
        folder: the run's own folder, in which copies, worktrees and snapshots are made.
        kept: whether the run's own folder stays after the run.
        changes: whether the run may change files.
        secret: files whose content the snapshot does not hold.

    Raises:
        ConfigError: the folder does not exist, or cannot be copied or checked out.
    """
    workspace, worktree = Workspace(path or Path.cwd(), create=mode == "create"), ""
    notices: tuple[str, ...] = ()
    if mode == "copy":
        original, workspace = workspace, workspace.copy(folder / "workspace")
        if left_out := copy_history(original.path, workspace.path):
            notices = (_NO_HISTORY.format(original=original.path, reason=left_out),)
    elif mode == "worktree":
        if not kept:
            msg = (
                "A worktree is kept with its run, but this agent keeps no runs. Give it a folder for its runs, or use "
                "a copy."
            )
            raise ConfigError(msg, key="workspace")
        workspace, worktree = _add_worktree(workspace.path, folder / "workspace")
    if not changes or (path is None and mode not in {"copy", "worktree"}):
        return PreparedWorkspace(workspace=workspace, worktree=worktree, notices=notices)
    is_shared = kept and mode in {"in_place", "create"}
    like = newest_snapshot(folder, workspace.path) if is_shared else None
    taken = workspace.snapshot(folder / "snapshot", like=like, secret=secret)
    if not isinstance(taken, Snapshot):
        return PreparedWorkspace(workspace=workspace, worktree=worktree, note=taken.reason, notices=notices)
    if is_shared:
        record_snapshot(folder, workspace.path, taken.tree)
    return PreparedWorkspace(workspace=workspace, worktree=worktree, snapshot=taken.tree, notices=notices)


def _add_worktree(folder: Path, into: Path) -> tuple[Workspace, str]:
    """Check out what is committed with a detached HEAD; return the same folder there, and a description of it."""
    top, inside = Path(run_git(folder, "rev-parse", "--show-toplevel")), run_git(folder, "rev-parse", "--show-prefix")
    _check_repository(folder, top)
    # Without ignored files. A submodule's own settings could make git start programs.
    changed = run_git(folder, "status", "--porcelain", "--ignore-submodules=dirty").splitlines()
    add_worktree(folder, into, "HEAD")
    path = into / inside
    if not path.is_dir():
        run_git(folder, "worktree", "remove", "--force", str(into))
        msg = f"{str(folder)!r} is not committed, so it would not be in the worktree. Commit it, or {USE_COPY}."
        raise ConfigError(msg, key="workspace")
    about = _ABOUT.format(top=top, commit=run_git(folder, "rev-parse", "--short", "HEAD"))
    if changed:
        about += f", without {len(changed)} {'path' if len(changed) == 1 else 'paths'} with uncommitted changes"
    if empty := fill_submodules(top, into, lambda source: _check_repository(source, source)):
        count = "submodule" if len(empty) == 1 else "submodules"
        about += f", without the {count} {listed(empty, 5)}, of which the original has no checkout of that commit"
    if pointers := lfs_pointers(into):
        count = "1 file is" if len(pointers) == 1 else f"{len(pointers)} files are"
        about += f"; {count} only a git-lfs pointer: {listed(pointers, 5)}"
    return Workspace(path), about


def with_worktree(sandbox: Sandbox, worktree: str, workspace: Path, folder: Path) -> Sandbox:
    """Return a sandbox whose commands can read what `worktree_read_paths` returns; the same if there is no worktree."""
    if not worktree:
        return sandbox
    read = (*sandbox.rules.read, *worktree_read_paths(worktree, workspace, folder))
    return replace(sandbox, rules=replace(sandbox.rules, read=read))


def worktree_read_paths(worktree: str, workspace: Path, folder: Path) -> tuple[Path, ...]:
    """Return what commands in a worktree must be able to read: the repository's history and the whole checkout.

    Args:
        worktree: its description, as in `PreparedWorkspace` and the journal; it names the repository.
        workspace: the folder in it that the run works in.
        folder: the run's own folder.

    Raises:
        ConfigError: the repository is gone, or git is not installed.
    """
    # Ask the repository: a file in the worktree has the answer too, but the model may have changed it.
    found = _ABOUT_TOP.match(worktree)
    top = Path(found[1] if found else "")
    if not top.is_dir():
        msg = (
            f"The run works in {worktree}, but {str(top)!r} is not a folder any more. Move the repository back, or run "
            "the task again."
        )
        raise ConfigError(msg, key="workspace")
    history = (top / run_git(top, "rev-parse", "--git-common-dir")).resolve()
    checkout = (folder / "workspace").resolve()
    return (history,) if workspace == checkout else (history, checkout)


def _check_repository(folder: Path, top: Path) -> None:
    """Check that the repository is the folder's own; its `.git` may have been made by a command of an earlier run.

    Raises:
        ConfigError: git would check out or read another repository.
    """
    own = (top / ".git").resolve()
    git = Path(run_git(folder, "rev-parse", "--absolute-git-dir")).resolve()
    common = (folder / run_git(folder, "rev-parse", "--git-common-dir")).resolve()
    problem = ""
    if not folder.resolve().is_relative_to(top.resolve()):
        problem = f"its settings say that it is a checkout in {str(top)!r}"
    elif (common / "objects/info/alternates").exists():
        problem = "it uses the objects of another repository (objects/info/alternates), which commands could not read"
    elif not (own.is_dir() and own.is_relative_to(top.resolve()) and {git, common} == {own}) and not _leads_back(
        git, top
    ):
        problem = f"its `.git` leads to {str(common)!r}, which does not lead back to it"
    if problem:
        msg = f"Cannot create a worktree of {str(folder)!r}: {problem}. Correct that, or {USE_COPY}."
        raise ConfigError(msg, key="workspace")


def _leads_back(git: Path, top: Path) -> bool:
    """Return whether the git folder of a worktree or submodule names it."""
    with suppress(OSError, ValueError):  # ValueError: not UTF-8, or a null character
        with open_regular(git, "gitdir") as file:
            named = file.read(_MAX_PATH_BYTES + 1)
        # git itself would read all of a huge one.
        return len(named) <= _MAX_PATH_BYTES and Path(named.decode().strip()).parent.resolve() == top.resolve()
    with suppress(ConfigError):
        named = run_git(top, "config", "--file", str(git / "config"), "core.worktree")
        return (git / named).resolve() == top.resolve()
    return False

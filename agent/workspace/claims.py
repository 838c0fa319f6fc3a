"""Claim a folder for one run that may change it, so that two runs in place never restore over each other."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import ConfigError
from .folder_keys import folder_key, may_overlap, overlap


def claims_folder() -> Path:
    """Return the folder of this user's claims; it is private, and shared by all processes."""
    return Path(tempfile.gettempdir()) / f"tramontane-{os.getuid()}-workspaces"


@contextmanager
def claimed(workspace: Path, run: str, *, claims: Path | None = None) -> Generator[None]:
    """Hold the workspace for a run until the block ends; a killed process releases it.

    Args:
        workspace: absolute, symlinks resolved.
        run: name of the run, for the error of another one.
        claims: folder of the claims. None means `claims_folder()`.

    Raises:
        ConfigError: another run works in this folder, in one that contains it, or in one inside it; or the folder of
            the claims cannot be used.
    """
    folder = claims or claims_folder()
    _make_private(folder)
    with (folder / "lock").open("a") as turn:  # one process at a time looks and claims
        fcntl.flock(turn, fcntl.LOCK_EX)
        _refuse_overlap(folder, workspace)
        descriptor, name = tempfile.mkstemp(prefix=f"claim-{folder_key(workspace)}-", dir=folder)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, f"{workspace}\n{run}\n".encode("utf-8", "surrogateescape"))
    try:
        yield
    finally:
        Path(name).unlink(missing_ok=True)
        os.close(descriptor)


def _make_private(folder: Path) -> None:
    """Create the folder of the claims, or check that nobody else can change it."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
    except OSError as error:
        problem = error.strerror
    else:
        if stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and not facts.st_mode & 0o022:
            return
        problem = "it is a symlink, or other users can write to it"
    msg = (
        f"The folder {str(folder)!r}, which keeps two runs from working in the same folder, cannot be used: {problem}. "
        "Remove it, or set TMPDIR to a folder of your own."
    )
    raise ConfigError(msg, key="workspace")


def _refuse_overlap(folder: Path, workspace: Path) -> None:
    key = folder_key(workspace)
    with os.scandir(folder) as items:
        names = [item.name for item in items if item.name.startswith("claim-")]
    for path in [folder / name for name in names if may_overlap(key, name.split("-")[1])]:
        with suppress(FileNotFoundError), path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                claimed_path, run, _ = file.read().decode("utf-8", "surrogateescape").split("\n", 2)
                other = Path(claimed_path)
                if overlap(workspace, other):
                    msg = (
                        f"Run {run!r} is working in {claimed_path!r}, so a second run cannot change "
                        f"{str(workspace)!r} in place. Wait for it, or let this one work in a copy or a git worktree: "
                        "workspace: {path: ..., copy: true}, or workspace_mode='copy' of an Agent."
                    )
                    raise ConfigError(msg, key="workspace") from None
            else:
                path.unlink(missing_ok=True)  # its process was killed

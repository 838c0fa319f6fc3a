"""Save the changes of a failed attempt under `.agent/attempts`, before the workspace is restored."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Sequence
from pathlib import Path

from ..names import on_its_line
from ..sandbox.beneath import open_regular, opened_parent
from ..tooling.own_files import OWN_FOLDER, write_inside
from .diff import Change
from .tree import entry_below, is_large
from .withheld import withheld
from .workspace import Snapshot, Workspace

FOLDER = f"{OWN_FOLDER}/attempts"
PATCH_NAME = "changes.diff"
_MAX_DIFF_CHARS = 20_000_000
_MAX_COPY_BYTES = 64 * 1024 * 1024


def save_attempt(
    workspace: Workspace, snapshot: Snapshot, *, only: Collection[str] | None = None, number: int = 1
) -> str:  # fmt: skip
    """Write the changes since the snapshot as a patch; save files beside it that have no complete text diff.

    Args:
        workspace: the folder.
        snapshot: a snapshot of it.
        only: save only the changes of these paths. None means all.
        number: of the attempt, which names the folder; the next free number is taken if there is such a folder.

    Returns:
        The patch's path in the workspace. Empty if nothing has changed.

    Raises:
        OSError: something could not be saved, or `.agent` is not a folder of the workspace itself.
    """
    found = workspace.diff(snapshot, max_chars=_MAX_DIFF_CHARS)
    cut = _cut(found)
    changes = [change for change in found if only is None or change.path in only]
    if not changes:
        return ""
    folder = f"{FOLDER}/{_free_number(workspace.path / FOLDER, number)}"
    without_content = withheld(snapshot.tree)
    whole: list[Change] = []
    notes: list[str] = []
    for change in changes:
        old = entry_below(snapshot.tree, change.path)
        if change.kind == "removed" or (old is not None and (is_large(old) or change.path in without_content)):
            whole.append(change)  # a restore puts it back, or leaves it as it is
        elif change.has_text and change.path not in cut and _fits_into_a_patch(workspace.path, change.path):
            whole.append(change)
            if _is_executable(workspace.path, change.path):
                notes.append(f"# {on_its_line(change.path)} is executable")
        else:
            note = _saved(workspace.path, change.path, folder)
            notes.append(f"# {change.kind} {on_its_line(change.path)}: {note}")
    text = patch_text(whole, notes)
    write_inside(workspace.path, f"{folder}/{PATCH_NAME}", text.encode("utf-8", "replace"))
    return f"{folder}/{PATCH_NAME}"


def patch_text(changes: Sequence[Change], notes: Sequence[str] = ()) -> str:
    """Join the text diffs of changes into one patch; `notes` come first, as comments."""
    bare = [f"# {change.kind} {on_its_line(change.path)}: {change.diff}" for change in changes if not change.has_text]
    diffs = [change.diff for change in changes if change.has_text]
    # The header of an empty file would take the diff below it as its own.
    diffs.sort(key=lambda diff: diff.startswith("diff --git "))
    return "\n".join([*notes, *bare, *diffs]) + "\n"


def _cut(changes: Sequence[Change]) -> set[str]:
    """Return the paths whose diffs were cut, because all together were too long."""
    cut: set[str] = set()
    total = 0
    for change in changes:
        total += len(change.diff)
        if total > _MAX_DIFF_CHARS:
            cut.add(change.path)
    return cut


def _free_number(folder: Path, wanted: int) -> int:
    number = max(1, wanted)
    while os.path.lexists(folder / str(number)):
        number += 1
    return number


def _fits_into_a_patch(workspace: Path, path: str) -> bool:
    """Return whether a patch, which is UTF-8, can hold a text file and its name without loss."""
    if not path.isprintable():
        return False
    with open_regular(workspace, path) as file:
        data = file.read(_MAX_COPY_BYTES + 1)  # it may have grown since the diff was made
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return len(data) <= _MAX_COPY_BYTES


def _is_executable(workspace: Path, path: str) -> bool:
    entry = entry_below(workspace, path)
    return entry is not None and entry.kind == "file" and bool(entry.mode & stat.S_IXUSR)


def _saved(workspace: Path, path: str, folder: str) -> str:
    """Save a file that has no text diff; return a note about it."""
    target = f"{folder}/files/{path}"
    with opened_parent(workspace, path) as (source, name):
        facts = os.lstat(name, dir_fd=source)
        if stat.S_ISLNK(facts.st_mode):
            return f"a symlink to {on_its_line(os.readlink(name, dir_fd=source))}"
        with open_regular(workspace, path) as file:
            data = file.read(_MAX_COPY_BYTES + 1)
        is_whole = len(data) <= _MAX_COPY_BYTES
        write_inside(workspace, target, data if is_whole else b"")
        if not is_whole:
            # A link needs no space, and keeps the content: a restore replaces files, it does not write into them.
            with opened_parent(workspace, target) as (into, saved):
                os.unlink(saved, dir_fd=into)
                os.link(name, saved, src_dir_fd=source, dst_dir_fd=into, follow_symlinks=False)
    mode = f", mode {stat.S_IMODE(facts.st_mode):o}" if facts.st_mode & stat.S_IXUSR else ""
    return f"saved as {on_its_line(target)}{mode}"

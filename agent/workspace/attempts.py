"""Save the changes of a failed attempt under `.agent/attempts`, before the workspace is restored."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..tooling.own_files import write_inside
from .diff import Change
from .workspace import Snapshot, Workspace

FOLDER = ".agent/attempts"
PATCH_NAME = "changes.diff"
_MAX_DIFF_CHARS = 20_000_000
_MAX_COPY_BYTES = 64 * 1024 * 1024


def save_attempt(workspace: Workspace, snapshot: Snapshot) -> str:
    """Write the changes since the snapshot as a patch; copy files that have no text diff beside it.

    Returns:
        The patch's path in the workspace. Empty if nothing has changed.

    Raises:
        OSError: it could not be written, or `.agent` is not a folder of the workspace itself.
    """
    changes = workspace.diff(snapshot, max_chars=_MAX_DIFF_CHARS)
    if not changes:
        return ""
    root = workspace.path / FOLDER
    number = 1
    while os.path.lexists(root / str(number)):
        number += 1
    folder = f"{FOLDER}/{number}"
    notes: list[str] = []
    for change in changes:
        if change.kind != "removed" and _has_no_text(change):
            notes.append(f"# {change.path}: {_copied(workspace.path, change.path, f'{folder}/files/{change.path}')}")
    write_inside(workspace.path, f"{folder}/{PATCH_NAME}", patch_text(changes, notes).encode("utf-8", "replace"))
    return f"{folder}/{PATCH_NAME}"


def patch_text(changes: Sequence[Change], notes: Sequence[str] = ()) -> str:
    """Join the text diffs of changes into one patch; `notes` come first, as comments."""
    diffs = [change.diff for change in changes if not _has_no_text(change)]
    bare = [f"# {change.kind} {change.path}: {change.diff or 'empty'}" for change in changes if _has_no_text(change)]
    return "\n".join([*notes, *bare, *diffs]) + "\n"


def _has_no_text(change: Change) -> bool:
    return not change.diff.startswith("--- ")


def _copied(workspace: Path, path: str, target: str) -> str:
    source = workspace / path
    if source.is_symlink():
        return f"a symlink to {os.readlink(source)}"  # noqa: PTH115 - Path.readlink normalizes the text
    if source.stat().st_size > _MAX_COPY_BYTES:
        return f"not saved, it is larger than {_MAX_COPY_BYTES:,} bytes"
    write_inside(workspace, target, source.read_bytes())
    return f"saved as {target}"

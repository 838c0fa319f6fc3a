"""Check the files that jedi reads by itself, outside any sandbox: none may block or be too large; opens none."""

from __future__ import annotations

import stat
from contextlib import suppress
from pathlib import Path

from agent import ToolError

from ._listing import Entry, scan
from ._suggestions import printable

MAX_ENTRIES = 50_000
MAX_FILE_BYTES = 20_000_000
_NOT_READ = frozenset({".tox", ".venv", ".mypy_cache", "venv", "__pycache__"})
"""Folders that jedi does not enter (0.20)."""


def check_project_files(workspace: Path) -> None:
    """Check all files that a search of jedi for a name opens.

    Raises:
        ToolError: it would wait for one for ever, or fill the memory with it.
    """
    pending, visited = ["."], 0
    while pending and visited < MAX_ENTRIES:
        folder = pending.pop()
        with suppress(OSError):
            for entry in scan(workspace, folder).entries:
                visited += 1
                path = entry.name if folder == "." else f"{folder}/{entry.name}"
                if entry.kind == "folder" and entry.name not in _NOT_READ:
                    pending.append(path)
                elif entry.name.endswith((".py", ".pyi")) or entry.name == ".gitignore":
                    _check(workspace, path, entry)


def _check(workspace: Path, path: str, entry: Entry) -> None:
    size_bytes, is_special = entry.size_bytes, entry.kind == "other"
    if entry.kind == "link":
        try:
            target = (workspace / path).stat()
        except OSError:
            return  # jedi cannot open it either
        size_bytes = target.st_size
        is_special = not stat.S_ISREG(target.st_mode) and not stat.S_ISDIR(target.st_mode)
    if is_special:
        what = "is or links to a pipe, a socket or a device"
    elif size_bytes > MAX_FILE_BYTES:
        what = f"is larger than {MAX_FILE_BYTES:,} bytes"
    else:
        return
    msg = f'"{printable(path)}" {what}, and this tool would read it. Remove the file, or use search instead.'
    raise ToolError(msg)

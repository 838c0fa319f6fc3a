"""Check the files that jedi reads by itself, outside any sandbox: none may block or be too large; opens none."""

from __future__ import annotations

import stat
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

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
                elif entry.kind == "link" or _is_read(entry):
                    _check(workspace, path, entry)


def _is_read(entry: Entry) -> bool:
    return entry.name.endswith((".py", ".pyi")) or entry.name == ".gitignore"


def _check(workspace: Path, path: str, entry: Entry) -> None:
    size_bytes, is_special = entry.size_bytes, entry.kind == "other"
    if entry.kind == "link":
        try:
            target = (workspace / path).stat()
        except FileNotFoundError:
            if entry.name != ".gitignore":  # jedi passes over it, as it must: editors lock files with such links
                return
            _refuse(path, "is a link to a missing file")
        except OSError as error:  # jedi fails at such a link of any name
            _refuse(path, f"cannot be read ({error.strerror})")
        if not _is_read(entry):
            return
        size_bytes = target.st_size
        is_special = not stat.S_ISREG(target.st_mode) and not stat.S_ISDIR(target.st_mode)
    if is_special:
        _refuse(path, "is or links to a pipe, a socket or a device")
    if size_bytes > MAX_FILE_BYTES:
        _refuse(path, f"is larger than {MAX_FILE_BYTES:,} bytes")


def _refuse(path: str, what: str) -> NoReturn:
    msg = f'"{printable(path)}" {what}, and this tool would read it. Remove the file, or use search instead.'
    raise ToolError(msg)

"""The paths that calls of the ready tools reach, for permission rules; reads only a diff that is a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import JsonValue

from agent import ToolError

from . import _paths
from ._diff_parsing import parse_diff
from ._diff_plan import paths_of
from ._encodings import decode

_MAX_DIFF_BYTES = 20_000_000

Given = Mapping[str, JsonValue]


def own_path(arguments: Given, _workspace: Path) -> Iterable[str]:
    """Return the path of a call about one file or folder."""
    return [str(arguments.get("path", "."))]


def paths_of_edits(arguments: Given, _workspace: Path) -> Iterable[str]:
    """Return the path of each edit."""
    edits = arguments.get("edits")
    found = [edit.get("path") for edit in edits if isinstance(edit, dict)] if isinstance(edits, list) else []
    return [path for path in found if isinstance(path, str)]


def folder_path(arguments: Given, _workspace: Path) -> Iterable[str]:
    """Return the path of a call that reads everything below it."""
    return [f"{arguments.get('path', '.')}/"]


def whole_workspace(_arguments: Given, _workspace: Path) -> Iterable[str]:
    """Return the workspace, for a call that may read every file of it."""
    return ["./"]


def paths_of_diff(arguments: Given, workspace: Path) -> Iterable[str]:
    """Return the files that a diff changes, creates, moves or removes, and the file that holds it."""
    text, file = str(arguments.get("diff", "")), str(arguments.get("diff_file", ""))
    found = [file] if file else []
    try:
        if file and not text:
            inside = _paths.inside(workspace, file)
            with _paths.open_file(workspace, inside) as opened:
                text = decode(opened.read(_MAX_DIFF_BYTES), inside).text
        found += paths_of(workspace, parse_diff(text))
    except ToolError:
        pass  # the call fails for the same reason
    return found

"""Find the files that hold Python tests where pytest collects none, and say how to run them; runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from agent import ToolError

from . import _paths
from ._suggestions import walk
from ._test_memory import Selection, is_under

MAX_FILE_BYTES = 1_000_000
MAX_TOTAL_BYTES = 30_000_000
_MAX_NAMED = 8
_INSTALLED = frozenset({"site-packages", "node_modules"})
_FUNCTION = re.compile(rb"^(?:async[ \t]+)?def[ \t]+test", re.MULTILINE)
_CLASS = re.compile(rb"^[ \t]*class[ \t]+(?:Test|\w+[ \t]*\([^)]*TestCase)", re.MULTILINE)
_BY_CONVENTION = re.compile(r"(?:^|/)(?:test_[^/]*|[^/]*_test)\.py$")
_METHOD = re.compile(rb"^[ \t]+(?:async[ \t]+)?def[ \t]+test", re.MULTILINE)


def where_tests_are(workspace: Path, selection: Selection, *, is_selective: bool) -> str:
    """Return sentences that name the files with tests, and the call that runs them; or say that there are none.

    Reads at most `MAX_TOTAL_BYTES`.

    Args:
        workspace: the run's workspace.
        selection: the files and folders that were run; if there are tests in other files below them, those come alone.
        is_selective: whether the call asked for certain tests; it may then have missed those that pytest finds.
    """
    asked = [name.partition("::")[0] for name in selection.targets]
    found = [name for name in _files_with_tests(workspace) if name not in asked and not selection.leaves_out(name)]
    below = [name for name in found if any(is_under(name, target) for target in asked)]
    names = below or found
    if not names:
        other = "No other Python file" if any(asked) or selection.ignored else "No Python file"
        return (
            f"{other} in the workspace holds any (`def test_` or a TestCase). Write them to test_NAME.py, or run tests "
            "of another kind with run_shell."
        )
    listed = ", ".join(f'"{_paths.printable(name)}"' for name in names[:_MAX_NAMED])
    left_out = len(names) - _MAX_NAMED
    rest = f" So {'does 1 more' if left_out == 1 else f'do {left_out} more'}." if left_out > 0 else ""
    is_all = is_selective and all(map(_BY_CONVENTION.search, names))
    return f"Call run_tests with tests=[{listed}], which {'holds' if len(names) == 1 else 'hold'} tests.{rest}" + (
        " Or leave tests out to run all." if is_all else ""
    )


def holds_tests(data: bytes) -> bool:
    """Return whether the text of a Python file has test functions, or test methods in a class for tests."""
    return bool(_FUNCTION.search(data) or (_CLASS.search(data) and _METHOD.search(data)))


def _files_with_tests(workspace: Path) -> Iterator[str]:
    left = MAX_TOTAL_BYTES
    for name in walk(workspace):
        if not name.endswith(".py") or not _INSTALLED.isdisjoint(PurePosixPath(name).parts):
            continue
        try:
            with _paths.open_file(workspace, _paths.inside(workspace, name)) as file:
                data = file.read(min(MAX_FILE_BYTES, left))
        except ToolError:
            continue
        left -= len(data)
        if holds_tests(data):
            yield name
        if not left:
            return

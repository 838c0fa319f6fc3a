"""Turn the tests that a model asks for into pytest arguments, and find what a misspelt one may mean; runs nothing."""

from __future__ import annotations

import difflib
import errno
import os
import posixpath
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from agent import ToolError

from . import _paths
from ._suggestions import suggestion
from ._test_candidates import where_tests_are
from ._test_memory import Selection

_MAX_NAMED = 20
_SETTINGS_FILES = ("pyproject.toml", "setup.cfg", "setup.py", "requirements.txt", "requirements-dev.txt", "tox.ini")
_MAX_SETTINGS_BYTES = 200_000


def select(workspace: Path, tests: Sequence[str], ignore: Sequence[str]) -> Selection:
    """Check and normalize what a model asks for.

    Raises:
        ToolError: something cannot be a test, or something to leave out does not exist.
    """
    if invalid := next((name for name in (*tests, *ignore) if name.startswith("-") or "\0" in name), None):
        msg = f"{invalid!r} is not a test. Set tests to files, folders or ids such as test_a.py::test_b, not options."
        raise ToolError(msg)
    targets = tuple(dict.fromkeys(_normal(workspace, name) for name in tests)) or ("",)
    ignored = tuple(dict.fromkeys(_normal(workspace, name) for name in ignore))
    for name in ignored:
        if "::" in name:
            msg = f'ignore takes files and folders, not tests such as "{name}".'
            raise ToolError(msg)
        if _is_missing(workspace, name):
            _paths.refuse(workspace, name, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))
    return Selection(targets=targets, ignored=ignored)


def pytest_arguments(workspace: Path, selection: Selection) -> list[str]:
    """Return the arguments for these tests."""
    ignored = [f"--ignore={name}" for name in selection.ignored]
    return [*without_own_plugin(workspace), *ignored, *filter(None, selection.targets)]


def without_own_plugin(workspace: Path) -> list[str]:
    """Return the arguments that keep our own pytest plugin out; none if the project names it in its settings."""
    for name in _SETTINGS_FILES:
        with suppress(ToolError), _paths.open_file(workspace, _paths.inside(workspace, name)) as file:
            if b"tramontane" in file.read(_MAX_SETTINGS_BYTES):
                return []
    return ["-p", "no:tramontane"]


def check_files(workspace: Path, selection: Selection) -> None:
    """Check that the files and folders of the targets exist.

    Raises:
        ToolError: one does not exist; the text names the path that may be meant, or else the files that hold tests.
    """
    for name in selection.targets:
        path = name.partition("::")[0]
        if _is_missing(workspace, path):
            hint = suggestion(workspace, path, otherwise="")
            hint = hint or where_tests_are(workspace, Selection(ignored=selection.ignored), is_selective=True)
            msg = f'There is no "{path}" in the workspace. {hint}'
            raise ToolError(msg)


def describe_missing_test(name: str, known: Iterable[str]) -> str:
    """Say that a file has no such test, and name the tests of it that may be meant.

    Args:
        name: the id that was asked for.
        known: the ids of the tests in its file.
    """
    file = name.partition("::")[0]
    ids = list(known)
    last = _last(name)
    # Most often the class is missing or the parameters are others.
    close = [one for one in ids if _last(one) == last or _last(one).partition("[")[0] == last.partition("[")[0]]
    by_name = {_last(one).removeprefix("test_"): one for one in reversed(ids)}
    close = close or [by_name[match] for match in difflib.get_close_matches(last.removeprefix("test_"), by_name)]
    start = f'There is no test "{name}".'
    if close:
        return f"{start} Did you mean {_either(close[:3])}?"
    if not ids:
        return f"{start} {file} has no tests."
    more = f" and {len(ids) - _MAX_NAMED} more" if len(ids) > _MAX_NAMED else ""
    return f"{start} {file} has {', '.join(one.partition('::')[2] for one in ids[:_MAX_NAMED])}{more}."


def _normal(workspace: Path, name: str) -> str:
    file, colons, rest = name.partition("::")
    if colons and rest.endswith(")") and "[" not in rest:
        rest = rest.partition(" (")[0]  # a subtest, as a report names it
    path = posixpath.normpath(file)
    if path.startswith("/"):
        with suppress(ValueError):
            path = str(Path(path).relative_to(workspace))
    return f"{'' if path == '.' else path}{colons}{rest}"


def _is_missing(workspace: Path, path: str) -> bool:
    # Outside the workspace, the sandbox decides what is visible.
    return bool(path) and not path.startswith("/") and not _paths.exists(workspace, _paths.inside(workspace, path))


def _last(name: str) -> str:
    # The parameters may hold colons themselves.
    start, bracket, parameters = name.partition("[")
    return start.rpartition("::")[2] + bracket + parameters


def _either(names: Iterable[str]) -> str:
    return " or ".join(f'"{_paths.printable(name)}"' for name in names)

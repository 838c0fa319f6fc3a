"""Find the files that define a task's runs, and refuse those that an earlier run may have changed; loads none."""

from __future__ import annotations

import itertools
import json
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from ..errors import ConfigError
from ..journal.runs import list_runs
from ..sandbox.pinned import beside, checksums, command_files
from ..sandbox.programs import is_inside
from ..workspace.left_behind import AFTER, BEFORE
from .load import MAX_TASK_BYTES, load_task
from .renamed import RenamedKey
from .task import Task

_PROMPT = re.compile(rb"^prompt(?:_file)?\s*:", re.MULTILINE)
"""Every task has one of these keys."""
_MAX_TASKS = 200
"""In one folder."""
_MAX_FOLDERS = 5000
_NOT_OURS = frozenset({"node_modules", "__pycache__"})
_LOOK_BACK = 50
"""How many earlier runs are searched for one that had the same files."""


def checked_own_files(task: Task, runs: Path | None) -> tuple[Path, ...]:
    """Return what `own_files` does; call it before the task's tools are loaded.

    Raises:
        ConfigError: an earlier run changed one of them. None for `runs` means that no run is recorded.
    """
    files = own_files(task)
    if runs is not None:
        refuse_changed(files, runs)
    return files


def own_files(task: Task) -> tuple[Path, ...]:
    """Return the files that run outside the sandbox, or say how, and that a run of the task can change.

    Its task file and the others in its folder and in the folders that the run can change, and for each of these tasks
    the files of its tools and MCP servers with what they import from their own folder, and what Python runs
    beside them without being told to.
    """
    writable = [task.path(task.workspace.path), *map(task.path, task.sandbox.write)]
    tasks = dict.fromkeys([*_task_files(task.directory), *_tasks_below(writable)])
    others = [other for path in tasks if (other := _loaded(path)) is not None]
    code = [*_code_files(task), *(path for other in others for path in _code_files(other))]
    files = [*code, *tasks, *beside(code)]
    normal = dict.fromkeys(Path(os.path.normpath(path)) for path in files)  # runs of other tasks have the same paths
    return tuple(path for path in normal if path.is_file() and is_inside(path, writable))


def writable_folders(task: Task) -> tuple[Path, ...]:
    """Return the folders that commands of a run of the task may change, without a copy that it works in."""
    in_place = [task.workspace.path] if task.workspace.mode in {"in_place", "create"} else []
    return tuple(task.path(name) for name in (*in_place, *task.sandbox.write))


def refuse_changed(files: Sequence[Path], runs: Path) -> None:
    """Check that no earlier run changed a file, or may have changed it before it was killed.

    Args:
        files: absolute paths.
        runs: folder of all runs.

    Raises:
        ConfigError: one did. The message says how to accept the change.
    """
    left = dict(checksums(files))
    for folder in reversed(list_runs(runs)[-_LOOK_BACK:]) if left else ():
        before, after = _record(folder / BEFORE), _record(folder / AFTER)
        if before is None:  # the user has accepted what it left
            continue
        known = cast("Mapping[str, str]", before.get("own_files") or {})
        for path in _judged(left, known, after or {}):
            now = left.pop(path)
            was_changed = now != known.get(path) and (after is None or now == after.get(path))
            if was_changed:
                how = "was killed, and may have changed it" if after is None else "changed it"
                msg = (
                    f"{path} runs outside the sandbox or says what does, and the run {folder.name} {how}. Look at it. "
                    f"To accept it as it is: rm {folder / BEFORE}"
                )
                raise ConfigError(msg)


def _judged(left: Iterable[str], known: Mapping[str, str], after: Mapping[str, object]) -> list[str]:
    """Return the files that a run can have changed: those that it began with, and modules that it put beside them.

    Args:
        left: files of now.
        known: the files at the start of the run.
        after: those at its end. Empty if it was killed.
    """
    added = set(after) if after else set(map(str, beside(map(Path, known))))
    return [path for path in left if path in known or path in added]


def _code_files(task: Task) -> Iterator[Path]:
    directory = task.directory.absolute()
    for tool in task.tools:
        name = (tool.use.rpartition(":")[0] or tool.use).strip()
        if name.endswith(".py"):
            yield from command_files([name], directory)
    for server in task.mcp.values():
        yield from command_files(server.command, directory)


def _loaded(path: Path) -> Task | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RenamedKey)  # of tasks that nobody asked to run
        try:
            return load_task(path)
        except ConfigError:
            return None


def _task_files(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.absolute().glob("*.y*ml"))[:_MAX_TASKS]:
        if path.is_file() and path.stat().st_size <= MAX_TASK_BYTES and _PROMPT.search(path.read_bytes()):
            yield path


def _tasks_below(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield the files in the folders that load as a task; another YAML file may have a `prompt` too."""
    places = itertools.chain.from_iterable(os.walk(os.path.normpath(folder.absolute())) for folder in folders)
    for place, names, _ in itertools.islice(places, _MAX_FOLDERS):
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in _NOT_OURS)
        yield from (path for path in _task_files(Path(place)) if _loaded(path) is not None)


def _record(path: Path) -> Mapping[str, object] | None:
    try:
        return cast("Mapping[str, object]", json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None

"""Find the files that define a task's runs, and refuse those that an earlier run may have changed; loads none."""

from __future__ import annotations

import itertools
import json
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

from ..errors import ConfigError
from ..journal.runs import list_runs
from ..sandbox.beneath import open_named
from ..sandbox.pinned import beside, checksums, command_files
from ..sandbox.programs import is_inside
from ..workspace.left_behind import AFTER, BEFORE
from ..workspace.tree import folders_below
from .load import MAX_TASK_BYTES, load_task
from .renamed import RenamedKey
from .task import Task

_PROMPT = re.compile(rb"(?:^|[{,])\s*[\"']?prompt(?:_file)?[\"']?\s*:", re.MULTILINE)
"""Every task has one of these keys."""
_MAX_TASKS = 200
"""In one folder."""
_MAX_FOLDERS = 5000
_MAX_LOADED_BYTES = 512 * 1024
"""Of all other tasks: a run may have left many that take long to load. The smallest come first."""
_MAX_SEARCHED_BYTES = 32 * 1024 * 1024
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
        running = {os.path.normpath(path) for path in _running_files(task)}
        refuse_changed(files, [path for path in files if str(path) in running], runs)
    return files


def own_files(task: Task) -> tuple[Path, ...]:
    """Return the files that run outside the sandbox, or say how, and that a run of the task can change.

    Its task file and those of others in its folder and in the folders that the run can change, and for each of these
    tasks the files of its tools and MCP servers with what they import from their own folder, and what Python runs
    beside them without being told to.
    """
    writable = [task.path(task.workspace.path), *map(task.path, task.sandbox.write)]
    others = dict(_other_tasks(task.directory, writable))
    code = [path for other in others.values() if other is not None for path in _code_files(other)]
    files = [*_running_files(task), *code, *others, *beside(code)]
    normal = dict.fromkeys(Path(os.path.normpath(path)) for path in files)  # runs of other tasks have the same paths
    return tuple(path for path in normal if path.is_file() and is_inside(path, writable))


def writable_folders(task: Task) -> tuple[Path, ...]:
    """Return the folders that commands of a run of the task may change, without a copy that it works in."""
    in_place = [task.workspace.path] if task.workspace.mode in {"in_place", "create"} else []
    return tuple(task.path(name) for name in (*in_place, *task.sandbox.write))


def refuse_changed(files: Sequence[Path], running: Sequence[Path], runs: Path) -> None:
    """Check that no earlier run changed a file, or may have changed it before it was killed.

    Args:
        files: absolute paths.
        running: those of them that run now: no run may have made them either, or changed one that it did not know.
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
        made = _changed_during(folder, before, [path for path in running if str(path) in left.keys() - known.keys()])
        for path in dict.fromkeys([*_judged(left, known, after or {}), *made]):
            now = left.pop(path)
            was_changed = now != known.get(path) and (after is None or now == after.get(path))
            if was_changed or path in made:
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


def _changed_during(folder: Path, before: Mapping[str, object], files: Iterable[Path]) -> Sequence[str]:
    """Return the files in the workspace of a run whose inodes were last changed while it ran; no command can hide that.

    Args:
        folder: of the run.
        before: what it recorded.
        files: those that it did not know.
    """
    workspace = before.get("workspace")
    if not isinstance(workspace, str):
        return ()
    with suppress(OSError):
        start_ns = (folder / BEFORE).stat().st_mtime_ns
        end_ns = (folder / AFTER).stat().st_mtime_ns if (folder / AFTER).exists() else None
        inside = [path for path in files if is_inside(path, [Path(workspace)])]
        times = {str(path): path.stat().st_ctime_ns for path in inside}
        return [path for path, at in times.items() if start_ns <= at and (end_ns is None or at <= end_ns)]
    return ()


def _running_files(task: Task) -> Sequence[Path]:
    """Return the files that a run of the task uses: its own, those of its tools and servers, and what they import."""
    code = list(_code_files(task))
    return [*([] if task.file is None else [task.file]), *code, *beside(code)]


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


def _other_tasks(directory: Path, writable: Iterable[Path]) -> Iterator[tuple[Path, Task | None]]:
    """Yield the task files in a folder and those below others, with their tasks; None for one that does not load.

    Below the others, only what loads is a task; another YAML file may have a `prompt` too.
    """
    here = _candidates([directory.absolute()])
    places = itertools.chain.from_iterable(_places(Path(os.path.normpath(folder.absolute()))) for folder in writable)
    below = _candidates(itertools.islice(places, _MAX_FOLDERS))
    left = _MAX_LOADED_BYTES
    for path, size_bytes in sorted({**below, **here}.items(), key=lambda item: item[1]):
        left -= size_bytes
        other = _loaded(path) if left >= 0 else None
        if other is not None or path in here:
            yield path, other


def _places(top: Path) -> Iterator[Path]:
    for place, names, _ in folders_below(top):
        names[:] = [name for name in names if not name.startswith(".") and name not in _NOT_OURS]
        yield place


def _candidates(places: Iterable[Path]) -> dict[Path, int]:
    """Return the files in the folders that may be tasks, with their sizes."""
    found: dict[Path, int] = {}
    left = _MAX_SEARCHED_BYTES
    for place in places:
        for path in sorted(place.glob("*.y*ml"))[:_MAX_TASKS]:
            with suppress(OSError), open_named(path) as file:
                size_bytes = os.fstat(file.fileno()).st_size
                if size_bytes <= min(left, MAX_TASK_BYTES):
                    left -= size_bytes
                    if _PROMPT.search(file.read(MAX_TASK_BYTES)):
                        found[path] = size_bytes
    return found


def _record(path: Path) -> Mapping[str, object] | None:
    try:
        return cast("Mapping[str, object]", json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None

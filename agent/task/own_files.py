"""Find the files that define a task's runs, and refuse those that an earlier run may have changed; loads none."""

from __future__ import annotations

import itertools
import os
import re
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from ..errors import ConfigError
from ..sandbox.beneath import open_named
from ..sandbox.command_sources import command_sources
from ..sandbox.imports import watched_imports
from ..sandbox.pinned import imported_names, module_name
from ..sandbox.sources import Sources
from ..workspace.changed_files import made_by_runs, refuse_changed
from ..workspace.tree import folders_below
from .load import MAX_TASK_BYTES, load_task
from .mcp_server import McpServer
from .renamed import RenamedKey
from .task import Task

_PROMPT = re.compile(rb"(?:^|[{,])\s*[\"']?prompt(?:_file)?[\"']?\s*:", re.MULTILINE)
"""Every task has one of these keys."""
_MAX_TASKS = 200
"""In one folder."""
_MAX_FOLDERS = 5000
_MAX_LOADED_BYTES = 512 * 1024
"""Of all other tasks: a run may have left many that take long to load. The smallest come first."""
_MAX_PARSED_BYTES = 2 * 1024 * 1024
"""Of what all other tasks import."""
_MAX_SEARCHED_BYTES = 32 * 1024 * 1024
_NOT_OURS = frozenset({"node_modules", "__pycache__"})


def checked_own_files(task: Task, runs: Path | None) -> Sources:
    """Return what `own_files` does; call it before the task's tools are loaded.

    Raises:
        ConfigError: an earlier run changed one of them. None for `runs` means that no run is recorded.
    """
    writable = changeable_folders(task)
    # What lies beside the task file may be of an earlier run, although this run cannot change it.
    used = _used(task, [*writable, task.directory])
    found = used.inside(writable) | _others(task, writable)
    if runs is not None:
        running = {*used.existing(), *used.environments}
        refuse_changed([*found.existing(), *found.environments], running, runs)
        refuse_changed((), _hiding(used, runs), runs)
    return found


@contextmanager
def checked_imports(folders: Sequence[Path], runs: Path | None) -> Generator[set[Path]]:
    """Collect, inside the block, what is imported of what runs can change; load own tools there.

    Args:
        folders: those that runs can change.
        runs: folder of all runs. None means that no run is recorded.

    Raises:
        ConfigError: inside the block; an earlier run changed what is about to be imported, by whatever name.
    """

    def check(path: Path) -> None:
        if runs is not None:
            refuse_changed([path], [path], runs)

    with watched_imports(folders, check) as found:
        yield found


def own_files(task: Task) -> Sources:
    """Return what runs outside the sandbox, or says how, and that a run of the task can change.

    Its task file and those of others in its folder and in the folders that the run can change, and what the tools and
    MCP servers of these tasks load.
    """
    writable = changeable_folders(task)
    return _used(task, writable) | _others(task, writable)


def writable_folders(task: Task) -> tuple[Path, ...]:
    """Return the folders that commands of a run of the task may change, without a copy that it works in."""
    in_place = [task.workspace.path] if task.workspace.mode in {"in_place", "create"} else []
    return tuple(task.path(name) for name in (*in_place, *task.sandbox.write))


def runs_in_sandbox(server: McpServer, task: Task) -> bool:
    """Return whether a server of a task runs in the sandbox of commands, as its runs can change what it runs."""
    if server.sandbox == "none" or task.sandbox.use in {"none", "container"}:
        return False
    return server.runs_code_in(writable_folders(task), _normal(task.directory))


def changeable_folders(task: Task) -> Sequence[Path]:
    """Return the folders that runs of a task can change, also those that it is told to leave unchanged."""
    return [task.path(name) for name in (task.workspace.path, *task.sandbox.write)]


def _used(task: Task, writable: Sequence[Path]) -> Sources:
    """Return what a run of the task uses: its own file, and what its tools and servers load."""
    files = [] if task.file is None else [_normal(task.file)]
    return _code(task, writable) | Sources(files=frozenset(files)).inside(writable)


def _others(task: Task, writable: Sequence[Path]) -> Sources:
    found = Sources()
    for path, other in _other_tasks(task.directory, writable):
        found |= Sources(files=frozenset([_normal(path)]))
        if other is not None and found.parsed_bytes < _MAX_PARSED_BYTES:
            found |= _code(other, writable)
    # A run may have left many tasks, with imports and environments that take long to look at: the run of such a task
    # does that.
    return replace(found, environments=frozenset()).inside(writable)


def _hiding(sources: Sources, runs: Path) -> Sequence[Path]:
    """Return modules that a run made, where a server looks for those that its packages import if they are there."""
    made = made_by_runs(sources.unlisted(), runs)
    names = imported_names(sources.libraries, {module_name(path) for path in made})
    return [path for path in made if module_name(path) in names]


def _normal(path: Path) -> Path:
    return Path(os.path.normpath(path.absolute()))  # runs of other tasks have the same paths


def _code(task: Task, writable: Sequence[Path]) -> Sources:
    directory = _normal(task.directory)
    found = Sources()
    for tool in task.tools:
        name = (tool.use.rpartition(":")[0] or tool.use).strip()
        if name.endswith(".py"):
            found |= command_sources([name], directory, writable)
    for server in task.mcp.values():
        if runs_in_sandbox(server, task):
            continue
        found |= command_sources(server.command, directory, writable, server.env)
    return found


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

"""Compare, before and after a run, what others later run outside the sandbox: git's settings, the run's own files."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from ..journal.events import CallEnded, Event, Noticed
from ..journal.journal import Journal
from ..journal.runs import is_running
from ..names import on_its_line
from ..sandbox.file_facts import checksums
from ..sandbox.repositories import Search
from ..sandbox.sources import Sources
from .changed_files import record_end, record_start
from .folder_keys import overlap
from .git_settings import GitSettings, disarm_git, git_settings
from .named_by_git import Named, changed_since, named_by_git
from .set_ids import without_set_ids
from .unfinished import all_runs, record_path, records_near

BEFORE = "before.json"
"""In the folder of a run: checksums of its own files, for a process that resumes it."""
Recorded = TypeVar("Recorded")
_NEW_REPOSITORY = (
    "The run has made a git repository: {path}. Do not use git there, or open it in an editor, before the run ends: "
    "git starts programs that the settings of a repository name."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Before:
    """What there was before a run."""

    git: Mapping[Path, GitSettings]
    """By the folder that it is of; the run's workspace comes first."""
    named: Mapping[Path, Named]
    """What the user's settings of git name in each folder."""
    own_files: Mapping[str, str]
    """Checksums of what defines the run, such as its task and tools, by absolute path."""


@contextmanager
def watched(
    places: Sequence[Path], own: Sources | None, folder: Path, journal: Journal | None,
    observe: Callable[[Event], None] | None = None, *, set_ids_since_ns: int | None = None,
) -> Generator[list[str]]:  # fmt: skip
    """Record the state before the block and compare it at the end; yield a list to which the differences are added.

    When the block ends, no command of the run may be alive.

    Args:
        places: absolute; the folder that the run works in, and others that it can change.
        own: as for `look_before`. None means that the run changes no files, so that nothing is looked at.
        folder: the run's own.
        journal: of the run. None means that its folder is not kept.
        observe: called at the end with a notice for each text in the list; they come after the end of the run, so the
            journal does not have them.
        set_ids_since_ns: start of the run, if commands could make set-user-ID files; these lose that permission.
    """
    kept, notices = journal is not None, list[str]()
    before = None if own is None else look_before(places, own, folder, kept=kept, set_ids_since_ns=set_ids_since_ns)
    try:
        yield notices
    finally:
        if own is not None and before is not None:
            notices += look_after(own, before, folder, kept=kept)
        if own is not None and set_ids_since_ns is not None:
            found = [without_set_ids(place, since_ns=set_ids_since_ns) for place in places]
            notices += filter(None, found)
        if observe is not None:
            for text in notices:
                observe(Noticed(text=text))


def noticing_repositories(
    workspace: Path, record: Callable[[Event], None], tools: Container[str]
) -> Callable[[Event], None]:
    """Return a `record` that, after a call, also records a notice of each git repository that was not there before.

    Only the end of the run takes away what git would start there; until then, the user's shell or editor would start
    it.

    Args:
        workspace: the folder that the run works in.
        record: records an event.
        tools: names of the tools that may make a repository.
    """
    known = {one.path for one in Search(workspace, quick=True)}

    def record_and_look(event: Event) -> None:
        record(event)
        if not isinstance(event, CallEnded) or event.result.name not in tools:
            return
        for path in sorted({one.path for one in Search(workspace, quick=True)} - known):
            known.add(path)
            record(Noticed(text=_NEW_REPOSITORY.format(path=on_its_line(str(path)))))

    return record_and_look


def disarm_after_killed(runs: Path | None, workspace: Path, resumed: Path | None = None) -> Sequence[str]:
    """Take away what killed runs left for git to start in a folder, or in copies; see `disarm_git` and `set_ids`.

    Call it before a run uses the folder.

    Args:
        runs: folder of all runs. None means that no run is recorded.
        workspace: the folder that the next run works in, or is a copy of.
        resumed: folder of the run that is about to go on, which does this at its own end.

    Returns:
        A sentence for each thing that somebody should look at.
    """
    if runs is None:
        return ()
    found: list[tuple[str, Path]] = []
    top = all_runs(runs).resolve()  # a copy or worktree there has a place of its own, which no later run has
    for path in {*records_near(runs, workspace.resolve()), *records_near(runs, top)}:
        if (run := _recorded(path, lambda record: cast("str", record["run"]))) is not None:
            found.append((run, path))
    notices: list[str] = []
    for run, path in sorted(found):  # their names begin with the time
        folder = all_runs(runs) / run
        with suppress(OSError, ValueError, KeyError):
            record = _read(path)
            place = Path(cast("str", record["workspace"]))
            is_copy = place.resolve().is_relative_to(top)
            is_near = is_copy or overlap(place, workspace.resolve())
            if folder == resumed or not is_near or not place.is_dir():
                continue
            if _is_running(folder):
                continue
            named = cast("Named", record.get("named") or {})
            texts = [*disarm_git(place, GitSettings.from_json(record)), *changed_since(named, place)]
            if isinstance(since_ns := record.get("set_ids_since_ns"), int):
                texts += filter(None, [without_set_ids(place, since_ns=since_ns)])
            where = f" In {on_its_line(str(place))}:" if is_copy else ""
            notices += [f"The run {folder.name} was killed.{where} {text}" for text in texts]
            path.unlink()
    return notices


def look_before(
    places: Sequence[Path], own: Sources, folder: Path, *, kept: bool, set_ids_since_ns: int | None = None
) -> Before:
    """Return what there is before a run; a resumed run finds what its first process recorded.

    Args:
        places: as for `watched`.
        own: what defines the run.
        folder: the run's own.
        kept: whether the run's folder is kept, so that the record is written there.
        set_ids_since_ns: as for `watched`; recorded for the run that finds this one killed.
    """
    recorded = {place: _recorded(record_path(folder, place), GitSettings.from_json) for place in places}
    files = _recorded(folder / BEFORE, lambda record: cast("dict[str, str]", record["own_files"]))
    named = {place: _recorded(record_path(folder, place), lambda one: cast("Named", one["named"])) for place in places}
    before = Before(
        git={place: git or git_settings(place) for place, git in recorded.items()},
        named={place: named_by_git(place) if found is None else found for place, found in named.items()},
        own_files=checksums([*own.existing(), *own.environments]) if files is None else files,
    )
    if kept:
        with suppress(OSError):
            if files is None:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / BEFORE).write_text(json.dumps({"own_files": before.own_files}), encoding="utf-8")
            run = str(folder.relative_to(all_runs(folder.parent)))
            for place, git in before.git.items():
                if recorded[place] is None:
                    record = record_path(folder, place)
                    record.parent.mkdir(parents=True, exist_ok=True)
                    found = {"run": run, "workspace": str(place), **git.to_json(), "named": before.named[place],
                             "set_ids_since_ns": set_ids_since_ns}  # fmt: skip
                    record.write_text(json.dumps(found), encoding="utf-8")
                record_start(folder, place, before.own_files if place == places[0] else {})
    return before


def look_after(own: Sources, before: Before, folder: Path, *, kept: bool) -> tuple[str, ...]:
    """Return a sentence for each thing that the run left behind and that somebody should look at.

    Call it when no command of the run is alive. Takes away what git would start; see `disarm_git`.
    """
    notices: list[str] = []
    workspace, *_ = before.git
    for place, git in before.git.items():
        with suppress(OSError):
            texts = [*disarm_git(place, git), *changed_since(before.named[place], place)]
            notices += texts if place == workspace else [f"In {on_its_line(str(place))}: {text}" for text in texts]
            if kept:
                record_path(folder, place).unlink(missing_ok=True)
    now = checksums({*map(Path, before.own_files), *own.existing(), *own.environments})
    changed = sorted(path for path, found in now.items() if before.own_files.get(path, "") != found)
    if changed:
        names = ", ".join(map(on_its_line, changed))
        notices.append(
            f"The run changed files of tasks, tools or servers: {names}. They run outside the sandbox, or say what "
            "does. Look at them before you run such a task again."
        )
    if kept:
        with suppress(OSError):
            for place in before.git:
                record_end(folder, place, map(Path, changed if place == workspace else ()))
    return tuple(notices)


def _recorded(path: Path, read: Callable[[Mapping[str, object]], Recorded]) -> Recorded | None:
    with suppress(OSError, ValueError, KeyError):
        return read(_read(path))
    return None


def _read(path: Path) -> Mapping[str, object]:
    return cast("dict[str, object]", json.loads(path.read_text(encoding="utf-8")))


def _is_running(folder: Path) -> bool:
    with suppress(FileNotFoundError):
        return is_running(folder)
    return False

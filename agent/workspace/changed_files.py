"""Remember, beside all runs, which files that run outside the sandbox a run may have changed; reads and changes none.

What is kept does not depend on the folders of runs, which may be removed, nor on how many runs there were since:

- `started/`: of each run that has not ended, the checksums of what it may not change. The next start settles those of
  killed runs.
- `times/`: of each folder, when runs worked in it. A file of unknown origin was changed by a run if its inode was.
- `changed/`: of each file that a run changed, the contents that it had then. The user accepts them by removing it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from ..errors import ConfigError
from ..journal.runs import is_running
from ..names import on_its_line
from ..sandbox.file_facts import changed_ns, checksums, facts_below
from .folder_keys import folder_key, may_overlap
from .unfinished import INDEX, all_runs

_MAX_TIMES = 20_000
"""Of one folder; of more, the oldest are joined in pairs."""
_MAX_CONTENTS = 50
"""Of one file that runs changed again and again; the newest are kept."""
_CHANGED = "changed it"
_KILLED = "was killed, and may have changed it"
_ALIVE = "has not ended, and may have changed it"
_NEVER_NS = 1 << 63


@dataclass(frozen=True, kw_only=True, slots=True)
class _Time:
    """When a run worked in a folder, in nanoseconds by the clock of the file system; inclusive."""

    start_ns: int
    end_ns: int
    run: str
    how: str = _CHANGED


def record_start(folder: Path, workspace: Path, known: Mapping[str, str]) -> None:
    """Write down that a run begins, or goes on.

    Args:
        folder: the run's own.
        workspace: absolute; a folder that it may change.
        known: checksums of files that it may change and that run outside the sandbox, by absolute path.
    """
    path = _started(folder, workspace)
    path.parent.mkdir(parents=True, exist_ok=True)
    run = str(folder.relative_to(all_runs(folder.parent)))
    path.write_text(json.dumps({"run": run, "workspace": str(workspace), "known": known}), encoding="utf-8")


def record_end(folder: Path, workspace: Path, changed: Iterable[Path]) -> None:
    """Write down that a run has ended.

    Args:
        folder: the run's own.
        workspace: as for `record_start`.
        changed: what it changed of the known files, or put beside them.
    """
    runs = all_runs(folder.parent)
    run = str(folder.relative_to(runs))
    _settle(runs / INDEX, _started(folder, workspace), workspace, changed, run=run, how=_CHANGED)


def refuse_changed(files: Iterable[Path], running: Iterable[Path], runs: Path) -> None:
    """Check that no earlier run changed a file, or may have changed it before it was killed.

    Args:
        files: absolute paths of files, and of folders of which everything may be loaded.
        running: those of what runs now: no run may have made it either, or changed one that it did not know.
        runs: folder of all runs.

    Raises:
        ConfigError: one did. The message says how to accept the change.
    """
    index, running = all_runs(runs) / INDEX, dict.fromkeys(running)
    places = dict.fromkeys([*files, *running])
    alive = list(_alive(index, places))
    times = _Times(index)
    found: dict[Path, str] = {}
    for path in places:
        mark = _mark(index, path)
        if text := _judged(path, mark):
            found[path] = text
        elif path in running and (time := times.of_change(path)):
            _add_content(mark, path, time)
            found[path] = _sentence(path, time.run, time.how)
        elif path in running:
            near = [time for root, time in alive if path.resolve().is_relative_to(root)]
            if time := _in_times(path, near):
                msg = f"{_sentence(path, time.run, time.how)} Look at it, and wait until that run has ended."
                raise ConfigError(msg)
    if found:
        marks = " ".join(str(_mark(index, path)) for path in found)
        look = "Look at it. To accept it as it is" if len(found) == 1 else "Look at them. To accept them as they are"
        msg = f"{' '.join(found.values())} {look}: rm {marks}"
        raise ConfigError(msg)


def _judged(path: Path, mark: Path) -> str:
    """Return a sentence if a file is as a run left it, and the user has not accepted that. Empty if not."""
    if not mark.exists():
        return ""
    checksum = checksums([path])[str(path)]
    for item in _contents(mark):
        if item["checksum"] == checksum or (path.is_dir() and _in_times(path, [_Time(**item["time"])])):
            return _sentence(path, item["run"], item["how"])
    return ""


def made_by_runs(files: Iterable[Path], runs: Path) -> frozenset[Path]:
    """Return the files that a run made or changed, without those of which the user has accepted that."""
    index = all_runs(runs) / INDEX
    times = _Times(index)
    return frozenset(path for path in files if times.of_change(path) is not None)


def _sentence(path: Path, run: str, how: str) -> str:
    return f"{on_its_line(str(path))} runs outside the sandbox or says what does, and the run {run} {how}."


def _alive(index: Path, places: Iterable[Path]) -> Iterator[tuple[Path, _Time]]:
    """Yield the times of runs that have not ended, with their folders; those of killed runs are settled instead.

    Args:
        index: the folder of what is kept.
        places: paths near which the runs worked.
    """
    places = [*places, index]  # with copies in the folder of runs
    folders = {path.parent for path in places} | {path.resolve().parent for path in places if path.is_symlink()}
    keys = {folder_key(folder.resolve()) for folder in folders}
    for path in sorted(_listed(index / "started")):
        record = _read(path)
        if record is None or not any(may_overlap(path.name.partition(".")[0], key) for key in keys):
            continue
        run, workspace = cast("str", record["run"]), Path(cast("str", record["workspace"]))
        start_ns = changed_ns(path)
        if _is_running(index.parent / run):
            yield workspace.resolve(), _Time(start_ns=start_ns, end_ns=_NEVER_NS, run=run, how=_ALIVE)
        else:
            known = cast("dict[str, str]", record["known"])
            now = checksums(map(Path, known))
            changed = [Path(name) for name, checksum in now.items() if checksum not in {"", known[name]}]
            _settle(index, path, workspace, changed, run=run, how=_KILLED)


def _settle(index: Path, started: Path, workspace: Path, changed: Iterable[Path], *, run: str, how: str) -> None:
    """Replace the record of a run that has ended by what later runs need."""
    start_ns = changed_ns(started)
    os.utime(started)  # as the clock of the file system has it, by which inodes are changed
    time = _Time(start_ns=start_ns, end_ns=changed_ns(started), run=run, how=how)
    if not workspace.is_relative_to(index.parent):  # a copy that only this run works in
        _add_time(_times_file(index, workspace.resolve()), time)
    for path in changed:
        _add_content(_mark(index, path), path, time)
    started.unlink(missing_ok=True)


def _in_times(path: Path, times: Sequence[_Time]) -> _Time | None:
    """Return the time in which a file, or one in a folder, was changed. None if there is none."""
    if not times:
        return None
    changes = [facts[-1] for facts in facts_below(path).values() if facts] if path.is_dir() else [changed_ns(path)]
    return next((time for time in times for at in changes if time.start_ns <= at <= time.end_ns), None)


class _Times:
    """When runs worked, by folder; each is read once."""

    def __init__(self, index: Path) -> None:
        self._index = index
        self._known: dict[Path, Sequence[_Time]] = {}
        self._known_around: dict[Path, Sequence[_Time]] = {}

    def of_change(self, path: Path) -> _Time | None:
        """Return the time of a run that changed a file, or one in a folder. None if none did that was not judged."""
        times = self._around(path.parent)
        if path.is_symlink():
            times = [*times, *self._around(path.resolve().parent)]
        judged_ns = _judged_ns(_mark(self._index, path)) if times else 0
        return _in_times(path, [time for time in times if time.end_ns > judged_ns])

    def _around(self, folder: Path) -> Sequence[_Time]:
        """Return the times in a folder and those above it, by its name and where it leads."""
        if folder not in self._known_around:  # a run may have left tens of thousands of files in one folder
            real = folder.resolve()
            folders = dict.fromkeys([folder, *folder.parents, real, *real.parents])
            self._known_around[folder] = [time for each in folders for time in self._in(each)]
        return self._known_around[folder]

    def _in(self, folder: Path) -> Sequence[_Time]:
        if folder not in self._known:
            try:
                lines = _times_file(self._index, folder).read_text(encoding="utf-8").splitlines()
            except OSError:
                lines = []
            parts = [line.split(" ", 3) for line in lines]
            self._known[folder] = [
                _Time(start_ns=int(start), end_ns=int(end), run=run, how=how) for start, end, run, how in parts
            ]
        return self._known[folder]


def _add_time(path: Path, time: _Time) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        lines = file.read().splitlines()
        if len(lines) > _MAX_TIMES:
            old = [line.split(" ", 3) for line in lines[: _MAX_TIMES // 2]]
            pairs = zip(old[::2], old[1::2], strict=True)
            lines[: _MAX_TIMES // 2] = [" ".join([first[0], second[1], *second[2:]]) for first, second in pairs]
            file.truncate(0)
            file.write("".join(f"{line}\n" for line in lines))
        file.write(f"{time.start_ns} {time.end_ns} {time.run} {time.how}\n")


def _add_content(mark: Path, path: Path, time: _Time) -> None:
    """Mark a file as changed by a run, with its content of now."""
    item = {"checksum": checksums([path])[str(path)], "run": time.run, "how": time.how, "time": asdict(time)}
    mark.parent.mkdir(parents=True, exist_ok=True)
    kept = [*_contents(mark), item][-_MAX_CONTENTS:]
    mark.write_text(json.dumps({"path": str(path), "contents": kept}), encoding="utf-8")
    _judged_file(mark).parent.mkdir(parents=True, exist_ok=True)
    _judged_file(mark).write_text(str(time.end_ns), encoding="utf-8")


def _contents(mark: Path) -> list[dict[str, Any]]:
    record = _read(mark)
    return [] if record is None else cast("list[dict[str, Any]]", record["contents"])


def _judged_ns(mark: Path) -> int:
    """Return the end of the last run that a mark of the file was made for, which the user may have removed."""
    with suppress(OSError, ValueError):
        return int(_judged_file(mark).read_text(encoding="utf-8"))
    return 0


def _mark(index: Path, path: Path) -> Path:
    return index / "changed" / _name(path)


def _judged_file(mark: Path) -> Path:
    return mark.parent.with_name("judged") / mark.name


def _times_file(index: Path, folder: Path) -> Path:
    return index / "times" / _name(folder)


def _started(folder: Path, workspace: Path) -> Path:
    runs = all_runs(folder.parent)
    return runs / INDEX / "started" / f"{folder_key(workspace.resolve())}.{_name(folder.relative_to(runs))}"


def _name(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:32]


def _listed(folder: Path) -> Sequence[Path]:
    with suppress(OSError):
        return list(folder.iterdir())
    return ()


def _is_running(folder: Path) -> bool:
    with suppress(OSError):  # its folder was removed
        return is_running(folder)
    return False


def _read(path: Path) -> Mapping[str, object] | None:
    with suppress(OSError, ValueError):
        return cast("dict[str, object]", json.loads(path.read_text(encoding="utf-8")))
    return None

"""Record which files a run changes itself, in a folder that others may write to at the same time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence

from pydantic import JsonValue

from ..errors import ConfigError
from ..journal.events import FilesChanged
from ..messages import ToolCall
from ..workspace.own_changes import named, signature_at_start, signatures, signatures_at_start
from ..workspace.workspace import Workspace
from .dependencies import RunDependencies
from .state import RunState

# A result such as that of a process may name what somebody else changes while the call waits for it.
_QUICK_S = 1.0


class FileTracker:
    """Records a `FilesChanged` event for what changes while calls run, or a verification.

    A path counts as changed by the run if its calls name it, or the result of a quick one does, and nothing else had
    changed it before. All other paths may have been changed by somebody who works in the same folder. A folder of the
    run's own is not tracked.
    """

    def __init__(self, state: RunState, deps: RunDependencies, calls: Sequence[ToolCall] = ()) -> None:
        self._state = state
        self._deps = deps
        self._texts = [text for call in calls for text in _texts_in(json.loads(call.arguments))]
        self._running = max(1, len(calls))
        self._was_killed = any(call.id in state.started_calls for call in calls)
        """True if an earlier process was killed while one of the calls ran."""
        if self._was_killed:
            self._texts = []  # somebody else may have changed what they name since then
        self._before: Mapping[str, str] | None = None
        self._began_s = deps.clock()

    async def start(self) -> FileTracker:
        """Look at the files, before the calls run."""
        if self._deps.shared_workspace and self._deps.snapshot is not None:
            self._before = await asyncio.to_thread(self._signatures_before)
            self._began_s = self._deps.clock()
        return self

    async def end_one(self, result: str = "") -> None:
        """Record what has changed if this was the last of the calls; to be called before its end is recorded.

        A run that is killed in between then knows of each call that has ended what it changed. `result` is the call's
        result, which may name files. Empty if it started a command, whose output may name anything.
        """
        self._running -= 1
        if not self._was_killed and self._deps.clock() - self._began_s < _QUICK_S:
            self._texts.append(result)
        if self._running or self._before is None:
            return
        after = await asyncio.to_thread(self._signatures_now)
        if after is None:
            return
        event = await asyncio.to_thread(self._changes, self._before, after)
        if event is not None:
            self._deps.record(event)

    def _changes(self, before: Mapping[str, str], after: Mapping[str, str]) -> FilesChanged | None:
        """Return what has changed, and which of it the run changed. None if nothing has."""
        work, snapshot = self._state.work, self._deps.snapshot
        assert snapshot is not None, "without a snapshot, nothing is tracked"
        changed = {path for path in before.keys() | after.keys() if before.get(path, "") != after.get(path, "")}
        own = {
            path
            for path in named(changed, self._texts)
            if path not in work.unsure_changes
            and before.get(path, "") == work.own_changes.get(path, signature_at_start(snapshot, path))
        }
        if not changed:
            return None
        files = {path: after.get(path, "") for path in sorted(own)}
        return FilesChanged(files=files, unsure=tuple(sorted(changed - own)))

    def _signatures_before(self) -> Mapping[str, str] | None:
        now, snapshot = self._signatures_now(), self._deps.snapshot
        if now is None or snapshot is None or not self._was_killed:
            return now
        # What differs from the last record is the work of the killed process, or of somebody else.
        work = self._state.work
        recorded = {**signatures_at_start(Workspace(self._deps.context.workspace), snapshot), **work.own_changes}
        return {**recorded, **{path: now.get(path, "") for path in work.unsure_changes}}

    def _signatures_now(self) -> Mapping[str, str] | None:
        """Return the signatures of all paths. None if the folder is gone or cannot be listed."""
        assert self._deps.snapshot is not None, "without a snapshot, nothing is tracked"
        try:
            return signatures(Workspace(self._deps.context.workspace), self._deps.snapshot)
        except (OSError, ConfigError):
            return None


def _texts_in(value: JsonValue) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts_in(item)

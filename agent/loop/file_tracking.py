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
        self._looking = asyncio.Lock()
        self._began_s = deps.clock()

    async def start(self) -> FileTracker:
        """Flush the journal and look at the files, before something that may change files runs.

        Of calls that run at the same time, the first looks, and the others wait for it.
        """
        async with self._looking:
            await asyncio.to_thread(self._sync_and_look)
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
        event = await asyncio.to_thread(self._changes, self._before)
        if event is not None:
            self._deps.record(event)

    def _sync_and_look(self) -> None:
        self._deps.sync()
        if self._deps.shared_workspace and self._deps.snapshot is not None and self._before is None:
            self._before = self._signatures_before()
            self._began_s = self._deps.clock()

    def _changes(self, before: Mapping[str, str]) -> FilesChanged | None:
        """Return what has changed, and which of it the run changed. None if nothing has, or it cannot be told."""
        work, snapshot, after = self._state.work, self._deps.snapshot, self._signatures_now()
        assert snapshot is not None, "without a snapshot, nothing is tracked"
        if after is None:
            return None
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

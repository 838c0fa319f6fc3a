"""Record which files a run changes itself, in a folder that others may write to at the same time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from pydantic import JsonValue

from ..errors import ConfigError
from ..journal.events import FilesChanged
from ..messages import ToolCall
from ..workspace.own_changes import named, signature_at_start, signatures
from ..workspace.workspace import Snapshot, Workspace
from .dependencies import RunDependencies
from .state import RunState


@asynccontextmanager
async def files_tracked(state: RunState, deps: RunDependencies, calls: Sequence[ToolCall] = ()) -> AsyncGenerator[None]:
    """Record a `FilesChanged` event for what changes inside the block; a folder of the run's own is not tracked.

    A path counts as changed by the run if its calls name it and nothing else had changed it before. All other paths may
    have been changed by somebody who works in the same folder.

    Args:
        state: of the run.
        deps: of the run.
        calls: the calls that run inside the block.
    """
    snapshot = deps.snapshot
    if not deps.shared_workspace or snapshot is None:
        yield
        return
    before = await asyncio.to_thread(_signatures, deps, snapshot)
    yield
    after = await asyncio.to_thread(_signatures, deps, snapshot)
    if before is None or after is None:
        return
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    if not changed:
        return
    known = state.work.own_changes
    own = {
        path
        for path in named(changed, [text for call in calls for text in _texts(json.loads(call.arguments))])
        if path not in state.work.unsure_changes
        and before.get(path, "") == known.get(path, signature_at_start(snapshot, path))
    }
    deps.record(
        FilesChanged(files={path: after.get(path, "") for path in sorted(own)}, unsure=tuple(sorted(changed - own)))
    )


def _signatures(deps: RunDependencies, snapshot: Snapshot) -> Mapping[str, str] | None:
    """Return the signatures of all paths. None if the folder is gone or cannot be listed."""
    try:
        return signatures(Workspace(deps.context.workspace), snapshot)
    except (OSError, ConfigError):
        return None


def _texts(value: JsonValue) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)

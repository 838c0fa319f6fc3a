"""Record which files a run changes itself, in a folder that others may write to at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from ..errors import ConfigError
from ..journal.events import FilesChanged
from ..workspace.own_changes import signatures
from ..workspace.workspace import Workspace
from .dependencies import RunDependencies


@asynccontextmanager
async def files_tracked(deps: RunDependencies) -> AsyncGenerator[None]:
    """Record a `FilesChanged` event for what changes inside the block; a folder of the run's own is not tracked."""
    if not deps.shared_workspace or deps.snapshot is None:
        yield
        return
    before = await asyncio.to_thread(_signatures, deps)
    yield
    after = await asyncio.to_thread(_signatures, deps)
    changed = {
        path: after.get(path, "") for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    }
    if changed:
        deps.record(FilesChanged(files=changed))


def _signatures(deps: RunDependencies) -> Mapping[str, str]:
    assert deps.snapshot is not None
    try:
        return signatures(Workspace(deps.context.workspace), deps.snapshot)
    except (OSError, ConfigError):  # a tool removed the folder, or made a part of it unreadable
        return {}

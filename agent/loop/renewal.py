"""Renew the conversation of a run: save and restore its files if a verification failed for them, write the summary."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ..errors import ConfigError
from ..journal.events import ContextRenewed
from ..messages import UserMessage
from ..workspace.attempts import patch_text, save_attempt
from ..workspace.own_changes import restore_own
from ..workspace.workspace import Restored, Snapshot, Workspace
from .dependencies import RunDependencies
from .state import RunState
from .summary import Renewal, summary, trained_summary

_MAX_DIFF_CHARS = 60_000
_MAX_SUMMARY_CHARS = 24_000
_MIN_SUMMARY_CHARS = 3_000
_SUMMARY_SHARE = 0.15
"""Share of the window that the summary may take, at 3 characters per token."""


@dataclass(frozen=True, kw_only=True)
class _Files:
    """What happened to the files, for the summary."""

    diff: str = ""
    patch: str = ""
    restored: Restored | None = None


async def renew(
    state: RunState, deps: RunDependencies, *, reason: str, clause: str, is_failure: bool, may_restore: bool
) -> ContextRenewed:
    """Return the event that restarts the conversation, after its files were saved and restored if need be.

    Args:
        state: of the run.
        deps: of the run.
        reason: why, as recorded.
        clause: why, as a clause for the model.
        is_failure: False if nothing failed, such as when the window is full.
        may_restore: whether files that a verification failed for are restored.

    Raises:
        ConfigError: the workspace is gone.
        OSError: the workspace cannot be read, saved or restored.
    """
    failed = state.work.files_verification is not None and not state.work.files_verification.ok
    restore = may_restore and failed and deps.snapshot is not None
    files = _Files()
    if deps.snapshot is not None:
        files = await asyncio.to_thread(_handle_files, state, deps, deps.snapshot, restore=restore)
    if state.profile.trained_texts:
        text = trained_summary(state.history.messages, reason=reason, restored=restore)
    else:
        renewal = Renewal(
            reason=clause,
            is_failure=is_failure,
            restored=restore,
            patch=files.patch,
            conflicts=() if files.restored is None else files.restored.conflicts,
            diff=deps.context.redacted(files.diff),
        )
        text = summary(
            renewal,
            records=state.work.records,
            texts=state.work.texts,
            verifications=state.work.failed_attempts,
            max_chars=_max_chars(state.started.window_tokens),
        )
    prompt = state.started.prompt
    return ContextRenewed(
        step=state.step,
        prompt=UserMessage(content=f"{prompt.content}\n\n{text}", images=prompt.images),
        restored=() if files.restored is None else files.restored.changed,
        patch=files.patch,
        conflicts=() if files.restored is None else files.restored.conflicts,
    )


def _handle_files(state: RunState, deps: RunDependencies, snapshot: Snapshot, *, restore: bool) -> _Files:
    try:
        workspace = Workspace(deps.context.workspace)
        changes = workspace.diff(snapshot, max_chars=_MAX_DIFF_CHARS)
    except (OSError, ConfigError):
        if restore:
            raise
        return _Files()  # a tool removed the folder; the summary goes without the diff
    diff = patch_text(changes) if changes else ""
    if not restore:
        return _Files(diff=diff)
    patch = save_attempt(workspace, snapshot)
    if deps.shared_workspace:
        return _Files(diff=diff, patch=patch, restored=restore_own(workspace, snapshot, state.work.own_changes))
    return _Files(diff=diff, patch=patch, restored=workspace.restore(snapshot))


def _max_chars(window_tokens: int | None) -> int:
    if window_tokens is None:
        return _MAX_SUMMARY_CHARS
    return max(_MIN_SUMMARY_CHARS, min(_MAX_SUMMARY_CHARS, int(window_tokens * 3 * _SUMMARY_SHARE)))

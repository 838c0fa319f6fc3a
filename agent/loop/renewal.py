"""Renew the conversation of a run: save and restore its files if a verification failed for them, write the summary."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..errors import ConfigError
from ..journal.events import ContextRenewed, FilesChanged, Noticed
from ..messages import UserMessage
from ..workspace.attempts import save_attempt
from ..workspace.diff import Change
from ..workspace.own_changes import changed_by_others, restore_own
from ..workspace.workspace import Restored, Snapshot, Workspace
from .dependencies import RunDependencies
from .state import RunState
from .summary import Renewal, summary, trained_summary

_MAX_DIFF_CHARS = 60_000
_MAX_SUMMARY_CHARS = 24_000
_MIN_SUMMARY_CHARS = 3_000
_SUMMARY_SHARE = 0.15
"""Share of the window that the summary may take, at 3 characters per token."""
_NOT_SAVED = "The changes that failed the verification could not be saved ({reason}), so they were not put back."


@dataclass(frozen=True, kw_only=True)
class _Files:
    """What the run changed, and what was put back."""

    changes: tuple[Change, ...] | None = None
    """None if they are not known."""
    patch: str = ""
    restored: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()


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
        ConfigError: the workspace is gone, and was to be restored.
        OSError: the workspace cannot be restored.
    """
    work, prompt = state.work, state.started.prompt
    failed = work.files_verification is not None and not work.files_verification.ok
    files = await _handle_files(state, deps, restore=may_restore and failed)
    has_restored = bool(files.restored or files.patch)
    if state.profile.trained_texts:
        is_at_start = has_restored or (may_restore and not work.may_have_changed)
        text = trained_summary(state.history.messages, reason=reason, restored=is_at_start)
    else:
        renewal = Renewal(
            reason=clause,
            is_failure=is_failure,
            restored=has_restored,
            patch=files.patch,
            conflicts=files.conflicts,
            changes=_redacted(files.changes, deps),
        )
        text = summary(
            renewal,
            records=work.records,
            texts=work.texts,
            verifications=work.failed_attempts,
            max_chars=_max_chars(state.started.window_tokens),
        )
    return ContextRenewed(
        step=state.step,
        prompt=UserMessage(content=f"{prompt.content}\n\n{text}", images=prompt.images),
        restored=files.restored,
        patch=files.patch,
        conflicts=files.conflicts,
    )


async def _handle_files(state: RunState, deps: RunDependencies, *, restore: bool) -> _Files:
    """Return what the run changed; if wanted, save it and restore the files, but never restore what is not saved."""
    snapshot = deps.snapshot
    if snapshot is None:
        return _Files()
    try:
        workspace = Workspace(deps.context.workspace)
    except ConfigError:  # a tool removed the folder
        if restore:
            raise
        return _Files()
    others = _others(state, deps, workspace)
    own = {path: signature for path, signature in state.work.own_changes.items() if path not in others}
    only = own if deps.shared_workspace else None
    patch = state.work.saved_patch
    try:
        changes = await asyncio.to_thread(_changes, state, deps, workspace, snapshot)
        if restore and not patch:
            patch = await asyncio.to_thread(save_attempt, workspace, snapshot, only=only)
    except OSError as error:  # a tool made files unreadable, or put a symlink in the place of `.agent`
        if restore:
            deps.record(Noticed(text=_NOT_SAVED.format(reason=error)))
        return _Files()
    if not restore:
        return _Files(changes=changes)
    if patch and not state.work.saved_patch:
        deps.record(FilesChanged(saved=patch))  # a killed run resumes here, and then must not lose sight of the patch
    restored = await asyncio.to_thread(_restore, workspace, snapshot, only)
    conflicts = {*({change.path for change in changes} & others), *restored.conflicts}
    # The summary shows what was put back; what was left alone may be somebody else's.
    shown = tuple(change for change in changes if change.path not in conflicts) if restored.changed else changes
    return _Files(changes=shown, patch=patch, restored=restored.changed, conflicts=tuple(sorted(conflicts)))


def _restore(workspace: Workspace, snapshot: Snapshot, only: Mapping[str, str] | None) -> Restored:
    return workspace.restore(snapshot) if only is None else restore_own(workspace, snapshot, only)


def _changes(state: RunState, deps: RunDependencies, workspace: Workspace, snapshot: Snapshot) -> tuple[Change, ...]:
    """Return the changes since the start; in a shared folder, only those that may be the run's."""
    changes = workspace.diff(snapshot, max_chars=_MAX_DIFF_CHARS)
    if not deps.shared_workspace:
        return changes
    mine = state.work.own_changes.keys() | state.work.unsure_changes
    return tuple(change for change in changes if change.path in mine)


def _others(state: RunState, deps: RunDependencies, workspace: Workspace) -> set[str]:
    """Return the paths that something else may have changed, besides the run."""
    if not deps.shared_workspace:
        return set()
    return state.work.unsure_changes | changed_by_others(workspace, state.work.own_changes)


def _redacted(changes: tuple[Change, ...] | None, deps: RunDependencies) -> tuple[Change, ...] | None:
    if changes is None:
        return None
    return tuple(replace(change, diff=deps.context.redacted(change.diff)) for change in changes)


def _max_chars(window_tokens: int | None) -> int:
    if window_tokens is None:
        return _MAX_SUMMARY_CHARS
    return max(_MIN_SUMMARY_CHARS, min(_MAX_SUMMARY_CHARS, int(window_tokens * 3 * _SUMMARY_SHARE)))

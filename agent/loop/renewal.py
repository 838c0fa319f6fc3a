"""Renew the conversation of a run: save and restore its files if a verification failed for them, write the summary."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace

from ..errors import ConfigError
from ..journal.events import ContextRenewed, FilesChanged, Noticed
from ..messages import UserMessage
from ..tooling.shorten import keep_whole
from ..tooling.toolbox import can_read_files
from ..workspace.attempts import save_attempt
from ..workspace.diff import Change
from ..workspace.own_changes import changed_by_others, restore_own
from ..workspace.workspace import Restored, Snapshot, Workspace
from .background import stop_commands
from .dependencies import RunDependencies
from .earlier import quote_earlier
from .state import RunState
from .summary import Renewal, summary, trained_summary
from .window import LIKELY_BYTES_PER_TOKEN, min_reply_tokens

_MAX_DIFF_CHARS = 60_000
_MAX_SUMMARY_CHARS = 24_000
_MIN_SUMMARY_CHARS = 3_000
_LEAST_SUMMARY_CHARS = 1_000
"""Where little room is left beside the task and the tools."""
_MAX_RESULTS_CHARS = 64_000
_LIKELY_RESULTS_CHARS = 6_000
"""Of the last calls' results, if the window is not known."""
# Shares of the window: of the summary, and of the last calls' results.
_SUMMARY_SHARE = 0.17
_RESULTS_SHARE = 0.2
_FILLED_SHARE = 0.5
"""Of what the task, the tools and a reply leave: both take no more, or the next steps fill the window again."""
_SUMMARY_SHARE_OF_FILLED = 0.6
_RESTORE = "the files were put back"
_NOT_SAVED = "The changes that failed the verification could not be saved ({reason}), so they were not put back."


@dataclass(frozen=True, kw_only=True)
class Files:
    """What the run changed, and what was put back."""

    changes: tuple[Change, ...] | None = None
    """None if they are not known."""
    patch: str = ""
    restored: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    stopped: str = ""
    """The commands that were still running, and were stopped before the files were put back."""


async def renew(
    state: RunState,
    deps: RunDependencies,
    *,
    reason: str,
    clause: str,
    may_restore: bool | None,
    is_tight: bool = False,
) -> ContextRenewed:
    """Return the event that restarts the conversation, after its files were saved and restored if need be.

    The objects that tools share have then forgotten the old conversation.

    Args:
        state: of the run.
        deps: of the run.
        reason: why, as recorded.
        clause: why, as a clause for the model.
        may_restore: whether files that a verification failed for are restored. None if nothing failed, such as when the
            window is full.
        is_tight: whether the summary has to be as short as it can be, because a longer one did not fit.

    Raises:
        ConfigError: the workspace is gone, and was to be restored.
        OSError: the workspace cannot be restored.
    """
    work, prompt = state.work, state.started.prompt
    failed = work.files_verification is not None and not work.files_verification.ok
    restore = bool(may_restore and failed)
    async with deps.member.alone(before=_RESTORE) if restore else nullcontext():
        files = await handle_files(state, deps, restore=restore)
    has_restored = bool(files.restored or files.patch)
    max_chars, max_results_chars = _room(state, deps, is_tight=is_tight)
    if state.profile.trained_texts:
        is_at_start = has_restored or (bool(may_restore) and not work.may_have_changed)
        text = trained_summary(state.history.messages, reason=reason, restored=is_at_start)
    else:
        renewal = Renewal(
            reason=clause,
            is_failure=may_restore is not None,
            restored=has_restored,
            patch=files.patch,
            conflicts=files.conflicts,
            changes=await asyncio.to_thread(_redacted, files.changes, deps),
            files_failed=failed and work.files_verification in work.failed_attempts,
            attempts_left=None if deps.verify is None else deps.verify.attempts - state.verify_attempts,
            has_diff_tool=_takes(deps, "diff", "path"),
            has_patch_tool=_takes(deps, "apply_diff", "diff_file"),
        )
        text = await _summary(
            state, renewal, max_chars=max_chars, max_results_chars=max_results_chars,
            notes_file=await asyncio.to_thread(_keep_notes, state, deps),
        )  # fmt: skip
    silent = work.files_verification
    stopped = (files.stopped, silent.say if silent is not None and not silent.attempt else "")
    text = "\n\n".join(part for part in (text, *stopped) if part)
    await deps.context.resources.renew_context(lambda text: deps.record(Noticed(text=deps.context.redacted(text))))
    text = deps.context.redacted(text)  # it quotes the model's calls, in which it may have written a secret
    earlier = quote_earlier(state.started.history, max_chars=max_chars // 2)
    return ContextRenewed(
        step=state.step,
        prompt=UserMessage(
            content="\n\n".join(part for part in (earlier, prompt.content, text) if part), images=prompt.images
        ),
        restored=files.restored,
        patch=files.patch,
        conflicts=files.conflicts,
        is_tight=is_tight,
    )


async def tell_what_was_tried(state: RunState, deps: RunDependencies, *, reason: str, clause: str) -> str:
    """Return the summary for a new attempt that begins with the files as they were at the start, but reads of this one.

    Args:
        state: of the run.
        deps: of the run.
        reason: why the run goes on in this way, as recorded.
        clause: the same as a clause for the model.

    Raises:
        ConfigError: the workspace is gone.
    """
    if state.profile.trained_texts:
        text = trained_summary(state.history.messages, reason=reason, restored=True)
    else:
        files = await handle_files(state, deps, restore=False)
        max_chars, max_results_chars = _room(state, deps, is_tight=False)
        renewal = Renewal(
            reason=clause, is_failure=True, restored=state.work.may_have_changed,
            changes=await asyncio.to_thread(_redacted, files.changes, deps),
            attempts_left=None if deps.verify is None else deps.verify.attempts,
        )  # fmt: skip
        text = await _summary(state, renewal, max_chars=max_chars, max_results_chars=max_results_chars)
    return deps.context.redacted(text)


async def _summary(
    state: RunState, renewal: Renewal, *, max_chars: int, max_results_chars: int, notes_file: str = ""
) -> str:  # fmt: skip
    work = state.work
    # In a thread: for 18,000 changed files, this and the redaction take 0.14 s (two cores, 2026-11-28).
    return await asyncio.to_thread(
        summary,
        renewal,
        records=work.records,
        notes=work.notes,
        notes_file=notes_file,
        texts=work.texts,
        own=work.summed_up.text if work.summed_up is not None else "",
        verifications=work.failed_attempts,
        last_calls=work.last_calls,
        max_chars=max_chars,
        max_results_chars=max_results_chars,
    )


async def handle_files(state: RunState, deps: RunDependencies, *, restore: bool) -> Files:
    """Return what the run changed; if wanted, save it and restore the files, but never restore what is not saved."""
    snapshot = deps.snapshot
    if snapshot is None:
        return Files()
    try:
        workspace = Workspace(deps.context.workspace)
    except ConfigError:  # a tool removed the folder
        if restore:
            raise
        return Files()
    # A command that still runs could change files, and what their names lead to, while they are put back.
    stopped = await stop_commands(deps, before=_RESTORE) if restore else ""
    others = _others(state, deps, workspace)
    own = {path: signature for path, signature in state.work.own_changes.items() if path not in others}
    only = own if deps.shared_workspace else None
    patch = state.work.saved_patch
    try:
        changes = await asyncio.to_thread(_changes, state, deps, workspace, snapshot)
        if restore and not patch:
            patch = await asyncio.to_thread(save_attempt, workspace, snapshot, only=only, number=state.verify_attempts)
    except OSError as error:  # a tool made files unreadable, or put a symlink in the place of `.agent`
        if restore:
            deps.record(Noticed(text=_NOT_SAVED.format(reason=error)))
        return Files(stopped=stopped)
    if not restore:
        return Files(changes=changes)
    if patch and not state.work.saved_patch:
        deps.record(FilesChanged(saved=patch))  # a killed run resumes here, and then must not lose sight of the patch
    restored = await asyncio.to_thread(_restore, workspace, snapshot, only)
    conflicts = {*({change.path for change in changes} & others), *restored.conflicts}
    # The summary shows what was put back; what was left alone may be somebody else's.
    shown = tuple(change for change in changes if change.path not in conflicts) if restored.changed else changes
    return Files(
        changes=shown, patch=patch, restored=restored.changed, conflicts=tuple(sorted(conflicts)), stopped=stopped
    )  # fmt: skip


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


def _keep_notes(state: RunState, deps: RunDependencies) -> str:
    """Write the notes to a file, because the summary may have no room for all of them; return its path."""
    if not state.work.notes or not can_read_files(deps.toolbox):
        return ""
    return keep_whole(state.work.notes, call_id=f"notes-{state.step}", workspace=deps.context.workspace)


def _room(state: RunState, deps: RunDependencies, *, is_tight: bool) -> tuple[int, int]:
    """Return how many characters the summary may take, and the results of the last calls beside it."""
    started, tools_bytes = state.started, len(deps.toolbox.definitions)
    if is_tight:
        return _LEAST_SUMMARY_CHARS, 0
    if started.window_tokens is None:
        return _MAX_SUMMARY_CHARS, _LIKELY_RESULTS_CHARS
    per_token = state.size.bytes_per_token(tools_bytes, most=LIKELY_BYTES_PER_TOKEN)
    window_chars = int(started.window_tokens * per_token)
    reply_chars = int(min_reply_tokens(started.window_tokens, is_new=False) * per_token)
    left = window_chars - reply_chars - len(started.system) - tools_bytes - len(started.prompt.content)
    filled = int(left * _FILLED_SHARE)
    wanted = max(_MIN_SUMMARY_CHARS, min(_MAX_SUMMARY_CHARS, int(window_chars * _SUMMARY_SHARE)))
    taken = max(_LEAST_SUMMARY_CHARS, min(wanted, int(filled * _SUMMARY_SHARE_OF_FILLED)))
    return taken, max(0, min(_MAX_RESULTS_CHARS, int(window_chars * _RESULTS_SHARE), filled - taken))


def _takes(deps: RunDependencies, name: str, parameter: str) -> bool:
    """Return whether the run has a tool with this name and parameter; another tool may have the same name."""
    tool = deps.toolbox.get(name)
    properties = None if tool is None else tool.parameters.get("properties")
    return isinstance(properties, dict) and parameter in properties

"""Write the summary that opens a renewed conversation: what was done, read, verified and concluded; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..journal.events import VerifyEnded
from ..messages import AssistantMessage, Message, ToolCall, ToolResult
from ..workspace.diff import NOT_SHOWN, Change
from .cutting import cut_end, cut_middle, listed
from .summary_calls import CallRecord, call_lines, carry_results, read_files
from .summary_diff import show_changes
from .summary_verifications import show_failures

_TRAINED_CALLS = 40
_MAX_TEXTS = 8
_TEXT_CHARS = 2_000
_LEAST_TEXT_CHARS = 300
_CUT_NOTE_CHARS = 320
_LEAST_CHARS = 1_000
# Of the room for all parts with a free length.
_VERIFICATION_SHARE = 0.35
_TEXT_SHARE = 0.2
_OWN_SHARE = 0.4
"""Of its notes; of what it wrote for the restart as much again, if the failed attempts leave it."""
_TOLD_SHARE = 0.85
"""Of the failed attempts and both of these; the rest is for changes and calls."""
# Of what those leave.
_DIFF_SHARE = 0.7


@dataclass(frozen=True, kw_only=True, slots=True)
class Renewal:
    """Why the conversation is renewed, and what that means for the files."""

    reason: str
    """A clause for the model."""
    is_failure: bool
    """False if nothing failed, such as when the conversation filled the window."""
    restored: bool
    """Whether changes were put back."""
    patch: str = ""
    """File in the workspace that holds the changes which were put back. Empty if there is none."""
    conflicts: tuple[str, ...] = ()
    """Paths that were left alone because something else may have changed them too."""
    changes: tuple[Change, ...] | None = None
    """The changes: those that are in the workspace, or those that were put back. None if they are not known."""
    files_failed: bool = False
    """Whether the last verification failed for the files as they are, or as they were before they were put back."""
    attempts_left: int | None = None
    """How often the work can still be submitted. None if it is not verified."""
    has_diff_tool: bool = False
    """Whether the model can call `diff` with a path."""
    has_patch_tool: bool = False
    """Whether the model can call `apply_diff` with a file."""


def summary(
    renewal: Renewal,
    *,
    records: Sequence[CallRecord | str],
    notes: str = "",
    notes_file: str = "",
    texts: Sequence[str],
    own: str = "",
    verifications: Sequence[VerifyEnded],
    last_calls: Sequence[CallRecord] = (),
    max_chars: int,
    max_results_chars: int = 0,
) -> str:
    """Return the summary for a model that continues without its earlier conversation.

    Args:
        renewal: why, and what happened to the files.
        records: every call of the run, oldest first, also those of conversations before the last one; a text between
            them is a line of its own.
        notes: what the model wrote with the tool for notes.
        notes_file: the file in the workspace that holds them whole. Empty if there is none that the model can read.
        texts: what the model wrote beside its calls, oldest first.
        own: what the model wrote for this purpose; then `texts` are left out. Empty if it wrote nothing.
        verifications: every failed attempt, oldest first.
        last_calls: those of `records` whose results the model has not used yet; it reads these results here.
        max_chars: bound of the summary without these results, at least 1,000; the long parts are cut.
        max_results_chars: bound of these results.
    """
    carried = carry_results(last_calls, title=_results_title(renewal), max_chars=max_results_chars)
    last_ids = {record.call.id for record in last_calls}
    used = [record for record in records if isinstance(record, str) or record.call.id not in last_ids]
    head, tail = f"{_opening(renewal)}\n{_files(renewal)}", _next_step(renewal)
    paths = read_files(records, unread=last_ids.difference(carried.whole))
    read = f"Files you have read: {paths}" if paths else ""
    left = max(_LEAST_CHARS, max_chars) - len(head) - len(read) - len(tail) - 8 * len("\n\n")
    verified = show_failures(
        verifications,
        files="restored" if renewal.restored else "same" if renewal.files_failed else "changed",
        attempts_left=renewal.attempts_left,
        max_chars=int(left * _VERIFICATION_SHARE),
    )
    kept = _kept(notes, notes_file, int(left * _OWN_SHARE))
    noted = (
        _quoted("What you wrote for yourself before the restart:", own, _own_room(left, len(verified), len(kept)))
        if own
        else _notes(texts, int(left * _TEXT_SHARE))
    )
    left -= len(verified) + len(kept) + len(noted)
    diff = _diff(renewal, int(left * _DIFF_SHARE))
    calls = call_lines(used, left - len(diff)) if records else "You have called nothing yet."
    return "\n\n".join(part for part in (head, verified, kept, noted, diff, calls, read, carried.text, tail) if part)


def _kept(notes: str, file: str, max_chars: int) -> str:
    """Quote the notes; of long ones most of the end, which is likely to say what is left to do."""
    title, text = "Your notes:", re.sub(r"\n\s*\n+", "\n", notes.strip())
    if len(text) > max_chars - len(title):
        title = f"Your notes, without their middle{f' (the whole is in {file})' if file else ''}:"
        text = cut_middle(text, max_chars - len(title))
    return _quoted(title, text, max_chars)


def _own_room(left: int, verified: int, kept: int) -> int:
    least = (left - kept) * _OWN_SHARE
    return int(max(least, min(left * _OWN_SHARE, left * _TOLD_SHARE - verified - kept)))


def _opening(renewal: Renewal) -> str:
    if renewal.is_failure:
        return f"You have worked on this task before; the conversation was restarted because {renewal.reason}."
    text = f"You are in the middle of this task; the conversation was restarted because {renewal.reason}."
    return text if renewal.files_failed else f"{text} Nothing is known to be wrong with your last changes."


def _files(renewal: Renewal) -> str:
    if not renewal.restored and renewal.conflicts:
        return (
            "Your changes did not pass the verification, but the files were left as they are, because something else "
            f"may have changed them too: {listed(renewal.conflicts)}."
        )
    if not renewal.restored:
        failed = ", and they have not passed the verification" if renewal.files_failed else ""
        return f"The files are as you left them{failed}."
    text = "Your changes did not pass the verification, so the files are back in their state at the start."
    if renewal.patch:
        shown = "shown below and " if renewal.changes else ""
        text += f" Your changes are {shown}kept in {renewal.patch}{_how_to_apply(renewal)}."
    if renewal.conflicts:
        text += (
            " These files were left as they are, because something else may have changed them too: "
            f"{listed(renewal.conflicts)}."
        )
    return text


def _how_to_apply(renewal: Renewal) -> str:
    if not renewal.has_patch_tool:
        return ""
    is_all = all(change.has_text or change.diff == NOT_SHOWN for change in renewal.changes or ())
    what = "all of them" if is_all else "those to text files"
    return f': apply_diff with diff_file="{renewal.patch}" brings {what} back'


def _quoted(title: str, text: str, max_chars: int) -> str:
    """Return a text of the model under a title. Empty if there is none."""
    if not text.strip():
        return ""
    lines = cut_end(re.sub(r"\n\s*\n+", "\n", text.strip()), max_chars - len(title)).splitlines()
    return "\n".join([title, *(f"> {line}" for line in lines)])


def _notes(texts: Sequence[str], max_chars: int) -> str:
    """Quote what the model wrote: the newest whole, then older texts while there is room."""
    title = "What you wrote or thought, oldest first"
    left = max_chars - len(title) - len(" (999 earlier ones left out):")
    shown: list[str] = []
    for text in reversed(texts[-_MAX_TEXTS:]):
        most = min(_TEXT_CHARS, left)
        lines = re.sub(r"\n\s*\n+", "\n", text).splitlines()
        is_cut = sum(len(line) + 3 for line in lines) > most
        if is_cut and most < _LEAST_TEXT_CHARS:
            break
        if is_cut:
            lines = cut_middle("\n".join(lines), most - 3 * len(lines)).splitlines()
        shown.insert(0, "\n".join([f"> {lines[0]}" if lines else ">", *(f"  {line}" for line in lines[1:])]))
        left -= len(shown[0]) + 1
    omitted = len(texts) - len(shown)
    if not shown:
        return ""
    more = f" ({omitted} earlier {'one' if omitted == 1 else 'ones'} left out)" if omitted else ""
    return "\n".join([f"{title}{more}:", *shown])


def _diff(renewal: Renewal, max_chars: int) -> str:
    if not renewal.changes:
        return "" if renewal.changes is None or renewal.restored else "No file differs from the start."
    title = "The changes that did not pass:" if renewal.restored else "Your changes so far:"
    left = max_chars - len(title) - len("\n```diff\n\n```\n")
    shown = show_changes(renewal.changes, left)
    note = ""
    if shown.cut:
        shown = show_changes(renewal.changes, left - _CUT_NOTE_CHARS)
        names = "" if shown.is_names else f"Cut or left out: {listed(shown.cut, 160)}. "
        note = "\n" + cut_end(f"{names}{_where_the_rest_is(renewal, shown.cut[0])}", _CUT_NOTE_CHARS)
    return f"{title}\n```diff\n{shown.text}\n```{note}"


def _where_the_rest_is(renewal: Renewal, path: str) -> str:
    if renewal.restored:
        return f"{renewal.patch} holds all of it." if renewal.patch else "The rest is not kept."
    if renewal.has_diff_tool:
        return f'Call diff with path="{path}" to see the whole change of a file.'
    return "Read the files to see the rest."


def _results_title(renewal: Renewal) -> str:
    if renewal.restored:
        return "The results of your last calls, from before the files were put back:"
    if renewal.is_failure:
        return "The results of your last calls:"
    return "Your last calls ran, but you have not seen their results yet. These are the results:"


def _next_step(renewal: Renewal) -> str:
    if not renewal.is_failure:
        return "Go on with the task from here. Read again only what you need."
    if renewal.restored:
        return (
            "Find the cause of the failure first. Then bring back what was right in your changes, correct the rest, "
            "test it, and submit the work again."
        )
    return "Check which of your conclusions are proven, then take a step that you have not tried."


def trained_summary(messages: Iterable[Message], *, reason: str, restored: bool) -> str:
    """Return the summary in the exact words that the pocket model was trained on: one line per call, newest last."""
    calls: dict[str, ToolCall] = {}
    lines: list[str] = []
    for message in messages:
        if isinstance(message, AssistantMessage):
            calls |= {call.id: call for call in message.tool_calls}
        elif isinstance(message, ToolResult) and message.tool_call_id in calls:
            lines.append(_trained_line(calls[message.tool_call_id], message))
    omitted = max(0, len(lines) - _TRAINED_CALLS)
    shown = lines[-_TRAINED_CALLS:] or ["- nothing was called"]
    if omitted:
        shown.insert(0, f"- ({omitted} earlier calls are left out)")
    state = (
        "The workspace is back in the state it had at the start."
        if restored
        else "The workspace is as the earlier attempt left it."
    )
    return (
        f"An earlier attempt at this task failed: {reason}\nWhat it tried, in order:\n"
        + "\n".join(shown)
        + f"\n{state} Take another way."
    )


def _trained_line(call: ToolCall, result: ToolResult) -> str:
    arguments = call.arguments if len(call.arguments) <= 160 else f"{call.arguments[:160]}..."
    first = next((line for line in result.content.splitlines() if line.strip()), "")
    return f"- {call.name} {arguments} -> {result.status}: {first[:160]}"

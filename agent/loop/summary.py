"""Write the summary that opens a renewed conversation: what was done, read, verified and concluded; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..journal.events import VerifyEnded
from ..messages import AssistantMessage, Message, ToolCall, ToolResult

_TRAINED_CALLS = 40
_MAX_CALLS = 60
_MAX_TEXTS = 4
_TEXT_CHARS = 1_200
_VERIFICATION_CHARS = 2_500
_EXIT_CODE = re.compile(r"exit code -?\d+[^\n\]]{0,40}")


@dataclass(frozen=True, kw_only=True, slots=True)
class CallRecord:
    """One call of the run and what came of it, kept over renewals of the conversation."""

    call: ToolCall
    result: ToolResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Renewal:
    """Why the conversation is renewed, and what that means for the files."""

    reason: str
    """One sentence or clause for the model."""
    is_failure: bool
    """False if nothing failed, such as when the conversation filled the window."""
    restored: bool
    """Whether the workspace is back in its state at the start."""
    patch: str = ""
    """File in the workspace that holds the changes which were restored away. Empty if there is none."""
    conflicts: tuple[str, ...] = ()
    """Paths that were left alone because something else changed them too."""
    diff: str = ""
    """The changes: those that are in the workspace, or those that were restored away."""


def summary(
    renewal: Renewal,
    *,
    records: Sequence[CallRecord],
    texts: Sequence[str],
    verifications: Sequence[VerifyEnded],
    max_chars: int,
) -> str:
    """Return the summary for a model that continues without its earlier conversation.

    Args:
        renewal: why, and what happened to the files.
        records: every call of the run, oldest first, also those of conversations before the last one.
        texts: what the model wrote beside its calls, oldest first.
        verifications: every failed attempt, oldest first.
        max_chars: bound of the summary; the diff and the oldest calls are cut first.
    """
    head = [_opening(renewal), _files(renewal)]
    if verifications:
        shown = [_verification(ended) for ended in verifications[-2:]]
        earlier = len(verifications) - len(shown)
        head.append(
            (f"{earlier} earlier attempts were submitted and failed too.\n" if earlier else "") + "\n".join(shown)
        )
    if texts:
        quoted = "\n".join(f"> {_cut(' '.join(text.split()), _TEXT_CHARS)}" for text in texts[-_MAX_TEXTS:])
        head.append(f"Your own notes, oldest first:\n{quoted}")
    tail = [f"Files you read: {files}." if (files := _read_files(records)) else "", _next_step(renewal)]
    left = max_chars - sum(len(part) + 2 for part in (*head, *tail))
    diff = _diff(renewal, max(600, left * 2 // 3))
    calls = _calls(records, max(400, left - len(diff)))
    return "\n\n".join(part for part in (*head, diff, calls, *tail) if part)


def _opening(renewal: Renewal) -> str:
    if renewal.is_failure:
        return f"You have worked on this task before; the conversation was restarted because {renewal.reason}."
    return (
        f"You are in the middle of this task; the conversation was restarted because {renewal.reason}. Nothing is "
        "known to be wrong with the work so far."
    )


def _files(renewal: Renewal) -> str:
    if not renewal.restored:
        return "The files are as you left them."
    text = "The files are back in their state at the start, because the changes did not pass the verification."
    if renewal.patch:
        text += (
            f" Those changes are saved in {renewal.patch}: reuse what was right in them, for example with apply_diff, "
            "and correct the rest."
        )
    if renewal.conflicts:
        text += f" Not restored, because something else changed them too: {', '.join(renewal.conflicts[:20])}."
    return text


def _verification(ended: VerifyEnded) -> str:
    return f"Verification attempt {ended.attempt}:\n{_cut_middle(ended.say, _VERIFICATION_CHARS)}"


def _diff(renewal: Renewal, max_chars: int) -> str:
    if not renewal.diff:
        return "" if renewal.restored else "No file has been changed yet."
    title = "The changes that did not pass" if renewal.restored else "Your changes so far"
    return f"{title}:\n```diff\n{_cut(renewal.diff, max_chars)}\n```"


def _calls(records: Sequence[CallRecord], max_chars: int) -> str:
    """Return one line for each call, equal neighbours folded, the oldest left out first."""
    folded: list[tuple[str, int]] = []
    for record in records:
        line = _call_line(record)
        if folded and folded[-1][0] == line:
            folded[-1] = (line, folded[-1][1] + 1)
        else:
            folded.append((line, 1))
    lines: list[str] = []
    for line, times in reversed(folded):
        text = line if times == 1 else f"{line} ({times} times)"
        if len(lines) == _MAX_CALLS or sum(map(len, lines)) + len(text) > max_chars:
            break
        lines.append(text)
    omitted = len(folded) - len(lines)
    title = "Calls so far, oldest first" + (f" ({omitted} earlier ones omitted)" if omitted else "")
    return "\n".join([f"{title}:", *reversed(lines)]) if lines else "Nothing was called yet."


def _call_line(record: CallRecord) -> str:
    content = record.result.content
    lines = [line.strip() for line in content.splitlines() if line.strip()]
    exit_code = _EXIT_CODE.search(content[-300:])
    outcome = record.result.status if record.result.status != "ok" else "ok"
    if exit_code:
        outcome = exit_code.group()
    what = "" if not lines else f": {_cut(lines[0] if not exit_code or len(lines) < 2 else lines[-2], 140)}"
    return f"- {record.call.name} {_cut(record.call.arguments, 200)} -> {outcome}{what}"


def _read_files(records: Sequence[CallRecord]) -> str:
    """Return the paths that successful calls named as `path` and only read."""
    paths: dict[str, None] = {}
    for record in records:
        if record.call.name == "read_file" and record.result.status == "ok":
            path = json.loads(record.call.arguments).get("path")
            if isinstance(path, str):
                paths[path] = None
    names = list(paths)
    return ", ".join(names[:30]) + (f" and {len(names) - 30} more" if len(names) > 30 else "")


def _next_step(renewal: Renewal) -> str:
    if not renewal.is_failure:
        return "Continue the task from here. Read again only what you need."
    if renewal.restored:
        return "Find out why the verification failed before you change files again."
    return "Check which of your conclusions are proven, then continue with a step that you have not tried."


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most].rstrip()} [... {len(text) - most:,} more characters]"


def _cut_middle(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    head, tail = most // 3, most - most // 3
    return f"{text[:head].rstrip()}\n[... {len(text) - most:,} characters omitted ...]\n{text[-tail:].lstrip()}"


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

"""Write the summary that opens a renewed conversation: what was done, read, verified and concluded; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..journal.events import VerifyEnded
from ..messages import AssistantMessage, Message, ToolCall, ToolResult
from ..workspace.diff import Change

_TRAINED_CALLS = 40
_MAX_CALLS = 60
_MAX_TEXTS = 4
_MAX_PATHS = 20
_TEXT_CHARS = 1_200
_VERIFICATION_CHARS = 2_500
_LIST_CHARS = 600
_LEAST_CHARS = 2_000
_LEAST_DIFF_CHARS = 120  # a header and a line
# Of the room for all parts with a free length.
_VERIFICATION_SHARE = 0.3
_TEXT_SHARE = 0.2
# Of what those leave.
_DIFF_SHARE = 0.6
# The last line of a command's output that failed: "exit code 1", "exit code 137 (killed by SIGKILL), took 12 s".
_EXIT_CODE = re.compile(r"exit code \d+( \(killed by [^)]+\))?(?=$|, took )")


@dataclass(frozen=True, kw_only=True, slots=True)
class CallRecord:
    """One call of the run and what came of it, kept over renewals of the conversation."""

    call: ToolCall
    result: ToolResult


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


def summary(
    renewal: Renewal,
    *,
    records: Sequence[CallRecord | str],
    texts: Sequence[str],
    verifications: Sequence[VerifyEnded],
    max_chars: int,
) -> str:
    """Return the summary for a model that continues without its earlier conversation.

    Args:
        renewal: why, and what happened to the files.
        records: every call of the run, oldest first, also those of conversations before the last one; a text between
            them is a line of its own.
        texts: what the model wrote beside its calls, oldest first.
        verifications: every failed attempt, oldest first.
        max_chars: bound of the summary, at least 2,000; the long parts are cut.
    """
    head, tail = f"{_opening(renewal)}\n{_files(renewal)}", _next_step(renewal)
    if paths := _read_files(records):
        tail = f"Files you have read: {paths}\n\n{tail}"
    left = max(_LEAST_CHARS, max_chars) - len(head) - len(tail) - 6 * len("\n\n")
    verified = _verifications(verifications, int(left * _VERIFICATION_SHARE))
    noted = _notes(texts, int(left * _TEXT_SHARE))
    left -= len(verified) + len(noted)
    diff = _diff(renewal, int(left * _DIFF_SHARE))
    calls = _calls(records, left - len(diff))
    return "\n\n".join(part for part in (head, verified, noted, diff, calls, tail) if part)


def _opening(renewal: Renewal) -> str:
    if renewal.is_failure:
        return f"You have worked on this task before; the conversation was restarted because {renewal.reason}."
    return (
        f"You are in the middle of this task; the conversation was restarted because {renewal.reason}. Nothing is "
        "known to be wrong with your last changes."
    )


def _files(renewal: Renewal) -> str:
    if not renewal.restored and renewal.conflicts:
        return (
            "Your changes did not pass the verification, but the files were left as they are, because something else "
            f"may have changed them too: {_list(renewal.conflicts)}."
        )
    if not renewal.restored:
        return "The files are as you left them."
    text = "Your changes did not pass the verification, so the files are back in their state at the start."
    if renewal.patch:
        text += f" The changes are kept in {renewal.patch}: read it, apply again what was right, and correct the rest."
    if renewal.conflicts:
        text += (
            " These files were left as they are, because something else may have changed them too: "
            f"{_list(renewal.conflicts)}."
        )
    return text


def _verifications(verifications: Sequence[VerifyEnded], max_chars: int) -> str:
    if not verifications:
        return ""
    shown = list(dict.fromkeys(ended.say for ended in verifications))[-2:]
    each = min(_VERIFICATION_CHARS, max_chars // len(shown) - 80)
    earlier = len(verifications) - len(shown)
    lines = [f"Earlier attempts that failed too: {earlier}."] if earlier else []
    return "\n\n".join([*lines, *(_cut_middle(say, each) for say in shown)])


def _notes(texts: Sequence[str], max_chars: int) -> str:
    shown = texts[-_MAX_TEXTS:]
    if not shown:
        return ""
    each = min(_TEXT_CHARS, max_chars // len(shown) - 40)
    quoted = (_quoted(text, each) for text in shown)
    return "\n".join(["What you wrote or thought, oldest first:", *quoted])


def _quoted(text: str, max_chars: int) -> str:
    lines = _cut_middle(re.sub(r"\n\s*\n+", "\n", text), max_chars - 3 * text.count("\n")).splitlines()
    return "\n".join([f"> {lines[0]}" if lines else ">", *(f"  {line}" for line in lines[1:])])


def _diff(renewal: Renewal, max_chars: int) -> str:
    if renewal.changes is None:
        return ""
    if not renewal.changes:
        return "No file differs from the start."
    title = "The changes that did not pass:" if renewal.restored else "Your changes so far:"
    return f"{title}\n```diff\n{_shared_out(renewal.changes, max_chars - len(title) - 16)}\n```"


def _shared_out(changes: Sequence[Change], max_chars: int) -> str:
    """Return the diffs, the long ones cut so that each file gets its share; of too many files, only the names."""
    texts = {change.path: _text(change) for change in changes}
    if max_chars // len(texts) < _LEAST_DIFF_CHARS:
        return f"# {len(texts)} files: {_list(list(texts), max_chars - 40)}"
    left, kept = max_chars - len(texts), dict[str, str]()
    for place, path in enumerate(sorted(texts, key=lambda path: len(texts[path]))):
        kept[path] = _cut(texts[path], left // (len(texts) - place))
        left -= len(kept[path])
    return "\n".join(kept[path] for path in texts)


def _text(change: Change) -> str:
    return change.diff if change.has_text else f"# {change.kind} {change.path}: {change.diff}"


def _calls(records: Sequence[CallRecord | str], max_chars: int) -> str:
    """Return one line for each call; equal ones between two notes are folded, the oldest are left out first."""
    lines: list[str] = []
    chars = 0
    folded = _folded(records)
    for line in reversed(folded):
        chars += len(line) + 1
        if len(lines) == _MAX_CALLS or chars > max_chars - 80:
            break
        lines.append(line)
    omitted = len(folded) - len(lines)
    title = "Your calls so far, oldest first" + (f" ({omitted} earlier lines omitted)" if omitted else "")
    return "\n".join([f"{title}:", *reversed(lines)]) if lines else "" if folded else "You have called nothing yet."


def _folded(records: Sequence[CallRecord | str]) -> list[str]:
    lines: list[str] = []
    times: dict[str, int] = {}
    for record in [*records, ""]:
        if isinstance(record, CallRecord):
            line = _call_line(record)
            times[line] = times.pop(line, 0) + 1  # where it was called last
        else:
            lines += [line if count == 1 else f"{line} ({count} times)" for line, count in times.items()]
            lines += [record] if record else []
            times = {}
    return lines


def _call_line(record: CallRecord) -> str:
    lines = [line.strip() for line in record.result.content.splitlines() if line.strip()]
    exit_code = _EXIT_CODE.match(lines[-1]) if lines else None
    if exit_code is not None:
        outcome, shown = exit_code.group(), lines[-2] if len(lines) > 1 else ""
    else:
        outcome, shown = record.result.status, lines[0] if lines else ""
    what = f": {_cut(shown, 160)}" if shown else ""
    return f"- {record.call.name} {_cut(record.call.arguments, 200)} -> {outcome}{what}"


def _read_files(records: Sequence[CallRecord | str]) -> str:
    paths: dict[str, None] = {}
    for record in records:
        if isinstance(record, CallRecord) and record.call.name == "read_file" and record.result.status == "ok":
            path = json.loads(record.call.arguments).get("path")
            if isinstance(path, str):
                paths[path] = None
    return _list(list(paths), _LIST_CHARS)


def _next_step(renewal: Renewal) -> str:
    if not renewal.is_failure:
        return "Go on with the task from here. Read again only what you need."
    if renewal.restored:
        return "Find out why the verification failed before you change files again."
    return "Check which of your conclusions are proven, then take a step that you have not tried."


def _list(paths: Sequence[str], max_chars: int = _LIST_CHARS) -> str:
    """Join paths, and say how many are left out."""
    shown: list[str] = []
    for path in paths[:_MAX_PATHS]:
        if sum(map(len, shown)) + 2 * len(shown) + len(path) > max_chars:
            break
        shown.append(path)
    more = len(paths) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more and shown else f"{more} files" if more else "")


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    kept = max(0, most - len(f" [... {len(text):,} more characters]"))
    return f"{text[:kept].rstrip()} [... {len(text) - kept:,} more characters]"


def _cut_middle(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    kept = max(0, most - len(f"\n[... {len(text):,} characters omitted ...]\n"))
    head, tail = text[: kept // 3].rstrip(), text[len(text) - (kept - kept // 3) :].lstrip()
    return f"{head}\n[... {len(text) - kept:,} characters omitted ...]\n{tail}"


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

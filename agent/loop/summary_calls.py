"""Write the part of a summary about calls: a line for each, and the results that the model has not used yet; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..messages import ToolCall, ToolResult
from .cutting import cut_end, cut_middle, fair_shares, listed

_MAX_CALLS = 60
_ARGUMENTS_CHARS = 200
_OUTCOME_CHARS = 200
_LINE_CHARS = 160
_SHOWN_LINES = 3
_LEAST_RESULT_CHARS = 300
_IMAGE_IS_LOST = "[The image is not carried over: call it again to see it.]"
# The last line of a command's output that failed: "exit code 1", "exit code 137 (killed by SIGKILL), took 12 s".
_EXIT_CODE = re.compile(r"exit code \d+( \(killed by [^)]+\))?(?=$|, took )")
# The counts of pytest, also as run_tests gives them; those of unittest are its last lines anyway.
_TEST_COUNTS = re.compile(r"(=+ )?\d+ (failed|passed|errors?|skipped|xfailed|xpassed|deselected)\b")
_FAILING_TEST = re.compile(r"(FAILED|ERROR) (?!\()|On the other pages: ")
_PAGE = re.compile(r"\[page \d+ of \d+")
_TESTS_CHARS = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class CallRecord:
    """One call of the run and what came of it, kept over renewals of the conversation."""

    call: ToolCall
    result: ToolResult
    """Without its images."""
    is_read: bool = False
    """True if the tool is read-only."""
    had_image: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class CarriedResults:
    """The results of the last calls, as the summary shows them."""

    text: str
    """Empty if there are none."""
    whole: Collection[str]
    """Ids of the calls whose results are shown whole."""


def call_lines(records: Sequence[CallRecord | str], max_chars: int) -> str:
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
    return "\n".join([f"{title}:", *reversed(lines)]) if lines else ""


def call_line(record: CallRecord) -> str:
    """Return a call and how it ended, in one line."""
    return f"{_what(record)}{_outcome(record)}"


def read_files(records: Sequence[CallRecord | str], *, unread: Collection[str]) -> str:
    """Return the files that the model has read.

    Args:
        records: every call.
        unread: ids of calls whose results the model has not seen whole.
    """
    paths: dict[str, None] = {}
    for record in records:
        if not isinstance(record, CallRecord) or record.call.id in unread or record.had_image:
            continue
        if record.call.name == "read_file" and record.result.status == "ok":
            path = json.loads(record.call.arguments).get("path")
            if isinstance(path, str):
                paths[path] = None
    return listed(list(paths))


def carry_results(records: Sequence[CallRecord], *, title: str, max_chars: int) -> CarriedResults:
    """Return results that the model has to see before it goes on, shortened if they are too long.

    Args:
        records: the calls.
        title: the first line.
        max_chars: bound of the results; those that it leaves no useful room for are only named.
    """
    if not records:
        return CarriedResults(text="", whole=())
    heads = [f"=== {_what(record)} -> {record.result.status}" for record in records]
    overhead = len(title) + sum(len(head) + len(", shortened") + 3 for head in heads)
    shares = _shares(records, max_chars - overhead)
    parts, missing, whole = [title], list[str](), list[str]()
    for record, head, share in zip(records, heads, shares, strict=True):
        content = _content(record)
        if share >= len(content):
            parts.append(f"{head}\n{content}")
            whole.append(record.call.id)
        elif share:
            parts.append(f"{head}, shortened\n{cut_middle(content, share)}")
        else:
            missing.append(f"{_what(record)} ({len(content):,} characters)")
    if missing:
        rest = f"Not shown for lack of room, so you have not seen the results of: {'; '.join(missing)}"
        parts.append(cut_end(rest, max(_LEAST_RESULT_CHARS, max_chars - sum(map(len, parts)) - 2 * len(parts))))
    return CarriedResults(text="\n\n".join(parts), whole=frozenset(whole))


def _shares(records: Sequence[CallRecord], room: int) -> list[int]:
    """Return how many characters of each result are shown; 0 for one of which too little would be left.

    A read of which less than half would be left is not shown at all: it can be called again, and the others get its
    room. Of equally long ones the last stay.
    """
    lengths = [len(_content(record)) for record in records]
    least = [
        min(length, max(_LEAST_RESULT_CHARS, length // 2 if record.is_read else 0))
        for record, length in zip(records, lengths, strict=True)
    ]
    shown = list(range(len(records)))
    while shown:
        shares = dict(zip(shown, fair_shares([lengths[index] for index in shown], room), strict=True))
        useless = [index for index, share in shares.items() if share < least[index]]
        if not useless:
            return [shares.get(index, 0) for index in range(len(records))]
        shown.remove(max(useless, key=lambda index: (lengths[index], -index)))
    return [0] * len(records)


def _content(record: CallRecord) -> str:
    content = record.result.content.strip("\n")
    return f"{content}\n{_IMAGE_IS_LOST}" if record.had_image else content


def _what(record: CallRecord) -> str:
    return f"{record.call.name} {cut_end(record.call.arguments, _ARGUMENTS_CHARS)}"


def _folded(records: Sequence[CallRecord | str]) -> list[str]:
    lines: list[str] = []
    times: dict[str, int] = {}
    for record in [*records, ""]:
        if isinstance(record, CallRecord):
            line = f"- {call_line(record)}"
            times[line] = times.pop(line, 0) + 1  # where it was called last
        else:
            lines += [line if count == 1 else f"{line} ({count} times)" for line, count in times.items()]
            lines += [record] if record else []
            times = {}
    return lines


def _outcome(record: CallRecord) -> str:
    """Return the lines of a result that say how the call ended; nothing for what a read-only tool has shown."""
    lines = [line.strip() for line in record.result.content.splitlines() if line.strip()]
    status = record.result.status
    if status != "ok":
        return f" -> {status}: {cut_end(lines[0], _LINE_CHARS)}" if lines else f" -> {status}"
    if record.is_read:
        return f" -> {lines[0]}" if len(lines) == 1 and len(lines[0]) <= _LINE_CHARS else ""
    exit_code = _EXIT_CODE.match(lines[-1]) if lines else None
    if exit_code is not None:
        return f" -> {exit_code.group()}{_telling(lines[:-1])}"
    return f" -> ok{_telling(lines)}"


def _telling(lines: Sequence[str]) -> str:
    """Return the counts of the last test run and the tests that failed in it, also on a page, else the last lines."""
    *earlier, last = [-1, -1, *(at for at, line in enumerate(lines) if _TEST_COUNTS.match(line))]
    counts = [] if last < 0 else [lines[last]]
    failing = [line for line in lines[earlier[-1] + 1 :] if _FAILING_TEST.match(line)]
    is_page = bool(lines) and _PAGE.match(lines[-1]) is not None
    if not counts and not (failing and is_page):
        return _joined(lines[-_SHOWN_LINES:])
    shown = [*counts]
    for line in failing:
        cut = cut_end(line, _LINE_CHARS)
        if sum(map(len, shown)) + len(cut) > _TESTS_CHARS:
            break
        shown.append(cut)
    more = len(counts) + len(failing) - len(shown)
    return f": {' | '.join(shown)}" + (f" | and {more} more such lines" if more else "")


def _joined(lines: Sequence[str]) -> str:
    """Join lines into one; if they are too long, those at the end are kept."""
    shown: list[str] = []
    for line in reversed(lines):
        cut = cut_end(line, _LINE_CHARS)
        if shown and sum(map(len, shown)) + len(cut) > _OUTCOME_CHARS:
            break
        shown.insert(0, cut)
    return f": {' | '.join(shown)}" if shown else ""

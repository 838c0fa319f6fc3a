"""Format a test report for a model: counts, failures grouped and shortened, one failure in full, pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from agent import ToolError

from ._test_pages import PAGE_CHARS, around_first_page, split_blocks, split_lines
from ._test_report import Case, Frame, Outcome, Report

SLOW_S = 10.0
"""Durations are reported from here on: a repeated quick run must give the same text, or the repeat is not noticed."""
_MAX_NAMES = 10
_NAME_CHARS = 60  # of each in a list, on average: a test with parameters may have hundreds
_MAX_LATER = 30
_HEAD_LINES, _TAIL_LINES = 20, 5
_MAX_LINE_CHARS = 400
_LAST_FRAMES = 4
_MAX_VALUES = 12
_MAX_VALUE_CHARS = 160
_MAX_PRINTED_LINES = 10
_SLOWEST = 3


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The call that shows more of a report."""

    call: str
    """Its beginning, as `run_tests with`."""
    page: int = 1
    """From 1."""
    failure: str = ""
    """Id of the failure to show in full; empty shows all of them, shortened."""
    page_chars: int = PAGE_CHARS


def summary_lines(report: Report, *, elapsed_s: float = 0.0, ignored: Sequence[str] = ()) -> list[str]:
    """Return the first lines of a report: how many tests had each outcome, what did not run, how long it took.

    Args:
        report: the report.
        elapsed_s: of the whole run.
        ignored: files and folders that were already left out.
    """
    lines = [f"{_counts(report)}."]
    if broken := report.uncollected:
        lines = _uncollected(report, broken, ignored)
    elif report.deselected:
        why = f" ({report.settings})" if report.settings else ""
        lines.append(f"Deselected by the project's settings{why}: {_join(sorted(report.deselected))}.")
    if flaky := [case.name for case in report.tests if case.name in report.reruns and case.outcome == "passed"]:
        lines.append(f"Passed only when run again: {_join(flaky)}.")
    if elapsed_s >= SLOW_S:
        slowest = sorted(report.tests, key=lambda case: -case.duration_s)[:_SLOWEST]
        named = [f"{case.name} {case.duration_s:.0f} s" for case in slowest if case.duration_s >= 1.0]
        lines.append(f"Took {elapsed_s:.0f} s." + (f" Slowest: {', '.join(named)}." if named else ""))
    return lines


def page_of_report(report: Report, head: Sequence[str], asked: Asked) -> str:
    """Return a page: the head and the first failures, the next failures, or a part of one failure.

    Raises:
        ToolError: there is no such page or failure.
    """
    later: list[str] = []
    first_chars, names_chars = around_first_page(head, asked.page_chars)
    if asked.failure:
        text = "\n\n".join(map(_full, _named_groups(report, asked.failure)))
        pages = split_lines(text.split("\n"), asked.page_chars)
    else:
        groups = _groups(report)
        blocks = [_block(group, asked.call) for group in groups]
        split = split_blocks(blocks, first_chars=first_chars, page_chars=asked.page_chars)
        pages = ["\n\n".join(blocks) for blocks in split]
        later = [case.title for group in groups[len(split[0]) :] for case in group]
    if asked.page > len(pages):
        msg = f"There is no page {asked.page}. Set page to a number from 1 to {len(pages)}."
        raise ToolError(msg)
    parts = [*head, ""] if asked.page == 1 and not asked.failure else []
    parts.append(pages[asked.page - 1])
    if later and asked.page == 1:
        parts += ["", f"On the other pages: {_join(later, _fitting(later, names_chars))}."]
    if len(pages) > 1:
        parts += ["", _page_line(report, pages, asked)]
    return "\n".join(parts).rstrip("\n")


def _page_line(report: Report, pages: Sequence[str], asked: Asked) -> str:
    line = f"[page {asked.page} of {len(pages)}" + ("" if asked.failure else f" ({len(report.failures)} failures)")
    if asked.page == len(pages):
        return f"{line}]"
    same = f'failure="{asked.failure}", ' if asked.failure else ""
    return f"{line}; next: {asked.call} {same}page={asked.page + 1}, which runs no test]"


def _counts(report: Report) -> str:
    counted = Counter(case.outcome for case in report.tests)
    order: tuple[Outcome, ...] = ("failed", "error", "xpassed", "passed", "skipped", "xfailed")
    parts = [f"{counted[outcome]} {outcome}" for outcome in order if counted[outcome]]
    parts = [f"{part}s" if part.endswith(" error") and part != "1 error" else part for part in parts]
    subtests = sum(1 for case in report.failures if case.subtest)
    parts += [f"{subtests} {'subtest' if subtests == 1 else 'subtests'} failed"] if subtests else []
    parts += [f"{len(report.deselected)} deselected"] if report.deselected else []
    reruns = report.reruns.total()
    parts += [f"{reruns} {'rerun' if reruns == 1 else 'reruns'}"] if reruns else []
    return ", ".join(parts) or "no tests ran"


def _uncollected(report: Report, broken: Sequence[Case], ignored: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys(case.file for case in broken))
    files = "1 file" if len(names) == 1 else f"{len(names)} files"
    if any(not case.is_collection for case in report.cases):
        return [f"{_counts(report)}.", f"{files} could not be collected."]
    lines = [f"{files} could not be collected, so no test ran."]
    if report.collected:
        quoted = ", ".join(f'"{name}"' for name in (*ignored, *names))
        lines.append(f"To run the other tests, call run_tests with ignore=[{quoted}].")
    return lines


def _groups(report: Report) -> list[list[Case]]:
    """Group the failures that have the same message and place, or the place and the test; in order of the first."""
    groups: dict[tuple[object, ...], list[Case]] = {}
    for case in report.failures:
        frame = next(iter(_shown_frames(case)[-1:]), None)
        place = frame and (frame.path, frame.line)
        test, bracket, _ = case.name.partition("[")
        if case.is_collection:
            key = (case.outcome, case.message or case.title)  # the same import in many files
        elif place and (bracket or case.subtest):
            key = (case.outcome, test, place)
        else:
            key = (case.outcome, case.message or case.title, place)
        groups.setdefault(key, []).append(case)
    return _merged(groups.values())


def _merged(groups: Iterable[list[Case]]) -> list[list[Case]]:
    """Join the groups of parametrized tests that have one message and place, such as those of a failing fixture."""
    merged: dict[object, list[Case]] = {}
    for group in groups:
        first = group[0]
        place = [(frame.path, frame.line) for frame in _shown_frames(first)[-1:]]
        key = (first.outcome, first.message, *place) if _has_one_reason(group) and first.message else first.title
        merged.setdefault(key, []).extend(group)
    return list(merged.values())


def _named_groups(report: Report, wanted: str) -> list[list[Case]]:
    """Return the groups with a failure of this name, that failure first."""
    groups = _groups(report)
    last = wanted.rpartition("::")[2]

    def matching(is_wanted: Callable[[Case], bool]) -> list[list[Case]]:
        # sorted() is stable: the wanted cases come first, all else keeps its order.
        return [sorted(group, key=lambda case: not is_wanted(case)) for group in groups if any(map(is_wanted, group))]

    found = (
        matching(lambda case: case.title == wanted)
        or matching(lambda case: case.name == wanted)
        or matching(lambda case: case.name.rpartition("::")[2] == last)
    )
    if found:
        return found
    if any(wanted in {case.title, case.name} for case in report.cases):
        msg = f'"{wanted}" did not fail in the last run.'
    else:
        names = _join([group[0].title for group in groups]) or "none"
        msg = f'No failure of the last run is named "{wanted}". Set failure to one of these: {names}.'
    raise ToolError(msg)


def _title(group: Sequence[Case]) -> str:
    first = group[0]
    kind = "FAILED" if first.outcome == "failed" else "ERROR"
    if len(group) == 1 or not _has_one_reason(group):
        return f"{kind} {first.title}"
    what = "files" if first.is_collection else "tests"
    return f"{kind} in {len(group)} {what}, for the same reason: {_join([case.title for case in group])}"


def _has_one_reason(group: Sequence[Case]) -> bool:
    return len({case.message for case in group}) == 1


def _block(group: Sequence[Case], call: str) -> str:
    """Return the failures of one group, shortened."""
    case = group[0]
    body, is_cut = _short_body(case)
    if not _has_one_reason(group):
        others = [f"  {other.title}: {_first_line(other.message)}" for other in group[1:]]
        body += ["also at this place:", *others[:_MAX_NAMES]]
        body += [f"  and {len(others) - _MAX_NAMES} more"] if len(others) > _MAX_NAMES else []
    lines = [_title(group), *(_cut(f"  {line}", _MAX_LINE_CHARS) for line in body)]
    if is_cut or any(len(line) > _MAX_LINE_CHARS for line in body) or len(group) > _MAX_NAMES:
        lines.append(f'  [shortened; all of it: {call} failure="{case.title}", which runs no test]')
    return "\n".join(lines)


def _short_body(case: Case) -> tuple[list[str], bool]:
    message = [line for line in case.message.splitlines() if line.strip()]
    lines = message
    if len(message) > _HEAD_LINES + _TAIL_LINES:
        left_out = len(message) - _HEAD_LINES - _TAIL_LINES
        lines = [*message[:_HEAD_LINES], f"... {left_out} lines left out ...", *message[-_TAIL_LINES:]]
    frames = _shown_frames(case)
    trace = _short_trace(case, frames)
    lines = [*lines, *trace]
    values = frames[-1].values if frames else ()
    if values:
        lines.append(f"with {', '.join(_cut(value, _MAX_VALUE_CHARS) for value in values[:_MAX_VALUES])}")
    printed = case.printed.strip("\n").splitlines()
    if case.printed.strip():
        last = "" if len(printed) <= _MAX_PRINTED_LINES else f" (the last {_MAX_PRINTED_LINES} of {len(printed)} lines)"
        lines += [f"output{last}:", *(f"  {line}" for line in printed[-_MAX_PRINTED_LINES:])]
    is_cut = (
        len(message) > _HEAD_LINES + _TAIL_LINES
        or len(trace) < len(frames)
        or len(values) > _MAX_VALUES
        or any(len(value) > _MAX_VALUE_CHARS for value in values)
        or len(printed) > _MAX_PRINTED_LINES
    )
    return lines, is_cut


def _short_trace(case: Case, frames: Sequence[Frame]) -> list[str]:
    """Return the test's own frame and the innermost ones; there are fewer lines than frames if some are left out."""
    own = next((at for at, frame in enumerate(frames) if frame.path == case.file), 0)
    kept = {own, *range(max(0, len(frames) - _LAST_FRAMES), len(frames))}
    lines: list[str] = []
    left_out = 0
    for at, frame in enumerate(frames):
        # A note about a single frame would take as much room as the frame.
        if at in kept or {at - 1, at + 1} <= kept | {-1}:
            lines += [f"... {left_out} frames left out"] if left_out else []
            lines.append(f"at {frame.path}:{frame.line}: {frame.code}")
            left_out = 0
        else:
            left_out += 1
    return lines


def _full(group: Sequence[Case]) -> str:
    case = group[0]
    lines = [_title([case]), *(f"  {line}" for line in case.message.splitlines())]
    for frame in case.frames:
        lines.append(f"  at {frame.path}:{frame.line}: {frame.code}")
        lines += [f"      {value}" for value in frame.values]
    if case.printed.strip():
        lines += ["  output:", *(f"    {line}" for line in case.printed.strip("\n").splitlines())]
    if others := [f"  {other.title}: {_first_line(other.message)}" for other in group[1:]]:
        lines += ["", "At the same place:", *others]
    return "\n".join(lines)


def _shown_frames(case: Case) -> Sequence[Frame]:
    """Return the frames of the workspace, or the last one if there are none; that of a file is pytest's own."""
    frames = [frame for frame in case.frames if not frame.is_library]
    return frames or ([] if case.is_collection else case.frames[-1:])


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _join(names: Sequence[str], limit: int = _MAX_NAMES) -> str:
    count = max((n for n in range(2, limit + 1) if sum(map(len, names[:n])) <= _NAME_CHARS * limit), default=1)
    shown = ", ".join(names[:count])
    return shown if len(names) <= count else f"{shown} and {len(names) - count} more"


def _fitting(names: Sequence[str], max_chars: int) -> int:
    """Return how many of the first names have room, one at least."""
    sizes = accumulate(len(name) + len(", ") for name in names[:_MAX_LATER])
    return max(1, sum(size <= max_chars for size in sizes))


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}..."

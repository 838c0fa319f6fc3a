"""Remember the outcomes of earlier test runs and describe what changed since; runs nothing."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ._test_report import BAD, Outcome, Report

_MAX_NAMES = 8
# In this order; the reader needs the bad news first.
_TITLES = (
    "newly fail", "new and failing", "no longer collected", "new and not collected", "still fail, with another message",
    "still fail", "still not collected", "now pass", "collected again", "now skipped", "now xfailed", "now xpassed",
    "new and passing", "new and skipped", "new and xfailed", "new and xpassed", "gone",
)  # fmt: skip
_EXACT = frozenset({
    "newly fail", "new and failing", "no longer collected", "new and not collected",
    "still fail, with another message", "still fail", "still not collected",
})  # fmt: skip
"""Titles whose tests are listed by their ids; of others, the cases of a parametrized test are counted."""
_NEW: Mapping[Outcome, str] = {"passed": "passing", "failed": "failing", "error": "failing"}
_NOW: Mapping[Outcome, str] = {"passed": "pass"}


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which tests a run was to collect."""

    targets: tuple[str, ...] = ("",)
    """Files, folders and ids, normalized; an empty string stands for everything."""
    ignored: tuple[str, ...] = ()
    """Files and folders that were left out, normalized."""

    def leaves_out(self, name: str) -> bool:
        """Return whether a test's file was left out."""
        file = name.partition("::")[0]
        return any(file == path or file.startswith(f"{path}/") for path in self.ignored)


@dataclass(frozen=True, kw_only=True)
class _Seen:
    outcome: Outcome
    is_collection: bool
    texts: frozenset[str]
    """Messages of its failures and those of its subtests."""


@dataclass(kw_only=True)
class TestHistory:
    """The last outcome of each test, and what earlier runs collected."""

    __test__ = False  # not for pytest to collect

    _seen: dict[str, _Seen] = field(default_factory=dict[str, _Seen])
    _collected: set[str] = field(default_factory=set[str])
    """All tests that were ever collected, run or not."""
    _files: set[str] = field(default_factory=set[str])
    """Files whose tests were all collected."""
    _selections: dict[str, tuple[Selection, frozenset[str]]] = field(
        default_factory=dict[str, tuple[Selection, frozenset[str]]]
    )
    """The last selection with each target, and the tests that were collected for the target."""

    def compare(self, report: Report, selection: Selection) -> list[str]:
        """Return the changes since these tests last ran, as lines, and remember this run.

        Only what is certain is a change: a test is new if an earlier run had to collect it and did not.
        """
        now = _see(report)
        groups: dict[str, list[str]] = {}
        for name, seen in now.items():
            if title := self._change(name, seen, selection):
                groups.setdefault(title, []).append(name)
        collected_files = {_file_of(name) for name in report.collected or ()}
        again = [
            name
            for name, seen in self._seen.items()
            if seen.is_collection and _file_of(name) in collected_files and name not in now
        ]
        gone = sorted(self._gone(report, selection))
        groups |= {"collected again": again} if again else {}
        groups |= {"gone": gone} if gone else {}
        is_known = bool(now) and now.keys() <= self._seen.keys()
        self._remember(report, selection, now, dropped=[*again, *gone])
        if groups:
            lines = [f"  {title}: {_listed(title, groups[title])}" for title in _TITLES if title in groups]
            return ["Changes since these tests last ran:", *lines]
        return ["Each test has the same outcome as in its last run."] if is_known else []

    def _change(self, name: str, now: _Seen, selection: Selection) -> str:
        """Return the title of a test's change; empty if there is none, or it is not certain."""
        before = self._seen.get(name)
        if before is None and now.is_collection and any(_file_of(known) == name for known in self._seen):
            return "no longer collected"
        if before is None:
            what = "not collected" if now.is_collection else _NEW.get(now.outcome, now.outcome)
            return f"new and {what}" if self._was_due(name, selection) else ""
        if now.is_collection:
            return "still not collected"
        if now.outcome in BAD:
            if before.outcome not in BAD:
                return "newly fail"
            return "still fail" if now.texts == before.texts else "still fail, with another message"
        return "" if now.outcome == before.outcome else f"now {_NOW.get(now.outcome, now.outcome)}"

    def _was_due(self, name: str, selection: Selection) -> bool:
        """Return whether an earlier run would have collected this test if it had existed."""
        return name not in self._collected and (_file_of(name) in self._files or any(
            target in selection.targets and is_under(name, target) and not earlier.leaves_out(name)
            for target, (earlier, _) in self._selections.items()
        ))  # fmt: skip

    def _gone(self, report: Report, selection: Selection) -> set[str]:
        if report.collected is None or report.uncollected:
            return set()
        due = {name for target in selection.targets for name in self._selections.get(target, (None, ()))[1]}
        files = _whole_files(report.collected, selection)
        due |= {name for name, seen in self._seen.items() if _file_of(name) in files and not seen.is_collection}
        found = report.collected | report.deselected
        return {name for name in due & self._seen.keys() if name not in found and not selection.leaves_out(name)}

    def _remember(
        self, report: Report, selection: Selection, now: Mapping[str, _Seen], *, dropped: Iterable[str]
    ) -> None:
        for name in dropped:
            self._seen.pop(name, None)
        self._seen |= now
        self._collected |= (report.collected or frozenset()) | report.deselected
        self._files -= {name for name, seen in now.items() if seen.is_collection}
        if report.collected is not None and not report.uncollected:
            self._files |= _whole_files(report.collected, selection)
            for target in selection.targets:
                names = frozenset(name for name in report.collected if is_under(name, target))
                self._selections[target] = (selection, names)


def is_under(name: str, target: str) -> bool:
    """Return whether a test or file belongs to a target: a file, folder or test; everything belongs to an empty one."""
    return not target or name == target or name.startswith((f"{target}/", f"{target}::", f"{target}["))


def _see(report: Report) -> dict[str, _Seen]:
    plain: dict[str, str] = {}  # of a large report, most messages are the same
    texts: defaultdict[str, set[str]] = defaultdict(set)
    for case in report.cases:
        if case.message not in plain:
            # Addresses and times differ in each run.
            plain[case.message] = re.sub(r"0x[0-9a-f]+|\d+\.\d+ ?m?s\b", "", case.message)
        if case.message:
            texts[case.name].add(plain[case.message])
    nothing = frozenset[str]()
    return {
        case.name: _Seen(
            outcome=case.outcome, is_collection=case.is_collection,
            texts=frozenset(texts[case.name]) if case.name in texts else nothing,
        )
        for case in report.tests
    }  # fmt: skip


def _file_of(name: str) -> str:
    return name.partition("::")[0]


def _whole_files(names: Iterable[str], selection: Selection) -> set[str]:
    """Return the files of these tests of which not only single tests were selected."""
    wholes = [target for target in selection.targets if "::" not in target]
    return {_file_of(name) for name in names if any(is_under(name, target) for target in wholes)}


def _listed(title: str, names: Sequence[str]) -> str:
    if title in _EXACT:
        return _join(names)
    cases: dict[str, list[str]] = {}
    for name in names:
        cases.setdefault(name.partition("[")[0], []).append(name)
    return _join([same[0] if len(same) == 1 else f"{test} ({len(same)} cases)" for test, same in cases.items()])


def _join(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MAX_NAMES])
    return shown if len(names) <= _MAX_NAMES else f"{shown} and {len(names) - _MAX_NAMES} more"

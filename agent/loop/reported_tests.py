"""Read the counts and the names of failing tests from the output of pytest or unittest, and nothing else of it; pure.

A name is given without its parameters: the id of a parametrized test may hold the expected value.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from ..sandbox.terminal import displayed

_MAX_NAMES = 40
_MAX_NAME_CHARS = 200
# pytest: "FAILED path::test[parameters] - reason", "ERROR path - reason"; they stand below a header, or, if the output
# was cut, just above the counts.
_PYTEST_HEADER = re.compile(r"^=+ short test summary info =+$")
_PYTEST_NAME = re.compile(r"^(?:(?:FAILED|ERROR) (?P<name>.+)|SUBFAILED.*? (?P<subtest>[\w./-]+\.py::[\w:]+).*)$")
_PYTEST_COUNTS = re.compile(r"^(?:=+ )?(?P<counts>\d+ [a-z]+(?:, \d+ [a-z]+(?: [a-z]+)?)*) in [\d.]+s\b.*$")
# unittest: "FAIL: test (module.Case.test)"; before Python 3.11 "FAIL: test (module.Case)".
_UNITTEST_NAME = re.compile(r"^(?:FAIL|ERROR): (?P<test>\w+) \((?P<place>[\w.]+)\)")
_UNITTEST_RAN = re.compile(r"^(?P<ran>Ran \d+ tests?) in [\d.]+s$")
_UNITTEST_FAILED = re.compile(r"^FAILED \((?P<counts>[a-z ]+=\d+(?:, [a-z ]+=\d+)*)\)$")
_PARAMETERS_OR_REASON = re.compile(r"\[| - ")


def reported_tests(output: str) -> str:
    """Return the counts and the failing tests that a test runner's output reports, in one or two lines.

    Empty if it reports none.
    """
    lines = [line.rstrip() for line in displayed(output).text.splitlines()]
    counts = _counts(lines)
    names = Counter([*_pytest_names(lines), *_unittest_names(lines)])
    parts = [f"Result: {counts}."] if counts else []
    if names:
        shown = [f"{name} ({times} cases)" if times > 1 else name for name, times in list(names.items())[:_MAX_NAMES]]
        more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        parts.append(f"Failing tests: {', '.join(shown)}{more}.")
    return "\n".join(parts)


def _counts(lines: Sequence[str]) -> str:
    for line in reversed(lines):
        if found := _PYTEST_COUNTS.match(line):
            return found["counts"]
    ran = [match["ran"].lower() for line in lines if (match := _UNITTEST_RAN.match(line))]
    failed = [match["counts"] for line in lines if (match := _UNITTEST_FAILED.match(line))]
    return ", ".join([*ran[-1:], *failed[-1:]])


def _pytest_names(lines: Sequence[str]) -> list[str]:
    headers = [number for number, line in enumerate(lines) if _PYTEST_HEADER.match(line)]
    if headers:
        found = [
            match["name"] or match["subtest"] for line in lines[headers[-1] :] if (match := _PYTEST_NAME.match(line))
        ]
    else:
        found = _names_above_counts(lines)
    return [_without_values(name) for name in found]


def _names_above_counts(lines: Sequence[str]) -> list[str]:
    last = max((number for number, line in enumerate(lines) if _PYTEST_COUNTS.match(line)), default=0)
    found: list[str] = []
    for line in reversed(lines[:last]):
        match = _PYTEST_NAME.match(line)
        if match is None:
            break
        found.insert(0, match["name"] or match["subtest"])
    return found


def _unittest_names(lines: Sequence[str]) -> list[str]:
    names: list[str] = []
    for line in lines:
        if match := _UNITTEST_NAME.match(line):
            test, place = match["test"], match["place"]
            names.append(place if place.endswith(f".{test}") else f"{place}.{test}")
    return names


def _without_values(name: str) -> str:
    path, colons, test = name.partition("::")
    if not colons:
        return path.partition(" - ")[0][:_MAX_NAME_CHARS]
    return f"{path}::{_PARAMETERS_OR_REASON.split(test, maxsplit=1)[0]}"[:_MAX_NAME_CHARS]

"""Parse a JUnit XML report, as most test runners can write it; reads no file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ._test_report import Case, Outcome, Report, readable

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


def from_junit(data: bytes) -> Report:
    """Parse a JUnit XML report.

    Raises:
        ValueError: the data is not such a report.
    """
    from defusedxml import ElementTree  # imported only when a report is read

    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError) as error:
        msg = f"it is not well-formed XML ({error})"
        raise ValueError(msg) from error
    if root.tag not in {"testsuites", "testsuite"}:
        msg = f"its root is <{root.tag}>, not <testsuites> or <testsuite>"
        raise ValueError(msg)
    return Report(cases=[_junit_case(case) for case in root.iter("testcase")])


_JUNIT_OUTCOMES: Mapping[str, Outcome] = {"failure": "failed", "error": "error", "skipped": "skipped"}


def _junit_case(case: Element) -> Case:
    scope = case.get("classname") or case.get("file") or ""
    name = f"{scope}::{case.get('name', '')}" if scope else case.get("name", "")
    found = next((child for child in case if child.tag in _JUNIT_OUTCOMES), None)
    if found is None:
        return Case(name=name, outcome="passed")
    text = (found.text or "").strip("\n")
    message = "\n".join(part for part in (found.get("message", ""), text) if part)
    printed = "\n".join(child.text or "" for child in case if child.tag in {"system-out", "system-err"})
    return Case(name=name, outcome=_JUNIT_OUTCOMES[found.tag], message=readable(message), printed=readable(printed))

"""Parse a JUnit XML report, as most test runners can write it, within bounds; reads no file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ._suggestions import printable
from ._test_report import Case, Outcome, Report, readable

_MOST_DEPTH = 100
_MOST_ELEMENTS = 1_000_000
"""In 64 MB; of a test that passed, a report has about 100 bytes (pytest 9.2)."""
# After a handler has raised, expat still parses what was fed with it; and it begins a long token again for each piece:
# a comment of 60 MB takes 15 s in pieces of 256,000 bytes, 4 s in these (expat 2.5).
_FED_BYTES = 4_000_000
_MOST_CHARS = 1_000_000
"""Of one text; what is longer is no message that anybody reads."""
_ROOTS = ("testsuites", "testsuite")
_OUTCOMES: Mapping[str, Outcome] = {"failure": "failed", "error": "error", "skipped": "skipped"}
_PRINTED = frozenset({"system-out", "system-err"})


def from_junit(data: bytes) -> Report:
    """Parse a JUnit XML report.

    Raises:
        ValueError: the data is not such a report, or one that nests or has too many elements.
    """
    from defusedxml.ElementTree import DefusedXMLParser, ParseError  # imported only when a report is read

    target = _Target()
    try:
        parser = DefusedXMLParser(target=target)
        for at in range(0, len(data), _FED_BYTES):
            parser.feed(data[at : at + _FED_BYTES])
        parser.close()
    except _RefusedError:
        raise
    except (ParseError, ValueError, LookupError) as error:
        msg = f"it is not well-formed XML ({error})"
        raise ValueError(msg) from error
    return Report(cases=target.cases)


class _RefusedError(ValueError):
    pass


class _Target:
    """Collects the test cases while the XML is parsed, so that no tree of it is in memory."""

    def __init__(self) -> None:
        self.cases: list[Case] = []
        self._readable = cache(readable)  # of a large report, most texts are the same
        self._depth = 0
        self._elements = 0
        self._case: dict[str, str] | None = None
        """Attributes of the open <testcase>."""
        self._case_depth = 0
        self._outcome: Outcome | None = None
        self._message = ""
        self._printed: list[str] = []
        self._text: list[str] | None = None
        """Parts of the text that is collected. None outside the elements whose text is wanted."""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._depth += 1
        self._elements += 1
        if self._depth == 1 and tag not in _ROOTS:
            msg = f"its root is <{tag}>, not <testsuites> or <testsuite>"
            raise _RefusedError(msg)
        if self._depth > _MOST_DEPTH or self._elements > _MOST_ELEMENTS:
            what = f"more than {_MOST_DEPTH} elements inside one another"
            if self._depth <= _MOST_DEPTH:
                what = f"more than {_MOST_ELEMENTS:,} elements"
            msg = f"it has {what}"
            raise _RefusedError(msg)
        if self._case is None:
            if tag == "testcase":
                self._case, self._case_depth = dict(attributes), self._depth
        elif self._depth == self._case_depth + 1 and (tag in _PRINTED or (tag in _OUTCOMES and self._outcome is None)):
            self._text = []
            if tag in _OUTCOMES:
                self._outcome, self._message = _OUTCOMES[tag], attributes.get("message", "")

    def data(self, text: str) -> None:
        if self._text is not None and self._depth == self._case_depth + 1:
            self._text.append(text)

    def end(self, tag: str) -> None:
        if self._case is not None and self._depth == self._case_depth:
            self.cases.append(self._closed(self._case))
            self._case = self._outcome = None
            self._message, self._printed = "", []
        elif self._text is not None and self._depth == self._case_depth + 1:
            text = "".join(self._text)
            text = text if len(text) <= _MOST_CHARS else f"{text[:_MOST_CHARS]}\n[cut at {_MOST_CHARS:,} characters]"
            if tag in _PRINTED:
                self._printed.append(text)
            else:
                self._message = "\n".join(part for part in (self._message, text.strip("\n")) if part)
            self._text = None
        self._depth -= 1

    def _closed(self, attributes: Mapping[str, str]) -> Case:
        scope = attributes.get("classname") or attributes.get("file") or ""
        name = attributes.get("name", "")
        name = printable(f"{scope}::{name}" if scope else name)
        if self._outcome is None:
            return Case(name=name, outcome="passed")
        message, printed = self._readable(self._message), self._readable("\n".join(self._printed))
        return Case(name=name, outcome=self._outcome, message=message, printed=printed)

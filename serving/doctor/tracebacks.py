"""Follow the tracebacks of interleaved processes: find the frames and the exception lines; does not explain them."""

import re
from dataclasses import dataclass, field

from .lines import Line


@dataclass(kw_only=True)
class Failure:
    """One exception, or one line of level ERROR, together with everything raised while it was handled."""

    line: int
    text: str
    heading: bool
    """Whether it is a line of level ERROR without an exception; a traceback that follows replaces it."""
    explained: bool = False
    """Whether a symptom is known for it."""


@dataclass(kw_only=True)
class _Stream:
    """The lines of one process on one level."""

    in_frames: bool = False
    chained: bool = False
    last: Failure | None = None


@dataclass(kw_only=True)
class Tracebacks:
    """The failures so far; each process is followed separately."""

    failures: list[Failure] = field(default_factory=list[Failure])
    _streams: dict[str, _Stream] = field(default_factory=dict[str, _Stream])

    def read(self, line: Line) -> bool:
        """Read one line; return whether it is a frame of a traceback, which is source code and no symptom."""
        stream = self._streams.setdefault(f"{line.process} {line.level}", _Stream())
        text = _GROUP.sub("", line.text)
        if text.startswith(_TRACEBACK) or _FRAME.match(text):
            stream.in_frames = True
            return True
        if stream.in_frames and (text[:1].isspace() or not _EXCEPTION.match(text)):
            return text[:1].isspace()
        if _CHAIN.match(text):
            stream.chained = True
        elif stream.in_frames or (line.level in ("ERROR", "CRITICAL") and not text[:1].isspace()):
            self._add(stream, line, text)
        elif stream.last is not None and _VALUE_ERROR.match(text) and _VALIDATION.search(stream.last.text):
            # pydantic gives the reason in the next line.
            stream.last.line, stream.last.text = line.number, text.strip()
        return False

    def mark_explained(self, line: Line) -> None:
        """Record that a symptom is known for the last failure of this line's process."""
        stream = self._streams.get(f"{line.process} {line.level}")
        if stream is not None and stream.last is not None:
            stream.last.explained = True

    def _add(self, stream: _Stream, line: Line, text: str) -> None:
        exception, stream.in_frames = stream.in_frames, False
        last = stream.last
        if last is not None and stream.chained and exception:
            stream.chained = False
            last.heading = False
            return
        if last is not None and last.heading and exception:
            last.line, last.text, last.heading = line.number, text, False
            return
        if last is not None and last.heading and not exception and not last.explained:
            # Further lines of level ERROR without an exception belong to the first.
            return
        stream.last = Failure(line=line.number, text=text, heading=not exception)
        if len(self.failures) == _MAX_FAILURES:
            self.failures = [one for one in self.failures if not one.explained][: _MAX_FAILURES - 1]
        self.failures.append(stream.last)


_MAX_FAILURES = 200
"""Only the first failure without a known symptom is ever shown."""

_TRACEBACK = "Traceback (most recent call last)"
_FRAME = re.compile(r'^\s*File ".*", line \d+')
_GROUP = re.compile(r"^ +[|+][-+ \d]*(?:Exception Group (?=Traceback))?")
_EXCEPTION = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:: .*|:?$)")
_CHAIN = re.compile(r"^(?:During handling of the above exception|The above exception was the direct cause)")
_VALUE_ERROR = re.compile(r"^\s+(?:Value|Assertion) error, ")
_VALIDATION = re.compile(r"validation errors? for ")

"""Follow the tracebacks of interleaved processes: find the frames and the exception lines; does not explain them."""

import re
from dataclasses import dataclass, field
from typing import Literal

from .lines import Line

FailureKind = Literal["exception", "heading", "stray"]
"""`exception`: a line with its type. `heading`: a line of level ERROR without an exception; a traceback that follows
replaces it. `stray`: an error that a compiler, a linker or another native library printed between the log lines."""


@dataclass(kw_only=True)
class Failure:
    """One error, together with everything raised while it was handled."""

    line: int
    text: str
    kind: FailureKind
    ended: bool = False
    """Whether it stands below a line that reports the end of a process."""
    plain: bool = False
    """Whether Python itself printed it, as it does when a process ends; some libraries print one and go on."""
    explained: bool = False
    """Whether a symptom is known for it."""

    @property
    def type_name(self) -> str:
        """The exception's type without its module: `KeyError`. Empty if the text names none."""
        found = _EXCEPTION.match(self.text.strip())
        return found["type"] if found else ""


@dataclass(kw_only=True)
class _Stream:
    """The lines of one process on one level."""

    in_frames: bool = False
    after_frame: bool = False
    """The previous line was a frame, so this one is its source code."""
    chained: bool = False
    last: Failure | None = None


@dataclass(kw_only=True)
class Tracebacks:
    """The failures so far; each process is followed separately."""

    end: re.Pattern[str]
    """Matches a line that reports the end of a process."""
    failures: list[Failure] = field(default_factory=list[Failure])
    _streams: dict[str, _Stream] = field(default_factory=dict[str, _Stream])

    def read(self, line: Line) -> bool:
        """Read one line; return whether it is a frame of a traceback, which is source code and no symptom."""
        stream = self._streams.setdefault(f"{line.process} {line.level}", _Stream())
        text = _GROUP.sub("", line.text)
        source, stream.after_frame = stream.after_frame, False
        if text.startswith(_TRACEBACK):
            stream.in_frames = True
            return True
        if text.endswith(f"{_TRACEBACK}:"):
            # A heading on the same line: `Scheduler hit an exception: Traceback …`.
            self._add(stream, line, text.removesuffix(f"{_TRACEBACK}:"), "heading")
            stream.in_frames = True
            return False
        if _FRAME.match(text):
            stream.in_frames = stream.after_frame = True
            return True
        is_exception = _EXCEPTION.match(text) is not None
        # Some loggers strip the indentation of the source code.
        if stream.in_frames and (text[:1].isspace() or not is_exception):
            return text[:1].isspace() or source or _MARKERS.match(text) is not None
        self._read_message(stream, line, text)
        return False

    def add_stray(self, line: Line) -> None:
        """Record an error that no logger and no traceback reported, unless it repeats the previous one."""
        if not self.failures or self.failures[-1].text != line.text:
            self._append(Failure(line=line.number, text=line.text, kind="stray"))

    def mark_explained(self, line: Line, *, whole_message: bool) -> None:
        """Record that a symptom is known for the last failure of this line's process.

        Args:
            line: shows the symptom.
            whole_message: also if the line is a later one than the failure's first, such as a further line of its
                message.
        """
        stream = self._streams.get(f"{line.process} {line.level}")
        last = None if stream is None else stream.last
        if last is not None and (whole_message or last.line == line.number):
            last.explained = True

    def _read_message(self, stream: _Stream, line: Line, text: str) -> None:
        if _CHAIN.match(text):
            stream.chained = True
        elif stream.in_frames or _ERROR_LINE.match(text):
            self._add(stream, line, text, "exception")
        elif line.level in ("ERROR", "CRITICAL") and not text[:1].isspace():
            self._add(stream, line, text, "heading")
        elif stream.last is not None and _VALUE_ERROR.match(text) and _VALIDATION.search(stream.last.text):
            # pydantic gives the reason in the next line.
            stream.last.line, stream.last.text = line.number, text.strip()

    def _add(self, stream: _Stream, line: Line, text: str, kind: Literal["exception", "heading"]) -> None:
        stream.in_frames = False
        last = stream.last
        if last is not None and kind == "exception":
            if stream.chained:
                stream.chained = False
                if last.kind == "heading":
                    last.kind = "exception"
                return
            if last.kind == "heading":
                last.line, last.text, last.kind = line.number, text, "exception"
                return
        if last is not None and last.kind == kind == "heading" and not last.explained:
            # Further lines of level ERROR without an exception belong to the first.
            last.ended = last.ended or self.end.search(text) is not None
            return
        ended, plain = self.end.search(text) is not None, kind == "exception" and line.level == ""
        stream.last = Failure(line=line.number, text=text, kind=kind, ended=ended, plain=plain)
        self._append(stream.last)

    def _append(self, failure: Failure) -> None:
        if len(self.failures) == _MAX_FAILURES:
            self.failures = [one for one in self.failures if not one.explained][: _MAX_FAILURES - 1]
        self.failures.append(failure)


_MAX_FAILURES = 200
"""Only the first failure without a known symptom is ever shown."""

_TRACEBACK = "Traceback (most recent call last)"
_FRAME = re.compile(r'^\s*File ".*", line \d+')
_MARKERS = re.compile(r"^[\^~]+$")
_GROUP = re.compile(r"^ +[|+][-+ \d]*(?:Exception Group (?=Traceback))?")
_EXCEPTION = re.compile(r"^(?:[A-Za-z_]\w*\.)*(?P<type>[A-Z]\w*)(?:: .*|:?$)")
_ERROR_LINE = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit)(?:: .*|:?$)")
"""An exception without its traceback: a paste of only the last line, or frames that a logger dropped."""
_CHAIN = re.compile(r"^(?:During handling of the above exception|The above exception was the direct cause)")
_VALUE_ERROR = re.compile(r"^\s+(?:Value|Assertion) error, ")
_VALIDATION = re.compile(r"validation errors? for ")

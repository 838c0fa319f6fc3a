"""Follow the tracebacks of interleaved processes: which lines are frames, which say what happened; explains nothing."""

import re
from dataclasses import dataclass, field

from .lines import Line


@dataclass(kw_only=True)
class Failure:
    """One exception, or one line of level ERROR, with all that was raised while it was handled."""

    line: int
    text: str
    heading: bool
    """True: a line of level ERROR without an exception; a traceback that follows takes its place."""
    explained: bool = False
    """True: a symptom is known for it."""


@dataclass(kw_only=True)
class _Voice:
    """What one process says on one level."""

    in_frames: bool = False
    chained: bool = False
    last: Failure | None = None


@dataclass(kw_only=True)
class Tracebacks:
    """The failures so far; every process is followed by itself."""

    failures: list[Failure] = field(default_factory=list[Failure])
    _voices: dict[str, _Voice] = field(default_factory=dict[str, _Voice])

    def is_frame(self, line: Line) -> bool:
        """Take one line in; returns whether it is a frame of a traceback: source code, which tells nothing."""
        voice = self._voices.setdefault(f"{line.process} {line.level}", _Voice())
        text = _GROUP.sub("", line.text)
        if text.startswith(_TRACEBACK) or _FRAME.match(text):
            voice.in_frames = True
            return True
        if voice.in_frames and (text[:1].isspace() or not _EXCEPTION.match(text)):
            return text[:1].isspace()
        if _CHAIN.match(text):
            voice.chained = True
        elif voice.in_frames or (line.level in ("ERROR", "CRITICAL") and not text[:1].isspace()):
            self._note(voice, line, text)
        elif voice.last is not None and _VALUE_ERROR.match(text) and _VALIDATION.search(voice.last.text):
            # pydantic says what is wrong in the line below.
            voice.last.line, voice.last.text = line.number, text.strip()
        return False

    def explain(self, line: Line) -> None:
        """Remember that a symptom is known for what this process said last."""
        voice = self._voices.get(f"{line.process} {line.level}")
        if voice is not None and voice.last is not None:
            voice.last.explained = True

    def _note(self, voice: _Voice, line: Line, text: str) -> None:
        exception, voice.in_frames = voice.in_frames, False
        last = voice.last
        if last is not None and voice.chained and exception:
            voice.chained = False
            last.heading = False
            return
        if last is not None and last.heading and exception:
            last.line, last.text, last.heading = line.number, text, False
            return
        if last is not None and last.heading and not exception and not last.explained:
            # The first line of level ERROR stands for those that follow it without an exception.
            return
        voice.last = Failure(line=line.number, text=text, heading=not exception)
        if len(self.failures) == _KEPT_FAILURES:
            self.failures = [one for one in self.failures if not one.explained][: _KEPT_FAILURES - 1]
        self.failures.append(voice.last)


_KEPT_FAILURES = 200
"""Only the first that is not explained is ever shown."""

_TRACEBACK = "Traceback (most recent call last)"
_FRAME = re.compile(r'^\s*File ".*", line \d+')
_GROUP = re.compile(r"^ +[|+][-+ \d]*(?:Exception Group (?=Traceback))?")
_EXCEPTION = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:: .*|:?$)")
_CHAIN = re.compile(r"^(?:During handling of the above exception|The above exception was the direct cause)")
_VALUE_ERROR = re.compile(r"^\s+(?:Value|Assertion) error, ")
_VALIDATION = re.compile(r"validation errors? for ")

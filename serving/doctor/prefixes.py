"""Strip what loggers and launchers put before an engine's own text, in any known or learned form; interprets no text.

Known forms are pieces such as a timestamp, a level, a container's name or `(name pid=7)`, in any order and number.
Other forms are learned from lines in which the engine's own prefix, or a traceback, shows where its text begins.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast

Level = Literal["", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


@dataclass(frozen=True, kw_only=True)
class Prefixed:
    """One line, split into its prefixes and its text."""

    source: str
    """The container that wrote the line. Empty if no prefix names one."""
    process: str
    """The process or rank in the innermost prefix that names one. Empty if none does."""
    level: Level
    """As the engine set it. Empty if only an outer logger set one: some log all of stderr as errors."""
    stamp: str
    """The outermost timestamp; `seconds` parses it. Empty if the line has none with a date."""
    text: str
    """With its indentation, without the line end."""


@dataclass(kw_only=True)
class PrefixStripper:
    """Strips prefixes from the lines of one log."""

    _learned: dict[str, re.Pattern[str]] = field(default_factory=dict[str, re.Pattern[str]])

    def learn(self, lines: Iterable[str]) -> None:
        """Learn outer prefixes from lines in which the engine's own text is easy to find."""
        for line in lines:
            text = self.strip(line).text[:_MAX_PREFIX_CHARS]
            found = _ENGINE_TEXT.search(text)
            prefix = text[: found.start()] if found else ""
            if _PREFIX_END.search(prefix) and len(self._learned) < _MAX_LEARNED:
                shape = _shape(prefix)
                self._learned[shape] = re.compile(shape)

    def strip(self, line: str) -> Prefixed:
        """Split one line."""
        text, stamp = _unwrap_json(line), ""
        found: dict[str, str] = {}
        for _ in range(_MAX_PIECES):
            match = _PIECE.match(text) or self._match_learned(text)
            if match is None:
                break
            groups = {name.partition("_")[2]: value for name, value in match.groupdict().items() if value}
            # The outermost timestamp is the one on every line, so time never jumps between two clocks.
            stamp = stamp or groups.pop("stamp", "")
            found |= groups
            text = text[match.end() :]
        return Prefixed(
            source=found.get("source", ""),
            process=found.get("process", ""),
            level=_LEVELS.get(found.get("level", ""), ""),
            stamp=stamp,
            text=_without_suffix(text).rstrip(),
        )

    def _match_learned(self, text: str) -> re.Match[str] | None:
        return next((match for shape in self._learned.values() if (match := shape.match(text))), None)


def seconds(stamp: str) -> float | None:
    """Return the seconds from an arbitrary moment to a timestamp; None if it is empty or no date."""
    found = _STAMP_PARTS.match(stamp)
    if found is None:
        return None
    month = _MONTHS.get(found["name"] or "") or int(found["month"] or 0)
    try:
        # Only differences count. A leap year, so that every date exists when the year is unknown.
        moment = datetime(
            int(found["year"] or 2000),
            month,
            int(found["day"] or found["day_of_name"]),
            int(found["hour"]),
            int(found["minute"]),
            int(found["second"]),
            tzinfo=UTC,
        )
    except ValueError:
        return None  # The digits are no date.
    return (moment - _EPOCH).total_seconds()


def _without_suffix(text: str) -> str:
    # The pattern is slow on long lines, and most have no suffix.
    return _SUFFIX.sub("", text) if any(mark in text for mark in ("│", "┃", "[repeated ", "\\n")) else text


def _unwrap_json(line: str) -> str:
    """Return the message of a line in JSON, as docker and cloud loggers write it; any other line unchanged."""
    if not line.startswith('{"'):
        return line
    try:
        record: Any = json.loads(line)
    except (ValueError, RecursionError):
        return line  # The line was truncated, or is no log record.
    if not isinstance(record, dict):
        return line
    values = cast("dict[str, object]", record)
    message = next((value for name in _JSON_MESSAGES if isinstance(value := values.get(name), str)), None)
    return line if message is None else message.rstrip("\r\n")


def _shape(prefix: str) -> str:
    """Return a pattern for a prefix in which numbers, identifiers and levels vary from line to line."""
    parts = re.split(r"(\d+|\b(?i:debug|info|warn(?:ing)?|error|critical|stdout|stderr)\b *)", prefix)
    varying = (r"\d+" if part[:1].isdigit() else "[A-Za-z]+ *" for part in parts[1::2])
    fixed = (re.escape(part) for part in parts[::2])
    return "".join(piece for pair in zip(fixed, [*varying, ""], strict=True) for piece in pair)


_MAX_PIECES = 10
_MAX_LEARNED = 8
_MAX_PREFIX_CHARS = 200
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_JSON_MESSAGES = ("log", "message", "msg", "textPayload", "line", "text", "MESSAGE", "body", "content")
_LEVELS: dict[str, Level] = {
    "DEBUG": "DEBUG",
    "INFO": "INFO",
    "WARNING": "WARNING",
    "ERROR": "ERROR",
    "CRITICAL": "CRITICAL",
    "I": "INFO",
    "W": "WARNING",
    "E": "ERROR",
    "F": "CRITICAL",
}
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}
_STAMP_PARTS = re.compile(
    r"(?:(?:(?P<year>\d{4})[-/])?(?P<month>\d\d)[-/](?P<day>\d\d)|(?P<name>[A-Z][a-z]{2}) +(?P<day_of_name>\d{1,2}))"
    r"[T ](?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
)

_WORD = r"(?i:debug|info|notice|warn(?:ing)?|error|critical|fatal|trace)"
_STAMP = r"(?P<stamp>\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d)(?:[.,]\d+)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?"
_SHORT_STAMP = r"(?P<stamp>\d\d-\d\d \d\d:\d\d:\d\d)(?:[.,]\d+)?"
_FIELD = (
    r"(?:time|ts|timestamp|level|lvl|severity|logger|source|caller|component|container|pod|host|app|service|stream)"
)
_PIECES = (
    # The engines themselves: vLLM, uvicorn, SGLang, and glog as torch writes it.
    rf"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) {_SHORT_STAMP} (?:\[[^\]]*\]|\S+:\d+\]) ?",
    r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d:\d\d:\d\d (?:\[[^\]]*\]|\S+:\d+\]) ?",
    r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL): +",
    # Ray's core.
    rf"\[{_STAMP} (?P<level>[IWEF]) \d+ \d+\] \S+:\d+: ",
    rf"\[{_STAMP}(?: (?P<process>[A-Z][A-Z0-9 ]*))?\] ",
    rf"\[{_SHORT_STAMP}(?: (?P<process>[A-Z][A-Z0-9 ]*))?\] ",
    r"\[?(?P<level>[IWEF])(?:\d{3,4})?(?: [\d:.]+)?(?: +\d+)? \S+\.\w+:\d+\] ?",
    # vLLM and Ray, `(Worker_TP1 pid=7, ip=10.0.0.2) `; SkyPilot has a comma after the name. torchrun.
    r"\((?P<process>[^()=]*?(?: rank=\d+)?),? pid=\d+(?:, ip=[^)]*)?\) ?",
    r"\[(?P<process>rank\d+)\]: ?",
    # MPI and other launchers: `[1,0]<stderr>:`, `vLLM STDOUT: `.
    r"\[\d+,\d+\]<std(?:out|err)>: ?",
    r"(?:\w+ )?(?i:stdout|stderr)(?: ?\||:) ?",
    # Loggers: a timestamp, `ERROR 2026-…`, `[Info] `, `ERROR | `, `- logger.name - ERROR - `, logfmt.
    rf"{_STAMP}[,:]?[ \t](?:std(?:out|err) [FP] )?(?:[-|] )?",
    rf"{_WORD}\s+(?={_STAMP.replace('?P<stamp>', '?:')})",
    rf"\[{_WORD}\s*\] ?",
    rf"\|? ?{_WORD} *\| ",
    rf"(?:- )?(?:[\w.]+ - )?{_WORD} +- (?:[\w.]+:\d+ - )?",
    rf"(?:{_FIELD}=(?:\"[^\"]*\"|\S+) )+(?:msg=)?",
    # kubectl logs --prefix, docker compose, journald and syslog.
    r"\[pod/(?P<source>[^\]]+)\] ",
    r"(?P<source>[\w.-]+)\s* \| ",
    r"\d+\|[\w.-]+\s*\| ",
    r"(?:(?P<stamp>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) )?[\w.-]+ [\w@.:\\-]+\[\d+\]: ",
    # RunPod: `worker-id[info]`.
    rf"[\w-]+\[{_WORD}\] ?",
    # A quoted, boxed or indented line.
    r"\s+(?=(?:DEBUG|INFO|WARNING|ERROR) \d\d-\d\d \d\d:|\([A-Z]\w+ pid=\d|\[\d{4}-\d\d-\d\d \d\d:)",
    r"> (?=\S)",
    r"[│┃] ?",
)
_PIECE = re.compile("|".join(piece.replace("?P<", f"?P<p{number}_") for number, piece in enumerate(_PIECES)))
"""Any piece; one pattern, because a log may have millions of lines. The groups' names begin with the piece's number."""

# A position behind which the engine's own text begins; used only to learn what stands before it.
_ENGINE_TEXT = re.compile(
    r"(?:\([\w ]+ pid=\d+\) )?(?:DEBUG|INFO|WARNING|ERROR) \d\d-\d\d \d\d:\d\d:\d\d (?:\[\S+:\d+\]|\S+\.py:\d+\]) "
    r"|\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?: [A-Z]+\d+)*\] "
    r"|\([A-Z]\w+ pid=\d+\) "
    r"|(?<!exception: )(?<!, )Traceback \(most recent call last\):$"
)
_PREFIX_END = re.compile(r"[\s:|>\])-]$")
_SUFFIX = re.compile(r"(?:(?<! ) *[│┃]| \[repeated \d+x across cluster\].*|\\n)$")
"""The end of a boxed line, Ray's count of lines that it did not repeat, and a line end that was escaped."""

"""Parse log lines into records of process, level and text; does not interpret the text."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

Level = Literal["", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line, or one part of a line that a progress bar has overwritten."""

    number: int
    """Line number in the log, from 1."""
    source: str
    """The container that wrote the line, in a log of several: `engine-0-1`. Empty if the log is of one container."""
    process: str
    """The process named by the prefix: `Worker_TP3`, `TP0`. Empty if there is no prefix, or it names no process."""
    level: Level
    """Empty if the line has no level, such as a traceback printed by Python itself."""
    text: str
    """Without prefixes and line end, but with its indentation."""


def read_lines(lines: Iterable[str]) -> Iterator[Line]:
    """Parse lines, without the prefixes of vLLM, SGLang and uvicorn and those of docker, Kubernetes and journald."""
    for number, whole in enumerate(lines, start=1):
        for part in _ANSI.sub("", whole).rstrip("\r\n").split("\r"):
            if part.strip():
                yield _read(number, part)


def _read(number: int, text: str) -> Line:
    source, text = _unwrap(text)
    process = ""
    level: Level = ""
    while found := _PROCESS.match(text):
        process, text = found["process"], text[found.end() :]
    if found := _TORCHRUN.match(text):
        process, text = f"rank{found['rank']}", text[found.end() :]
    if found := _SGLANG.match(text):
        process, text = found["process"] or process, text[found.end() :]
    if found := _LEVEL.match(text):
        level, text = _LEVELS[found["level"] or found["letter"] or found["plain"]], text[found.end() :]
    return Line(number=number, source=source, process=process, level=level, text=text.rstrip())


class _Unwrapped(NamedTuple):
    source: str
    text: str


def _unwrap(text: str) -> _Unwrapped:
    """Strip the prefixes of a container runtime or a journal."""
    source = ""
    if text.startswith('{"log":'):
        text = _docker_json(text)
    # A timestamp may come before the container name, and after it.
    for _ in range(3):
        found = _CONTAINER_PREFIX.match(text)
        if found is None:
            break
        source, text = found["pod"] or found["service"] or source, text[found.end() :]
    return _Unwrapped(source, text)


def _docker_json(text: str) -> str:
    try:
        return str(json.loads(text)["log"]).rstrip("\r\n")
    except (ValueError, KeyError, TypeError):
        return text  # The line was truncated.


_ANSI = re.compile(r"(?:\x1b|\u2190|\^\[)\[[0-9;?]*[A-Za-z]")
_STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"
_CONTAINER_PREFIX = re.compile(
    rf"^(?:{_STAMP} (?:std(?:out|err) [FP] )?"  # docker logs -t, Kubernetes (CRI)
    r"|\[pod/(?P<pod>[^\]]+)\] "  # kubectl logs --prefix
    r"|(?P<service>[\w.-]+)\s* \| "  # docker compose logs
    r"|(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d )?[\w.-]+ [\w@.:\\-]+\[\d+\]: )"  # journalctl
)
# `(EngineCore_DP0 pid=7) `, `(VllmWorker rank=5 pid=7) `; Ray adds `, ip=10.0.0.2`.
_PROCESS = re.compile(r"^\((?P<process>[^()=]*?(?: rank=\d+)?) pid=\d+(?:, ip=[^)]*)?\) ?")
_TORCHRUN = re.compile(r"^\[rank(?P<rank>\d+)\]: ?")
_SGLANG = re.compile(r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?(?: (?P<process>[A-Z][A-Z0-9 ]*))?\] ")
_LEVEL = re.compile(
    r"^(?:(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) [\d-]+ [\d:.]+ (?:\[[^\]]*\]|\S+:\d+\]) ?"  # vLLM
    r"|(?P<letter>[IWEF])\d{4} [\d:.]+ +\d+ [^\]]*\] ?"  # glog: torch
    r"|(?P<plain>DEBUG|INFO|WARNING|ERROR|CRITICAL): +)"  # uvicorn
)
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

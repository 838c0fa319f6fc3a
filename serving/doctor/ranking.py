"""Decide which of a start's findings and failures are causes, and in which order to report them; pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .catalogue import CATALOGUE
from .findings import Finding, Start
from .symptoms import Severity
from .tracebacks import Failure

_SERVER_ERROR = 500
_ORDER: tuple[Severity, ...] = ("stops", "follows", "refuses", "degrades")
_STRAY_LINES = 50
"""How far before the end of a running engine a native library's error belongs to it."""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The problems of one start, the root cause first."""

    known: tuple[Finding, ...]
    unknown: Failure | None
    """The first error without a known symptom. None if a known symptom explains the end."""
    unknown_first: bool
    """Whether the unknown error ended the engine, so that the known symptoms are of less weight."""
    only_consequence: bool = False
    """Whether the unknown error reports only that a process ended."""


def rank(start: Start, end: re.Pattern[str]) -> Ranking:
    """Return the problems of a start in the order in which to report them.

    Args:
        start: all that its lines have shown.
        end: matches a line that reports only that a process ended.
    """
    found = [_cause_of(one, start) for one in start.found.values()]
    found += _causes_of_refusals(start, found)
    hidden = {name for one in found for name in one.symptom.hides}
    stops = [one for one in found if one.symptom.severity == "stops" and one.name not in hidden]
    unknown = _unknown(start, end)
    if stops and not (unknown is not None and _comes_before(unknown, stops)):
        unknown = None
    if stops or (unknown is not None and start.ended and unknown.kind != "heading"):
        hidden |= {one.name for one in found if one.symptom.severity == "follows"}
    known = tuple(
        one for severity in _ORDER for one in found if one.symptom.severity == severity and one.name not in hidden
    )
    explained = any(one.symptom.severity in ("stops", "follows") for one in known)
    fallback = None if stops or unknown or explained else _consequence(start, end)
    return Ranking(
        known=(*known, *_all_refused(start, known, unknown)),
        unknown=unknown or fallback,
        unknown_first=start.ended or _is_refused(start),
        only_consequence=fallback is not None,
    )


def _cause_of(one: Finding, start: Start) -> Finding:
    """Return the warning or finding that explains a symptom, or the symptom itself."""
    seen = {**start.suspects, **{other.name: other for other in start.found.values()}}
    return next((seen[name] for name in one.symptom.because if name in seen), one)


def _causes_of_refusals(start: Start, found: list[Finding]) -> list[Finding]:
    """Return what one request's error shows, if it is the error of every request."""
    if not _is_refused(start) or any(one.symptom.severity == "refuses" for one in found):
        return []
    return [one for one in start.suspects.values() if one.line.level != "WARNING"][:1]


def _is_refused(start: Start) -> bool:
    """Return whether every chat request failed inside the server."""
    return bool(start.answers) and min(start.answers) >= _SERVER_ERROR


def _all_refused(start: Start, known: tuple[Finding, ...], unknown: Failure | None) -> tuple[Finding, ...]:
    """Return the finding that every chat request was refused, unless others explain it."""
    answers, first = start.answers, start.refused
    explained = sum(one.times for one in known if one.symptom.severity == "refuses")
    if first is None or start.ended_by_symptom() or explained >= answers.total() or min(answers) < 400:
        return ()
    if _is_refused(start) and (unknown is not None or any(one.symptom.severity == "stops" for one in known)):
        return ()
    values = {"status": "/".join(f"{status}" for status in sorted(answers)), "n": f"{answers.total()}"}
    name = "unauthorized" if set(answers) == {401} else "all_refused"
    return (Finding(name=name, symptom=CATALOGUE[name], values=values, line=first, times=1),)


def _comes_before(unknown: Failure, stops: list[Finding]) -> bool:
    """Return whether an unknown error ended a process before symptoms that the end of a process may cause."""
    return unknown.ended and all(one.name in _OF_AN_END and one.line.number > unknown.line for one in stops)


def _unknown(start: Start, end: re.Pattern[str]) -> Failure | None:
    """Return the error without a known symptom that most likely is the cause; None if there is none."""
    failures = [one for one in start.tracebacks.failures if not one.explained and _is_cause(one, end)]
    if not start.ready_at:
        return _first_of_start(failures)
    if start.death is None:
        return next((one for one in failures if one.kind != "stray"), None)
    ended = start.death.number
    strays = (one for one in failures if one.kind == "stray" and ended - _STRAY_LINES <= one.line <= ended)
    errors = [one for one in failures if one.kind != "stray"]
    return next(strays, None) or _first(one for one in errors if one.line >= ended) or _first(reversed(errors))


def _first_of_start(failures: list[Failure]) -> Failure | None:
    """Return the root cause of a failed start.

    A native library's error comes before the exception that it led to. Of the exceptions, one that ended a process
    counts before one that the process survived.
    """
    ended = _first(one for one in failures if one.kind == "exception" and (one.ended or one.plain))
    stray = _first(one for one in failures if one.kind == "stray")
    if stray is not None and (ended is None or stray.line < ended.line or _VAGUE.match(ended.text)):
        return stray
    return ended or _first(one for one in failures if one.kind == "exception") or _first(failures)


def _consequence(start: Start, end: re.Pattern[str]) -> Failure | None:
    """Return a line that reports only that a process ended, for a log that shows no more."""
    if start.death is not None:
        return Failure(line=start.death.number, text=start.death.text, kind="heading")
    if start.ready_at:
        return None
    return _first(one for one in start.tracebacks.failures if not one.explained and not _HARMLESS.match(one.text))


def _is_cause(failure: Failure, end: re.Pattern[str]) -> bool:
    text = failure.text.strip()
    return not end.search(text) and not _HARMLESS.match(text) and not _LOST.match(text)


def _first(failures: Iterable[Failure]) -> Failure | None:
    return next(iter(failures), None)


# What the processes that are left meet or print while an engine ends.
_OF_AN_END = frozenset(
    {"nccl", "cuda_error", "no_network", "port_in_use", "rendezvous", "gloo_network", "custom_all_reduce"}
)
# Of a client that left, or a server that was told to stop.
_HARMLESS = re.compile(
    r"Exception in ASGI application|"
    r"(?:\w+\.)*(?:ClientDisconnect|KeyboardInterrupt|SystemExit|CancelledError|GeneratorExit|BrokenPipeError)\b"
)
# What a process meets when another one has ended.
_LOST = re.compile(
    r"(?:\w+\.)*(?:EOFError|ConnectionResetError|ChildProcessError|ChildFailedError|ActorDiedError|RayActorError)\b|"
    r"(?:\w+\.)*(?:ContextTerminated|WorkerCrashedError|ProcessExitedException|(?:Base)?ExceptionGroup)\b|"
    r"RuntimeError: [Cc]ancelled$"
)
# An exception that reports only that a tool failed, which printed the reason itself.
_VAGUE = re.compile(
    r"(?:\w+\.)*CalledProcessError\b|(?:\w+\.)*\w*Error:?$|RuntimeError: (?:Error compiling|Failed to build)"
)

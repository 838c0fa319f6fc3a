"""Put one call through the product's reading and checking and judge what would be executed; knows what was meant."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from calls.values import Json, NotJson, exact, floats_for_integers, rounded, same
from pydantic import BaseModel

from agent.messages import RawCall, Reply
from agent.parsing.reply import Batch, read
from agent.parsing.validation import CheckedCall, check
from agent.tooling.toolbox import Toolbox

SLOW_MS = 50.0
_STUCK_S = 4.0
_MOST_EXAMPLES = 4

Verdict = Literal[
    "accepted as is",
    "repaired rightly, flagged",
    "refused rightly",
    "refused though plain",
    "another reading, flagged",
    "integer arrives as float",
    "fraction rounded to a float",
    "repaired, not flagged",
    "executed wrong, flagged",
    "executed wrong, unflagged",
    "raised",
    "stuck",
]
GOOD: frozenset[Verdict] = frozenset({"accepted as is", "repaired rightly, flagged", "refused rightly"})
BAD: tuple[Verdict, ...] = tuple(verdict for verdict in get_args(Verdict) if verdict not in GOOD)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One call as a model might send it, and what it means."""

    kind: str
    arguments: str
    right: tuple[Json, ...] = ()
    """The arguments that may be executed; numbers with a fraction are Decimals. Empty means none may be."""
    plain: bool = False
    """True if a careful reader sees exactly one meaning, so that a refusal is counted."""
    name: str | None = None
    """The tool's name as sent. None means its own."""
    content: str | None = None
    """The reply's text, if the call is written as text; `arguments` is unused then."""
    finish_reason: Literal["tool_calls", "stop", "length"] = "tool_calls"
    readings: bool = False
    """True if the text was damaged at random: another reading that is flagged gets a row of its own."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What became of one case."""

    verdict: Verdict
    arrived: Json = None
    says: tuple[str, ...] = ()
    """The repairs, or the reason for the refusal, or the exception."""
    cpu_ms: float = 0.0


def judge(case: Case, toolbox: Toolbox, tool_name: str, schema: Json) -> Judged:
    """Return what the product does with the case."""
    try:
        with _watchdog():
            executed, cpu_ms = _timed(case, toolbox, tool_name)
    except _Stuck:
        return Judged(verdict="stuck", says=(f"stopped after {_STUCK_S:g} s",), cpu_ms=_STUCK_S * 1000)
    except Exception as error:  # noqa: BLE001 - that is what is measured
        return Judged(verdict="raised", says=(f"{type(error).__name__}: {error}",))
    if isinstance(executed, str):
        verdict: Verdict = "refused though plain" if case.plain and case.right else "refused rightly"
        return Judged(verdict=verdict, says=(executed,), cpu_ms=cpu_ms)
    return replace(_judged_value(case, executed, tool_name, schema), cpu_ms=cpu_ms)


def _judged_value(case: Case, executed: _Executed, tool_name: str, schema: Json) -> Judged:
    arrived, flags = executed.value, executed.flags
    if not any(same(value, arrived) for value in case.right):
        verdict: Verdict = "executed wrong, flagged" if flags else "executed wrong, unflagged"
        if any(rounded(value, arrived) for value in case.right):
            verdict = "fraction rounded to a float"
        elif case.readings and flags:
            verdict = "another reading, flagged"
    elif floats_for_integers(arrived, schema):
        verdict = "integer arrives as float"
    elif flags:
        verdict = "repaired rightly, flagged"
    else:
        verdict = "accepted as is" if _says(case, arrived, tool_name) else "repaired, not flagged"
    return Judged(verdict=verdict, arrived=arrived, says=flags)


def executed_value(case: Case, toolbox: Toolbox, tool_name: str) -> Json | None:
    """Return the value that the tool would be called with; None if it would not be called."""
    found = _executed(case, toolbox, tool_name)
    return None if isinstance(found, str) else found.value


def _timed(case: Case, toolbox: Toolbox, tool_name: str) -> tuple[_Executed | str, float]:
    """Return the result and the milliseconds; if they seem slow, those of CPU time of a second try."""
    began = time.perf_counter()
    executed = _executed(case, toolbox, tool_name)
    wall_ms = (time.perf_counter() - began) * 1000
    if wall_ms <= SLOW_MS:  # the clock of CPU time is slow to read, and another program's load is not the product's
        return executed, wall_ms
    began = time.thread_time()
    executed = _executed(case, toolbox, tool_name)
    return executed, (time.thread_time() - began) * 1000


@dataclass(frozen=True, kw_only=True)
class _Executed:
    value: Json
    flags: tuple[str, ...]


def _executed(case: Case, toolbox: Toolbox, tool_name: str) -> _Executed | str:
    """Return the value that the tool would be called with, or why it is not called."""
    raw = RawCall(id="", name=tool_name if case.name is None else case.name, arguments=case.arguments)
    reply = Reply(
        content=case.content or "",
        tool_calls=() if case.content is not None else (raw,),
        finish_reason=case.finish_reason,
    )
    reading = read(reply, toolbox, max_tokens=100_000, window_tokens=None)
    if not isinstance(reading, Batch):
        return type(reading).__name__
    found = [check(call, toolbox, call_id="AAAAAAAAA") for call in reading.calls]
    checked = [one for one in found if isinstance(one, CheckedCall)]
    if not checked:
        return "; ".join(one.reason for one in found if not isinstance(one, CheckedCall))
    if len(checked) > 1 or checked[0].tool.name != tool_name:
        wrong = [f"{one.tool.name}({one.call.arguments})" for one in checked]
        return _Executed(value={"executed": wrong}, flags=checked[0].call.repairs)
    rescued = () if reading.rescue is None else (f"rescued from {reading.rescue.format}",)
    return _Executed(value=plain(checked[0].value), flags=(*rescued, *checked[0].call.repairs))


def plain(value: object) -> Json:
    """Return the arguments of a typed tool as they were sent; those of a schema tool are JSON already."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="python", by_alias=True, exclude_unset=True)
    return value


def _says(case: Case, arrived: Json, tool_name: str) -> bool:
    """Return whether the text itself says what arrived, so that there is nothing to flag."""
    try:
        return case.name in (None, tool_name) and same(exact(case.arguments), arrived)
    except NotJson:
        return False


class _Stuck(BaseException):
    """Raised by the watchdog; no `except Exception` stops it."""


def _stop(*_: object) -> None:
    raise _Stuck


@contextmanager
def _watchdog() -> Generator[None]:
    signal.signal(signal.SIGALRM, _stop)
    signal.setitimer(signal.ITIMER_REAL, _STUCK_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@dataclass
class Tally:
    """Counts of verdicts by kind, and the first examples of each bad cell."""

    counts: Counter[tuple[str, Verdict]] = field(default_factory=Counter)
    slow: list[tuple[float, str]] = field(default_factory=list)
    examples: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, case: Case, judged: Judged, where: str) -> None:
        self.counts[case.kind, judged.verdict] += 1
        sent = case.content if case.content is not None else case.arguments
        named = "" if case.name is None else f" as {case.name!r}"
        line = f"{where}{named}: {_cut(sent)} -> {_cut(str(judged.arrived))} says {', '.join(judged.says)[:160]}"
        if judged.cpu_ms > SLOW_MS:
            self.slow.append((judged.cpu_ms, line))
        if judged.verdict in BAD:
            kept = self.examples.setdefault((case.kind, judged.verdict), [])
            if len(kept) < _MOST_EXAMPLES:
                kept.append(line)

    def merge(self, other: Tally) -> None:
        self.counts.update(other.counts)
        self.slow += other.slow
        for key, lines in other.examples.items():
            mine = self.examples.setdefault(key, [])
            mine += lines[: _MOST_EXAMPLES - len(mine)]

    def total(self, verdict: Verdict) -> int:
        return sum(count for (_, found), count in self.counts.items() if found == verdict)

    def by_kind(self) -> Mapping[str, Counter[Verdict]]:
        kinds: dict[str, Counter[Verdict]] = {}
        for (kind, verdict), count in self.counts.items():
            kinds.setdefault(kind, Counter())[verdict] += count
        return kinds


def _cut(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:120]} ... {text[-60:]}"

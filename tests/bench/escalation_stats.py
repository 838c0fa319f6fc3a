"""The records of the escalation bench, and statistics over them: intervals, paired differences, the oracle; pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from pydantic import JsonValue, TypeAdapter

RESAMPLES = 2_000
BOOTSTRAP_SEED = 20_261_123
ORACLE = "oracle"


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a series of runs was measured on; written each time the bench starts."""

    date: str
    """UTC, ISO 8601."""
    model: str
    model_digest: str
    """SHA-256 of the weights, 16 digits; or `unknown`, when they do not lie on this machine."""
    engine: str
    """The engine's version, as it says itself."""
    python: str
    cores: int
    load_average: float
    """Over the last minute before the start."""
    concurrency: int
    steps: int
    """The budget of every run, in requests."""
    arms: Mapping[str, JsonValue]
    """The ladder of each."""
    held_out_kinds: tuple[str, ...] = ()
    tasks: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    """What `tasks.json` says of the tasks."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One run."""

    task: str
    bug_kind: str
    task_digest: str
    arm: str
    seed: int
    fault_rate: float
    status: str
    reason: str
    """Its first line."""
    requests: int
    """Re-asks among them."""
    reasks: int
    cured: int
    """Re-asks that brought a valid call."""
    output_tokens: int
    """Reasoning among them."""
    reasoning_tokens: int
    prompt_tokens: int
    """Of all requests together."""
    cached_tokens: int
    """Among `prompt_tokens`."""
    effort_switches: int
    switch_prefilled_tokens: int
    """Prompt tokens that the requests right after a switch found in no cache."""
    tool_calls: int
    verifications: int
    climbs: Mapping[str, int] = field(default_factory=dict[str, int])
    """How often each trigger moved the run up."""
    faults: Mapping[str, int] = field(default_factory=dict[str, int])
    """How often each damage was done."""
    repaired: int = 0
    """Calls that the loop made valid by itself."""
    wall_s: float
    engine_s: float
    """Of `wall_s`, the time in which a request was under way."""
    tools_s: float
    verify_s: float

    @property
    def ok(self) -> bool:
        return self.status == "verified"

    @property
    def prefilled_tokens(self) -> int:
        return self.prompt_tokens - self.cached_tokens

    @property
    def key(self) -> tuple[str, str, str, int, float]:
        """What makes it the same run when the bench is started again."""
        return (self.task, self.task_digest, self.arm, self.seed, self.fault_rate)


RECORD = TypeAdapter(Record)
SETUP = TypeAdapter(Setup)

Metric = Callable[[Record], float]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value and its interval."""

    value: float
    interval: Interval


def wilson(rate: float, count: float) -> Interval:
    """Return Wilson's 95 % interval of a rate that was seen in so many independent trials; 0: everything."""
    if count <= 0:
        return Interval(low=0.0, high=1.0)
    z = 1.959964
    centre = rate + z * z / (2 * count)
    spread = z * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    whole = 1 + z * z / count
    return Interval(low=max(0.0, (centre - spread) / whole), high=min(1.0, (centre + spread) / whole))


def task_means(records: Iterable[Record], metric: Metric) -> dict[str, float]:
    """Return each task's mean over its seeds."""
    values: dict[str, list[float]] = {}
    for record in records:
        values.setdefault(record.task, []).append(metric(record))
    return {task: statistics.fmean(found) for task, found in sorted(values.items())}


def mean(records: Iterable[Record], metric: Metric) -> float:
    """Return the mean over tasks."""
    return statistics.fmean(task_means(records, metric).values())


def success(records: Sequence[Record]) -> Estimate:
    """Return the success rate. Seeds of one task are not independent, so the interval counts each task once."""
    means = task_means(records, lambda record: record.ok)
    rate = statistics.fmean(means.values())
    return Estimate(value=rate, interval=wilson(rate, len(means)))


def difference(ours: Sequence[Record], theirs: Sequence[Record], metric: Metric) -> Estimate:
    """Return the mean difference of the tasks that both have, its interval by drawing tasks anew."""
    return _resampled(ours, theirs, metric, lambda left, right: (sum(left) - sum(right)) / len(left))


def ratio(ours: Sequence[Record], theirs: Sequence[Record], metric: Metric) -> Estimate:
    """Return how many times theirs our mean is; not a number where theirs is 0."""
    return _resampled(ours, theirs, metric, lambda left, right: sum(left) / sum(right) if sum(right) else math.nan)


def _resampled(
    ours: Sequence[Record],
    theirs: Sequence[Record],
    metric: Metric,
    compare: Callable[[Sequence[float], Sequence[float]], float],
) -> Estimate:
    left, right = task_means(ours, metric), task_means(theirs, metric)
    tasks = [task for task in left if task in right]
    pairs = [(left[task], right[task]) for task in tasks]
    rng = Random(BOOTSTRAP_SEED)
    drawn: list[float] = []
    for _ in range(RESAMPLES):
        chosen = rng.choices(pairs, k=len(pairs))
        drawn.append(compare([pair[0] for pair in chosen], [pair[1] for pair in chosen]))
    drawn = sorted(value for value in drawn if not math.isnan(value)) or [math.nan]
    value = compare([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    return Estimate(value=value, interval=Interval(low=_quantile(drawn, 0.025), high=_quantile(drawn, 0.975)))


def percentile(records: Iterable[Record], metric: Metric, share: float) -> float:
    """Return the value that this share of the runs does not exceed."""
    return _quantile(sorted(metric(record) for record in records), share)


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def oracle(cheap: Iterable[Record], dear: Iterable[Record]) -> list[Record]:
    """Return what choosing the effort beforehand, with the outcomes known, would have come to.

    Per task and seed the run with the fewest output tokens of those that were verified, or of both if none was. An arm
    that ran with one seed stands for all seeds of the other.
    """
    runs: dict[str, tuple[dict[int, Record], dict[int, Record]]] = {}
    for at, side in enumerate((cheap, dear)):
        for record in side:
            runs.setdefault(record.task, ({}, {}))[at][record.seed] = record
    chosen: list[Record] = []
    for left, right in runs.values():
        if not left or not right:
            continue
        for seed in sorted(left.keys() | right.keys()):
            both = [side.get(seed, next(iter(side.values()))) for side in (left, right)]
            best = min([record for record in both if record.ok] or both, key=lambda record: record.output_tokens)
            chosen.append(replace(best, arm=ORACLE, seed=seed))
    return chosen


def comparable(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Return the records of each arm, of the tasks that every arm has finished with each of its seeds."""
    arms: dict[str, list[Record]] = {}
    for record in records:
        arms.setdefault(record.arm, []).append(record)
    shared: set[str] | None = None
    for found in arms.values():
        seeds = {record.seed for record in found}
        done: dict[str, set[int]] = {}
        for record in found:
            done.setdefault(record.task, set()).add(record.seed)
        whole = {task for task, have in done.items() if have == seeds}
        shared = whole if shared is None else shared & whole
    return {arm: [record for record in found if record.task in (shared or ())] for arm, found in arms.items()}

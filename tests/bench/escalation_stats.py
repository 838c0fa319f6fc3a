"""Records of the escalation bench and pure statistics over them: intervals, paired differences, the oracle."""

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
    """The conditions of a series of runs; written at each start of the bench."""

    date: str
    """UTC, ISO 8601."""
    model: str
    model_digest: str
    """SHA-256 of the weights, 16 digits; `unknown` if they are not on this machine."""
    engine: str
    """The version that the engine reports."""
    python: str
    cores: int
    load_average: float
    """Average of the last minute before the start."""
    concurrency: int
    steps: int
    """Budget of every run, in requests."""
    arms: Mapping[str, JsonValue]
    """Ladder of each arm."""
    held_out_kinds: tuple[str, ...] = ()
    tasks: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    """Facts about the tasks from `tasks.json`."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """The result of one run."""

    task: str
    bug_kind: str
    task_digest: str
    arm: str
    seed: int
    fault_rate: float
    status: str
    reason: str
    """First line of the reason."""
    requests: int
    """Includes re-asks."""
    reasks: int
    cured: int
    """Re-asks that produced a valid call."""
    output_tokens: int
    """Includes reasoning."""
    reasoning_tokens: int
    prompt_tokens: int
    """Sum over all requests."""
    cached_tokens: int
    """The part of `prompt_tokens` that was cached."""
    effort_switches: int
    switch_prefilled_tokens: int
    """Uncached prompt tokens of the requests right after a switch."""
    tool_calls: int
    verifications: int
    climbs: Mapping[str, int] = field(default_factory=dict[str, int])
    """Number of climbs per trigger."""
    faults: Mapping[str, int] = field(default_factory=dict[str, int])
    """Number of damaged replies per fault kind."""
    repaired: int = 0
    """Calls that the loop repaired."""
    wall_s: float
    engine_s: float
    """The part of `wall_s` spent waiting for requests."""
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
        """Return the identity of the run, by which a restarted bench recognises it."""
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
    """Return the Wilson 95 % interval of a rate observed in `count` independent trials; 0 trials give 0 to 1."""
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
    """Return the mean of the task means."""
    return statistics.fmean(task_means(records, metric).values())


def success(records: Sequence[Record]) -> Estimate:
    """Return the success rate; the interval counts each task once, since its seeds are not independent."""
    means = task_means(records, lambda record: record.ok)
    rate = statistics.fmean(means.values())
    return Estimate(value=rate, interval=wilson(rate, len(means)))


def difference(ours: Sequence[Record], theirs: Sequence[Record], metric: Metric) -> Estimate:
    """Return the mean difference over the tasks that both have; the interval comes from resampling tasks."""
    return _resampled(ours, theirs, metric, lambda left, right: (sum(left) - sum(right)) / len(left))


def ratio(ours: Sequence[Record], theirs: Sequence[Record], metric: Metric) -> Estimate:
    """Return the ratio of our mean to theirs, over the tasks that both have; NaN if theirs is 0."""
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
    return Estimate(value=value, interval=Interval(low=quantile(drawn, 0.025), high=quantile(drawn, 0.975)))


def percentile(records: Iterable[Record], metric: Metric, share: float) -> float:
    """Return the metric's percentile, linearly interpolated; `share` is 0 to 1."""
    return quantile(sorted(metric(record) for record in records), share)


def quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def oracle(cheap: Iterable[Record], dear: Iterable[Record]) -> list[Record]:
    """Return the runs that an effort chosen in advance, with the outcomes known, would have produced.

    Per task and seed: the verified run with the fewest output tokens, or the cheaper run if none was verified. An arm
    that lacks a seed is represented by its first run of the task.
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
    """Return each arm's records, limited to the tasks that every arm has finished with all its seeds."""
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

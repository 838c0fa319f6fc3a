"""Format the records of the escalation bench as Markdown: what was measured, and what it does not show."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from escalation_stats import (
    BOOTSTRAP_SEED,
    ORACLE,
    RESAMPLES,
    Estimate,
    Metric,
    Record,
    Setup,
    comparable,
    difference,
    mean,
    oracle,
    percentile,
    ratio,
    success,
)

BASELINES = ("high", "none")
NOT_SHOWN = """\
### What this does not show

- This is one model on one machine, a tiny model made for such tasks. A large model may gain more or less from
  reasoning, and the share of tasks that it solves without reasoning decides how much a ladder can save.
- The tasks are of one kind, one bug in a small project, from one generator. Other work fails in other ways.
- The tests that decide success also run for the ladder, at each attempt. Without such tests, `verify_failed` never
  fires; the remaining triggers were not measured separately.
- {FAULTS}
- Seconds are those of this machine under this load. On a GPU, prefill is cheap relative to decoding, so a switch of
  effort costs less time than here; token counts carry over, seconds do not.
- The interval of a success rate counts each task once; the paired intervals resample tasks. Both generalise to other
  tasks of this kind, not to other models, engines or settings. Nothing is corrected for the number of comparisons.
- A run at temperature 0 is not exactly reproducible: the batching of requests changes the last bits, and test output
  contains times.
- The oracle knows the outcomes. No rule that decides in advance can reach it."""
FAULTS_SHOWN = """\
The faults are synthetic, in equal shares of four kinds. An engine that constrains free calls to the tool list
  (`strict`) prevents most of them; they represent engines and models without that."""
NO_FAULTS = "No faults were injected. The effect of broken calls on the comparison was not measured here."


def report(setups: Sequence[Setup], records: Sequence[Record]) -> str:
    """Return the whole report.

    Args:
        setups: one per start of the bench; the last one describes the machine.
        records: all runs; of runs with equal keys the last one counts, and runs with status `error` are ignored.
    """
    latest = list({record.key: record for record in records if record.status != "error"}.values())
    named = list(dict.fromkeys(arm for setup in setups for arm in setup.arms))
    latest.sort(key=lambda record: named.index(record.arm) if record.arm in named else len(named))
    rates = sorted({record.fault_rate for record in latest})
    parts = [*_head(setups[-1], len(setups), latest)]
    for rate in rates:
        parts += _section(rate, [record for record in latest if record.fault_rate == rate], setups[-1])
    if len(rates) > 1:
        parts += _faults(rates, latest)
    parts += ["", NOT_SHOWN.replace("{FAULTS}", FAULTS_SHOWN if len(rates) > 1 else NO_FAULTS)]
    return "\n".join(parts) + "\n"


def _head(setup: Setup, starts: int, records: Sequence[Record]) -> Iterator[str]:
    seeds = {arm: sorted({record.seed for record in records if record.arm == arm}) for arm in _arms(records)}
    yield "## Benefit of escalation on failure"
    yield ""
    yield f"{len(records)} runs of {len({record.task for record in records})} tasks, {setup.date[:10]}."
    yield ""
    yield f"- Model: `{setup.model}`, weights SHA-256 {setup.model_digest}. Engine: vLLM {setup.engine}."
    yield (
        f"- Machine: {setup.cores} cores, load average {setup.load_average:.1f} before the start; Python "
        f"{setup.python}. {setup.concurrency} concurrent runs, arms interleaved task by task"
        + (f"; started {starts} times." if starts > 1 else ".")
    )
    yield f"- Budget of every run: {setup.steps} requests. Only runs that end `verified` count as a success."
    if setup.tasks:
        yield f"- Tasks, from `tasks.json`: `{json.dumps(dict(setup.tasks))}`"
    yield "- Arms:"
    for arm, numbers in seeds.items():
        yield f"  - `{arm}`: {_format_ladder(setup.arms.get(arm))}; seeds {', '.join(map(str, numbers))}"
    yield "  - `oracle`: per task and seed, the cheaper successful run of `none` and `high`; computed, not run"


def _format_ladder(ladder: object) -> str:
    if not isinstance(ladder, Mapping):
        return "ladder not recorded"
    words: list[str] = []
    for rung in ladder["rungs"]:
        extra = [name for name in ("constrained", "fresh_context") if rung.get(name)]
        words.append(" ".join([str(rung.get("effort")), *extra]))
    triggers = ", ".join(f"{name} {count}" for name, count in ladder["triggers"].items())
    policy = ladder.get("policy", "failures")
    phases = "" if policy == "failures" else f"; policy {policy}, a plan takes {ladder['hold_steps']} step"
    return f"{' → '.join(words)} (thresholds: {triggers}{phases})"


def _section(rate: float, records: Sequence[Record], setup: Setup) -> Iterator[str]:
    arms = comparable(records)
    if "none" in arms and "high" in arms:
        arms[ORACLE] = oracle(arms["none"], arms["high"])
    tasks = {record.task for record in records}
    kept = {record.task for found in arms.values() for record in found}
    yield ""
    yield "### Without faults" if not rate else f"### With {rate:.0%} of the calls damaged"
    yield ""
    if not kept:
        yield f"No task was finished by every arm yet ({len(tasks)} were started)."
        return
    left = f" {len(tasks - kept)} more are excluded: not every arm has finished them." if tasks - kept else ""
    yield f"{len(kept)} tasks that every arm has finished with all its seeds.{left}"
    yield ""
    yield from _table(_RESULTS, arms)
    yield ""
    yield from _table(_EFFORTS, arms)
    yield ""
    yield from _endings({arm: found for arm, found in arms.items() if arm != ORACLE})
    for baseline in BASELINES:
        if baseline in arms:
            yield from _differences(baseline, arms)
    if not rate:
        yield from _by_kind(arms, setup.held_out_kinds)


@dataclass(frozen=True, kw_only=True)
class _Column:
    title: str
    cell: Callable[[Sequence[Record]], str]


def _mean_column(title: str, metric: Metric, digits: int = 0) -> _Column:
    return _Column(title=title, cell=lambda records: f"{mean(records, metric):,.{digits}f}")


def _success_cell(records: Sequence[Record]) -> str:
    found = success(records)
    return f"{found.value:.1%} ({found.interval.low:.1%} to {found.interval.high:.1%})"


def _per_success(records: Sequence[Record]) -> str:
    rate = mean(records, lambda record: record.ok)
    return f"{mean(records, lambda record: record.output_tokens) / rate:,.0f}" if rate else "none"


_RESULTS = (
    _Column(title="runs", cell=lambda records: str(len(records))),
    _Column(title="verified (95 %)", cell=_success_cell),
    _mean_column("output tokens", lambda record: record.output_tokens),
    _mean_column("of these reasoning", lambda record: record.reasoning_tokens),
    _Column(title="output tokens per success", cell=_per_success),
    _mean_column("prompt tokens", lambda record: record.prompt_tokens),
    _mean_column("of these cached", lambda record: record.cached_tokens),
    _mean_column("prefilled", lambda record: record.prefilled_tokens),
)
_EFFORTS = (
    _mean_column("requests", lambda record: record.requests, 2),
    _mean_column("re-asks", lambda record: record.reasks, 2),
    _mean_column("of these cured", lambda record: record.cured, 2),
    _mean_column("effort switches", lambda record: record.effort_switches, 2),
    _mean_column("prefilled by switches", lambda record: record.switch_prefilled_tokens),
    _mean_column("tool calls", lambda record: record.tool_calls, 2),
    _mean_column("verifications", lambda record: record.verifications, 2),
    _Column(title="wall s, median", cell=lambda records: f"{percentile(records, lambda one: one.wall_s, 0.5):.2f}"),
    _Column(title="wall s, p90", cell=lambda records: f"{percentile(records, lambda one: one.wall_s, 0.9):.2f}"),
    _mean_column("engine s", lambda record: record.engine_s, 2),
    _mean_column("tools s", lambda record: record.tools_s, 2),
    _mean_column("verify s", lambda record: record.verify_s, 2),
)


def _table(columns: Sequence[_Column], arms: Mapping[str, Sequence[Record]]) -> Iterator[str]:
    rows = [[f"`{arm}`", *(column.cell(found) for column in columns)] for arm, found in arms.items()]
    yield from _lines(["per task", *(column.title for column in columns)], rows)


def _lines(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|---|" + "---:|" * (len(head) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def _endings(arms: Mapping[str, Sequence[Record]]) -> Iterator[str]:
    statuses = sorted({record.status for found in arms.values() for record in found})
    head = ["runs", *(f"`{status}`" for status in statuses), "climbed", "climbed and verified", "climb triggers"]
    rows: list[list[str]] = []
    for arm, found in arms.items():
        ended = Counter(record.status for record in found)
        climbed = [record for record in found if record.climbs]
        causes = sum((Counter(record.climbs) for record in climbed), Counter[str]())
        named = ", ".join(f"{name} {count}" for name, count in causes.most_common()) or "-"
        solved = sum(record.ok for record in climbed)
        rows.append([f"`{arm}`", *(str(ended[status]) for status in statuses), str(len(climbed)), str(solved), named])
    yield from _lines(head, rows)


_COMPARED: Mapping[str, Metric] = {
    "output tokens": lambda record: record.output_tokens,
    "prefilled tokens": lambda record: record.prefilled_tokens,
    "requests": lambda record: record.requests,
    "wall s": lambda record: record.wall_s,
}


def _differences(baseline: str, arms: Mapping[str, Sequence[Record]]) -> Iterator[str]:
    yield ""
    yield (
        f"Against `{baseline}`, paired by task, with 95 % intervals (bootstrap over tasks, {RESAMPLES} resamples, seed "
        f"{BOOTSTRAP_SEED}):"
    )
    yield ""
    theirs = arms[baseline]
    head = ["difference", "verified, points", *_COMPARED, f"output tokens, times `{baseline}`", "wall s, times"]
    rows: list[list[str]] = []
    for arm, ours in arms.items():
        if arm == baseline:
            continue
        solved = difference(ours, theirs, lambda record: 100.0 * record.ok)
        compared = [difference(ours, theirs, metric) for metric in _COMPARED.values()]
        times = [ratio(ours, theirs, _COMPARED[name]) for name in ("output tokens", "wall s")]
        cells = [_signed(solved, 1), *(_signed(found, 0 if abs(found.value) >= 100 else 2) for found in compared)]
        rows.append([f"`{arm}`", *cells, *(_spread(found) for found in times)])
    yield from _lines(head, rows)


def _signed(found: Estimate, digits: int) -> str:
    low, high = found.interval.low, found.interval.high
    return f"{found.value:+,.{digits}f} ({low:+,.{digits}f} to {high:+,.{digits}f})"


def _spread(found: Estimate) -> str:
    return f"{found.value:.2f} ({found.interval.low:.2f} to {found.interval.high:.2f})"


def _by_kind(arms: Mapping[str, Sequence[Record]], held_out: Sequence[str]) -> Iterator[str]:
    kinds = sorted({record.bug_kind for found in arms.values() for record in found})
    groups: list[tuple[str, frozenset[str]]] = [
        (kind + (" (held out)" if kind in held_out else ""), frozenset({kind})) for kind in kinds
    ]
    unseen = frozenset(held_out) & set(kinds)
    if unseen:
        groups += [("all seen in training", frozenset(kinds) - unseen), ("all held out from training", unseen)]
    yield ""
    yield "Verified by kind of bug" + ("; held out: not in the model's training data." if held_out else ".")
    yield ""
    rows: list[list[str]] = []
    for title, members in groups:
        chosen = {arm: [one for one in found if one.bug_kind in members] for arm, found in arms.items()}
        tasks = {record.task for found in chosen.values() for record in found}
        if tasks:
            rows.append([title, str(len(tasks)), *(f"{success(found).value:.0%}" for found in chosen.values())])
    yield from _lines(["kind", "tasks", *(f"`{arm}`" for arm in arms)], rows)


def _faults(rates: Sequence[float], records: Sequence[Record]) -> Iterator[str]:
    """Compare the fault rates on the tasks and seeds that all of them have."""
    runs: dict[tuple[str, str, int], dict[float, Record]] = {}
    for record in records:
        runs.setdefault((record.arm, record.task, record.seed), {})[record.fault_rate] = record
    whole = [found for found in runs.values() if len(found) == len(rates)]
    yield ""
    yield "### The same tasks and seeds at every fault rate"
    yield ""
    head = ["arm", "runs", *(f"verified at {rate:.0%}" for rate in rates)]
    head += [*(f"output tokens at {rate:.0%}" for rate in rates), f"damaged per run at {rates[-1]:.0%}"]
    rows: list[list[str]] = []
    for arm in _arms(records):
        mine = [found for found in whole if found[rates[0]].arm == arm]
        if mine:
            solved = [f"{statistics.fmean(found[rate].ok for found in mine):.1%}" for rate in rates]
            tokens = [f"{statistics.fmean(found[rate].output_tokens for found in mine):,.0f}" for rate in rates]
            damaged = statistics.fmean(sum(found[rates[-1]].faults.values()) for found in mine)
            rows.append([f"`{arm}`", str(len(mine)), *solved, *tokens, f"{damaged:.2f}"])
    yield from _lines(head, rows)
    done = sum((Counter(record.faults) for record in records), Counter[str]())
    yield ""
    yield f"Total damage: {', '.join(f'{kind} {count}' for kind, count in sorted(done.items())) or 'none'}."


def _arms(records: Iterable[Record]) -> list[str]:
    return list(dict.fromkeys(record.arm for record in records))

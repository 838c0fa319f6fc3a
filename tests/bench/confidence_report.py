"""Format the records of the confidence bench as Markdown, with pure statistics over them."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import get_args

from confidence_records import HIGHEST, LOWEST, Confidence, Doubt, Edit, Measure, Play
from escalation_faults import FAULT_KINDS
from escalation_stats import BOOTSTRAP_SEED, RESAMPLES, Estimate, Interval, Record, Setup, quantile, wilson

SHARES = (0.05, 0.1, 0.2)
TITLES: Mapping[Measure, str] = {"total": "sum", "mean": "mean", "lowest": "minimum"}
NOT_SHOWN = """\
What this does not show:

- "Right" means that the hidden tests pass right after this edit. An edit that is one half of a repair counts as wrong;
  these tasks have one bug each. Edits that bring back the project of the start are left out.
- This is a tiny model, at temperature 0, trained on such edits; a large model's confidence may tell more or less.
- The second asking is judged by its own first edit. A reply that reads or runs something first is "no edit".
- Edits of one task are alike; the intervals resample tasks. The thresholds are quantiles of these same edits, so a
  threshold that is chosen in advance asks a somewhat different share.
- "At best" is a bound: what follows an edit that was made right was not played, and a right edit that becomes wrong has
  no price there. The runs with the rule were, against earlier runs of the ladder."""


Edits = Sequence[tuple[str, Edit]]
"""Edits, each with the name of its task."""


@dataclass(frozen=True, kw_only=True)
class Prices:
    """Tokens that the engine computes for whole runs."""

    ladder: Mapping[str, Record]
    """The run of each task with the default ladder."""
    whole: int
    """Of all these runs together."""
    direct: float
    """Of a run that is verified with its first edit, on average."""

    @classmethod
    def of(cls, plays: Sequence[Play], ladder: Mapping[str, Record]) -> Prices:
        runs = {play.task: ladder[play.task] for play in plays}
        direct = [
            play.computed_tokens
            for play in plays
            if play.status == "verified" and [edit.label for edit in play.edits] == ["right"]
        ]
        whole = sum(computed_by(run) for run in runs.values())
        return cls(ladder=runs, whole=whole, direct=statistics.fmean(direct) if direct else 0.0)

    def at_best(self, edits: Edits, chosen: Edits) -> tuple[float, set[str]]:
        """Return the tokens if each wrong edit that becomes right ends its run, and the tasks in which one does.

        Args:
            edits: all edits, in the order of the plays.
            chosen: those that are asked again.
        """
        asked, total, mended = {id(edit) for _, edit in chosen}, float(self.whole), set[str]()
        for task, edit in edits:
            if id(edit) in asked and edit.again is not None and task not in mended:
                total += edit.again.computed_tokens
                if (edit.label, edit.again.label) == ("wrong", "right"):
                    total -= max(0.0, computed_by(self.ladder[task]) - self.direct)
                    mended.add(task)
        return total, mended


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Values of the edits that should score high, and of those that should score low, in one task."""

    high: tuple[float, ...]
    low: tuple[float, ...]


def auc(high: Sequence[float], low: Sequence[float]) -> float:
    """Return how often a value of `high` is above one of `low`, where equal ones count half; NaN without pairs."""
    if not high or not low:
        return math.nan
    ordered = sorted(low)
    wins = sum(bisect_left(ordered, value) + bisect_right(ordered, value) for value in high)
    return wins / 2 / (len(high) * len(low))


def auc_over_tasks(samples: Sequence[Sample]) -> Estimate:
    """Return the AUC over all edits; its interval comes from resampling tasks."""

    def of(chosen: Sequence[Sample]) -> float:
        return auc([one for task in chosen for one in task.high], [one for task in chosen for one in task.low])

    return _bootstrapped(samples, of)


def _bootstrapped(items: Sequence[Sample], of: Callable[[Sequence[Sample]], float]) -> Estimate:
    rng = Random(BOOTSTRAP_SEED)
    drawn = [of(rng.choices(items, k=len(items))) for _ in range(RESAMPLES)] if items else []
    found = sorted(value for value in drawn if not math.isnan(value)) or [math.nan]
    interval = Interval(low=quantile(found, 0.025), high=quantile(found, 0.975))
    return Estimate(value=of(items), interval=interval)


def least_sure(edits: Edits, measure: Measure, share: float) -> Edits:
    """Return the share of the edits in which the model was least sure."""
    ordered = sorted(edits, key=lambda one: value_of(one[1].confidence, measure))
    return ordered[: round(share * len(edits))]


def value_of(confidence: Confidence, measure: Measure) -> float:
    """Return one measure of the confidence."""
    return {"total": confidence.total, "mean": confidence.mean, "lowest": confidence.lowest}[measure]


def report(setups: Sequence[Setup], plays: Sequence[Play], ladder: Mapping[str, Record]) -> str:
    """Return the whole section.

    Args:
        setups: one per start of the bench; the last one describes the machine.
        plays: all plays, with a rule or without.
        ladder: each task's run with the default ladder, from the records of the escalation bench.
    """
    plain = [play for play in plays if not play.doubt]
    parts = [*_head(setups[-1], plain), "", *_tellings(plain), "", *_asking(plain, ladder), "", *_damage(plain)]
    for rule in dict.fromkeys(play.doubt for play in plays if play.doubt):
        parts += ["", *_whole_runs(rule, [play for play in plays if play.doubt == rule], plain, ladder)]
    return "\n".join([*parts, "", NOT_SHOWN])


def _head(setup: Setup, plays: Sequence[Play]) -> Iterator[str]:
    yield "### What was measured"
    yield ""
    counted = Counter(edit.label for play in plays for edit in play.edits)
    labels = ", ".join(f"{count} {label}" for label, count in counted.most_common()) or "none"
    yield (
        f"{len(plays)} tasks, drawn at random and played up to the ladder's change of effort, {setup.date[:10]}. "
        f"Model `{setup.model}`, weights SHA-256 {setup.model_digest}; vLLM {setup.engine}; {setup.cores} cores, load "
        f"average {setup.load_average:.1f} before the start, {setup.concurrency} plays at once. Edits at effort "
        f"`{LOWEST}`: {labels}. Confidence is the "
        "log-probability of the tokens of a call's name and arguments and of the token that ends it."
    )


def _tellings(plays: Sequence[Play]) -> Iterator[str]:
    yield "How often a right edit scores above a wrong one (AUC; 0.5 tells nothing), with 95 % intervals:"
    yield ""
    groups: Mapping[str, Callable[[Play], Sequence[Edit]]] = {
        "all": lambda play: play.edits,
        "the first of each task": lambda play: play.edits[:1],
        "the later ones": lambda play: play.edits[1:],
    }
    rows: list[list[str]] = []
    for title, chosen in groups.items():
        by_task = [chosen(play) for play in plays]
        counted = Counter(edit.label for edits in by_task for edit in edits)
        cells = [
            _spread(auc_over_tasks([_sample(edits, measure) for edits in by_task])) for measure in get_args(Measure)
        ]
        rows.append([title, str(counted["right"]), str(counted["wrong"]), *cells])
    yield from _table(["edits", "right", "wrong", *TITLES.values()], rows)


def _sample(edits: Sequence[Edit], measure: Measure) -> Sample:
    def values(label: str) -> tuple[float, ...]:
        return tuple(value_of(edit.confidence, measure) for edit in edits if edit.label == label)

    return Sample(high=values("right"), low=values("wrong"))


def _asking(plays: Sequence[Play], ladder: Mapping[str, Record]) -> Iterator[str]:
    edits = [(play.task, edit) for play in plays for edit in play.edits if edit.label in {"right", "wrong"}]
    prices = Prices.of(plays, ladder)
    yield (
        f"If the least sure of these {len(edits)} edits are asked again, at effort `{HIGHEST}`. Each was really asked "
        "again. Tokens are those that the engine computed, prefilled or generated, times those of the default ladder "
        f"for the same tasks ({prices.whole:,}); at best: if each wrong edit that becomes right ends its run at once, "
        f"which then costs what a run with a right first edit does ({prices.direct:,.0f} tokens) and the second asking:"
    )
    yield ""
    rows: list[list[str]] = []
    for measure in get_args(Measure):
        for share in SHARES:
            title = f"{TITLES[measure]}, {share:.0%}"
            rows.append([title, *_asked_cells(edits, least_sure(edits, measure, share), measure, prices)])
    rows.append(["all of them", *_asked_cells(edits, edits, "lowest", prices)])
    head = ["asked again", "edits", "threshold", "wrong", "right before", "right after", "wrong made right"]
    head += ["right made wrong", "no edit after", "tokens", "tokens at best", "more runs verified at best"]
    yield from _table(head, rows)


def _asked_cells(edits: Edits, chosen: Edits, measure: Measure, prices: Prices) -> list[str]:
    pairs = [(task, edit.label, edit.again) for task, edit in chosen if edit.again is not None]
    moved = Counter((was, again.label) for _, was, again in pairs)
    before, after = Counter(was for _, was, _ in pairs), Counter(again.label for _, _, again in pairs)
    spent = sum(again.computed_tokens for _, _, again in pairs)
    best, mended = prices.at_best(edits, chosen)
    edge = max((value_of(edit.confidence, measure) for _, edit in chosen), default=math.nan)
    return [
        str(len(chosen)),
        "-" if len(chosen) == len(edits) else f"{edge:.3g}",
        f"{before['wrong']} of {sum(edit.label == 'wrong' for _, edit in edits)}",
        str(before["right"]),
        str(after["right"]),
        str(moved["wrong", "right"]),
        str(moved["right", "wrong"] + moved["right", "refused"] + moved["right", "undone"]),
        str(after["no_edit"]),
        f"{(prices.whole + spent) / prices.whole:.2f}",
        f"{best / prices.whole:.2f}",
        str(sum(not prices.ladder[task].ok for task in mended)),
    ]


def _damage(plays: Sequence[Play]) -> Iterator[str]:
    yield (
        "Each edit once more with a fault of the escalation bench. The model did not write these calls; it reads them "
        "in the place of its own, and their tokens have probabilities there (`prompt_logprobs`). The AUC is of the "
        "same calls undamaged, scored in the same way, against the damaged ones:"
    )
    yield ""
    rows: list[list[str]] = []
    for kind in (*FAULT_KINDS, "all"):
        by_task = [[edit.damaged for edit in play.edits if edit.damaged is not None] for play in plays]
        by_task = [[one for one in found if kind in {one.kind, "all"}] for found in by_task]
        labels = Counter(one.label for found in by_task for one in found)
        cells: list[str] = []
        for measure in get_args(Measure):
            samples = [
                Sample(
                    high=tuple(value_of(one.undamaged, measure) for one in found),
                    low=tuple(value_of(one.confidence, measure) for one in found),
                )
                for found in by_task
            ]
            cells.append(_spread(auc_over_tasks(samples)))
        done = labels["right"] + labels["wrong"] + labels["undone"]
        rows.append([kind, str(labels.total()), str(labels["refused"]), str(done), *cells])
    yield from _table(["fault", "calls", "refused by the product's checks", "not refused", *TITLES.values()], rows)


def computed_by(run: Record) -> int:
    """Return how many tokens the engine computed for a run."""
    return run.prefilled_tokens + run.output_tokens


def _whole_runs(rule: str, plays: Sequence[Play], plain: Sequence[Play], ladder: Mapping[str, Record]) -> Iterator[str]:
    changed = {play.task: play for play in plays}
    met, found = Doubt.read(rule).is_met_in, len(plain)
    plain = [play for play in plain if play.task in changed or not met(play)]
    pairs = [(ladder[play.task], play) for play in plays]
    verified = {one.task: ladder[one.task].ok for one in plain}
    with_rule = verified | {task: play.status == "verified" for task, play in changed.items()}
    tokens = {one.task: computed_by(ladder[one.task]) for one in plain}
    with_tokens = tokens | {task: play.computed_tokens for task, play in changed.items()}
    yield (
        f"Whole runs with the rule `{rule}`, which asks an edit again and uses the new reply if it has an edit. It "
        f"meets edits of {len(plays)} tasks, which were played; {len(plain) - len(plays)} go as they do without it. "
        f"{found - len(plain)} more, in which it would meet one, were not played and are left out:"
    )
    yield ""
    rows: list[list[str]] = []
    for title, tasks in {"those tasks": list(changed), "all tasks": list(verified)}.items():
        first, second = sum(tokens[task] for task in tasks), sum(with_tokens[task] for task in tasks)
        solved = [_solved([outcome[task] for task in tasks]) for outcome in (verified, with_rule)]
        rows.append([title, str(len(tasks)), *solved, f"{first:,}", f"{second:,}", f"{second / first:.2f}"])
    head = ["", "tasks", "verified by the ladder", "verified with the rule", "tokens, ladder", "tokens, rule", "times"]
    yield from _table(head, rows)
    gained = sum(play.status == "verified" and not run.ok for run, play in pairs)
    lost = sum(play.status != "verified" and run.ok for run, play in pairs)
    yield ""
    asked = sum(play.asked_again for play in plays)
    yield f"Asked again: {asked} edits. Verified only with the rule: {gained} tasks; only without it: {lost}."


def _solved(verified: Sequence[bool]) -> str:
    interval = wilson(sum(verified) / len(verified), len(verified))
    return f"{sum(verified)} ({interval.low:.1%} to {interval.high:.1%})"


def _spread(found: Estimate) -> str:
    if math.isnan(found.value):
        return "-"
    return f"{found.value:.2f} ({found.interval.low:.2f} to {found.interval.high:.2f})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|---|" + "---:|" * (len(head) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"

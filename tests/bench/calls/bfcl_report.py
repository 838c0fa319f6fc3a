"""Run the leaderboard's functions and calls through schema tools and typed tools, and print the tables."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from random import Random
from typing import Literal

from calls.bfcl import Function, functions
from calls.hostile import hostile, lossless
from calls.judging import BAD, Case, Tally, Verdict, judge
from calls.loop import agrees
from calls.mutations import True_, mutations
from calls.tools_of import NotTyped, schema_tool, typed_tool
from calls.values import Json, exact, obeys, text_of

from agent import ConfigError, Tool
from agent.tooling.toolbox import Toolbox

Column = Literal["schema", "typed"]
COLUMNS: tuple[Column, ...] = ("schema", "typed")
_LOOP_EVERY = 300
_HOSTILE_VALUES = 12


@dataclass
class Counts:
    """What one worker found."""

    tools: Counter[str] = field(default_factory=Counter)
    messages: dict[str, str] = field(default_factory=dict)
    true_calls: dict[Column, Tally] = field(default_factory=lambda: {column: Tally() for column in COLUMNS})
    mutated: dict[Column, Tally] = field(default_factory=lambda: {column: Tally() for column in COLUMNS})
    hostile: dict[Column, Tally] = field(default_factory=lambda: {column: Tally() for column in COLUMNS})
    loop_runs: int = 0
    loop_differs: list[str] = field(default_factory=list)

    def merge(self, other: Counts) -> None:
        self.tools.update(other.tools)
        self.messages |= other.messages
        for mine, theirs in (
            (self.true_calls, other.true_calls),
            (self.mutated, other.mutated),
            (self.hostile, other.hostile),
        ):
            for column in COLUMNS:
                mine[column].merge(theirs[column])
        self.loop_runs += other.loop_runs
        self.loop_differs += other.loop_differs


def run_bfcl(*, sample: int | None, seed: int, jobs: int) -> Counts:
    """Return the counts of every function, or of `sample` functions that the seed chooses."""
    chosen = functions()
    if sample is not None:
        with_calls = [one for one in chosen if one.calls]
        chosen = Random(seed).sample(with_calls, min(sample, len(with_calls)))
    parts = [chosen[start :: jobs * 8] for start in range(jobs * 8)]
    total = Counts()
    with ProcessPoolExecutor(jobs, mp_context=get_context("fork")) as pool:
        for counts in pool.map(_run_part, [(part, seed) for part in parts]):
            total.merge(counts)
    return total


def _run_part(work: tuple[Sequence[Function], int]) -> Counts:
    counts = Counts()
    for function in work[0]:
        _run_function(function, counts, work[1])
    return counts


def _run_function(function: Function, counts: Counts, seed: int) -> None:
    counts.tools["functions"] += 1
    _foreign(function, counts)
    made: dict[Column, Tool] = {}
    try:
        made["schema"] = schema_tool(function)
    except ConfigError as error:
        counts.tools["converted, refused"] += 1
        counts.messages["converted, refused"] = str(error)
    try:
        made["typed"] = typed_tool(function)
    except NotTyped:
        counts.tools["not said by an annotation"] += 1
    except ConfigError as error:
        counts.tools["typed, refused"] += 1
        counts.messages["typed, refused"] = str(error)
    for column, tool in made.items():
        counts.tools[f"{column}, made"] += 1
        toolbox = Toolbox([tool, *_DECOYS])
        for number, arguments in enumerate(function.calls):
            rng = Random(f"{seed} {function.name} {number}")
            _run_call(function, arguments, column, toolbox, counts, rng)


_NOTHING: Json = {"type": "object", "properties": {}}
_DECOYS = tuple(
    schema_tool(Function(name=name, description="A tool that no call means.", own={}, schema=_NOTHING))
    for name in ("list_unrelated_files", "zz_unrelated")
)


def _foreign(function: Function, counts: Counts) -> None:
    """Offer the function in the leaderboard's own dialect, and with only its top renamed."""
    for kind, schema in (("own dialect", function.own), ("top renamed", {**function.own, "type": "object"})):
        try:
            schema_tool(function, dict(schema))
            counts.tools[f"{kind}, made"] += 1
        except ConfigError as error:
            counts.tools[f"{kind}, refused"] += 1
            counts.messages.setdefault(f"{kind}, refused", str(error))


def _run_call(
    function: Function, arguments: Json, column: Column, toolbox: Toolbox, counts: Counts, rng: Random
) -> None:
    name, schema = function.tool_name, function.schema
    sent = exact(text_of(arguments))
    legal = obeys(sent, schema)
    case = Case(
        kind="obeys its schema" if legal else "breaks its schema",
        arguments=text_of(sent),
        right=(sent,) if legal else _near(sent, schema, column),
        plain=legal,
    )
    _judge_all([case], counts.true_calls[column], toolbox, name, schema)
    if not legal:
        return
    call = True_(name=name, own_name=function.name, arguments=sent, schema=schema, typed=column == "typed")
    mutated = [*mutations(call, rng), *_prefixed(call)]
    _judge_all(mutated, counts.mutated[column], toolbox, name, schema)
    if sent:
        cases = list(hostile(call, rng, values=_HOSTILE_VALUES))
        _judge_all(cases, counts.hostile[column], toolbox, name, schema)
    for case in mutated[::_LOOP_EVERY]:
        differs = agrees(case, toolbox, name)
        counts.loop_runs += 1
        counts.loop_differs += [] if differs is None else [f"{name}: {case.kind}: {case.arguments[:200]}: {differs}"]


def _near(value: Json, schema: Json, column: Column) -> tuple[Json, ...]:
    """Return what a true call that breaks its schema means without loss.

    Nulls of optional parameters are left out, or stay where the parameter is typed `T | None`; a number where a text
    is wanted becomes a text; an enum word gets the schema's spelling.
    """
    near, with_nulls = {}, {}
    for key, item in value.items():
        known = schema.get("properties", {}).get(key, {})
        if item is None and known and key not in schema.get("required", ()):
            with_nulls[key] = None
            continue
        meant = [item] if obeys(item, known) else list(lossless(item, text_of(item), known))
        near[key] = with_nulls[key] = meant[0] if len(meant) == 1 else item
    return (near, *((with_nulls,) if column == "typed" else ())) if obeys(near, schema) else ()


def _prefixed(call: True_) -> Iterable[Case]:
    """Yield the case of a server's tool that is called without the server's prefix."""
    bare = re.sub(r"^[A-Za-z0-9]+[_-]", "", call.name)
    if bare != call.name and len(bare) > 3:
        yield Case(
            kind="name: without its first word", arguments=text_of(call.arguments), name=bare, right=(call.arguments,)
        )


def _judge_all(cases: Iterable[Case], tally: Tally, toolbox: Toolbox, name: str, schema: Json) -> None:
    for case in cases:
        tally.add(case, judge(case, toolbox, name, schema), name)


def print_bfcl(counts: Counts) -> None:
    """Print the sheet's tables, then each kind, then the worst examples."""
    print(f"## BFCL ({counts.tools['functions']} functions)\n")
    for key in sorted(counts.tools):
        print(f"- {key}: {counts.tools[key]}")
    for key, message in counts.messages.items():
        print(f"- {key}, for example: {message[:240]}")
    for title, tallies in (
        ("true calls", counts.true_calls),
        ("mutations", counts.mutated),
        ("hostile texts", counts.hostile),
    ):
        _print_table(title, tallies)
    print(
        f"\nLoop: {counts.loop_runs} runs of Agent and ScriptedModel, {len(counts.loop_differs)} differ from `check`."
    )
    for line in counts.loop_differs[:5]:
        print(f"- {line}")


_ROWS: tuple[Verdict, ...] = (
    "accepted as is", "repaired rightly, flagged", "refused rightly", *BAD,
)  # fmt: skip


def _print_table(title: str, tallies: dict[Column, Tally]) -> None:
    print(f"\n| {title} | {' | '.join(COLUMNS)} |\n|---|{'---:|' * len(COLUMNS)}")
    print(f"| total | {' | '.join(str(sum(tallies[column].counts.values())) for column in COLUMNS)} |")
    for row in _ROWS:
        print(f"| {row} | {' | '.join(str(tallies[column].total(row)) for column in COLUMNS)} |")
    print(f"| over 50 ms of CPU | {' | '.join(str(len(tallies[column].slow)) for column in COLUMNS)} |")
    print(f"\n| {title} by kind | {' | '.join(f'{column}, {row}' for column in COLUMNS for row in _SHORT)} |")
    print(f"|---|{'---:|' * len(COLUMNS) * len(_SHORT)}")
    kinds = sorted({kind for column in COLUMNS for kind, _ in tallies[column].counts})
    for kind in kinds:
        cells: list[str] = []
        for column in COLUMNS:
            found = tallies[column].by_kind().get(kind, Counter[Verdict]())
            cells += [str(sum(found[one] for one in members)) for members in _SHORT.values()]
        print(f"| {kind} | {' | '.join(cells)} |")
    for column in COLUMNS:
        for (kind, verdict), lines in sorted(tallies[column].examples.items(), key=lambda one: one[0][1]):
            for line in lines[: 1 if verdict.startswith("refused") else 3]:
                print(f"- {column}, {verdict}, {kind}: {json.dumps(line, ensure_ascii=False)[1:-1]}")
        for cpu_ms, line in sorted(tallies[column].slow, reverse=True)[:5]:
            print(f"- {column}, {cpu_ms:.0f} ms: {line}")


_SHORT: dict[str, tuple[Verdict, ...]] = {
    "right": ("accepted as is", "repaired rightly, flagged"),
    "refused": ("refused rightly",),
    "plain refused": ("refused though plain",),
    "wrong flagged": ("executed wrong, flagged", "another reading, flagged"),
    "wrong unflagged": (
        "executed wrong, unflagged",
        "fraction rounded to a float",
        "repaired, not flagged",
        "integer arrives as float",
    ),
    "raised": ("raised", "stuck"),
}

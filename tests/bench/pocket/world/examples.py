"""Choose the calls that tests assert: their values, how hard they are to trace, which wrong changes they catch."""

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from pocket.world.functions import Function, Kind
from pocket.world.tracing import MAX_NUMBER, TooHardError, trace

_POOL = 32
_MAX_CHARS = 260
_MAX_HIDDEN = 8

Arguments = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Example:
    """One call and its expected value."""

    arguments: Arguments
    value: object


def outcomes(sources: Sequence[str], name: str, examples: Sequence[Example]) -> list[object]:
    """Return the value of each call, or the exception's name if it raises one."""
    namespace: dict[str, Any] = {"__builtins__": {"range": range, "len": len, "sum": sum, "min": min, "max": max}}
    exec("\n".join(sources), namespace)
    return [_outcome(namespace[name], example.arguments) for example in examples]


def _outcome(function: Callable[..., object], arguments: Arguments) -> object:
    try:
        return function(*arguments)
    except (ArithmeticError, LookupError, NameError, TypeError, RecursionError) as error:
        return type(error).__name__


def parsed(sources: Sequence[str]) -> dict[str, ast.FunctionDef]:
    """Return the functions of these sources by name."""
    nodes = [node for source in sources for node in ast.parse(source).body]
    return {node.name: node for node in nodes if isinstance(node, ast.FunctionDef)}


def trace_chars(sources: Sequence[str], name: str, example: Example) -> int:
    """Return the number of characters in a call's trace; 0 if it is too hard to trace."""
    try:
        return len(trace(parsed(sources), name, example.arguments)[0])
    except TooHardError:
        return 0


def pool_of(rng: Random, made: Function, sources: Sequence[str]) -> list[Example]:
    """Generate calls whose values are integers or booleans of at most MAX_NUMBER in absolute value."""
    calls = [tuple(_argument(rng, kind, small=made.small) for kind in made.kinds) for _ in range(_POOL)]
    calls = list({repr(call): call for call in calls}.values())
    values = outcomes(sources, made.name, [Example(arguments=call, value=None) for call in calls])
    pairs = zip(calls, values, strict=True)
    return [Example(arguments=call, value=value) for call, value in pairs if _easy(value)]


def _easy(value: object) -> bool:
    return isinstance(value, int) and abs(value) <= MAX_NUMBER


def _argument(rng: Random, kind: Kind, *, small: bool) -> object:
    if kind == "ints":
        return [rng.randint(0, 9) for _ in range(rng.choice([2, 3, 3, 4]))]
    return rng.randint(0, 6) if small else rng.randint(0, 12)


def differing(pool: Sequence[Example], values: Sequence[object]) -> set[int]:
    """Return the indices of wrong values; True and 1 count as different."""
    return {
        at
        for at, (example, value) in enumerate(zip(pool, values, strict=True))
        if value != example.value or type(value) is not type(example.value)
    }


def visible_of(
    rng: Random, pool: Sequence[Example], easy: Mapping[int, int], rivals: Sequence[set[int]]
) -> list[int] | None:
    """Choose one to four calls, of which the first wrong one catches all rivals but at most two. None if impossible.

    Args:
        rng: the only source of randomness.
        pool: the calls to choose from.
        easy: indices of the calls that show the bug, with the characters of their traces; 0 means too hard.
        rivals: for each change that is not a repair, the indices of the calls that it gets wrong.
    """
    possible = [at for at, chars in easy.items() if 0 < chars <= _MAX_CHARS]
    if not possible:
        return None
    decisive = min(possible, key=lambda at: (sum(at not in rival for rival in rivals), easy[at] // 40, rng.random()))
    left = [rival for rival in rivals if decisive not in rival]
    if len(left) > 2:
        return None
    chosen = [decisive]
    for rival in left:
        if not rival & set(chosen):
            chosen.append(rng.choice(sorted(rival)))
    right = [at for at in range(len(pool)) if at not in easy]
    if right and rng.random() < 0.4:
        chosen.insert(0, rng.choice(right))
    rest = [at for at in range(len(pool)) if at not in chosen]
    if rest and len(chosen) < 3 and rng.random() < 0.4:
        chosen.append(rng.choice(rest))
    return chosen if len(chosen) <= 4 else None


def hidden_of(rng: Random, pool: Sequence[Example], wrong: set[int], rivals: Sequence[set[int]]) -> list[int]:
    """Choose calls so that every rival gets at least one of them wrong."""
    chosen = [rng.choice(sorted(wrong))]
    for rival in rivals:
        if not rival & set(chosen):
            chosen.append(rng.choice(sorted(rival)))
    rest = [at for at in range(len(pool)) if at not in chosen]
    while len(chosen) < _MAX_HIDDEN and rest:
        chosen.append(rest.pop())
    return chosen

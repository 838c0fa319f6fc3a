"""Generate short functions over small integers, lists of them and booleans, as source text; runs no code."""

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, get_args

from pocket.world.names import Names

Kind = Literal["int", "ints"]
"""Type of a parameter: a small integer or a list of two to four of them."""
Family = Literal[
    "plain", "two_steps", "branches", "truth", "loop", "counting", "recursion", "item", "builtin", "calling"
]  # fmt: skip
FAMILIES: tuple[Family, ...] = get_args(Family)


@dataclass(frozen=True, kw_only=True)
class Function:
    """One function and the helper that it calls."""

    name: str
    kinds: tuple[Kind, ...]
    """One per parameter."""
    source: str
    """As `ast.unparse` writes it, without a trailing newline."""
    helper: "Function | None" = None
    small: bool = False
    """Whether it loops or recurses up to its argument, which must then be small."""


def generate_function(rng: Random, names: Names, families: Sequence[Family] = FAMILIES) -> Function:
    """Generate one function from these families, chosen by weight."""
    weights = [_FAMILIES[family][1] for family in families]
    return _FAMILIES[rng.choices(families, weights=weights)[0]][0](rng, names)


def shape(source: str) -> str:
    """Return a function's source with names and constants normalised; equal for functions that differ only in them."""
    tree = ast.parse(source)
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.name = known.setdefault(node.name, f"v{len(known)}")
        elif isinstance(node, ast.arg):
            node.arg = known.setdefault(node.arg, f"v{len(known)}")
        elif isinstance(node, ast.Name) and node.id not in _BUILTINS:
            node.id = known.setdefault(node.id, f"v{len(known)}")
        elif isinstance(node, ast.Constant):
            node.value = 0
    return ast.unparse(tree)


_BUILTINS = frozenset({"range", "len", "sum", "min", "max"})


def _ints(names: Sequence[str]) -> tuple[Kind, ...]:
    return tuple("int" for _ in names)


def _build(
    name: str, parameters: Sequence[str], kinds: Sequence[Kind], lines: Sequence[str], *, small: bool = False,
    helper: Function | None = None,
) -> Function:  # fmt: skip
    text = f"def {name}({', '.join(parameters)}):\n" + "\n".join(f"    {line}" for line in lines)
    return Function(
        name=name, kinds=tuple(kinds), source=ast.unparse(ast.parse(text)), helper=helper, small=small
    )  # fmt: skip


def _constant(rng: Random) -> str:
    return str(rng.choice([1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10]))


def _operation(rng: Random, left: str, right: str) -> str:
    sign = rng.choices(["+", "-", "*", "//", "%"], weights=[8, 8, 7, 2, 2])[0]
    if sign in {"//", "%"} and not right.isdigit():
        right = rng.choice(["2", "3", "4", "5"])
    return f"({left} {sign} {right})"


def _expression(rng: Random, leaves: Sequence[str]) -> str:
    """Join the leaves by random operations in random grouping."""
    parts = list(leaves)
    while len(parts) > 1:
        at = rng.randrange(len(parts) - 1)
        parts[at : at + 2] = [_operation(rng, parts[at], parts[at + 1])]
    return parts[0].removeprefix("(").removesuffix(")") if len(leaves) > 1 else parts[0]


def _leaves(rng: Random, names: Sequence[str], extra: Sequence[int] = (2, 5, 2)) -> list[str]:
    leaves = list(names)
    for _ in range(rng.choices(range(len(extra)), weights=extra)[0]):
        leaves.append(_constant(rng) if rng.random() < 0.75 else rng.choice(list(names)))
    rng.shuffle(leaves)
    return leaves if len(leaves) > 1 else [*leaves, _constant(rng)]


def _condition(rng: Random, left: str, right: str) -> str:
    sign = rng.choices(["<", "<=", ">", ">=", "==", "!="], weights=[4, 4, 4, 4, 2, 1])[0]
    return f"{left} {sign} {right}"


def _plain(rng: Random, names: Names) -> Function:
    variables = [names.variable() for _ in range(rng.choice([1, 2, 2, 2, 3]))]
    body = f"return {_expression(rng, _leaves(rng, variables, (4, 4, 1)))}"
    return _build(names.function(), variables, _ints(variables), [body])


def _two_steps(rng: Random, names: Names) -> Function:
    variables = [names.variable() for _ in range(rng.choice([1, 2, 2]))]
    between = names.variable()
    first = _expression(rng, _leaves(rng, variables, (4, 2)))
    second = _expression(rng, _leaves(rng, [between, *variables[:1]] if rng.random() < 0.5 else [between], (2, 3)))
    return _build(
        names.function(), variables, _ints(variables), [f"{between} = {first}", f"return {second}"]
    )  # fmt: skip


def _branches(rng: Random, names: Names) -> Function:
    variables = [names.variable() for _ in range(rng.choice([1, 2, 2]))]
    left = variables[0]
    right = variables[1] if len(variables) > 1 and rng.random() < 0.6 else _constant(rng)

    def value() -> str:
        chosen = rng.choice(variables)
        return rng.choice([chosen, _constant(rng), _operation(rng, chosen, _constant(rng)).strip("()")])

    one, two = value(), value()
    lines = [f"if {_condition(rng, left, right)}:", f"    return {one}", f"return {two}"]
    return _build(names.function(), variables, _ints(variables), lines)


def _truth(rng: Random, names: Names) -> Function:
    variables = [names.variable() for _ in range(rng.choice([1, 2, 2]))]
    if len(variables) == 1:
        one, two = _condition(rng, variables[0], _constant(rng)), _condition(rng, variables[0], _constant(rng))
    else:
        one = _condition(rng, variables[0], rng.choice([variables[1], _constant(rng)]))
        two = _condition(rng, variables[1], _constant(rng))
    joined = rng.choice([f"{one} and {two}", f"{one} or {two}"])
    body = joined if len(variables) > 1 or rng.random() < 0.6 else one
    return _build(names.function(), variables, _ints(variables), [f"return {body}"])


def _loop(rng: Random, names: Names) -> Function:
    values, each, total = (names.variable() for _ in range(3))
    parameters, kinds = [values], ["ints"]
    other = _constant(rng)
    if rng.random() < 0.4:
        other = names.variable()
        parameters, kinds = [values, other], ["ints", "int"]
    term = rng.choice([each, each, f"{each} * {other}", f"{each} + {other}", f"{each} - {other}", "1"])
    lines = [f"{total} = {rng.choice([0, 0, 0, 1, 2, 10])}", f"for {each} in {values}:"]
    if term == "1" or rng.random() < 0.4:
        lines += [f"    if {_condition(rng, each, other)}:", f"        {total} += {term}"]
    else:
        lines += [f"    {total} {rng.choice(['+=', '+=', '+=', '-='])} {term}"]
    after = total if rng.random() < 0.7 else _operation(rng, total, _constant(rng)).strip("()")
    lines += [f"return {after}"]
    used = [(name, kind) for name, kind in zip(parameters, kinds, strict=True) if any(name in line for line in lines)]
    return _build(names.function(), [name for name, _ in used], [_kind(kind) for _, kind in used], lines)


def _kind(text: str) -> Kind:
    return "ints" if text == "ints" else "int"


def _counting(rng: Random, names: Names) -> Function:
    bound, each, total = (names.variable() for _ in range(3))
    over = rng.choice([f"range({bound})", f"range({bound} + 1)", f"range(1, {bound})", f"range(1, {bound} + 1)"])
    term = rng.choice([each, each, f"{each} * {_constant(rng)}", f"{each} + {_constant(rng)}", _constant(rng)])
    sign = rng.choice(["+=", "+=", "+=", "-="])
    lines = [f"{total} = {rng.choice([0, 0, 1, 2, 5])}", f"for {each} in {over}:", f"    {total} {sign} {term}"]
    return _build(names.function(), [bound], ["int"], [*lines, f"return {total}"], small=True)


def _recursion(rng: Random, names: Names) -> Function:
    count, name = names.variable(), names.function()
    parameters, kinds = [count], ["int"]
    step = rng.choice([count, _constant(rng), _constant(rng)])
    passed = ""
    if rng.random() < 0.35:
        step = names.variable()
        parameters, kinds, passed = [count, step], ["int", "int"], f", {step}"
    sign = rng.choice(["+", "+", "*", "-"])
    again = f"{name}({count} - 1{passed})"
    result = f"{again} {sign} {step}" if rng.random() < 0.6 else f"{step} {sign} {again}"
    if rng.random() < 0.3:
        result = f"{result} + {_constant(rng)}"
    end = rng.choice(["== 0", "== 0", "<= 0", "< 1", "== 1", "<= 1"])
    lines = [f"if {count} {end}:", f"    return {rng.choice([0, 0, 1, 1, 2, 3])}", f"return {result}"]
    return _build(name, parameters, [_kind(kind) for kind in kinds], lines, small=True)


def _item(rng: Random, names: Names) -> Function:
    values = names.variable()
    parameters, kinds = [values], ["ints"]
    one, two = rng.sample(["0", "1", "-1", "-2"], 2)
    text = f"{values}[{one}]"
    if rng.random() < 0.6:
        text = _expression(rng, [text, f"{values}[{two}]"])
    elif rng.random() < 0.5:
        other = names.variable()
        parameters, kinds = [values, other], ["ints", "int"]
        text = _expression(rng, [text, other])
    else:
        text = _expression(rng, [text, _constant(rng)])
    return _build(names.function(), parameters, [_kind(kind) for kind in kinds], [f"return {text}"])


def _builtin(rng: Random, names: Names) -> Function:
    values = names.variable()
    one, two = (f"{rng.choice(['min', 'max', 'sum', 'len'])}({values})" for _ in range(2))
    if rng.random() < 0.3:
        left, right = names.variable(), names.variable()
        inner = f"{rng.choice(['min', 'max'])}({left}, {right})"
        text = _expression(rng, [inner, rng.choice([left, right, _constant(rng)])])
        return _build(names.function(), [left, right], ["int", "int"], [f"return {text}"])
    text = _expression(rng, [one, two] if rng.random() < 0.5 and one != two else [one, _constant(rng)])
    return _build(names.function(), [values], ["ints"], [f"return {text}"])


def _calling(rng: Random, names: Names) -> Function:
    left, right = names.variable(), names.variable()
    signs = rng.choice([f"{left} - {right}", f"{left} * {_constant(rng)} + {right}", f"{left} + {right} * 2",
                        f"{left} - {right} + {_constant(rng)}", f"{left} * 2 - {right}"])  # fmt: skip
    helper = _build(names.function(), [left, right], ["int", "int"], [f"return {signs}"])
    one, two = names.variable(), names.variable()
    call = f"{helper.name}({one}, {two})"
    text = call if rng.random() < 0.3 else _expression(rng, [call, rng.choice([one, _constant(rng), _constant(rng)])])
    return _build(names.function(), [one, two], ["int", "int"], [f"return {text}"], helper=helper)


_FAMILIES: Mapping[Family, tuple[Callable[[Random, Names], Function], int]] = {
    "plain": (_plain, 5), "two_steps": (_two_steps, 4), "branches": (_branches, 4), "truth": (_truth, 2),
    "loop": (_loop, 4), "counting": (_counting, 3), "recursion": (_recursion, 3), "item": (_item, 3),
    "builtin": (_builtin, 3), "calling": (_calling, 3),
}  # fmt: skip

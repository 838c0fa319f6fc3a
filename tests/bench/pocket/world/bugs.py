"""List every small change that seeds a bug into a function or could repair one; runs no code."""

import ast
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

BugKind = Literal[
    "operator", "comparison", "off_by_one", "wrong_variable", "swapped_arguments", "swapped_operands", "missing_return",
    "wrong_constant", "wrong_base_case", "inverted_condition", "wrong_index", "wrong_start", "wrong_builtin",
    "early_return", "lost_accumulation", "wrong_boolean", "reversed_comparison", "exchanged_branches",
]  # fmt: skip
BUG_KINDS: tuple[BugKind, ...] = get_args(BugKind)
HELD_OUT: frozenset[BugKind] = frozenset({"reversed_comparison", "exchanged_branches"})
"""Kinds that the training data neither seeds nor uses as a repair."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One way to change a function."""

    kind: BugKind
    source: str
    """The whole changed function, as `ast.unparse` writes it."""


def changes(source: str) -> list[Change]:
    """Return every change to a function, one kind of bug each, without duplicates or the unchanged source."""
    tree = ast.parse(source)
    whole = cast("ast.FunctionDef", tree.body[0])
    found: dict[str, Change] = {}
    for kind, changed in _all_changes(whole):
        text = ast.unparse(ast.fix_missing_locations(changed))
        if text != source and text not in found:
            found[text] = Change(kind=kind, source=text)
    return list(found.values())


@dataclass(frozen=True, kw_only=True)
class LineEdit:
    """The only line in which two texts differ."""

    line: int
    """Counted from 0."""
    old: str
    new: str


def line_edit(before: str, after: str) -> LineEdit | None:
    """Return the one line that differs. None if several lines or the number of lines differ."""
    old, new = before.split("\n"), after.split("\n")
    if len(old) != len(new):
        return None
    places = [at for at, (one, two) in enumerate(zip(old, new, strict=True)) if one != two]
    return LineEdit(line=places[0], old=old[places[0]], new=new[places[0]]) if len(places) == 1 else None


_ARITHMETIC: dict[type[ast.operator], tuple[type[ast.operator], ...]] = {
    ast.Add: (ast.Sub, ast.Mult), ast.Sub: (ast.Add, ast.Mult), ast.Mult: (ast.Add, ast.Sub, ast.FloorDiv),
    ast.FloorDiv: (ast.Mod, ast.Mult), ast.Mod: (ast.FloorDiv,),
}  # fmt: skip
_BOUNDARY: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
_NEGATED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
}  # fmt: skip
_REVERSED: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE}
_BUILTIN = {"min": "max", "max": "min", "sum": "len", "len": "sum"}

_Found = Iterator[tuple[BugKind, ast.FunctionDef]]


def _all_changes(whole: ast.FunctionDef) -> _Found:
    yield from _of_statements(whole)
    scope = _Scope(whole)
    for at, node in enumerate(ast.walk(whole)):
        for kind, fields in _replacements(node, scope):
            changed = copy.deepcopy(whole)
            target = list(ast.walk(changed))[at]
            for field, value in fields.items():
                setattr(target, field, copy.deepcopy(value))
            yield kind, changed


class _Scope:
    """The roles of a function's nodes (index, start value, base case, range bound) and its lists and numbers."""

    def __init__(self, whole: ast.FunctionDef) -> None:
        self.name = whole.name
        nodes = list(ast.walk(whole))
        self.lists = {
            node.value.id for node in nodes if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name)
        }
        self.lists |= {node.iter.id for node in nodes if isinstance(node, ast.For) and isinstance(node.iter, ast.Name)}
        for node in nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _BUILTIN:
                self.lists |= {arg.id for arg in node.args if isinstance(arg, ast.Name) and len(node.args) == 1}
        names = [arg.arg for arg in whole.args.args]
        names += [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
        self.numbers = [name for name in dict.fromkeys(names) if name not in self.lists]
        self.recursive = any(
            isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == whole.name
            for node in nodes
        )
        self.special: dict[int, BugKind] = {}
        has_loop = any(isinstance(node, ast.For) for node in nodes)
        for node in nodes:
            if isinstance(node, ast.Subscript):
                self._mark(node.slice, "wrong_index")
            elif isinstance(node, ast.Assign) and has_loop and isinstance(node.value, ast.Constant):
                self._mark(node.value, "wrong_start")
            elif isinstance(node, ast.If) and self.recursive:
                self._mark(node, "wrong_base_case")
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
                for arg in node.args:
                    self._mark(arg, "off_by_one")

    def _mark(self, node: ast.AST, kind: BugKind) -> None:
        for inner in ast.walk(node):
            self.special[id(inner)] = kind


_Replacement = tuple[BugKind, dict[str, object]]
"""A kind of bug and the node fields that produce it."""


def _replacements(node: ast.AST, scope: _Scope) -> Iterator[_Replacement]:
    if isinstance(node, ast.Subscript):
        for value in (0, 1, -1, -2):
            yield "wrong_index", {"slice": _number(value)}
    elif scope.special.get(id(node)) != "wrong_index":  # an index is replaced as a whole
        yield from _of_expression(node, scope)


def _of_expression(node: ast.AST, scope: _Scope) -> Iterator[_Replacement]:
    match node:
        case ast.Call():
            yield from _of_call(node, scope)
        case ast.BinOp() | ast.AugAssign() | ast.BoolOp():
            yield from _of_operation(node, scope)
        case ast.Compare():
            yield from _of_comparison(type(node.ops[0]))
        case ast.Name(id=name, ctx=ast.Load()) if name in scope.numbers:
            for other in _others(scope.numbers, name):
                yield "wrong_variable", {"id": other}
        case ast.Constant(value=int() as value):
            yield from _of_constant(value, scope.special.get(id(node)))
        case _:
            return


def _others(names: Sequence[str], name: str) -> list[str]:
    return [other for other in names if other != name]


def _of_operation(node: ast.BinOp | ast.AugAssign | ast.BoolOp, scope: _Scope) -> Iterator[_Replacement]:
    if isinstance(node, ast.BoolOp):
        yield "wrong_boolean", {"op": ast.Or() if isinstance(node.op, ast.And) else ast.And()}
        return
    if scope.special.get(id(node)) == "off_by_one":
        return
    for op in _ARITHMETIC.get(type(node.op), ()):
        yield "operator", {"op": op()}
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub | ast.FloorDiv):
        yield "swapped_operands", {"left": node.right, "right": node.left}


def _of_constant(value: int, special: BugKind | None) -> Iterator[_Replacement]:
    if special == "off_by_one":
        return
    if special == "wrong_start":
        steps = [other for other in (0, 1, 2, value + 1, value - 1) if other >= 0]
    else:
        steps = [other for other in (value + 1, value - 1, value + 2, value - 2) if other >= 0]
    for other in dict.fromkeys(steps):
        if other != value:
            yield special or "wrong_constant", {"value": other}


def _of_comparison(sign: type[ast.cmpop]) -> Iterator[_Replacement]:
    if sign in _BOUNDARY:
        yield "comparison", {"ops": [_BOUNDARY[sign]()]}
    yield "inverted_condition", {"ops": [_NEGATED[sign]()]}
    if sign in _REVERSED:
        yield "reversed_comparison", {"ops": [_REVERSED[sign]()]}


def _of_call(node: ast.Call, scope: _Scope) -> Iterator[_Replacement]:
    name = cast("ast.Name", node.func)
    if name.id in _BUILTIN and (len(node.args) == 1 or name.id in {"min", "max"}):
        yield "wrong_builtin", {"func": ast.Name(id=_BUILTIN[name.id], ctx=ast.Load())}
    elif name.id == "range":
        for at, arg in enumerate(node.args):
            for other in _near(arg):
                yield "off_by_one", {"args": [*node.args[:at], other, *node.args[at + 1 :]]}
        if len(node.args) == 1:
            yield "off_by_one", {"args": [ast.Constant(1), node.args[0]]}
        elif ast.unparse(node.args[0]) == "1":
            yield "off_by_one", {"args": node.args[1:]}
    elif len(node.args) == 2 and name.id != scope.name:
        yield "swapped_arguments", {"args": node.args[::-1]}


def _near(bound: ast.expr) -> Iterator[ast.expr]:
    """Yield range bounds that are one larger or one smaller."""
    if isinstance(bound, ast.BinOp):
        yield bound.left
    elif isinstance(bound, ast.Name):
        for op in (ast.Add(), ast.Sub()):
            yield ast.BinOp(left=bound, op=op, right=ast.Constant(1))


def _number(value: int) -> ast.expr:
    return ast.Constant(value) if value >= 0 else ast.UnaryOp(op=ast.USub(), operand=ast.Constant(-value))


def _of_statements(whole: ast.FunctionDef) -> _Found:
    changed = copy.deepcopy(whole)
    last = changed.body[-1]
    if isinstance(last, ast.Return) and last.value is not None:
        changed.body[-1] = ast.Expr(last.value)
        yield "missing_return", changed
    elif isinstance(last, ast.Expr):
        changed.body[-1] = ast.Return(last.value)
        yield "missing_return", changed
    yield from _of_loop(whole)
    yield from _of_branches(whole)


def _of_loop(whole: ast.FunctionDef) -> _Found:
    changed = copy.deepcopy(whole)
    loop = next((node for node in changed.body if isinstance(node, ast.For)), None)
    if loop is None:
        return
    if isinstance(changed.body[-1], ast.Return):
        loop.body.append(changed.body.pop())
        yield "early_return", changed
    elif changed.body[-1] is loop and isinstance(loop.body[-1], ast.Return):
        changed.body.append(loop.body.pop())
        yield "early_return", changed
    changed = copy.deepcopy(whole)
    loop = next(node for node in changed.body if isinstance(node, ast.For))
    inner = loop.body[0] if isinstance(loop.body[0], ast.If) else loop
    for at, node in enumerate(inner.body):
        if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
            inner.body[at] = ast.Assign(targets=[node.target], value=node.value)
            yield "lost_accumulation", changed
        elif isinstance(node, ast.Assign):
            inner.body[at] = ast.AugAssign(target=cast("ast.Name", node.targets[0]), op=ast.Add(), value=node.value)
            yield "lost_accumulation", changed


def _of_branches(whole: ast.FunctionDef) -> _Found:
    changed = copy.deepcopy(whole)
    for at, node in enumerate(changed.body[:-1]):
        after = changed.body[at + 1]
        if isinstance(node, ast.If) and isinstance(node.body[0], ast.Return) and isinstance(after, ast.Return):
            node.body[0].value, after.value = after.value, node.body[0].value
            yield "exchanged_branches", changed

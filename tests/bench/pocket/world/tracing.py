"""Trace a call of a small function step by step, in words; rejects large numbers and long traces."""

import ast
import copy
import operator
from collections.abc import Callable, Mapping
from typing import cast

MAX_NUMBER = 120
MAX_PARTS = 40
_MAX_CALLS = 8
TOO_HARD = "too hard"


class TooHardError(Exception):
    """Raised when a step needs a large number, or there are too many steps."""


def trace(functions: Mapping[str, ast.FunctionDef], name: str, arguments: tuple[object, ...]) -> tuple[str, object]:
    """Return the steps in words and the value, or an exception's name instead of the value.

    Args:
        functions: every function that may be called, by name.
        name: the function to call.
        arguments: integers and lists of integers.

    Raises:
        TooHardError: a number is too large or there are too many steps.
    """
    steps, value = steps_of(functions, name, arguments)
    if value is TOO_HARD:
        raise TooHardError
    return steps, value


def steps_of(
    functions: Mapping[str, ast.FunctionDef], name: str, arguments: tuple[object, ...]
) -> tuple[str, object]:  # fmt: skip
    """Return the same as `trace`, or the steps so far and TOO_HARD instead of raising TooHardError."""
    tracer = _Tracer(functions)
    try:
        value = tracer.call(name, arguments)
    except (IndexError, ZeroDivisionError, UnboundLocalError, TypeError) as error:
        value = type(error).__name__
        tracer.parts.append(value)
    except (TooHardError, RecursionError):
        value = TOO_HARD
        tracer.parts.append(value)
    return "; ".join(tracer.parts), value


class _Returned(Exception):
    def __init__(self, value: object) -> None:
        super().__init__()
        self.value = value


class _Tracer:
    def __init__(self, functions: Mapping[str, ast.FunctionDef]) -> None:
        self.parts: list[str] = []
        self._functions = functions
        self._called: list[tuple[str, tuple[object, ...]]] = []

    def call(self, name: str, arguments: tuple[object, ...]) -> object:
        self._check_recursion(name, arguments)
        whole = self._functions[name]
        names = dict(zip((arg.arg for arg in whole.args.args), arguments, strict=True))
        self._called.append((name, arguments))
        try:
            self._run(whole.body, names)
        except _Returned as returned:
            return returned.value
        finally:
            self._called.pop()
        self._add("None")
        return None

    def _check_recursion(self, name: str, arguments: tuple[object, ...]) -> None:
        """Raise TooHardError if a recursive call's number does not fall, falls below -1, or the depth is too large."""
        if not self._called or self._called[-1][0] != name:
            return
        before, now = cast("int", self._called[-1][1][0]), cast("int", arguments[0])
        if now >= before or now < -1 or len(self._called) >= _MAX_CALLS:
            raise TooHardError

    def _add(self, part: str) -> None:
        self.parts.append(part)
        if len(self.parts) > MAX_PARTS:
            raise TooHardError

    def _run(self, body: list[ast.stmt], names: dict[str, object]) -> None:
        for statement in body:
            match statement:
                case ast.Return(value=ast.expr() as value):
                    raise _Returned(self._value(value, names, ""))
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    names[name] = self._value(value, names, f"{name} = ")
                case ast.AugAssign(target=ast.Name(id=name), op=op, value=value):
                    whole = ast.BinOp(left=ast.Name(id=name, ctx=ast.Load()), op=op, right=value)
                    names[name] = self._value(whole, names, f"{name} = ")
                case ast.If(test=test, body=inner):
                    if self._value(test, names, ""):
                        self._run(inner, names)
                case ast.For(target=ast.Name(id=name), iter=over, body=inner):
                    for item in self._items(over, names):
                        names[name] = item
                        self._add(f"{name} = {item}")
                        self._run(inner, names)
                case ast.Expr(value=value):
                    self._value(value, names, "")
                case _:
                    raise TooHardError

    def _items(self, over: ast.expr, names: Mapping[str, object]) -> list[int]:
        if isinstance(over, ast.Name):
            return cast("list[int]", names[over.id])
        bounds = [cast("int", self._value(arg, names, "")) for arg in cast("ast.Call", over).args]
        return list(range(*bounds))

    def _value(self, expression: ast.expr, names: Mapping[str, object], before: str) -> object:
        """Reduce an expression to its value, recording each step."""
        node: ast.expr = _Substitution(names).visit(copy.deepcopy(expression))
        steps = [_text(node)]
        while not _is_value(node):
            place = _innermost(node)
            if isinstance(place, ast.Call) and cast("ast.Name", place.func).id in self._functions:
                self._add(before + " = ".join(steps))
                arguments = tuple(ast.literal_eval(arg) for arg in place.args)
                found = self.call(cast("ast.Name", place.func).id, arguments)
                node, steps = _replaced(node, place, _literal(found)), []
            else:
                node = _replaced(node, place, _reduced(place))
            steps.append(_text(node))
        self._add(before + " = ".join(steps))
        value: object = ast.literal_eval(node)
        if isinstance(value, int) and abs(value) > MAX_NUMBER:
            raise TooHardError
        return value


class _Substitution(ast.NodeTransformer):
    """Replaces names by their values."""

    def __init__(self, names: Mapping[str, object]) -> None:
        self._names = names

    def visit_Call(self, node: ast.Call) -> ast.AST:
        node.args = [self.visit(arg) for arg in node.args]
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id not in self._names:
            raise UnboundLocalError
        return _literal(self._names[node.id])


def _literal(value: object) -> ast.expr:
    return ast.parse(repr(value), mode="eval").body


def _text(node: ast.expr) -> str:
    return ast.unparse(node)


def _is_value(node: ast.AST) -> bool:
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.operand, ast.Constant)
    if isinstance(node, ast.List):
        return True
    return isinstance(node, ast.Constant)


def _innermost(node: ast.expr) -> ast.expr:
    """Return the leftmost subexpression whose operands are all values."""
    for child in _parts(node):
        if not _is_value(child):
            return _innermost(child)
    return node


def _parts(node: ast.expr) -> list[ast.expr]:
    match node:
        case ast.BinOp(left=left, right=right):
            return [left, right]
        case ast.Compare(left=left, comparators=right):
            return [left, *right]
        case ast.BoolOp(values=values):
            return values
        case ast.Call(args=args):
            return args
        case ast.Subscript(value=value, slice=index):
            return [value, index]
        case ast.UnaryOp(operand=operand):
            return [operand]
        case _:
            raise TooHardError


def _reduced(place: ast.expr) -> ast.expr:
    if isinstance(place, ast.Call) and cast("ast.Name", place.func).id == "sum":
        items = cast("ast.List", place.args[0]).elts
        total = items[0]
        for item in items[1:]:
            total = ast.BinOp(left=total, op=ast.Add(), right=item)
        return total
    value = _computed(place)
    if isinstance(value, int) and abs(value) > MAX_NUMBER:
        raise TooHardError
    return _literal(value)


def _computed(place: ast.expr) -> object:
    values = [ast.literal_eval(part) for part in _parts(place)]
    match place:
        case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.UnaryOp(op=op) | ast.Compare(ops=[op]):
            return _OPERATORS[type(op)](*values)
        case ast.Subscript():
            return values[0][values[1]]
        case ast.Call(func=ast.Name(id=name)):
            return _BUILTINS[name](*values)
        case _:
            raise TooHardError


def _floor_divide(one: int, two: int) -> int:
    return one // two


def _and(one: object, two: object) -> object:
    return one and two


def _or(one: object, two: object) -> object:
    return one or two


_OPERATORS: Mapping[type[ast.AST], Callable[..., object]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: _floor_divide,
    ast.Mod: operator.mod, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.USub: operator.neg, ast.And: _and, ast.Or: _or,
}  # fmt: skip
_BUILTINS: Mapping[str, Callable[..., object]] = {"min": min, "max": max, "len": len}


def _replaced(whole: ast.expr, place: ast.expr, by: ast.expr) -> ast.expr:
    class Swap(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            return by if node is place else self.generic_visit(node)

    return cast("ast.expr", Swap().visit(whole))

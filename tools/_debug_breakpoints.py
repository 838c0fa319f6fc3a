"""Parse a model's breakpoints and move them to lines that have code; reads no file and runs nothing."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType

from agent import ToolError


@dataclass(frozen=True, kw_only=True)
class Breakpoint:
    """A place to stop at."""

    path: str
    """Absolute, as the program sees it."""
    line: int
    condition: str = ""
    """A Python expression; empty means always stop."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A breakpoint as a model writes it."""

    path: str
    line: int
    condition: str


def parse(text: str) -> Wanted:
    """Parse `file.py:12` or `file.py:12 if x > 3`.

    Raises:
        ToolError: it is neither.
    """
    place, _, condition = text.partition(" if ")
    path, colon, line = place.strip().rpartition(":")
    if not colon or not line.isdigit() or int(line) < 1:
        msg = f'{text!r} is not a breakpoint. Write "file.py:12", or "file.py:12 if x > 3".'
        raise ToolError(msg)
    condition = condition.strip()
    try:
        _ = condition and compile(condition, "<condition>", "eval")
    except (SyntaxError, ValueError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        msg = f"The condition of {text!r} is not a Python expression: {reason}. Correct it."
        raise ToolError(msg) from error
    return Wanted(path=path, line=int(line), condition=condition)


def line_with_code(path: str, source: str, line: int) -> int:
    """Return the line of a breakpoint, or the nearest one that has code, as debuggers move breakpoints.

    That is the first line of a statement that spans several, else the next line with code in the same function, else
    the last one before.

    Args:
        path: of the file; for messages.
        source: its text.
        line: from 1.

    Raises:
        ToolError: the file has no such line, or no code.
    """
    count = len(source.splitlines())
    tree = _parse(source)
    lines = sorted(set(_code_lines(tree))) if tree is not None else list(range(1, count + 1))
    if not lines:
        msg = f'"{path}" has no code. Set the breakpoint in another file.'
        raise ToolError(msg)
    if line > count:
        msg = f'"{path}" has {count} lines; line {line} is past the end. The last line with code is {lines[-1]}.'
        raise ToolError(msg)
    if line in lines or tree is None:
        return line
    start, end = _innermost(tree, line)
    statement = max((at for at in _multi_line(tree, line) if at in lines), default=0)
    later = next((at for at in lines if line < at <= end), 0)
    earlier = max((at for at in lines if start <= at < line), default=lines[0])
    return statement or later or earlier


def _parse(source: str) -> ast.Module | None:
    """Return the tree. None means that this Python cannot parse it; the program's may be newer."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return None


def _code_lines(tree: ast.Module) -> Iterator[int]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pending = [compile(tree, "<source>", "exec", dont_inherit=True)]
    while pending:
        code = pending.pop()
        yield from (line for _, _, line in code.co_lines() if line)
        pending += [constant for constant in code.co_consts if isinstance(constant, CodeType)]


def _innermost(tree: ast.Module, line: int) -> tuple[int, int]:
    """Return the first and the last line of the innermost function around a line; of the file if there is none."""
    spans = [
        (node.lineno, node.end_lineno or node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    around = [span for span in spans if span[0] <= line <= span[1]]
    return max(around, default=(1, 10**9))


def _multi_line(tree: ast.Module, line: int) -> Iterator[int]:
    """Yield the first lines of the statements that contain a line and hold no other statements."""
    statements = (node for node in ast.walk(tree) if isinstance(node, ast.stmt))
    for node in statements:
        is_simple = not hasattr(node, "body") and not isinstance(node, ast.Match)
        if is_simple and node.lineno < line <= (node.end_lineno or 0):
            yield node.lineno


def by_path(points: Sequence[Breakpoint]) -> Mapping[str, list[dict[str, object]]]:
    """Return the breakpoints by file, as the Debug Adapter Protocol has them."""
    found: dict[str, list[dict[str, object]]] = {}
    for one in points:
        condition = {"condition": one.condition} if one.condition else {}
        found.setdefault(one.path, []).append({"line": one.line, **condition})
    return found

"""Know Python code: the outline of a file, where a name is defined, where it is used; reads, and runs nothing of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import Field

from agent import ToolContext, ToolError, tool

from . import _paths
from . import _text as _texts
from ._encodings import decoded

MOST_FOUND = 60
MAX_CODE_BYTES = 2_000_000
_MOST_CHARS = 160

Context = ToolContext[Any]
Line = Annotated[int, Field(ge=1, description="A line where the name stands.")]


class _Name(Protocol):
    """A name that jedi found, which has no types of its own (0.20)."""

    module_path: Path | None
    """Absolute. None: a builtin."""
    line: int | None
    name: str
    full_name: str | None

    def get_line_code(self) -> str:
        """Return the line it stands in."""
        ...

    def is_definition(self) -> bool:
        """Say whether it is defined there."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A name in a file."""

    script: Any
    """The file, as jedi's `Script`."""
    line: int
    """From 1."""
    column: int
    """From 0."""


class _Project(Protocol):
    def search(self, string: str, *, all_scopes: bool) -> Iterator[_Name]:
        """Return all names in the workspace that are called so."""
        ...


@tool(read_only=True)
def outline(context: Context, path: str) -> str:
    """List the classes and functions of a Python file, with their lines and signatures."""
    shown, text = _read(context, path)
    try:
        tree = ast.parse(text)
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        line = getattr(error, "lineno", None)
        at = f" at line {line}" if line else ""
        msg = f'"{shown}" is not valid Python{at}: {getattr(error, "msg", error)}. Read that part with read_file.'
        raise ToolError(msg) from error
    lines = list(_outlined(tree.body, 0))
    head = (ast.get_docstring(tree) or "").partition("\n")[0]
    total = len(_texts.lines_of(text))
    return "\n".join([f"{shown}, {total} lines{f': {head}' if head else ''}", *(lines or ["(nothing is defined)"])])


@tool(read_only=True)
def find_definition(context: Context, name: str, path: str = "", line: Line | None = None) -> str:
    """Find where a Python name is defined; with path and line, the one meant there, else all in the workspace."""
    if not path:
        return _answer(context, [found for found in _named(context, name) if found.is_definition()], name, "defined")
    place = _place(context, name, path, line)
    found: list[_Name] = place.script.goto(place.line, place.column, follow_imports=True, follow_builtin_imports=True)
    return _answer(context, found, name, "defined")


@tool(read_only=True)
def find_references(context: Context, name: str, path: str, line: Line) -> str:
    """Find where the Python name that stands at this line is used, in the whole workspace."""
    place = _place(context, name, path, line)
    found: list[_Name] = place.script.get_references(place.line, place.column, include_builtins=False)
    return _answer(context, found, name, "used")


def _read(context: Context, path: str) -> tuple[_paths.Inside, str]:
    shown = _paths.inside(context.workspace, path)
    with _paths.open_file(context.workspace, shown) as file:
        data = file.read(MAX_CODE_BYTES + 1)
    if len(data) > MAX_CODE_BYTES:
        msg = f'"{shown}" is larger than {MAX_CODE_BYTES:,} bytes. Use search on it.'
        raise ToolError(msg)
    return shown, decoded(data, shown).text


def _outlined(body: Sequence[ast.stmt], depth: int) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            bases = ", ".join(map(ast.unparse, node.bases))
            yield _entry(node, f"class {node.name}{f'({bases})' if bases else ''}", depth)
            yield from _outlined(node.body, depth + 1)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
            returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
            yield _entry(node, f"{word} {node.name}({ast.unparse(node.args)}){returns}", depth)
        elif isinstance(node, ast.If | ast.Try):
            yield from _outlined(node.body, depth)


def _entry(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, signature: str, depth: int) -> str:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    marks = "".join(f"@{ast.unparse(decorator)} " for decorator in node.decorator_list)
    about = (ast.get_docstring(node) or "").partition("\n")[0]
    return _cut(f"{'  ' * depth}{first}-{node.end_lineno}: {marks}{signature}{f'  # {about}' if about else ''}")


def _place(context: Context, name: str, path: str, line: int | None) -> _Place:
    """Find the column of a name in its line."""
    shown, text = _read(context, path)
    lines = _texts.lines_of(text)
    numbers = [line] if line is not None else range(1, len(lines) + 1)
    last = name.rpartition(".")[2]
    for number in numbers:
        column = _column(lines[number - 1], last) if number <= len(lines) else -1
        if column >= 0:
            project = _project(context)
            script = import_module("jedi").Script(text, path=context.workspace / shown, project=project)
            return _Place(script=script, line=number, column=column)
    where = f"line {line} of " if line is not None else ""
    near = [str(at) for at, row in enumerate(lines, 1) if _column(row, last) >= 0][:10]
    advice = f"It stands in line {', '.join(near)}." if near else "Copy it from the file."
    msg = f'"{name}" does not stand in {where}"{shown}". {advice}'
    raise ToolError(msg)


def _column(line: str, name: str) -> int:
    """Return where a whole name stands in a line; -1: nowhere."""
    for place in _texts.places(line, name):
        around = f" {line} "[place : place + len(name) + 2]
        if not any(letter.isalnum() or letter == "_" for letter in (around[0], around[-1])):
            return place
    return -1


def _named(context: Context, name: str) -> list[_Name]:
    if not name.replace(".", "").isidentifier():
        msg = f"{name!r} is no Python name. Give one such as total or Order.total, or use search for other texts."
        raise ToolError(msg)
    return list(_project(context).search(name, all_scopes=True))


def _answer(context: Context, found: Sequence[_Name], name: str, done: str) -> str:
    lines = sorted({_described(context.workspace, one) for one in found})
    if not lines:
        msg = f'Nothing was found where "{name}" is {done}. Try search, which finds any text.'
        raise ToolError(msg)
    more = f"\n... and {len(lines) - MOST_FOUND} more" if len(lines) > MOST_FOUND else ""
    return "\n".join(lines[:MOST_FOUND]) + more


def _described(workspace: Path, found: _Name) -> str:
    path = found.module_path
    if path is None or not path.is_relative_to(workspace):
        return f"outside the workspace: {found.full_name or found.name}"
    code = found.get_line_code().strip()
    return _cut(f"{path.relative_to(workspace)}:{found.line}: {code}")


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARS else f"{text[:_MOST_CHARS]}..."


def _project(context: Context) -> _Project:
    try:
        jedi = import_module("jedi")  # an extra, and 0.1 s that other tools need not wait for
    except ImportError as error:
        msg = 'This tool needs jedi, which is not installed: pip install "tramontane[coding]". Use search meanwhile.'
        raise ToolError(msg) from error
    project: _Project = jedi.Project(context.workspace, load_unsafe_extensions=False)
    return project

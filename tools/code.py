"""Find Python code: the outline of a file, the definition of a name, its uses; reads the code and runs none of it."""

from __future__ import annotations

import ast
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field

from agent import ToolContext, ToolError, inside_of, tool

from . import _paths
from . import _text as _texts
from ._declared import whole_workspace
from ._encodings import decode
from ._project_files import MAX_FILE_BYTES, check_project_files

MAX_FOUND = 60
MAX_CODE_BYTES = 2_000_000
_MAX_CHARS = 160
_REQUIRES = {"jedi": "tramontane[coding]"}

Context = ToolContext[Any]
Line = Annotated[int, Field(ge=1, description="A line that contains name.")]


class _Name(Protocol):
    """A name found by jedi, which ships no types (0.20)."""

    module_path: Path | None
    """Absolute. None means a builtin."""
    line: int | None
    name: str
    full_name: str | None

    def is_definition(self) -> bool:
        """Return whether it is defined there."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Position:
    """The position of a name in a file."""

    script: Any
    """The file, as jedi's `Script`."""
    line: int
    """From 1."""
    column: int
    """From 0."""


class _Project(Protocol):
    def search(self, string: str, *, all_scopes: bool) -> Iterator[_Name]:
        """Return all names in the workspace that are equal to `string`."""
        ...


@tool(read_only=True)
def outline(context: Context, path: str) -> str:
    """List the classes and functions of a Python file, with their lines and signatures."""
    relative, text = _read(context, path)
    try:
        tree = ast.parse(text)
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        line = getattr(error, "lineno", None)
        at = f" at line {line}" if line else ""
        msg = f'"{relative}" is not valid Python{at}: {getattr(error, "msg", error)}. Read that part with read_file.'
        raise ToolError(msg) from error
    lines = list(_outline(tree.body, 0))
    head = (ast.get_docstring(tree) or "").partition("\n")[0]
    total = len(_texts.split_lines(text))
    count = f"{total} line{'' if total == 1 else 's'}"
    summary = f"{relative}, {count}{f': {head}' if head else ''}"
    return "\n".join([summary, *(lines or ["(no classes or functions)"])])


@tool(read_only=True, paths=whole_workspace, requires=_REQUIRES)
def find_definition(context: Context, name: str, path: str = "", line: Line | None = None) -> str:
    """Find where a Python name is defined: the one used at path and line if given, else all in the workspace."""
    if not path:
        return _format(context, [one for one in _search(context, name) if one.is_definition()], name, "definition")
    at = _find_position(context, name, path, line)
    with _reading_all(context):
        found: list[_Name] = at.script.goto(at.line, at.column, follow_imports=True, follow_builtin_imports=True)
    return _format(context, found, name, "definition")


@tool(read_only=True, paths=whole_workspace, requires=_REQUIRES)
def find_references(context: Context, name: str, path: str, line: Line) -> str:
    """Find all uses in the workspace of the Python name at path and line."""
    at = _find_position(context, name, path, line)
    with _reading_all(context):
        found: list[_Name] = at.script.get_references(at.line, at.column, include_builtins=False)
    text = _format(context, found, name, "use")
    if found and all(one.is_definition() for one in found):
        only = "Only the definition was found" if len(found) == 1 else "Only definitions were found"
        last = name.rpartition(".")[2]
        text += f"\n[{only}; uses on objects of unknown type are not seen: try search for \\b{last}\\b]"
    return text


def _read(context: Context, path: str) -> tuple[_paths.Inside, str]:
    relative = _paths.inside(context.workspace, path)
    with _paths.open_file(context.workspace, relative) as file:
        data = file.read(MAX_CODE_BYTES + 1)
    if len(data) > MAX_CODE_BYTES:
        msg = f'"{relative}" is larger than {MAX_CODE_BYTES:,} bytes. Use search instead.'
        raise ToolError(msg)
    return relative, decode(data, relative).text


def _outline(body: Sequence[ast.stmt], depth: int) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            bases = ", ".join(map(ast.unparse, node.bases))
            yield _entry(node, f"class {node.name}{f'({bases})' if bases else ''}", depth)
            yield from _outline(node.body, depth + 1)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
            returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
            yield _entry(node, f"{word} {node.name}({ast.unparse(node.args)}){returns}", depth)
        elif isinstance(node, ast.If | ast.Try):
            yield from _outline(node.body, depth)


def _entry(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, signature: str, depth: int) -> str:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    decorators = "".join(f"@{ast.unparse(decorator)} " for decorator in node.decorator_list)
    about = (ast.get_docstring(node) or "").partition("\n")[0]
    return _cut(f"{'  ' * depth}{first}-{node.end_lineno}: {decorators}{signature}{f'  # {about}' if about else ''}")


def _find_position(context: Context, name: str, path: str, line: int | None) -> _Position:
    """Find a name in a line of a file. None means the first line that contains it."""
    relative, text = _read(context, path)
    lines = _texts.split_lines(text)
    numbers = [line] if line is not None else range(1, len(lines) + 1)
    last = name.rpartition(".")[2]
    for number in numbers:
        column = _column(lines[number - 1], last) if number <= len(lines) else -1
        if column >= 0:
            project = _project(context)
            script = import_module("jedi").Script(text, path=context.workspace / relative, project=project)
            return _Position(script=script, line=number, column=column)
    where = f"line {line} of " if line is not None else ""
    others = [str(number) for number, row in enumerate(lines, 1) if _column(row, last) >= 0][:10]
    advice = f"Set line to one of: {', '.join(others)}." if others else "Copy the name from the file."
    msg = f'"{name}" is not in {where}"{relative}". {advice}'
    raise ToolError(msg)


def _column(line: str, name: str) -> int:
    """Return the column, from 0, of a whole name in a line; -1 if the line does not contain it."""
    for column in _texts.find_all(line, name):
        neighbours = f" {line} "[column : column + len(name) + 2]
        if not any(letter.isalnum() or letter == "_" for letter in (neighbours[0], neighbours[-1])):
            return column
    return -1


def _search(context: Context, name: str) -> list[_Name]:
    if not name.replace(".", "").isidentifier():
        msg = f"{name!r} is not a Python name. Set name to one such as total or Order.total; use search for other text."
        raise ToolError(msg)
    with _reading_all(context):
        return list(_project(context).search(name, all_scopes=True))


@contextmanager
def _reading_all(context: Context) -> Generator[None]:
    """Refuse a file that jedi cannot read, such as a symlink to itself; it opens those that it finds by itself."""
    try:
        yield
    except OSError as error:
        place = inside_of(context.workspace, str(error.filename)) or str(error.filename)
        msg = (
            f'"{_paths.printable(place)}" cannot be read ({error.strerror}), and this tool would read it. Remove the '
            "file, or use search instead."
        )
        raise ToolError(msg) from error


def _format(context: Context, found: Sequence[_Name], name: str, kind: Literal["definition", "use"]) -> str:
    sources: dict[Path, list[str] | None] = {}
    lines = list(dict.fromkeys(_format_name(context.workspace, one, sources) for one in sorted(found, key=_place)))
    if not lines:
        msg = f'No {kind} of "{name}" was found. Use search to find it as text.'
        raise ToolError(msg)
    more = f"\n... and {len(lines) - MAX_FOUND} more; use search to find them" if len(lines) > MAX_FOUND else ""
    return "\n".join(lines[:MAX_FOUND]) + more


def _place(found: _Name) -> tuple[str, int]:
    return str(found.module_path or ""), found.line or 0


def _format_name(workspace: Path, found: _Name, sources: dict[Path, list[str] | None]) -> str:
    path = found.module_path
    if path is not None and path not in sources:
        sources[path] = _source(workspace, path)
    lines = None if path is None else sources[path]
    if path is None or lines is None:
        return f"outside the workspace: {found.full_name or found.name}"
    code = "".join(lines[(found.line or 1) - 1 : found.line]).strip()
    return _cut(f"{path.relative_to(workspace)}:{found.line}: {code}")


def _source(workspace: Path, path: Path) -> list[str] | None:
    """Return the lines of a file. None means that it is not in the workspace: jedi follows symlinks that lead out."""
    if not path.is_relative_to(workspace):
        return None
    try:
        relative = _paths.inside(workspace, str(path.relative_to(workspace)))
        with _paths.open_file(workspace, relative) as file:
            return _texts.split_lines(decode(file.read(MAX_FILE_BYTES), relative).text)
    except ToolError:
        return None


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_CHARS else f"{text[:_MAX_CHARS]}..."


def _project(context: Context) -> _Project:
    check_project_files(context.workspace)
    try:
        jedi = import_module("jedi")  # an optional dependency, and its import takes 0.1 s
    except ImportError as error:
        msg = "This tool needs jedi, which is not installed. Use search instead."
        raise ToolError(msg) from error
    # By default jedi starts the Python of an active environment, and imports some modules by name: both may be files of
    # the workspace, and nothing of it may run here. In this process jedi only parses.
    vars(import_module("jedi.settings"))["auto_import_modules"] = []
    project = jedi.Project(context.workspace, load_unsafe_extensions=False)
    project._environment = import_module("jedi.api.environment").InterpreterEnvironment()  # no public way (0.20)
    return project

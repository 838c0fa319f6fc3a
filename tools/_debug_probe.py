"""Runs inside the debugged program to show its values, its source and its whole stack; imports nothing of ours.

The debugger evaluates calls of these functions in the stopped program, which may run in any Python.
"""

from __future__ import annotations

import json
import linecache
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

_BRACKETS: Mapping[type, tuple[str, str]] = {
    list: ("[", "]"), tuple: ("(", ")"), set: ("{", "}"), frozenset: ("frozenset({", "})"), dict: ("{", "}"),
}  # fmt: skip
_MAX_DEPTH = 30
_MAX_LINE_CHARS = 500


def show(value: object, limit: int) -> str:
    """Return the repr of a value, up to `limit` characters, and whether that cut it; as JSON."""
    text = _Text(limit)
    text.add(value, 0)
    return _json(text.result())


def show_all(values: Mapping[str, object], limit: int) -> str:
    """Return by name what `show` returns for each value; as JSON."""
    return _json({name: json.loads(show(value, limit)) for name, value in values.items()})


def source(path: str, first: int, last: int) -> str:
    """Return lines of a source file, from 1 and inclusive; as JSON. The debugger may not see the program's files."""
    linecache.checkcache(path)
    return _json([linecache.getline(path, number)[:_MAX_LINE_CHARS] for number in range(first, last + 1)])


def origin(excinfo: tuple[object, object, TracebackType]) -> str:
    """Return the function, the file and the line that raised an exception; as JSON."""
    trace = excinfo[2]
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return _json([code.co_name, code.co_filename, trace.tb_lineno])


def hide_libraries(hide: object) -> str:
    """Set whether the debugger leaves the frames of libraries out of the stack, as it does when the program starts."""
    sys.modules["pydevd"].get_global_debugger().set_use_libraries_filter(bool(hide))
    return _json("")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)  # shorter: the debugger cuts long answers


class _Text:
    """A repr up to a length; a container of any size takes little time."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._parts: list[str] = []
        self._is_cut = False

    def result(self) -> tuple[str, bool]:
        return "".join(self._parts), self._is_cut

    def add(self, value: object, depth: int) -> None:
        brackets = _BRACKETS.get(type(value))
        if brackets is None or not value:
            self._write(_repr(value, self._left))
        elif depth > _MAX_DEPTH:  # a container that holds itself has no end
            self._write(brackets[0] + "..." + brackets[1])
        else:
            self._write(brackets[0])
            self._add_items(cast("Iterable[object]", value), depth, is_dict=isinstance(value, dict))
            single = isinstance(value, tuple) and len(cast("tuple[object, ...]", value)) == 1
            self._write("," + brackets[1] if single else brackets[1])

    def _add_items(self, items: Iterable[object], depth: int, *, is_dict: bool) -> None:
        for number, item in enumerate(items):
            if self._is_cut:
                return
            self._write(", " if number else "")
            self.add(item, depth + 1)
            if is_dict:
                self._write(": ")
                self.add(cast("Mapping[object, object]", items)[item], depth + 1)

    def _write(self, text: str) -> None:
        if not self._is_cut:
            self._parts.append(text[: self._left])
            self._is_cut = len(text) > self._left
            self._left -= len(text)


def _repr(value: object, limit: int) -> str:
    if type(value) is str or type(value) is bytes:
        value = cast("str", value)[: limit + 1]  # one character more than fits, so that the cut is noticed
    text = f"<{type(value).__name__}: its repr raised an exception>"
    with suppress(Exception):
        text = repr(value)
    return text

"""Find the keys that each mapping of a task may have, from the fields of the task's records; reads no task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

from ..policy.limits import Limits
from .task import Task
from .yaml_lines import KeyPath

NAME = "NAME"
"""Stands for a key that the user chooses, such as the name of an MCP server."""


@cache
def known_keys(path: KeyPath) -> tuple[str, ...]:
    """Return the keys that a mapping of the task may have. Empty means that any key is allowed."""
    kind: object = Task
    for part in path:
        kind = _inner(kind, part)
    return _keys(kind)


@cache
def places_of(key: str) -> tuple[KeyPath, ...]:
    """Return the paths of all keys with this name, those of the fewest parts first."""
    found = [path for path in _paths(Task, ()) if path[-1] == key]
    return tuple(sorted(found, key=lambda path: (len(path), path.count(NAME))))


def _paths(kind: object, above: KeyPath) -> Iterator[KeyPath]:
    for key in _keys(kind):
        path = (*above, key)
        yield path
        yield from _paths(_inner(kind, key), path)
    match get_origin(kind), get_args(kind):
        case origin, (item, *_) if origin is tuple:
            yield from _paths(item, above)
        case origin, (_, item) if origin is Mapping:
            yield from _paths(item, (*above, NAME))
        case _:
            pass


def _keys(kind: object) -> tuple[str, ...]:
    aliases = ("wall",) if kind is Limits else ()
    if is_dataclass(kind):
        return (*(field.name for field in fields(kind) if field.name != "directory"), *aliases)
    match get_args(kind):
        case (key, _) if get_origin(key) is Literal:
            return get_args(key)
        case _:
            return ()


def _inner(kind: object, part: str | int) -> object:
    """Return the type below a key or index of a value of this type; object if there is no single one."""
    if is_dataclass(kind):
        return _required(get_type_hints(kind).get(str(part), object))
    match get_origin(kind), get_args(kind):
        case origin, (item, *_) if origin is tuple:
            return item
        case origin, (_, item) if origin is Mapping:
            return item
        case _:
            return object


def _required(kind: object) -> object:
    """Return a type without None; object if more than one type is left."""
    if get_origin(kind) not in {Union, UnionType}:
        return kind
    options = [option for option in get_args(kind) if option is not NoneType]
    return options[0] if len(options) == 1 else object

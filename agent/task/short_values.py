"""Convert values of a task that a program gives as a task file has them, such as text for a record."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from ..errors import ConfigError
from .yaml_lines import dotted


def short_values(values: Mapping[str, object], hints: Mapping[str, object]) -> tuple[str, ...]:
    """Return the names of the fields whose value has another type than the field.

    Args:
        values: of all fields.
        hints: their types; each is a class, one with metadata, a choice of these, or a tuple or mapping of one kind.
    """
    return tuple(name for name, value in values.items() if not _fits(value, hints[name]))


def expanded(name: str, value: object, kind: object) -> object:
    """Return the value of a field, given as a task file has it.

    Args:
        name: of the field.
        value: text, numbers, lists and mappings; records may be among them.
        kind: type of the field, with the validators that expand short forms.

    Raises:
        ConfigError: a task file cannot have this value there.
    """
    try:
        # Through JSON: only there does pydantic's strict mode accept a list for a tuple.
        return TypeAdapter[object](cast("Any", kind)).validate_json(to_json(value), strict=True)
    except PydanticSerializationError as error:
        hint = "Write `./file.py:name`, or give functions to Agent(tools=[...])." if name == "tools" else _SCHEMA
        msg = f"`{name}` holds {_shown(name, value)}, which a task file cannot have. {hint}"
        raise ConfigError(msg, key=name) from error
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        key = dotted((name, *detail["loc"]))
        if detail["type"] in {"unexpected_keyword_argument", "extra_forbidden"}:
            msg = f"`{key}` is not a key of a task. {_SCHEMA}"
        else:
            msg = f"`{key}` is {_shown(name, detail['input'])}, which a task cannot have there. {_SCHEMA}"
        raise ConfigError(msg, key=key) from error


_SCHEMA = "`agent schema` prints what each key takes."


def _shown(name: str, value: object) -> str:
    kind = f"of type {type(value).__name__}"
    return kind if name == "env" else f"{repr(value)[:80]}, {kind}"


def _fits(value: object, hint: object) -> bool:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _fits(value, parts[0])
    if origin in {Union, UnionType}:
        return any(_fits(value, part) for part in parts)
    if origin is Literal:
        return value in parts and isinstance(value, type(parts[0]))
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(item, parts[0]) for item in cast("tuple[object, ...]", value))
    if origin is Mapping:
        items = cast("Mapping[str, object]", value).values() if isinstance(value, Mapping) else None
        return items is not None and all(_fits(item, parts[1]) for item in items)
    return isinstance(value, cast("type", hint))

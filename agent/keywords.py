"""Check the keywords of public calls and the types of records, and answer unknown attributes with the right name."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import types
import typing
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from .errors import ConfigError
from .nearest import did_you_mean

CallableT = TypeVar("CallableT", bound=Callable[..., Any])

Conversion = Callable[[Any], tuple[str, Any]]
"""Returns the new name and value of an old keyword, given its value."""


def checked_keywords(
    *,
    renamed: Mapping[str, str | Conversion] | None = None,
    elsewhere: Mapping[str, str] | None = None,
    own_types: bool = False,
) -> Callable[[CallableT], CallableT]:
    """Return a decorator, for a class or a function, that checks keywords before the call, and the types of a record.

    A value of a wrong type, and one that is missing, raise ConfigError; a wrong keyword raises TypeError. The signature
    that `help` and editors show leaves out private parameters of a class.

    Args:
        renamed: old names, which work for one release with a DeprecationWarning, and the new name of each, or the
            function that returns it with the new value.
        elsewhere: names that people know from other libraries, and for each what to write here.
        own_types: whether a record checks the types of its values itself, as one that converts some.
    """

    def decorate(target: CallableT) -> CallableT:
        function: Any = target.__init__ if isinstance(target, type) else target
        signature = inspect.signature(function)
        known = [name for name in signature.parameters if name != "self"]
        named = [name for name, one in signature.parameters.items() if one.kind is one.KEYWORD_ONLY]
        required = [name for name, one in signature.parameters.items() if one.default is one.empty]
        is_record = not own_types and hasattr(target, "__dataclass_fields__")
        most = len(signature.parameters) - len(named)
        called = getattr(target, "__name__", "")

        def corrected(args: tuple[object, ...], keywords: dict[str, object]) -> dict[str, object]:
            if len(args) > most and named:
                shown = ", ".join([*known[: len(known) - len(named)], f"{named[0]}=..."])
                msg = f"{called}() got too many values without a name. Write the others by name: {called}({shown})."
                raise TypeError(msg)
            if not keywords.keys() <= set(known):
                keywords = _corrected(keywords, known, called, renamed or {}, elsewhere or {})
            given = dict(zip(signature.parameters, args, strict=False)) | keywords
            if missing := next((name for name in required if name not in given), None):
                msg = f"{called}() needs `{missing}`. Write {called}({missing}=...)."
                raise ConfigError(msg, key=missing)
            if is_record:
                _check_fields(cast("type", target), given)
            return keywords

        @functools.wraps(function)
        def checked(*args: object, **keywords: object) -> object:
            return function(*args, **corrected(args, keywords))

        @functools.wraps(function)
        async def checked_coroutine(*args: object, **keywords: object) -> object:
            return await function(*args, **corrected(args, keywords))

        if isinstance(target, type):
            shown = [signature.parameters[name] for name in ("self", *_public(known))]
            cast("Any", checked).__signature__ = signature.replace(parameters=shown)  # what `help` prints
            cast("Any", target).__init__ = checked
            return cast("CallableT", target)
        return cast("CallableT", checked_coroutine if inspect.iscoroutinefunction(function) else checked)

    return decorate


def unknown_attribute(owner: object, name: str, elsewhere: Mapping[str, str]) -> AttributeError:
    """Return the error for an attribute that an object does not have, with the name to use instead.

    Args:
        owner: the object.
        name: the attribute.
        elsewhere: attributes that people know from other libraries, and for each what to write here.
    """
    kind = type(owner)
    advice = f" {elsewhere[name]}" if name in elsewhere else ""
    if not advice and not name.startswith("_"):
        # Slots have fields in no `__dict__`, and the fields of others are no attributes of the class without a default.
        known = [*getattr(kind, "__dataclass_fields__", ()), *getattr(owner, "__dict__", ()), *dir(kind)]
        advice = did_you_mean(name, _public(dict.fromkeys(known)))
    return AttributeError(f"{kind.__name__} has no attribute {name!r}.{advice}", name=name, obj=owner)


def _check_fields(record: type, given: Mapping[str, object]) -> None:
    """Check the values of a record by the annotations of its fields, as far as these are of plain types."""
    place = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", record.__name__).lower()
    for name, kinds, items, is_shown in _field_kinds(record):
        if name not in given:
            continue
        value = given[name]
        _check_value(value, kinds, f"{place}.{name}", is_shown=is_shown)
        if items is not None and isinstance(value, Mapping):
            for key, item in cast("Mapping[object, object]", value).items():
                _check_value(key, (str,), f"{place}.{name}", is_shown=is_shown)
                _check_value(item, items, f"{place}.{name}[{key!r}]", is_shown=False)


def _check_value(value: object, kinds: tuple[type, ...], place: str, *, is_shown: bool) -> None:
    if isinstance(value, bool):
        is_right = bool in kinds
    elif isinstance(value, int | float):
        is_right = float in kinds or (int in kinds and (isinstance(value, int) or value.is_integer()))
    else:
        is_right = isinstance(value, kinds)
    if is_right:
        return
    wanted = next(kind for kind in kinds if kind is not types.NoneType)
    is_part = wanted is int and isinstance(value, float)
    words = "a whole number" if is_part else _KIND_WORDS.get(wanted, f"a {wanted.__name__}")
    shown = f"{value!r}, " if is_shown else ""
    found = "None" if value is None else f"{shown}of type {type(value).__name__}"
    raise ConfigError(f"`{place}` is {found}. Give {words}.", key=place.partition("[")[0])


_KIND_WORDS: Mapping[type, str] = types.MappingProxyType(
    {
        str: "a text", int: "a number", float: "a number", bool: "True or False", Path: "a Path",
        cast("type", Mapping): 'names and values, such as {"name": ...}',
    }
)  # fmt: skip


@functools.cache
def _field_kinds(record: type) -> list[tuple[str, tuple[type, ...], tuple[type, ...] | None, bool]]:
    """Return name and types of each field that can be checked, the types of its items, and whether it may be shown."""
    hints, found = typing.get_type_hints(record), list[Any]()
    for field in dataclasses.fields(record):
        hint, items = hints[field.name], None
        if typing.get_origin(hint) is Mapping:
            name, item = typing.get_args(hint)
            if name is not str:
                continue
            items = _kinds(item)
        if kinds := _kinds(hint):
            found.append((field.name, kinds, items, field.repr))
    return found


def _kinds(hint: object) -> tuple[type, ...] | None:
    """Return the types that an annotation allows. None if it is not of plain types or records alone."""
    parts = typing.get_args(hint) if typing.get_origin(hint) in {types.UnionType, typing.Union} else (hint,)
    kinds = [typing.get_origin(part) or part for part in parts]
    found = tuple(kind for kind in kinds if isinstance(kind, type) and kind not in {Any, object, tuple, list})
    return found if len(found) == len(kinds) else None


def _public(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith("_")]


def _corrected(
    keywords: Mapping[str, object], known: list[str], called: str, renamed: Mapping[str, str | Conversion],
    elsewhere: Mapping[str, str],
) -> dict[str, object]:  # fmt: skip
    corrected: dict[str, object] = {}
    for name, value in keywords.items():
        if name in known:
            corrected[name] = value
            continue
        if name not in renamed:
            advice = f" {elsewhere[name]}" if name in elsewhere else did_you_mean(name, _public(known))
            msg = f"{called}() has no parameter {name!r}.{advice}"
            raise TypeError(msg)
        change = renamed[name]
        new, converted = (change, value) if isinstance(change, str) else change(value)
        if new in keywords:
            # dataclasses.replace gives all fields, so the user may have written only the old name.
            msg = f"{called}() cannot take both {name!r} and {new!r}, its new name. Write only {new}=..."
            raise TypeError(msg)
        # The frames between: this function, `corrected` and `checked`.
        warnings.warn(
            f"{called}({name}=...) is now {new}=...; the old name works in this release only.",
            DeprecationWarning,
            stacklevel=4,
        )
        corrected[new] = converted
    return corrected

"""Check the keywords of public calls, and answer unknown attributes: the message for a wrong name has the right one."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from .nearest import did_you_mean

CallableT = TypeVar("CallableT", bound=Callable[..., Any])

Conversion = Callable[[Any], tuple[str, Any]]
"""Returns the new name and value of an old keyword, given its value."""


def checked_keywords(
    *, renamed: Mapping[str, str | Conversion] | None = None, elsewhere: Mapping[str, str] | None = None
) -> Callable[[CallableT], CallableT]:
    """Return a decorator, for a class or a function, that checks keywords before the call.

    The signature that `help` and editors show leaves out private parameters of a class.

    Args:
        renamed: old names, which work for one release with a DeprecationWarning, and the new name of each, or the
            function that returns it with the new value.
        elsewhere: names that people know from other libraries, and for each what to write here.
    """

    def decorate(target: CallableT) -> CallableT:
        function: Any = target.__init__ if isinstance(target, type) else target
        signature = inspect.signature(function)
        known = [name for name in signature.parameters if name != "self"]
        named = [name for name, one in signature.parameters.items() if one.kind is one.KEYWORD_ONLY]
        most = len(signature.parameters) - len(named)
        called = getattr(target, "__name__", "")

        def corrected(args: tuple[object, ...], keywords: dict[str, object]) -> dict[str, object]:
            if len(args) > most and named:
                shown = ", ".join([*known[: len(known) - len(named)], f"{named[0]}=..."])
                msg = f"{called}() got too many values without a name. Write the others by name: {called}({shown})."
                raise TypeError(msg)
            if keywords.keys() <= set(known):
                return keywords
            return _corrected(keywords, known, called, renamed or {}, elsewhere or {})

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
        advice = did_you_mean(name, _public(dir(kind)))
    return AttributeError(f"{kind.__name__} has no attribute {name!r}.{advice}", name=name, obj=owner)


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

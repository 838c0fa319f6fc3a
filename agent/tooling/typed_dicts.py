"""Make types that hold a TypedDict of `typing` readable for pydantic, which takes none before Python 3.12."""

from __future__ import annotations

import sys
from types import UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from typing_extensions import TypedDict

_UNIONS = (Union, UnionType)


def of_pydantic(kind: object, *, inside: tuple[object, ...] = ()) -> object:
    """Return a type that pydantic takes on every Python.

    Args:
        kind: a type, with TypedDicts at any depth, but for those in the fields of classes.
        inside: TypedDicts that this one is part of; one that holds itself stays as it is.
    """
    if sys.version_info >= (3, 12) or kind in inside:
        return kind
    if is_typeddict(kind):
        return _typed_dict(cast("type", kind), (*inside, kind))
    origin, parts = get_origin(kind), get_args(kind)
    if origin in {None, Literal}:
        return kind
    first = parts[:1] if origin is Annotated else parts
    new = tuple(of_pydantic(part, inside=inside) for part in first)
    if all(one is other for one, other in zip(new, first, strict=True)):
        return kind
    if origin is Annotated:
        return Annotated[(new[0], *parts[1:])]
    return cast("Any", Union if origin in _UNIONS else origin)[new]


def _typed_dict(kind: type, inside: tuple[object, ...]) -> object:
    required: frozenset[str] = cast("Any", kind).__required_keys__
    fields: dict[str, Any] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        bare = get_args(hint)[0] if get_origin(hint) in {Required, NotRequired} else hint
        new = cast("Any", of_pydantic(bare, inside=inside))
        fields[name] = Required[new] if name in required else NotRequired[new]
    made = cast("Any", TypedDict)(kind.__name__, fields)
    made.__doc__ = kind.__doc__
    if (config := getattr(kind, "__pydantic_config__", None)) is not None:
        made.__pydantic_config__ = config
    return made

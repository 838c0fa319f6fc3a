"""Signatures of users' functions, with what must become of each under `tool` and what a call returns."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import EmailStr

from agent import ToolContext


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Something that a user decorates with `tool`."""

    name: str
    make: Callable[[], object]
    becomes: tuple[str, ...] = ("tool",)
    """`tool`, `ConfigError`, or both if the product may choose."""
    call: str = "{}"
    returns: object = None
    """What the tool returns for the call. None means that it is not called."""


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


async def later(a: int) -> int:
    """Wait, then return the number."""
    await asyncio.sleep(0)
    return a


async def counting(limit: int) -> AsyncIterator[int]:
    """Count."""
    for number in range(limit):
        yield number


def numbers(limit: int) -> Any:
    """Count."""
    yield from range(limit)


class Doubler:
    """Double a number."""

    def __call__(self, a: int) -> int:
        """Double a number."""
        return 2 * a

    def method(self, a: int) -> int:
        """Double a number."""
        return 2 * a

    @staticmethod
    def static(a: int) -> int:
        """Double a number."""
        return 2 * a

    @classmethod
    def of_class(cls, a: int) -> int:
        """Double a number."""
        return 2 * a


def dumping(model_dump: bool, model_fields: str, model_json_schema: int = 0) -> str:
    """Return what came."""
    return f"{model_dump} {model_fields} {model_json_schema}"


def copying(copy: str, json: str, dict: str, schema: str, validate: str, construct: str) -> str:  # noqa: A002 - users name parameters so; the names are what is tried
    """Return what came."""
    return copy + json + dict + schema + validate + construct


def _function(parameters: str, body: str = "return 'done'", docstring: str = '"""Do it."""') -> Callable[[], object]:
    def make() -> object:
        space: dict[str, Any] = {"ToolContext": ToolContext, "Any": Any, "EmailStr": EmailStr, "Path": Path}
        source = f"def made({parameters}):\n    {docstring}\n    {body}"
        exec(compile(source, "made", "exec", dont_inherit=True), space)  # annotations are values here, not texts
        return space["made"]

    return make


SIGNATURES = (
    Signature(name="function", make=lambda: add, call='{"a": 1}', returns=2),
    Signature(name="async function", make=lambda: later, call='{"a": 1}', returns=1),
    Signature(name="method", make=lambda: Doubler().method, call='{"a": 2}', returns=4),
    Signature(name="static method", make=lambda: Doubler.static, call='{"a": 2}', returns=4),
    Signature(name="class method", make=lambda: Doubler.of_class, call='{"a": 2}', returns=4),
    Signature(name="callable object", make=Doubler, becomes=("tool", "ConfigError"), call='{"a": 2}', returns=4),
    Signature(name="partial", make=lambda: functools.partial(add, 1), becomes=("tool", "ConfigError"),
        call='{"b": 2}', returns=3),
    Signature(name="partial by keyword", make=lambda: functools.partial(add, b=5), becomes=("tool", "ConfigError"),
        call='{"a": 2}', returns=7),
    Signature(name="partial of async", make=lambda: functools.partial(later, a=3), becomes=("tool", "ConfigError"),
        returns=3),
    Signature(name="partial of a partial", make=lambda: functools.partial(functools.partial(add, 1), 2),
        becomes=("tool", "ConfigError"), returns=3),
    Signature(name="lru_cache", make=lambda: functools.lru_cache(add), call='{"a": 1}', returns=2),
    Signature(name="async generator", make=lambda: counting, becomes=("ConfigError",)),
    Signature(name="generator", make=lambda: numbers, becomes=("tool", "ConfigError")),
    Signature(name="no annotation at all", make=_function("a", "return a"), becomes=("ConfigError",)),
    Signature(name="class that is no model", make=lambda: Doubler, becomes=("tool", "ConfigError")),
    Signature(name="built-in", make=lambda: len, becomes=("ConfigError",)),
    Signature(name="model_dump, model_fields", make=lambda: dumping, becomes=("tool", "ConfigError"),
        call='{"model_dump": true, "model_fields": "x"}', returns="True x 0"),
    Signature(name="copy, json, dict, schema", make=lambda: copying, becomes=("tool", "ConfigError"),
        call='{"copy": "a", "json": "b", "dict": "c", "schema": "d", "validate": "e", "construct": "f"}',
        returns="abcdef"),
    Signature(name="model_config", make=_function("model_config: str"), becomes=("tool", "ConfigError")),
    Signature(name="model_post_init", make=_function("model_post_init: str"), becomes=("tool", "ConfigError")),
    Signature(name="model_validate", make=_function("model_validate: str, model_copy: str"), becomes=("tool",
        "ConfigError")),
    Signature(name="leading underscore", make=_function("_a: int"), becomes=("tool", "ConfigError")),
    Signature(name="dunder", make=_function("__a__: int"), becomes=("tool", "ConfigError")),
    Signature(name="self as a parameter", make=_function("self: int"), becomes=("tool", "ConfigError")),
    Signature(name="no annotation", make=_function("a"), becomes=("ConfigError",)),
    Signature(name="no docstring", make=_function("a: int", docstring="pass"), becomes=("ConfigError",)),
    Signature(name="*args", make=_function("*args: int"), becomes=("ConfigError",)),
    Signature(name="**kwargs", make=_function("**kwargs: int"), becomes=("ConfigError",)),
    Signature(name="positional only", make=_function("a: int, /"), becomes=("ConfigError",)),
    Signature(name="keyword only", make=_function("*, a: int"), call='{"a": 1}', returns="done"),
    Signature(name="no parameters", make=_function(""), returns="done"),
    Signature(name="context only", make=_function("context: ToolContext"), returns="done"),
    Signature(name="EmailStr without its package", make=_function("to: EmailStr"), becomes=("tool", "ConfigError")),
    Signature(name="an annotation that is no type", make=_function("a: 5"), becomes=("ConfigError",)),
    Signature(name="a module as annotation", make=_function("a: __import__('os')"), becomes=("ConfigError",)),
    Signature(name="a callable as annotation", make=_function("a: type(lambda: 0)"), becomes=("ConfigError",)),
    Signature(name="an unknown name", make=_function("a: 'Nowhere'"), becomes=("ConfigError",)),
    Signature(name="a broken annotation", make=_function("a: 'int['"), becomes=("ConfigError",)),
    Signature(name="a default of another type", make=_function("a: int = 'x'"), becomes=("tool", "ConfigError")),
    Signature(name="a mutable default", make=_function("a: list[int] = []"), returns="done"),
    Signature(name="a text", make=lambda: "not a function", becomes=("ConfigError",)),
)  # fmt: skip

"""Read the parameters of a function, callable object or pydantic model; refuses what cannot be described to a model."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass
from typing import Annotated, Any, cast, get_args, get_origin, get_type_hints

import docstring_parser
from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo

from ..errors import ConfigError
from .context import ToolContext
from .threads import in_thread
from .typed_dicts import of_pydantic

_LAMBDA = (lambda: None).__name__
_CONTEXT_NAMES = frozenset({"context", "ctx", "run_context", "wrapper"})
ToolBody = Callable[[Any, "ToolContext[Any]"], Awaitable[object]]
ToolSource = Callable[..., object] | type[BaseModel]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a tool is made of, as its source says it."""

    description: str
    """Empty if there is no docstring."""
    model: type[BaseModel]
    """The arguments."""
    body: ToolBody
    deps_type: object = None
    """What the ToolContext is annotated with. None if there is none, or it takes any."""


def default_name(source: ToolSource) -> str:
    """Return the name of a function, or the snake_case name of a model or of a callable object's class.

    Raises:
        ConfigError: it is a lambda.
    """
    if inspect.isclass(source) and issubclass(source, BaseModel):
        return _snake_case(source.__name__)
    own = getattr(source, "__name__", None)
    if own is None and isinstance(source, functools.partial):
        return default_name(cast("functools.partial[object]", source).func)
    if own == _LAMBDA:
        msg = (
            "A lambda has no name, annotations or docstring. "
            "Write a function with annotated parameters and a docstring."
        )
        raise ConfigError(msg)
    return str(own or _snake_case(type(source).__name__))


def parts_of(source: ToolSource, name: str) -> Parts:
    """Read a tool's source.

    Raises:
        ConfigError: it cannot be called, or not by a model.
    """
    if not callable(source):
        msg = (
            f"Cannot make a tool of {source!r}: it cannot be called. Use a function, an object with `__call__`, or a "
            "pydantic model with a `run` method. A class method becomes a tool as tool(ItsClass.method)."
        )
        raise ConfigError(msg)
    if inspect.isclass(source) and issubclass(source, BaseModel):
        return _from_model(source, name)
    return _from_function(source, name)


def _from_function(source: Callable[..., object], name: str) -> Parts:
    function = _function_of(source)
    _refuse_class_of_callables(name, function)
    _refuse_generator(name, function)
    text = _docstring(source)
    docs = docstring_parser.parse(text)
    documented = {item.arg_name: item.description or "" for item in docs.params}
    hints = _hints(name, function)
    fields: dict[str, tuple[object, object]] = {}
    context_name: str | None = None
    for parameter in _parameters(name, source, hints):
        if _is_context(hints[parameter.name]):
            context_name = parameter.name
        else:
            fields[parameter.name] = _field(hints[parameter.name], parameter.default, documented.get(parameter.name))
    model, fields_by_parameter = _arguments_model(name, fields)
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(source)

    async def body(value: BaseModel, context: ToolContext[Any]) -> object:
        keywords = {key: getattr(value, field) for key, field in fields_by_parameter.items()}
        if context_name is not None:
            keywords[context_name] = context
        return await _call(source, keywords, is_async=is_async)

    deps_type = None if context_name is None else _deps_type(hints[context_name])
    return Parts(description=_summary(docs, text), model=model, body=body, deps_type=deps_type)


def _from_model(source: type[BaseModel], name: str) -> Parts:
    run = getattr(source, "run", None)
    if not callable(run):
        msg = f"Tool {name!r}: the model {source.__name__} has no `run` method. Add `def run(self) -> str:`."
        raise ConfigError(msg)
    _refuse_generator(name, run)
    contexts = {key: hint for key, hint in _hints(name, run).items() if key != "return" and _is_context(hint)}
    is_async = inspect.iscoroutinefunction(run)

    async def body(value: BaseModel, context: ToolContext[Any]) -> object:
        return await _call(cast("Any", value).run, dict.fromkeys(contexts, context), is_async=is_async)

    deps_type = next(map(_deps_type, contexts.values()), None)
    return Parts(description=inspect.cleandoc(source.__doc__ or ""), model=source, body=body, deps_type=deps_type)


async def _call(function: Callable[..., object], keywords: dict[str, object], *, is_async: bool) -> object:
    if is_async:
        return await cast("Awaitable[object]", function(**keywords))
    result = await in_thread(function, keywords)
    return await result if inspect.isawaitable(result) else result


def _function_of(source: Callable[..., object]) -> Callable[..., object]:
    """Return the function that runs when the source is called: of a partial, or of an object with `__call__`."""
    if isinstance(source, functools.partial):
        return _function_of(cast("functools.partial[object]", source).func)
    # What wraps a function, as lru_cache does, has its annotations.
    is_function = inspect.isroutine(source) or inspect.isclass(source) or hasattr(source, "__wrapped__")
    return source if is_function else cast("Any", source).__call__


def _docstring(source: Callable[..., object]) -> str:
    """Return the docstring of what is called; a partial and an object have those of their classes too."""
    if isinstance(source, functools.partial):
        return source.__dict__.get("__doc__") or _docstring(cast("functools.partial[object]", source).func)
    function = _function_of(source)
    return source.__doc__ or "" if source is function else function.__doc__ or source.__doc__ or ""


def _refuse_class_of_callables(name: str, function: Callable[..., object]) -> None:
    if inspect.isclass(function) and any("__call__" in vars(base) for base in function.__mro__):
        called = function.__name__
        msg = (
            f"Tool {name!r}: {called} is a class whose instances can be called. "
            f"Give an instance, such as tool({called}(...))."
        )
        raise ConfigError(msg)


def _refuse_generator(name: str, function: Callable[..., object]) -> None:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        msg = (
            f"Tool {name!r}: the function is a generator, and a tool gives one result. "
            "Return everything that it yields, such as in a list."
        )
        raise ConfigError(msg)


def _parameters(name: str, source: Callable[..., object], hints: dict[str, Any]) -> list[inspect.Parameter]:
    """Return the parameters that a call may give: named, annotated, and not bound by a partial."""
    try:
        found = list(inspect.signature(source).parameters.values())
    except (ValueError, TypeError) as error:
        msg = f"Tool {name!r}: Python cannot read its signature ({error}). Wrap it in a function with annotations."
        raise ConfigError(msg) from error
    bound = _bound_names(source)
    for index, parameter in enumerate(found):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            msg = (
                f"Tool {name!r}: parameter {str(parameter)!r} cannot be described to a model. Use named "
                "parameters that can be passed by keyword."
            )
            raise ConfigError(msg)
        if parameter.name not in hints and parameter.name not in bound:
            is_unbound = index == 0 and parameter.name in {"self", "cls"}
            advice = f"If it is a method, bind it: tool(instance.{name})." if is_unbound else "Add one."
            if parameter.name in _CONTEXT_NAMES:
                advice = "To get the run's context, annotate it: ToolContext."
            if getattr(source, "__name__", None) == _LAMBDA:
                advice = "Write a function with annotated parameters."
            msg = f"Tool {name!r}: parameter {parameter.name!r} has no type annotation. {advice}"
            raise ConfigError(msg)
    return [parameter for parameter in found if parameter.name not in bound]


def _bound_names(source: Callable[..., object]) -> set[str]:
    """Return the keywords that partials bind. Python would let a caller replace them; a model is not asked."""
    if not isinstance(source, functools.partial):
        return set()
    partial = cast("functools.partial[object]", source)
    return set(partial.keywords) | _bound_names(partial.func)


def _hints(name: str, function: Callable[..., object]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        msg = f"Tool {name!r}: an annotation cannot be resolved: {error}. Import that name at module level."
        raise ConfigError(msg) from error
    except (TypeError, SyntaxError, AttributeError) as error:
        msg = f"Tool {name!r}: its annotations cannot be read: {error}. Use types, such as `int` or `list[str]`."
        raise ConfigError(msg) from error


def _is_context(hint: object) -> bool:
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return bare is ToolContext or get_origin(bare) is ToolContext


def _deps_type(hint: object) -> object:
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    found = next(iter(get_args(bare)), None)
    return None if found in {Any, object, type(None)} else found


def _field(hint: object, default: object, description: str | None) -> tuple[object, object]:
    given = default if default is not inspect.Parameter.empty else ...
    hint = of_pydantic(hint)
    infos = _field_infos(hint, given)
    if description and not any(info.description for info in infos):
        hint = Annotated[hint, Field(description=description)]
    return hint, given


def _field_infos(hint: object, given: object) -> list[FieldInfo]:
    annotated = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return [info for info in (*annotated, given) if isinstance(info, FieldInfo)]


def _arguments_model(name: str, fields: dict[str, tuple[object, object]]) -> tuple[type[BaseModel], dict[str, str]]:
    """Return the model of the arguments, and its field for each parameter."""
    renamed: dict[str, str] = {}
    definitions: dict[str, Any] = {}
    for key, (hint, given) in fields.items():
        # pydantic keeps these names for itself: its methods, its config, and `_x` for private attributes.
        is_taken = key.startswith(("_", "model_")) or hasattr(BaseModel, key)
        renamed[key] = _free_name(f"parameter_{key}", fields) if is_taken else key
        if is_taken and not any(info.alias or info.validation_alias for info in _field_infos(hint, given)):
            hint = Annotated[hint, Field(alias=key)]
        definitions[renamed[key]] = (hint, given)
    try:
        model = create_model(name, __config__=ConfigDict(extra="forbid"), **definitions)
    except ImportError as error:
        msg = f"Tool {name!r}: a type of its parameters needs a package that is not installed: {error}"
        raise ConfigError(msg) from error
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        msg = f"Tool {name!r}: its parameters have no JSON Schema: {reason} Use JSON types or pydantic models."
        raise ConfigError(msg) from error
    keys = [field.validation_alias or field.alias or key for key, field in model.model_fields.items()]
    twice = [key for key in keys if keys.count(key) > 1]
    if twice:
        msg = f"Tool {name!r}: two parameters are sent as {twice[0]!r}. Change the alias of one."
        raise ConfigError(msg)
    return model, renamed


def _free_name(name: str, taken: Container[str]) -> str:
    return name if name not in taken else _free_name(f"{name}_", taken)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _summary(docs: docstring_parser.Docstring, text: str) -> str:
    parts = [part for part in (docs.short_description, docs.long_description) if part]
    return "\n".join(parts) or inspect.cleandoc(text)

"""Build a Tool from a typed function or a pydantic model; refuses what cannot be described to a model."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Annotated, Any, cast, get_args, get_origin, get_type_hints, overload

import docstring_parser
from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, create_model
from pydantic.errors import PydanticSchemaGenerationError
from pydantic.fields import FieldInfo

from ..errors import ConfigError
from .arguments import Arguments, JsonObject, ModelArguments
from .context import ToolContext
from .json_schema import plain_schema
from .threads import in_thread

# mistral_common refuses any other name, in the tool list and in the history (its request validator, version 1.12).
NAME_RULE = re.compile(r"[A-Za-z0-9_-]{1,64}")
DEFAULT_TIMEOUT_S = 120.0
DEFAULT_OUTPUT_CHARS = 16_000

ToolBody = Callable[[Any, "ToolContext[Any]"], Awaitable[object]]


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A function the model may call."""

    name: str
    description: str
    parameters: JsonObject
    """JSON Schema of the arguments object; `additionalProperties` is false unless the author set it."""
    arguments: Arguments
    body: ToolBody
    """Called with the value from `arguments.check` and the context; returns text, a pydantic model, an Image, or
    anything that pydantic can serialize as JSON."""
    read_only: bool = False
    """True if running it twice changes nothing."""
    exclusive: bool = False
    """True if it must not run at the same time as another call."""
    commands: bool = False
    """True if it starts commands through `ToolContext`; a run with it starts only where they can be sandboxed."""
    timeout_s: float = DEFAULT_TIMEOUT_S
    output_limit_chars: int = DEFAULT_OUTPUT_CHARS
    """Longer results keep their head and tail; the full text is written to a file."""
    variants: Mapping[str, Tool] = field(default_factory=dict[str, "Tool"])
    """Replacements by model family, for a model that was trained on another definition of this tool."""
    notes: tuple[str, ...] = ()
    """One sentence for people about each part of the schema that is not checked or was changed."""

    def for_family(self, family: str) -> Tool:
        """Return this tool as a model family knows it, with the limits of this one."""
        variant = self.variants.get(family)
        if variant is None:
            return self
        return replace(variant, timeout_s=self.timeout_s, output_limit_chars=self.output_limit_chars)

    def definition(self) -> JsonObject:
        """Return the tool in the form of the chat completions API, with `strict: true`."""
        # Without strict, vLLM's grammar constrains neither the name nor the arguments (mistral_common 1.12).
        function: JsonObject = {
            "name": self.name,
            "description": self.description,
            "strict": True,
            "parameters": self.parameters,
        }
        return {"type": "function", "function": function}


ToolSource = Callable[..., object] | type[BaseModel]


@overload
def tool(source: ToolSource, /) -> Tool: ...
@overload
def tool(
    *,
    name: str | None = None,
    read_only: bool = False,
    exclusive: bool = False,
    commands: bool = False,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    output_limit_chars: int = DEFAULT_OUTPUT_CHARS,
    variants: Mapping[str, Tool] = ...,
) -> Callable[[ToolSource], Tool]: ...
def tool(
    source: ToolSource | None = None,
    /,
    *,
    name: str | None = None,
    read_only: bool = False,
    exclusive: bool = False,
    commands: bool = False,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    output_limit_chars: int = DEFAULT_OUTPUT_CHARS,
    variants: Mapping[str, Tool] = MappingProxyType({}),
) -> Tool | Callable[[ToolSource], Tool]:
    """Build a tool from a sync or async function, or from a pydantic model with a `run` method.

    The schema comes from the annotations (`Annotated[int, Field(ge=1, description="...")]`, defaults, Literal, enums,
    nested models, unions); descriptions that are not in a Field come from the docstring. A parameter annotated
    `ToolContext` is supplied by the run. A sync function runs in a thread.

    Args:
        source: the function or model; omitted when the decorator is called with options.
        name: the tool's name for the model. None means the function's name, or the class name in snake_case.
        read_only: running it twice changes nothing.
        exclusive: it must not run at the same time as another call.
        commands: it starts commands through `ToolContext`.
        timeout_s: seconds after which the call is abandoned.
        output_limit_chars: longer results keep their head and tail.
        variants: replacements by model family, for a model that was trained on another definition of the tool.

    Raises:
        ConfigError: the name is not allowed, a parameter has no annotation or cannot be described to a model, or the
            docstring is missing.
    """

    def make(source: ToolSource) -> Tool:
        if inspect.isclass(source) and issubclass(source, BaseModel):
            parts = _from_model(source, name)
        else:
            parts = _from_function(cast("Callable[..., object]", source), name)
        return Tool(
            name=parts.name,
            description=parts.description,
            parameters=plain_schema(parts.model),
            arguments=ModelArguments(model=parts.model),
            body=parts.body,
            read_only=read_only,
            exclusive=exclusive,
            commands=commands,
            timeout_s=timeout_s,
            output_limit_chars=output_limit_chars,
            variants=variants,
        )

    return make if source is None else make(source)


@dataclass(frozen=True, kw_only=True)
class _Parts:
    name: str
    description: str
    model: type[BaseModel]
    body: ToolBody


def _from_function(function: Callable[..., object], name: str | None) -> _Parts:
    tool_name = checked_name(name or getattr(function, "__name__", "tool"))
    docs = docstring_parser.parse(function.__doc__ or "")
    documented = {item.arg_name: item.description or "" for item in docs.params}
    hints = _hints(tool_name, function)
    fields: dict[str, Any] = {}
    context_name: str | None = None
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            msg = (
                f"Tool {tool_name!r}: parameter {str(parameter)!r} cannot be described to a model. Use named "
                "parameters that can be passed by keyword."
            )
            raise ConfigError(msg)
        if parameter.name not in hints:
            msg = f"Tool {tool_name!r}: parameter {parameter.name!r} has no type annotation. Add one."
            raise ConfigError(msg)
        if _is_context(hints[parameter.name]):
            context_name = parameter.name
        else:
            fields[parameter.name] = _field(hints[parameter.name], parameter.default, documented.get(parameter.name))
    model = _arguments_model(tool_name, fields)
    description = checked_description(tool_name, _summary(docs, function.__doc__))

    async def body(value: BaseModel, context: ToolContext[Any]) -> object:
        keywords = {key: getattr(value, key) for key in fields}
        if context_name is not None:
            keywords[context_name] = context
        return await _call(function, keywords)

    return _Parts(name=tool_name, description=description, model=model, body=body)


def _from_model(source: type[BaseModel], name: str | None) -> _Parts:
    tool_name = checked_name(name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", source.__name__).lower())
    run = getattr(source, "run", None)
    if not callable(run):
        msg = f"Tool {tool_name!r}: the model {source.__name__} has no `run` method. Add `def run(self) -> str:`."
        raise ConfigError(msg)
    takes_context = [key for key, hint in _hints(tool_name, run).items() if key != "return" and _is_context(hint)]
    description = checked_description(tool_name, inspect.cleandoc(source.__doc__ or ""))
    # A subclass, so that unknown keys are refused even if the author's own model accepts them.
    model = cast(
        "type[BaseModel]",
        type(
            source.__name__,
            (source,),
            {
                "model_config": ConfigDict(extra="forbid"),
                "__doc__": source.__doc__,
                "__module__": source.__module__,
            },
        ),
    )

    async def body(value: BaseModel, context: ToolContext[Any]) -> object:
        return await _call(cast("Any", value).run, dict.fromkeys(takes_context, context))

    return _Parts(name=tool_name, description=description, model=model, body=body)


async def _call(function: Callable[..., object], keywords: dict[str, object]) -> object:
    if inspect.iscoroutinefunction(function):
        return await function(**keywords)
    result = await in_thread(function, keywords)
    return await result if inspect.isawaitable(result) else result


def _hints(name: str, function: Callable[..., object]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        msg = f"Tool {name!r}: an annotation cannot be resolved: {error}. Import that name at module level."
        raise ConfigError(msg) from error


def _is_context(hint: object) -> bool:
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return bare is ToolContext or get_origin(bare) is ToolContext


def _field(hint: object, default: object, description: str | None) -> tuple[object, object]:
    given = default if default is not inspect.Parameter.empty else ...
    annotated = [extra for extra in get_args(hint)[1:] if isinstance(extra, FieldInfo)] if get_args(hint) else []
    has_own = any(extra.description for extra in annotated) or (isinstance(given, FieldInfo) and given.description)
    if description and not has_own:
        hint = Annotated[hint, Field(description=description)]
    return hint, given


def _arguments_model(name: str, fields: dict[str, Any]) -> type[BaseModel]:
    try:
        with warnings.catch_warnings():
            # A parameter may be named `json` or `schema`; pydantic only warns that its own method is shadowed.
            warnings.filterwarnings("ignore", message="Field name .* shadows an attribute in parent")
            model = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    except (PydanticSchemaGenerationError, PydanticUserError, NameError) as error:
        reason = str(error).splitlines()[0]
        msg = f"Tool {name!r}: its parameters have no JSON Schema: {reason} Use JSON types or pydantic models."
        raise ConfigError(msg) from error
    reserved = [key for key in fields if key not in model.model_fields]
    if reserved:
        # pydantic treats `_x` as a private attribute and `model_config` as its own: a model could never send them.
        msg = f"Tool {name!r}: the parameter name {reserved[0]!r} is reserved by pydantic. Rename the parameter."
        raise ConfigError(msg)
    return model


def _summary(docs: docstring_parser.Docstring, text: str | None) -> str:
    parts = [part for part in (docs.short_description, docs.long_description) if part]
    return "\n".join(parts) or inspect.cleandoc(text or "")


def checked_name(name: str) -> str:
    """Return the name if the model family accepts it.

    Raises:
        ConfigError: it is not allowed; the message suggests one that is.
    """
    if NAME_RULE.fullmatch(name):
        return name
    suggestion = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:64] or "tool"
    msg = (
        f"Tool name {name!r} is not allowed: it must be 1 to 64 characters of A-Z, a-z, 0-9, underscore and dash. "
        f"Set another name, such as @tool(name={suggestion!r})."
    )
    raise ConfigError(msg)


def checked_description(name: str, description: str) -> str:
    """Return the description without surrounding whitespace.

    Raises:
        ConfigError: it is empty.
    """
    if description.strip():
        return description.strip()
    msg = f"Tool {name!r} has no description, so the model cannot know when to call it. Write a docstring."
    raise ConfigError(msg)

"""Build a Tool from a typed function or a pydantic model; refuses what cannot be described to a model."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeAlias, overload

from pydantic import JsonValue
from typing_extensions import ParamSpec, TypeVar

from ..errors import ConfigError
from ..keywords import checked_keywords
from .arguments import Arguments, JsonObject, ModelArguments
from .context import ToolContext
from .json_schema import plain_schema
from .shorten import DEFAULT_OUTPUT_CHARS
from .signature import ToolBody, ToolSource, default_name, parts_of

# mistral_common refuses any other name, in the tool list and in the history (its request validator, version 1.12).
NAME_RULE = re.compile(r"[A-Za-z0-9_-]{1,64}")
DEFAULT_TIMEOUT_S = 120.0
ParametersT = ParamSpec("ParametersT", default=...)
ResultT = TypeVar("ResultT", default=Any)
CallPaths: TypeAlias = Callable[[Mapping[str, JsonValue], Path], Iterable[str]]
"""Returns the paths of a call, given its arguments and the workspace: absolute, or relative to the workspace. A path
that ends in a slash stands for everything below it."""


@dataclass(frozen=True, kw_only=True)
class Tool(Generic[ParametersT, ResultT]):
    """A function the model may call; calling the tool calls the function, without checks, timeout or context.

    Attributes:
        name: The tool's name for the model.
        description: What the model reads about it.
        parameters: JSON Schema of the arguments object; `additionalProperties` is false unless the author set it.
        arguments: Checks the arguments of a call.
        body: Called with the value from `arguments.check` and the context; returns text, a pydantic model, an Image, or
            anything that pydantic can serialize as JSON.
        read_only: True if running it twice changes nothing.
        exclusive: True if it must not run at the same time as another call.
        commands: True if it starts commands through `ToolContext`; a run with it starts only where they can be
            sandboxed.
        paths: Returns the paths that a call reads or writes, which permission rules decide on. None means that they are
            looked for in its arguments.
        timeout_s: Seconds after which a call is abandoned.
        output_limit_chars: Longer results keep their head and tail; the full text is written to a file.
        env: What only the tool's own program gets, such as the environment and options of an MCP server, by name; the
            secrets in it are redacted.
        requires: Modules that it imports when it is called, and for each what `pip install` takes. A run with the tool
            starts only where they are installed.
        variants: Replacements by model family, for a model that was trained on another definition of this tool.
        notes: One sentence for people about each part of the schema that is not checked or was changed.
        prepare: Called when a run with the tool starts, before any command of it, such as to start a server. None means
            that there is nothing to prepare.
        deps_type: What its ToolContext is annotated with: the `deps` that it needs. None means any.
        source: The function or model that it was made of. None if it was made of a schema.
    """

    name: str
    description: str
    parameters: JsonObject
    arguments: Arguments
    body: ToolBody
    read_only: bool = False
    exclusive: bool = False
    commands: bool = False
    paths: CallPaths | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S
    output_limit_chars: int = DEFAULT_OUTPUT_CHARS
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    requires: Mapping[str, str] = field(default_factory=dict[str, str])
    variants: Mapping[str, Tool] = field(default_factory=dict[str, "Tool"])
    notes: tuple[str, ...] = ()
    prepare: Callable[[ToolContext[Any]], Awaitable[None]] | None = field(default=None, repr=False, compare=False)
    deps_type: object = None
    source: Callable[ParametersT, ResultT] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.source is not None:  # for `inspect.signature` and `help`
            object.__setattr__(self, "__wrapped__", self.source)
            object.__setattr__(self, "__doc__", self.source.__doc__)
            object.__setattr__(self, "__name__", self.name)

    def __call__(self, *args: ParametersT.args, **kwargs: ParametersT.kwargs) -> ResultT:
        """Call the function that the tool was made of, such as in a test of its own."""
        if self.source is None:
            msg = f"Tool {self.name!r} was made of a schema, so there is no function to call."
            raise TypeError(msg)
        return self.source(*args, **kwargs)

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


_ELSEWHERE = {
    "retries": "How often a failing call is tried again follows from the agent's `ladder`.",
    "max_retries": "How often a failing call is tried again follows from the agent's `ladder`.",
    "timeout": "The timeout in seconds is `timeout_s`.",
    "strict": "Calls are always checked strictly.",
    "strict_mode": "Calls are always checked strictly.",
    "sequential": "A tool that must not run beside others is `exclusive`.",
    "failure_error_function": "Raise ToolError with the text that the model should read.",
    "docstring_format": "Docstrings of every common style are read.",
    "prepare": "Which tools a run has is decided by the agent: dataclasses.replace(agent, tools=[...]).",
    "is_enabled": "Which tools a run has is decided by the agent: dataclasses.replace(agent, tools=[...]).",
    "name_override": "The name is `name`.",
    "description_override": "The description is `description`.",
    "takes_ctx": "A parameter annotated ToolContext gets the context.",
    "requires_approval": 'Approval is a rule of the agent: Permission(tool="...", do="ask").',
    "needs_approval": 'Approval is a rule of the agent: Permission(tool="...", do="ask").',
}


@overload
def tool(
    source: Callable[ParametersT, ResultT],
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    read_only: bool = False,
    exclusive: bool = False,
    commands: bool = False,
    paths: CallPaths | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    output_limit_chars: int = DEFAULT_OUTPUT_CHARS,
    requires: Mapping[str, str] = ...,
    variants: Mapping[str, Tool] = ...,
) -> Tool[ParametersT, ResultT]: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    read_only: bool = False,
    exclusive: bool = False,
    commands: bool = False,
    paths: CallPaths | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    output_limit_chars: int = DEFAULT_OUTPUT_CHARS,
    requires: Mapping[str, str] = ...,
    variants: Mapping[str, Tool] = ...,
) -> Callable[[Callable[ParametersT, ResultT]], Tool[ParametersT, ResultT]]: ...
@checked_keywords(elsewhere=_ELSEWHERE)
def tool(
    source: ToolSource | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    read_only: bool = False,
    exclusive: bool = False,
    commands: bool = False,
    paths: CallPaths | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    output_limit_chars: int = DEFAULT_OUTPUT_CHARS,
    requires: Mapping[str, str] = MappingProxyType({}),
    variants: Mapping[str, Tool] = MappingProxyType({}),
) -> Any:
    """Build a tool from a sync or async function or callable object, or from a pydantic model with a `run` method.

    The schema comes from the annotations (`Annotated[int, Field(ge=1, description="...")]`, defaults, Literal, enums,
    nested models, unions); descriptions that are not in a Field come from the docstring. A parameter annotated
    `ToolContext` is supplied by the run; what a `functools.partial` binds is not shown to the model. A sync function
    runs in a thread.

    Unknown keys are refused, in nested models, dataclasses and TypedDicts too, unless their own config sets `extra`.

    Args:
        source: the function, callable object or model; omitted when the decorator is called with options.
        name: the tool's name for the model. None means the function's name, or the class name in snake_case.
        description: what the model reads about it. None means the docstring.
        read_only: running it twice changes nothing, and no file. Set it on every such tool: before and after each call
            of another one, the run looks at the files of a workspace that others use too, which takes time where there
            are many.
        exclusive: it must not run at the same time as another call.
        commands: it starts commands through `ToolContext`.
        paths: returns the paths that a call reads or writes; for a tool whose arguments do not hold them as they are.
        timeout_s: seconds after which the call is abandoned.
        output_limit_chars: longer results keep their head and tail.
        requires: modules that it imports when it is called, and for each what `pip install` takes.
        variants: replacements by model family, for a model that was trained on another definition of the tool.

    Raises:
        ConfigError: the name is not allowed, a parameter has no annotation or cannot be described to a model, the
            function is a generator or a lambda, the docstring is missing, or it is a class whose instances can be
            called, instead of such an instance.
    """

    def make(source: ToolSource) -> Tool:
        tool_name = checked_name(name or default_name(source))
        parts = parts_of(source, tool_name)
        return Tool(
            name=tool_name,
            description=checked_description(tool_name, description or parts.description),
            parameters=plain_schema(parts.model, name=tool_name),
            arguments=ModelArguments(model=parts.model),
            body=parts.body,
            read_only=read_only,
            exclusive=exclusive,
            commands=commands,
            paths=paths,
            timeout_s=timeout_s,
            output_limit_chars=output_limit_chars,
            requires=requires,
            variants=variants,
            deps_type=parts.deps_type,
            source=source,
        )

    return make if source is None else make(source)


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

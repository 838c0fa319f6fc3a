"""Build tools that are declared only by an external JSON Schema, of any draft; agent.schema checks their arguments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError
from ..schema.prepare import prepare
from ..schema.references import UnusableSchema
from ..schema.validator import Validator
from .arguments import Issue, JsonObject
from .context import ToolContext
from .tool import DEFAULT_OUTPUT_CHARS, DEFAULT_TIMEOUT_S, Tool, checked_description, checked_name


def tool_from_schema(
    run: Callable[[JsonObject], Awaitable[object]],
    *,
    name: str,
    description: str,
    parameters: Mapping[str, Any],
    read_only: bool = False,
    exclusive: bool = False,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    output_limit_chars: int = DEFAULT_OUTPUT_CHARS,
) -> Tool:
    """Build a tool from a JSON Schema; `run` is called with the validated arguments object.

    The schema may be of draft 4 to 2020-12, as its `$schema` says, or of OpenAPI 3.0; `Tool.parameters` is the same in
    2020-12, with local references. `Tool.notes` lists what of it cannot be checked.

    Raises:
        ConfigError: the name is not allowed, or `parameters` is not a JSON Schema of an object.
    """
    try:
        prepared = prepare(parameters)
    except UnusableSchema as error:
        msg = f"Tool {name!r}: {error}"
        raise ConfigError(msg) from error

    async def body(value: JsonObject, _context: ToolContext[Any]) -> object:
        return await run(value)

    return Tool(
        name=checked_name(name),
        description=checked_description(name, description),
        parameters=prepared.schema,
        arguments=SchemaArguments(validator=prepared.validator),
        body=body,
        read_only=read_only,
        exclusive=exclusive,
        timeout_s=timeout_s,
        output_limit_chars=output_limit_chars,
        notes=prepared.notes,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaArguments:
    """Arguments described by a JSON Schema; the compiled validator is reused."""

    validator: Validator

    def check(self, text: str) -> JsonObject | tuple[Issue, ...]:
        """Return the parsed arguments, or the mismatches."""
        found = self.validator.check(text)
        if not isinstance(found, tuple):
            return found
        return tuple(Issue(path=one.path, problem=one.problem, expected=one.expected, sent=one.sent) for one in found)

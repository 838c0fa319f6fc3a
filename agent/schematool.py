"""Tools that are declared only by a JSON Schema, from elsewhere; their arguments are validated with jsonschema."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import jsonschema
from pydantic import JsonValue

from .arguments import Issue, JsonObject
from .errors import ConfigError
from .toolspec import DEFAULT_OUTPUT_CHARS, DEFAULT_TIMEOUT_S, Tool, ToolContext, described, legal_name


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
    """Make a tool from a JSON Schema; `run` is called with the validated arguments object.

    Raises:
        ConfigError: the name is not legal, or `parameters` is not a JSON Schema of an object.
    """
    schema = cast("JsonObject", {"additionalProperties": False, **parameters})
    if schema.get("type") != "object":
        found = schema.get("type")
        msg = f'Tool {name!r}: `parameters` must be a JSON Schema with "type": "object", got {found!r}.'
        raise ConfigError(msg)
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        msg = f"Tool {name!r}: `parameters` is not a valid JSON Schema at {error.json_path}: {error.message}"
        raise ConfigError(msg) from error

    async def body(value: JsonObject, _context: ToolContext[Any]) -> object:
        return await run(value)

    return Tool(
        name=legal_name(name),
        description=described(name, description),
        parameters=schema,
        arguments=SchemaArguments(validator=jsonschema.Draft202012Validator(schema)),
        body=body,
        read_only=read_only,
        exclusive=exclusive,
        timeout_s=timeout_s,
        output_limit_chars=output_limit_chars,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaArguments:
    """Arguments described by a JSON Schema; the compiled validator is kept, since compiling costs 1.4 ms."""

    validator: jsonschema.Draft202012Validator

    def check(self, text: str) -> JsonObject | tuple[Issue, ...]:
        """Return the parsed arguments or their mismatches."""
        value = cast("JsonObject", json.loads(text))
        issues = tuple(issue for error in self._errors(value) for issue in _from_jsonschema(error))
        return issues or value

    def _errors(self, value: JsonObject) -> list[jsonschema.ValidationError]:
        errors = cast("Any", self.validator).iter_errors(value)  # partly untyped in jsonschema's stubs
        return list(errors)


def _from_jsonschema(error: jsonschema.ValidationError) -> list[Issue]:
    path = tuple(error.absolute_path)
    sent = cast("JsonValue", error.instance)
    schema = cast("Mapping[str, Any]", error.schema)
    if error.validator == "required":
        missing = [key for key in cast("list[str]", error.validator_value) if key not in cast("JsonObject", sent)]
        named = [key for key in missing if f"{key!r} is a required property" == error.message]
        return [Issue(path=(*path, key), problem="missing", expected="a value") for key in named]
    if error.validator == "additionalProperties" and isinstance(sent, dict):
        known = cast("Mapping[str, Any]", schema.get("properties", {}))
        extras = [key for key in sent if key not in known]
        return [Issue(path=(*path, key), problem="extra", expected="no such field", sent=sent[key]) for key in extras]
    if error.validator == "type":
        return [Issue(path=path, problem="type", expected=_json_types(error.validator_value), sent=sent)]
    return [Issue(path=path, problem="value", expected=_rule_words(error, schema), sent=sent)]


def _json_types(value: object) -> str:
    words = {
        "integer": "an integer",
        "number": "a number",
        "string": "a string",
        "boolean": "true or false",
        "array": "an array",
        "object": "an object",
        "null": "null",
    }
    names = cast("list[str]", value) if isinstance(value, list) else [str(value)]
    return " or ".join(words.get(name, name) for name in names)


def _rule_words(error: jsonschema.ValidationError, schema: Mapping[str, Any]) -> str:
    if error.validator == "enum":
        return "one of " + ", ".join(json.dumps(option) for option in cast("list[Any]", error.validator_value))
    rule = json.dumps({str(error.validator): schema.get(str(error.validator))}, ensure_ascii=False)
    return f"a value that satisfies {rule[:200]}"

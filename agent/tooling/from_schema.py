"""Build tools that are declared only by an external JSON Schema; their arguments are validated with jsonschema."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import jsonschema
from pydantic import JsonValue

from ..errors import ConfigError
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

    Raises:
        ConfigError: the name is not allowed, or `parameters` is not a JSON Schema of an object.
    """
    schema = cast("JsonObject", {"additionalProperties": False, **parameters})
    if schema.get("type") != "object":
        found = schema.get("type")
        msg = f'Tool {name!r}: `parameters` must be a JSON Schema with "type": "object", got {found!r}.'
        raise ConfigError(msg)
    try:
        # Without the format checker a pattern that Python cannot compile would only fail at the first call.
        jsonschema.Draft202012Validator.check_schema(schema, jsonschema.Draft202012Validator.FORMAT_CHECKER)
    except jsonschema.SchemaError as error:
        msg = f"Tool {name!r}: `parameters` is not a valid JSON Schema at {error.json_path}: {error.message}"
        raise ConfigError(msg) from error
    _refuse_external_references(name, schema, schema)

    async def body(value: JsonObject, _context: ToolContext[Any]) -> object:
        return await run(value)

    return Tool(
        name=checked_name(name),
        description=checked_description(name, description),
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
    """Arguments described by a JSON Schema; the compiled validator is reused, since compiling takes 1.4 ms."""

    validator: jsonschema.Draft202012Validator

    def check(self, text: str) -> JsonObject | tuple[Issue, ...]:
        """Return the parsed arguments, or the mismatches."""
        value = cast("JsonObject", json.loads(text))
        issues = tuple(issue for error in self._errors(value) for issue in _from_jsonschema(error))
        return issues or value

    def _errors(self, value: JsonObject) -> list[jsonschema.ValidationError]:
        errors = cast("Any", self.validator).iter_errors(value)  # partly untyped in jsonschema's stubs
        return list(errors)


def _refuse_external_references(name: str, node: JsonValue, root: JsonObject) -> None:
    """Accept only `#` and `#/...` that exist: jsonschema would fetch any other address and fail on a missing one."""
    if isinstance(node, list):
        for item in node:
            _refuse_external_references(name, item, root)
    elif isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str) and not _resolves(reference, root):
            msg = (
                f"Tool {name!r}: `parameters` refers to {reference!r}, which it does not contain. "
                "Put that schema under $defs and refer to it as #/$defs/..."
            )
            raise ConfigError(msg)
        for key, item in node.items():
            if key not in {"enum", "const", "default", "examples"}:
                _refuse_external_references(name, item, root)


def _resolves(reference: str, root: JsonObject) -> bool:
    here: JsonValue = root
    if reference == "#":
        return True
    for part in reference.removeprefix("#/").split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        members = dict(enumerate(here)) if isinstance(here, list) else here
        step = int(key) if isinstance(here, list) and key.isdigit() else key
        if not isinstance(members, dict) or step not in members:
            return False
        here = cast("dict[str | int, JsonValue]", members)[step]
    return reference.startswith("#/")


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
        patterns = cast("Mapping[str, Any]", schema.get("patternProperties", {}))
        extras = [key for key in sent if key not in known and not any(re.search(item, key) for item in patterns)]
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

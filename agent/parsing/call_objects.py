"""Parse call objects, {"name": ..., "arguments": {...}}, from JSON text; validates neither tools nor arguments."""

from __future__ import annotations

import json
import re

from pydantic import JsonValue

from ..messages import RawCall
from ..tooling.arguments import JsonObject
from ..tooling.numbers import dumps
from .lenient_json import read_lenient
from .repair import Parsed, parse_object
from .strict_json import Unreadable


def calls_in_json(text: str) -> list[RawCall] | None:
    """Parse one call object or an array of them; None if the text is anything else."""
    if not text.startswith("["):
        call = call_from_text(text)
        return None if call is None else [call]
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        return None
    calls = [call_from_value(item, text) for item in items]
    return [call for call in calls if call is not None] if calls and None not in calls else None


def call_from_text(text: str, *, marked: bool = False) -> RawCall | None:
    """Parse the text of one call object; see `call_from_value`."""
    parsed = parse_object(text)
    return call_from_value(parsed.value, text, marked=marked) if isinstance(parsed, Parsed) else None


def call_from_value(value: JsonValue, text: str, *, marked: bool = False) -> RawCall | None:
    """Convert one call object; None if the value is anything else.

    Args:
        value: the parsed value.
        text: the JSON text that contains it; preserves the spelling of its numbers.
        marked: a marker identifies it as a call, so its arguments may be missing.
    """
    if not isinstance(value, dict) or not set(value) <= _KEYS or not isinstance(value.get("name"), str):
        return None
    key = "parameters" if "parameters" in value else "arguments"
    inner = value.get(key, "" if marked else None)
    if isinstance(inner, str):
        return RawCall(name=str(value["name"]), arguments=inner)
    if not isinstance(inner, dict):
        return None
    return RawCall(name=str(value["name"]), arguments=_source_text(inner, key, text))


def object_end(text: str, begin: int) -> int | None:
    """Return the index just after the object that begins here; None if there is none or it is incomplete."""
    if text[begin : begin + 1] != "{":
        return None
    try:
        return json.JSONDecoder(strict=False).raw_decode(text, begin)[1]
    except (ValueError, RecursionError):
        pass
    try:
        return read_lenient(text, begin).end
    except (Unreadable, RecursionError):
        return None


def broken_call(text: str) -> RawCall:
    """Build a call from text that was meant as one but cannot be parsed, so that it gets an answer."""
    name = re.search(r'"name"\s*:\s*"([^"]*)"', text)
    # Without the beginning of an object the whole text stands for it: nothing, or null, would be a call without any.
    arguments = re.search(r'"(?:arguments|parameters)"\s*:\s*(?!null\b)(\S.*)', text, re.DOTALL)
    return RawCall(
        name="" if name is None else name.group(1),
        arguments=text.strip() if arguments is None else arguments.group(1).strip(),
    )


_KEYS = {"name", "arguments", "parameters", "type", "id"}


def _source_text(inner: JsonObject, key: str, text: str) -> str:
    """Return the member's original text, not a re-rendering: 3.10 must not become 3.1."""
    for match in re.finditer(rf"\b{key}\b['\"”]?\s*:\s*", text):
        end = object_end(text, match.end())
        parsed = None if end is None else parse_object(text[match.end() : end])
        if isinstance(parsed, Parsed) and parsed.value == inner:
            return text[match.end() : end]
    return dumps(inner)

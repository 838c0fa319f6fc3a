"""Find what a Mistral server would refuse in a request: mistral_common's rules for tokenizer v15 and our own; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from typing import Any, cast

# Source: mistral_common 1.12.0, protocol/instruct/validator.py; vLLM 0.32 for the rest (both read 2026-11-23).
_ID = re.compile(r"[A-Za-z0-9]{9}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ROLES = ("system", "user", "assistant", "tool")
_EFFORTS = (None, "none", "high")


def refusal(body: Mapping[str, Any]) -> str | None:
    """Return the first reason to refuse a chat completion request. None means that it is legal."""
    return next(_refusals(body), None)


def grammar_refusal(body: Mapping[str, Any], names: Collection[str]) -> str | None:
    """Return what vLLM says of strict tools that it cannot compile; it does not say which. None means no refusal."""
    tools = cast("list[Mapping[str, Any]]", body.get("tools") or [])
    functions = [cast("Mapping[str, Any]", tool["function"]) for tool in tools]
    refused = body.get("tool_choice") != "none" and any(one.get("strict") and one["name"] in names for one in functions)
    # vLLM 0.32 with llguidance 1.7.6, its first line.
    return "Grammar error: at 3(193): failed to compile JSON schema: Unknown format: path" if refused else None


def is_tiny(body: Mapping[str, Any]) -> bool:
    """Return whether a request only asks if the server takes its tools."""
    return body.get("max_tokens") == 1 and len(body.get("messages") or []) == 1


def _refusals(body: Mapping[str, Any]) -> Iterator[str]:
    messages = cast("list[Mapping[str, Any]]", body.get("messages") or [])
    if not messages:
        yield "There are no messages."
        return
    yield from _order(messages)
    seen: set[str] = set()
    for number, message in enumerate(messages):
        if message.get("role") == "assistant":
            yield from _assistant(number, message, seen)
            yield from _results(number, messages)
    yield from _tools(body)
    if body.get("reasoning_effort") not in _EFFORTS:
        yield f"reasoning_effort={body['reasoning_effort']} is not supported. Supported values are: ['none', 'high']"


def _order(messages: list[Mapping[str, Any]]) -> Iterator[str]:
    for number, message in enumerate(messages):
        role = message.get("role")
        if role not in _ROLES:
            yield f"Message {number}: unexpected role {role!r}."
        if role == "system" and number:
            yield f"Message {number}: unexpected role 'system' after role {messages[number - 1].get('role')!r}."
        if role != "assistant" and message.get("content") is None:
            yield f"Message {number}: a {role} message needs content."
    for number, (before, after) in enumerate(pairwise(messages), start=1):
        if after.get("role") == "tool" and not (before.get("role") == "tool" or before.get("tool_calls")):
            yield f"Message {number}: a tool result follows no call."
        if before.get("role") == after.get("role") == "assistant":
            yield f"Message {number}: an assistant message follows another."
    if messages[-1].get("role") not in ("user", "tool"):
        yield f"The last message must be from the user or a tool, not {messages[-1].get('role')!r}."


def _assistant(number: int, message: Mapping[str, Any], seen: set[str]) -> Iterator[str]:
    calls = cast("list[Mapping[str, Any]]", message.get("tool_calls") or [])
    if not calls and not str(message.get("content") or "").strip():
        yield f"Message {number}: an assistant message needs content or tool calls."
    for call in calls:
        function = cast("Mapping[str, Any]", call.get("function") or {})
        call_id = str(call.get("id"))
        if not _ID.fullmatch(call_id):
            yield f"Message {number}: tool call id {call_id!r} must be 9 characters of a-z, A-Z, 0-9."
        if call_id in seen:
            yield f"Message {number}: duplicate tool call id {call_id!r}."
        seen.add(call_id)
        if not _NAME.fullmatch(str(function.get("name"))):
            yield f"Message {number}: function name {function.get('name')!r} is not legal."
        if not _is_object(function.get("arguments")):
            yield f"Message {number}: the arguments of {call_id!r} are not a JSON object."


def _results(number: int, messages: list[Mapping[str, Any]]) -> Iterator[str]:
    calls = cast("list[Mapping[str, Any]]", messages[number].get("tool_calls") or [])
    answered: list[object] = []
    for message in messages[number + 1 :]:
        if message.get("role") != "tool":
            break
        answered.append(message.get("tool_call_id"))
    if [call.get("id") for call in calls] != answered:
        yield f"Message {number}: not the same number of function calls and responses, or in another order."


def _tools(body: Mapping[str, Any]) -> Iterator[str]:
    names: list[str] = []
    for tool in cast("list[Mapping[str, Any]]", body.get("tools") or []):
        names.append(str(tool["function"]["name"]))
        if not _NAME.fullmatch(names[-1]):
            yield f"Function name {names[-1]!r} is not legal."
    choice = body.get("tool_choice")
    if isinstance(choice, Mapping) and cast("Mapping[str, Any]", choice)["function"]["name"] not in names:
        yield "The tool of tool_choice is not in the list of tools."


def _is_object(arguments: object) -> bool:
    try:
        return isinstance(arguments, str) and isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False

"""Convert conversations to and from the chat completions format, and check that a run can continue one; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from ..errors import ConfigError
from ..messages import (
    AssistantMessage,
    Image,
    Message,
    ReasoningField,
    SystemMessage,
    ToolCall,
    ToolResult,
    UserMessage,
)
from .history import call_id
from .wire import chat_message

# What mistral_common 1.11 takes (its request validator); newer versions take any.
_ID = re.compile(r"[A-Za-z0-9]{9}")
_DATA_URL = re.compile(r"data:(image/[\w.+-]+);base64,([A-Za-z0-9+/=\s]+)")


def to_chat(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return messages in OpenAI's chat completions format, one dict per message; reasoning is included.

    The format has no place for a result's status, which its text tells.
    """
    return [chat_message(message, with_reasoning=True) for message in messages]


def from_chat(items: Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    """Return the messages of a conversation in OpenAI's chat completions format.

    Call ids that the model family does not accept, or that occur twice, are replaced.

    Raises:
        ConfigError: an item is no message of this format, or a run cannot continue the conversation.
    """
    messages: list[Message] = []
    names: dict[str, str] = {}
    for number, item in enumerate(items):
        message = _message(item, number, names)
        if isinstance(message, AssistantMessage):
            names |= {call.id: call.name for call in message.tool_calls}
        messages.append(message)
    checked = tuple(messages)
    check_conversation(checked, unique_ids=False)
    return _renumbered(checked)


def check_conversation(messages: Sequence[Message], *, unique_ids: bool = True) -> None:
    """Check that a run can continue a conversation.

    Args:
        messages: the conversation.
        unique_ids: whether no two calls may have one id.

    Raises:
        ConfigError: it cannot: the message that is not in order is named.
    """
    ids: set[str] = set()
    for number, message in enumerate(messages):
        before = messages[number - 1] if number else None
        match message:
            case SystemMessage() if number:
                raise _refused(number, "a system message must be the first")
            case AssistantMessage():
                if isinstance(before, AssistantMessage):
                    raise _refused(number, "an assistant message follows another one; join them")
                if not message.content.strip() and not message.tool_calls:
                    raise _refused(number, "an assistant message has neither text nor calls")
                _check_results(messages, number)
                found = [call.id for call in message.tool_calls]
                if unique_ids and (len(set(found)) < len(found) or ids & set(found)):
                    raise _refused(number, "two calls have the same id")
                ids |= set(found)
            case ToolResult() if not isinstance(before, ToolResult) and not _has_calls(before):
                raise _refused(number, "a tool result follows no call")
            case _:
                pass


def _check_results(messages: Sequence[Message], number: int) -> None:
    turn = cast("AssistantMessage", messages[number])
    answered: list[str] = []
    for message in messages[number + 1 :]:
        if not isinstance(message, ToolResult):
            break
        answered.append(message.tool_call_id)
    wanted = [call.id for call in turn.tool_calls]
    if missing := [call.name for call in turn.tool_calls if call.id not in answered]:
        raise _refused(number, f"the call of {missing[0]!r} has no result after it")
    if answered != wanted:
        raise _refused(number, "its results must follow one per call, in the order of the calls")


def _has_calls(message: Message | None) -> bool:
    return isinstance(message, AssistantMessage) and bool(message.tool_calls)


def _refused(number: int, reason: str) -> ConfigError:
    return ConfigError(f"The conversation cannot be continued: message {number}: {reason}.")


def _message(item: object, number: int, names: Mapping[str, str]) -> Message:
    if not isinstance(item, Mapping):
        raise _refused(number, f"it is a {type(item).__name__}, not a mapping with `role` and `content`")
    data = cast("Mapping[str, Any]", item)
    match data.get("role"):
        case "system" | "developer":
            return SystemMessage(content=_text(data, number))
        case "user":
            return UserMessage(content=_text(data, number), images=_images(data, number))
        case "assistant":
            return _assistant(data, number)
        case "tool":
            found = str(data.get("tool_call_id"))
            if found not in names:
                raise _refused(number, f"its `tool_call_id` {found!r} is of no call before it")
            return ToolResult(tool_call_id=found, name=names[found], content=_text(data, number) or "(no output)")
        case role:
            raise _refused(number, f"the role {role!r} is not one of system, user, assistant and tool")


def _assistant(data: Mapping[str, Any], number: int) -> AssistantMessage:
    field: ReasoningField = "reasoning" if data.get("reasoning_content") is None else "reasoning_content"
    calls: object = data.get("tool_calls") or []
    if not isinstance(calls, list):
        raise _refused(number, "`tool_calls` is not a list")
    return AssistantMessage(
        content=_text(data, number),
        reasoning=str(data.get(field) or ""),
        tool_calls=tuple(_call(call, number) for call in cast("list[object]", calls)),
        reasoning_field=field,
    )


def _call(call: object, number: int) -> ToolCall:
    data = _mapping(call)
    named = _mapping(data.get("function"))
    name, arguments = named.get("name"), named.get("arguments")
    if not isinstance(name, str) or not isinstance(arguments, str):
        raise _refused(number, "a call has no `function` with `name` and `arguments` as texts")
    try:
        is_object = isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        is_object = False
    if not is_object:
        raise _refused(number, f"the arguments of the call of {name!r} are not a JSON object")
    return ToolCall(id=str(data.get("id")), name=name, arguments=arguments)


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _parts(data: Mapping[str, Any], number: int) -> list[Mapping[str, Any]]:
    content = data.get("content")
    if content is None or isinstance(content, str):
        return [{"type": "text", "text": content or ""}]
    if isinstance(content, list) and all(isinstance(part, Mapping) for part in cast("list[object]", content)):
        return cast("list[Mapping[str, Any]]", content)
    raise _refused(number, "`content` is neither a text nor a list of parts")


def _text(data: Mapping[str, Any], number: int) -> str:
    texts = [part.get("text") for part in _parts(data, number) if part.get("type", "text") == "text"]
    return "\n".join(text for text in texts if isinstance(text, str))


def _images(data: Mapping[str, Any], number: int) -> tuple[Image, ...]:
    images: list[Image] = []
    for part in _parts(data, number):
        if part.get("type", "text") == "text":
            continue
        url: object = part.get("image_url")
        address = _mapping(url).get("url", url)
        found = _DATA_URL.fullmatch(address) if isinstance(address, str) else None
        if part.get("type") != "image_url" or found is None:
            what = f"a part of type {part.get('type')!r}"
            raise _refused(number, f"{what} cannot be sent; give text, or images as `data:` URLs in base64")
        images.append(Image(data="".join(found[2].split()), media_type=found[1]))
    return tuple(images)


def _renumbered(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return the messages with ids that the family accepts; unchanged if they all have one."""
    ids = [call.id for message in messages if isinstance(message, AssistantMessage) for call in message.tool_calls]
    if all(map(_ID.fullmatch, ids)) and len(set(ids)) == len(ids):
        return messages
    renamed: list[Message] = []
    results: list[str] = []
    count = 0
    for message in messages:
        if isinstance(message, AssistantMessage):
            results = [call_id(count + index) for index in range(len(message.tool_calls))]
            calls = tuple(replace(call, id=name) for call, name in zip(message.tool_calls, results, strict=True))
            count += len(calls)
            renamed.append(replace(message, tool_calls=calls))
        elif isinstance(message, ToolResult):
            renamed.append(replace(message, tool_call_id=results.pop(0)))
        else:
            renamed.append(message)
    return tuple(renamed)

"""Redact the texts of an event for the journal and whoever watches; ids, names and places that a resume needs stay."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, TypeVar, cast

from pydantic import JsonValue

from ..messages import ToolCall, ToolResult
from .events import CallStarted, Event, Replied, RunStarted, TurnTaken

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Redact = Callable[[str], str]
RecordT = TypeVar("RecordT")

_KEPT = frozenset(
    {"run", "at", "base_url", "model", "profile", "tools", "tools_digest", "workspace", "snapshot", "worktree", "kind",
     "id", "tool_call_id", "fingerprint", "status", "finish_reason", "data", "media_type", "ladder", "limits", "role",
     "reasoning_field", "model_settings", "shared_limits", "branch_of", "plan"}
)  # fmt: skip
"""Fields whose values are ids, places, settings, or the data of images."""
_KEPT_IN_TASK = frozenset({"directory", "name", "workspace", "env_from", "secret_files"})
"""Keys of a task that say where its secrets are."""
_OF_A_TOOL = (ToolCall, ToolResult, CallStarted)
"""Records whose `name` or `tool` is that of a tool of the run."""


def redacted_event(event: Event, redact: Redact) -> Event:
    """Return an event without secrets; it says itself if what a resumed run would need is missing."""
    if isinstance(event, RunStarted):
        return _redacted_start(event, redact)
    shown = redacted_record(event, redact)
    if isinstance(event, Replied) and isinstance(shown, Replied):
        return replace(shown, redacted=shown.reply.tool_calls != event.reply.tool_calls)
    if isinstance(event, TurnTaken) and isinstance(shown, TurnTaken):
        return replace(shown, redacted=shown.turn.tool_calls != event.turn.tool_calls)
    return shown


def redacted_record(record: RecordT, redact: Redact) -> RecordT:
    """Return a record, such as a message, with secrets redacted in each of its texts, at any depth."""
    return cast("RecordT", _walked(record, redact))


def redacted_json(text: str, redact: Redact) -> str:
    """Return JSON text with secrets redacted in its strings, so that it stays JSON; other text as a text."""
    try:
        value: object = json.loads(text)
        shown = _walked(value, redact)
        return text if shown == value else json.dumps(shown, ensure_ascii=False)
    except (ValueError, RecursionError):  # no JSON, or nested a thousand deep
        return redact(text)


def _redacted_start(event: RunStarted, redact: Redact) -> RunStarted:
    task = {
        key: value if key in _KEPT_IN_TASK else cast("JsonValue", _walked(value, redact))
        for key, value in event.task.items()
    }
    shown = replace(redacted_record(replace(event, task={}), redact), task=task)
    lost = [f"task.{key}" for key, value in event.task.items() if task[key] != value]
    lost += [name for name in ("system", "prompt") if getattr(shown, name) != getattr(event, name)]
    return replace(shown, redacted=tuple(lost))


def _walked(value: object, redact: Redact) -> object:
    if isinstance(value, str):
        return redact(value)
    if is_dataclass(value) and not isinstance(value, type):
        return _walked_record(value, redact)
    if isinstance(value, list | tuple):
        walked = [_walked(item, redact) for item in cast("list[object]", value)]
        return walked if isinstance(value, list) else tuple(walked)
    if isinstance(value, int | float) and not isinstance(value, bool):
        shown = redact(str(value))
        return value if shown == str(value) else shown
    if isinstance(value, Mapping):  # asked last, as it takes longest
        items = cast("Mapping[object, object]", value).items()
        return {_walked(key, redact): _walked(item, redact) for key, item in items}
    return value


def _walked_record(record: DataclassInstance, redact: Redact) -> object:
    changed: dict[str, object] = {}
    for name in _fields_with_texts(type(record)):
        value: object = getattr(record, name)
        if not value or isinstance(value, int | float):
            continue
        if name == "arguments" and isinstance(value, str):
            shown: object = redacted_json(value, redact)
        else:
            shown = _walked(value, redact)
        if shown != value:
            changed[name] = shown
    return replace(record, **changed) if changed else record


@cache
def _fields_with_texts(kind: type[DataclassInstance]) -> tuple[str, ...]:
    kept = _KEPT | {"name", "tool"} if issubclass(kind, _OF_A_TOOL) else _KEPT
    return tuple(field.name for field in fields(kind) if field.name not in kept)

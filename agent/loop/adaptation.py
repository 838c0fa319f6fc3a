"""Decide how to change a request that a server refused or ignored, and what to tell the user; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, cast

from pydantic import JsonValue

from ..journal.events import Adapted, Resumed, RunStarted
from ..model.profiles import Profile, SchemaField, Surface
from ..model.wire import Request

Change = Mapping[str, JsonValue]
"""Fields of `Surface` with their new values."""

OPTIONAL_FIELDS = ("strict", "stream_usage", "sampling", "effort", "tool_choice")
"""What a refusal that names no field may be about, most likely first."""


def adapted(profile: Profile, started: RunStarted, event: Adapted) -> tuple[Profile, RunStarted]:
    """Return the profile and the facts of a run as they are after the event."""
    if event.surface:
        profile = replace(profile, surface=replace(profile.surface, **cast("dict[str, Any]", event.surface)))
    if event.window_tokens is not None:
        started = replace(started, window_tokens=event.window_tokens)
    return profile, started


def resumed_on(started: RunStarted, event: Resumed) -> RunStarted:
    """Return the facts of a run that was resumed, perhaps on another server."""
    if not event.model:
        return started
    return replace(started, base_url=event.base_url, model=event.model, window_tokens=event.window_tokens)


def change_for(field: str, request: Request, surface: Surface) -> Change | None:
    """Return how to leave out what a server refused. None if the request did not use it.

    Args:
        field: of `Surface`, as `refused_field` names it.
        request: that was refused.
        surface: that it was built with.
    """
    changes: Mapping[str, tuple[bool, Change]] = {
        "stream": (surface.stream and request.stream, {"stream": False}),
        "stream_usage": (surface.stream_usage and surface.stream, {"stream_usage": False}),
        "strict": (surface.strict and request.tools != b"[]", {"strict": False}),
        "sampling": (request.sampling.temperature is not None or request.sampling.top_p is not None,
                     {"sampling": False}),
        "effort": (request.effort is not None, {"effort": False}),
        "reply_field": (surface.reply_field == "max_tokens", {"reply_field": "max_completion_tokens"}),
        "system": (surface.system, {"system": False}),
        "schema_field": (request.json_schema is not None, next_schema_field(surface)),
        "tool_choice": (request.tools != b"[]" and request.tool_choice is not None, _without_choice(request)),
    }  # fmt: skip
    is_used, change = changes[field]
    return change if is_used else None


def next_schema_field(surface: Surface) -> Change:
    """Return the next way to constrain a reply to a schema, after one that the server refused or ignored."""
    following: SchemaField | None = "response_format" if surface.schema_field == "structured_outputs" else None
    return {"schema_field": following}


def _without_choice(request: Request) -> Change:
    if request.force_tool is not None:
        return {"named": False}
    return {"required": False} if request.tool_choice == "required" else {"tool_choice": False}


# What is done from now on, and the setting that does it from the start, by field of `Surface`.
_NOTICES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "stream": ("Replies are requested whole instead of streamed", "stream: false"),
        "stream_usage": ("Streams are requested without `stream_options`", "stream_usage: false"),
        "strict": ("Tools are sent without `strict`; arguments are still checked before a call is executed",
                   "strict: false"),
        "sampling": ("Neither `temperature` nor `top_p` is sent", "sampling: false"),
        "effort": ("`reasoning_effort` is not sent", "profile: generic"),
        "system": ("The system prompt is sent in the first message of the user", "system_role: false"),
        "images": ("The model gets a note in place of each image", "images: false"),
        "reply_field": ("The length of replies is limited by `max_completion_tokens`",
                        "reply_field: max_completion_tokens"),
        "reply_tokens": ("Replies are limited to {value:,} tokens", "reply_tokens: {value}"),
        "tool_choice": ("`tool_choice` is not sent", "tool_choice: false"),
        "required": ("No call is required by `tool_choice`", "forced_calls: false"),
        "named": ("No tool is named by `tool_choice`", "forced_calls: false"),
        "schema_field": ("Where a tool must be called, it is {how}", "forced_calls: false"),
    }
)  # fmt: skip
_SCHEMA_FORMS: Mapping[JsonValue, str] = MappingProxyType(
    {"response_format": "asked for by `response_format`", None: "only asked for in a message"}
)


def notice_of(change: Change, window_tokens: int | None, why: str) -> str:
    """Return what to tell the user about a change.

    Args:
        change: of the surface; may be empty.
        window_tokens: the window from now on. None means unchanged.
        why: what the server did, such as "the server refuses it: ...".
    """
    parts: list[str] = []
    settings: list[str] = []
    for field, value in change.items():
        text, setting = _NOTICES[field]
        parts.append(text.format(value=value, how=_SCHEMA_FORMS.get(value, "")))
        settings.append(setting.format(value=value))
    if window_tokens is not None:
        parts.append(f"The window is taken to be {window_tokens:,} tokens")
        settings.append(f"window: {window_tokens}")
    # The setting needs no attempt that is refused; the server's words come last, since they may be long.
    listed = ", ".join(dict.fromkeys(settings))
    return f"{'; '.join(parts)}. `model: {{{listed}}}`, or Endpoint with the same, does so from the start. Why: {why}"

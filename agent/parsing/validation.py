"""Validate one tool call and repair its arguments losslessly; executes nothing, guesses nothing."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal, cast

from ..messages import RawCall, ToolCall
from ..policy.ladder import Trigger
from ..tooling import numbers
from ..tooling.arguments import Issue, JsonObject
from ..tooling.tool import NAME_RULE, Tool
from ..tooling.toolbox import Toolbox
from .coercion import coerce, integers_taken
from .repair import Parsed, Unparsable, parse_object
from .wording import describe_issue, quoted

InvalidKind = Literal["unknown_tool", "unparsable", "cut_off", "mismatch"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedCall:
    """A call that may be executed."""

    call: ToolCall
    """Its `repairs` list every repair and coercion."""
    tool: Tool
    value: object
    """The value to call `tool.body` with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InvalidCall:
    """A call that must not be executed, and why."""

    call: ToolCall
    """A stand-in that every server accepts in the history: a legal name, and the arguments if they were an object,
    otherwise `{}`. Never executed."""
    kind: InvalidKind
    trigger: Trigger
    tool: Tool | None
    """The intended tool; for `unknown_tool` the only one with a similar name. None means unknown."""
    raw: RawCall
    issues: tuple[Issue, ...] = ()
    """For `mismatch`: every mismatch that lossless coercion could not fix."""
    nearest: tuple[str, ...] = ()
    """For `unknown_tool`: the similar names, closest first."""
    reason: str
    """One line for people and the journal."""


def check(raw: RawCall, toolbox: Toolbox, *, call_id: str) -> CheckedCall | InvalidCall:
    """Find the call's tool, repair its arguments losslessly, and validate them strictly.

    Never raises, unless the tool's own `arguments.check` does.

    Args:
        raw: the call as the server sent it.
        toolbox: the tools of the run.
        call_id: its id in the history: 9 characters of [A-Za-z0-9].
    """
    tool, name_repairs = _find_tool(raw.name, toolbox)
    parsed = _parse(raw.arguments, tool)
    if tool is None:
        return _unknown(raw, parsed, toolbox, call_id)
    if isinstance(parsed, Unparsable):
        return InvalidCall(
            call=ToolCall(id=call_id, name=tool.name, arguments="{}"),
            kind="cut_off" if parsed.cut_off else "unparsable",
            trigger="invalid_call",
            tool=tool,
            raw=raw,
            reason=_with_position(parsed, raw.arguments),
        )
    repaired = _checked(parsed.value, tool, (), text=parsed.text)
    if repaired.issues:
        repaired = _repair(parsed.value, tool, toolbox, repaired)
    if not repaired.issues:
        repairs = (*name_repairs, *parsed.repairs, *repaired.changes)
        call = ToolCall(id=call_id, name=tool.name, arguments=repaired.text, repairs=repairs)
        return CheckedCall(call=call, tool=tool, value=repaired.value)
    return InvalidCall(
        call=ToolCall(id=call_id, name=tool.name, arguments=parsed.text),
        kind="mismatch",
        trigger="invalid_call",
        tool=tool,
        raw=raw,
        issues=repaired.issues,
        reason="; ".join(describe_issue(issue, tool) for issue in repaired.issues),
    )


def canonical(arguments: str) -> str:
    """Return the arguments in a form for comparing calls: sorted keys, no whitespace; non-JSON text is stripped.

    Never raises.
    """
    try:
        return json.dumps(json.loads(arguments), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return arguments.strip()


_PREFIX = re.compile(r"(?:functions?|tools?)[.:/]+|[\w-]+:+", re.ASCII)


def _find_tool(name: str, toolbox: Toolbox) -> tuple[Tool | None, tuple[str, ...]]:
    """Return the tool that the name means, if there is exactly one, and the repairs to the name."""
    tool = toolbox.get(name)
    if tool is not None:
        return tool, ()
    plain = name.strip()
    repairs = ("name_blanks",) if plain != name else ()
    bare = _PREFIX.sub("", plain, count=1) if _PREFIX.match(plain) else plain
    for candidate, more in ((plain, ()), (bare, ("name_prefix",))):
        matches = [known for known in toolbox if known.name == candidate]
        if matches:
            return matches[0], (*repairs, *more)
        matches = [known for known in toolbox if _folded(known.name) == _folded(candidate)]
        if len(matches) == 1:
            return matches[0], (*repairs, *more, "name_spelling")
    return None, ()


def _folded(name: str) -> str:
    return name.casefold().replace("-", "_")


def _parse(arguments: str, tool: Tool | None) -> Parsed | Unparsable:
    if arguments.strip() in {"", "null"} and tool is not None and not tool.parameters.get("required"):
        return Parsed(value={}, text="{}", repairs=("empty_arguments",))
    return parse_object(arguments)


def _unknown(raw: RawCall, parsed: Parsed | Unparsable, toolbox: Toolbox, call_id: str) -> InvalidCall:
    nearest = toolbox.nearest(raw.name.strip())
    legal = raw.name if NAME_RULE.fullmatch(raw.name) else re.sub(r"[^A-Za-z0-9_-]+", "_", raw.name).strip("_")[:64]
    text = parsed.text if isinstance(parsed, Parsed) else "{}"
    return InvalidCall(
        call=ToolCall(id=call_id, name=legal or "unknown", arguments=text),
        kind="unknown_tool",
        trigger="unknown_tool",
        tool=toolbox.get(nearest[0]) if len(nearest) == 1 else None,
        raw=raw,
        nearest=nearest,
        reason=f"Unknown tool {quoted(raw.name)}",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Repaired:
    value: object
    """The value to call the tool with. None while there are issues."""
    issues: tuple[Issue, ...]
    text: str
    changes: tuple[str, ...]


_MAX_ROUNDS = 4  # an array sent as a string, with items to coerce, takes two


def _repair(value: JsonObject, tool: Tool, toolbox: Toolbox, state: _Repaired) -> _Repaired:
    """Unwrap and coerce in rounds until the arguments are valid or nothing more can be changed."""
    inner = _unwrapped(value, tool, toolbox)
    if inner is not None:
        value, state = inner, _checked(inner, tool, ("unwrapped",))
    for _ in range(_MAX_ROUNDS):
        coerced = coerce(value, state.issues, tool.parameters)
        if not coerced.changes:
            break
        value, state = coerced.value, _checked(coerced.value, tool, (*state.changes, *coerced.changes))
    return state


def _checked(value: JsonObject, tool: Tool, changes: tuple[str, ...], *, text: str | None = None) -> _Repaired:
    """Check a value. `text`: its JSON, if the model wrote it so."""
    text = numbers.dumps(value) if text is None else text
    outcome = tool.arguments.check(text)
    if isinstance(outcome, tuple):
        return _Repaired(value=None, issues=cast("tuple[Issue, ...]", outcome), text=text, changes=changes)
    taken = integers_taken(value, outcome)
    if taken.changes:
        text, changes = numbers.dumps(taken.value), (*changes, *taken.changes)
    return _Repaired(value=outcome, issues=(), text=text, changes=changes)


def _unwrapped(value: JsonObject, tool: Tool, toolbox: Toolbox) -> JsonObject | None:
    """Return the arguments inside a wrapper such as {"name": this tool, "arguments": {...}}; None without a wrapper."""
    properties = cast("JsonObject", tool.parameters.get("properties", {}))
    for key in ("arguments", "parameters"):
        if key not in value or key in properties or not set(value) <= {"name", key}:
            continue
        named = value.get("name", tool.name)
        if not isinstance(named, str) or _find_tool(named, toolbox)[0] is not tool:
            continue
        inner = value[key]
        if isinstance(inner, str):
            found = parse_object(inner)
            return found.value if isinstance(found, Parsed) and not found.repairs else None
        return inner if isinstance(inner, dict) else None
    return None


def _with_position(unparsable: Unparsable, arguments: str) -> str:
    position = unparsable.position
    if position is None or not arguments.strip():
        return unparsable.reason
    excerpt = arguments[max(0, position - 30) : position + 30]
    return f"{unparsable.reason} at character {position}, near {quoted(excerpt)}"

"""Find tool calls that a model wrote as text instead of calling; checks neither the tool nor the arguments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

from pydantic import JsonValue

from ..messages import RawCall
from .call_objects import broken_call, call_from_text, call_from_value, calls_in_json, object_end
from .code_spans import outside_code

RescueFormat = Literal["mistral", "mistral_json", "hermes", "xml", "fenced_json", "bare_json"]
EXPLICIT_FORMATS: frozenset[RescueFormat] = frozenset({"mistral", "mistral_json", "hermes", "xml"})
"""Formats with a marker that nothing else uses: the text after it was meant as a call, valid or not."""

CONTROL_TOKENS = re.compile(
    r"</?s>|<pad>|<\|(?:im_end|im_start|eot_id|eom_id|end|endoftext)\|>"
    r"|\[/?(?:INST|THINK|TOOL_RESULTS|SYSTEM_PROMPT|AVAILABLE_TOOLS)\]|\[/TOOL_CALLS\]|\[TOOL_CALLS\]\Z"
)
"""Chat template tokens; never part of an answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Calls that make up the end of a text."""

    calls: tuple[RawCall, ...]
    """As they were written, with empty ids."""
    rest: str
    """The text around them."""
    format: RescueFormat
    at_end: bool
    """True if nothing follows the last call."""


def find_calls(text: str, names: frozenset[str]) -> Found | None:
    """Return the calls at the end of the text, in the first format that matches; None if there are none.

    Calls quoted in code or followed by prose do not count, except that a text which begins with a marker may continue
    after the calls, as in vLLM's own parser.

    Args:
        text: content or reasoning of a reply.
        names: the tools of the run; needed only for calls that consist of a bare name.
    """
    for read in (_mistral, _tagged, _fenced, _bare):
        found = read(text, names)
        if found is not None:
            return found
    return None


def trim_end(text: str) -> str:
    """Strip whitespace and control tokens from the end; a `</s>` that closes an `<s>` is HTML and stays."""
    trimmed = text.rstrip()
    while (token := last_token(trimmed)) is not None:
        trimmed = trimmed.removesuffix(token).rstrip()
    return trimmed


def last_token(text: str) -> str | None:
    """Return the control token at the end of the text; None if there is none."""
    # The longest token is shorter than this; searching only there keeps long texts cheap.
    near = text[-24:]
    last = next((found.group() for found in CONTROL_TOKENS.finditer(near) if found.end() == len(near)), None)
    return None if last == "</s>" and "<s>" in text else last


def has_open_call(text: str) -> bool:
    """Return whether the text contains a call marker outside code."""
    return any(True for _ in _markers(text, _MISTRAL)) or any(True for _ in _markers(text, _TAG))


_MISTRAL = re.compile(r"\[TOOL_CALLS\]")
_TAG = re.compile(r"<tool_call>|<(?:function|invoke)(?:=|\s+name=)")
_NAME = re.compile(r"\s*([^\s\[\]{}()<>\"'`,;]{1,100})\s*")
_CALL_ID = re.compile(r"\[CALL_ID\]\s*[\w-]{0,100}\s*")
"""Between name and arguments in the form of Mistral's tokenizer v11; our own ids replace it."""
_ARGS = re.compile(r"\[ARGS\]\s*")


@dataclass(frozen=True, kw_only=True, slots=True)
class _ParsedCall:
    call: RawCall
    end: int
    broken: bool = False


def _markers(text: str, pattern: re.Pattern[str]) -> Iterator[int]:
    return (match.start() for match in outside_code(text, pattern))


def _accept(text: str, start: int, end: int, calls: list[RawCall], form: RescueFormat) -> Found | None:
    """Accept the calls between start and end if they end the text or if nothing precedes them."""
    after = trim_end(text[end:]).strip()
    before = text[:start]
    if after and before.strip():
        return None
    return Found(calls=tuple(calls), rest=(before + after).strip(), format=form, at_end=not after)


def _mistral(text: str, names: frozenset[str]) -> Found | None:
    for start in _markers(text, _MISTRAL):
        listed = _mistral_list(text, start)
        if listed is not None:
            return listed
        calls: list[RawCall] = []
        at = start
        while (marker := _MISTRAL.match(text, at)) is not None:
            one = _mistral_one(text, marker.end(), names, own_line=not text[:start].rpartition("\n")[2].strip())
            if one is None:
                break
            calls.append(one.call)
            at = one.end + len(text[one.end :]) - len(text[one.end :].lstrip())
        found = _accept(text, start, at, calls, "mistral") if calls else None
        if found is not None:
            return found
    return None


def _mistral_one(text: str, at: int, names: frozenset[str], *, own_line: bool) -> _ParsedCall | None:
    name = _NAME.match(text, at)
    begin = at if name is None else name.end()
    call_id = _CALL_ID.match(text, begin)
    begin = begin if call_id is None else call_id.end()
    args = _ARGS.match(text, begin)
    if name is None and args is None:
        return None
    called = "" if name is None else name.group(1)
    begin = begin if args is None else args.end()
    end = object_end(text, begin)
    if end is not None:
        return _ParsedCall(call=RawCall(name=called, arguments=text[begin:end]), end=end)
    rest = trim_end(text[begin:])
    # Broken arguments extend to the end of the text: a marker inside them may be data and must not start another call.
    if (args is not None or text[begin : begin + 1] == "{" or not rest) and (called in names or (own_line and rest)):
        announced = text[at:].strip() if args is not None and not rest else rest  # [ARGS], and then nothing
        return _ParsedCall(call=RawCall(name=called, arguments=announced), end=len(text))
    return None


def _mistral_list(text: str, start: int) -> Found | None:
    begin = start + len("[TOOL_CALLS]")
    begin += len(text[begin:]) - len(text[begin:].lstrip())
    if not re.match(r"\[\s*\{", text[begin:]):
        return None
    try:
        value, end = json.JSONDecoder(strict=False).raw_decode(text, begin)
    except (ValueError, RecursionError):
        return _accept(text, start, len(text), [broken_call(text[begin:])], "mistral_json")
    items = cast("list[JsonValue]", value)
    calls = [call_from_value(item, text[begin:end], marked=True) or broken_call(text[begin:end]) for item in items]
    return _accept(text, start, end, calls, "mistral_json")


def _tagged(text: str, names: frozenset[str]) -> Found | None:
    for start in _markers(text, _TAG):
        calls: list[RawCall] = []
        at, form = start, "hermes"
        while _TAG.match(text, at):
            wrapped = text.startswith("<tool_call>", at)
            begin = at + len("<tool_call>") if wrapped else at
            function = _XML_OPEN.match(text, begin)
            if function is not None:
                one, form = _xml_one(text, function), "xml"
            elif wrapped:
                one = _hermes_one(text, begin)
            else:
                break
            if one.broken and one.call.name not in names and text[:start].rpartition("\n")[2].strip():
                calls.clear()  # a sentence that mentions the tag
                break
            calls.append(one.call)
            at = cast("re.Match[str]", _XML_BETWEEN.match(text, one.end)).end()
        found = _accept(text, start, at, calls, "xml" if form == "xml" else "hermes") if calls else None
        if found is not None:
            return found
    return None


_XML_OPEN = re.compile(r"\s*<(function|invoke)(?:=|\s+name=)\s*\"?([^\">\s]+)\"?\s*>")
_XML_BETWEEN = re.compile(r"(?:\s|</tool_call>|</function_calls>|</tool_calls>)*")
_XML_PARAMETER = re.compile(r"\s*<parameter(?:=|\s+name=)\s*\"?([^\">\s]+)\"?\s*>(.*?)</parameter>\s*", re.DOTALL)


def _xml_one(text: str, opened: re.Match[str]) -> _ParsedCall:
    closing = f"</{opened.group(1)}>"
    stop = text.find(closing, opened.end())
    body = text[opened.end() : len(text) if stop < 0 else stop]
    end = len(text) if stop < 0 else stop + len(closing)
    members: list[str] = []
    at = 0
    while (parameter := _XML_PARAMETER.match(body, at)) is not None:
        value = parameter.group(2).removeprefix("\n").removesuffix("\n")
        members.append(f"{json.dumps(parameter.group(1))}: {json.dumps(value, ensure_ascii=False)}")
        at = parameter.end()
    whole = stop >= 0 and not body[at:].strip()
    arguments = "{" + ", ".join(members) + "}" if whole else body.strip() or opened.group().strip()
    return _ParsedCall(call=RawCall(name=opened.group(2), arguments=arguments), end=end, broken=stop < 0)


def _hermes_one(text: str, begin: int) -> _ParsedCall:
    begin += len(text[begin:]) - len(text[begin:].lstrip())
    end = object_end(text, begin)
    call = None if end is None else call_from_text(text[begin:end], marked=True)
    if end is not None and call is not None:
        return _ParsedCall(call=call, end=end)
    stop = text.find("</tool_call>", begin)
    stop = len(text) if stop < 0 else stop
    return _ParsedCall(call=broken_call(text[begin:stop]), end=stop, broken=True)


def _fenced(text: str, _names: frozenset[str]) -> Found | None:
    body = trim_end(text)
    if not body.endswith("```"):
        return None
    start = body.rfind("```", 0, -3)
    inner = re.fullmatch(r"```\w*\s*(.*?)\s*```", body[start:], re.DOTALL) if start >= 0 else None
    calls = None if inner is None else calls_in_json(inner.group(1))
    if calls is None:
        return None
    return Found(calls=tuple(calls), rest=body[:start].strip(), format="fenced_json", at_end=True)


_OBJECT_LINE = re.compile(r"^[ \t]*(?:\[\s*)?\{\s*\"(?:name|arguments|parameters|type|id)\"", re.MULTILINE)
_MAX_OBJECT_LINES = 20  # each costs a parse of the rest of the text


def _bare(text: str, _names: frozenset[str]) -> Found | None:
    body = trim_end(text)
    if not body.endswith(("}", "]")) or '"name"' not in body:
        return None
    for start in list(_markers(body, _OBJECT_LINE))[-_MAX_OBJECT_LINES:]:
        calls = calls_in_json(body[start:].strip())
        if calls is not None:
            return Found(calls=tuple(calls), rest=body[:start].strip(), format="bare_json", at_end=True)
    return None

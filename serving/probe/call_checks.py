"""Check a server's tool calling from recorded exchanges; pure, sends nothing."""

import re
from typing import Literal

from . import requests
from .chat_reply import NoReply, SeenCall, SeenReply, brief, read_chat
from .fixes import fix, known_refusal
from .records import TITLES, CheckName, CheckResult, Exchange, ServerKind

_CALL_TEXT = re.compile(
    r'\[TOOL_CALLS\]|<tool_call>|<\|tool_call|<function=|"name"\s*:\s*"(write|read)_file"|(write|read)_file(\[ARGS\])?\s*\{'
)
"""How models write a call that no parser has extracted from the text."""
_CUT_AS_TEXT = "max_tokens cut the call off: the server returned the incomplete call as text"


def no_reply_result(check: CheckName, found: NoReply, kind: ServerKind, *, optional: bool) -> CheckResult:
    """Build the result of a check whose request got no chat reply.

    Args:
        check: the check.
        found: why there is no reply.
        kind: the server's kind.
        optional: whether a server that refuses the request does not offer the feature, rather than being broken.
    """
    if found.cause == "not_sent":
        return CheckResult(check=check, verdict="unknown", detail=f"not tested: {found.reason}", answered=False)
    known = known_refusal(found.reason)
    if known is not None:
        return CheckResult(check=check, verdict="broken", detail=known.why, fix=known.fix)
    if found.cause == "refused" and optional:
        return CheckResult(check=check, verdict="not_offered", detail=f"the server refuses it: {found.reason}")
    if found.cause == "silent" and check != "chat":
        # The server may just be busy, which says nothing about its features.
        return CheckResult(check=check, verdict="unknown", detail=f"no reply: {found.reason}", answered=False)
    outcome = "the server refuses it" if found.cause == "refused" else "no reply"
    return CheckResult(check=check, verdict="broken", detail=f"{outcome}: {found.reason}", fix=fix("log", kind))


def check_auto(exchange: Exchange, named: Exchange, kind: ServerKind) -> CheckResult:
    """Check a call with tool_choice auto.

    Args:
        exchange: the answer to `RequestBuilder.write_file`.
        named: the answer to `RequestBuilder.other_tool_call`; it shows whether the parser is missing or for another
            model.
        kind: the server's kind.
    """
    found = read_chat(exchange)
    if isinstance(found, NoReply):
        return no_reply_result("auto", found, kind, optional=False)
    if found.calls:
        return _call_defect(found, "write_file", kind) or CheckResult(
            check="auto", verdict="works", detail=f"finish_reason {found.finish_reason!r}"
        )
    where = field_with_call(found)
    if where is not None and found.finish_reason == "length":
        return CheckResult(check="auto", verdict="unknown", detail=_CUT_AS_TEXT)
    if where is not None:
        other = read_chat(named)
        failed = isinstance(other, NoReply) and other.cause == "failed"
        parser = "its tool parser is for another model" if failed else "it has no tool parser, or one for another model"
        why = f"the server left the call as text in {where} ({brief(_text_with_call(found), 60)!r}): {parser}"
        return CheckResult(check="auto", verdict="broken", detail=why, fix=fix("tool_parser", kind))
    if found.finish_reason == "tool_calls":
        why = "finish_reason is 'tool_calls', but there are no calls: the tool parser lost them"
        return CheckResult(check="auto", verdict="broken", detail=why, fix=fix("tool_parser", kind))
    return no_call_made("auto", found)


def check_required(unneeded: Exchange, needed: Exchange, kind: ServerKind) -> CheckResult:
    """Check whether tool_choice required forces a call.

    Args:
        unneeded: the answer to `RequestBuilder.unneeded_call`.
        needed: the answer to `RequestBuilder.write_file` under required, where the model would make a call anyway.
        kind: the server's kind.
    """
    forced, free = read_chat(unneeded), read_chat(needed)
    if is_forced(unneeded):
        detail = "a call was made although the prompt needs none"
        return CheckResult(check="required", verdict="works", detail=detail)
    if isinstance(free, NoReply):
        return no_reply_result("required", free, kind, optional=True)
    if not free.calls:
        return _no_forced_call("required", free, kind)
    defect = _call_defect(free, "write_file", kind, check="required")
    if defect is not None:
        return defect
    if isinstance(forced, SeenReply) and not forced.calls and forced.finish_reason == "stop":
        why = "accepted but not enforced: the model answered with text although a call was required"
        return CheckResult(check="required", verdict="broken", detail=why, fix=fix("known_good", kind))
    detail = "a call was made where the prompt needs one; where it needs none, no complete call was made"
    return CheckResult(check="required", verdict="works", detail=detail)


def is_forced(unneeded: Exchange) -> bool:
    """Return whether the answer to `RequestBuilder.unneeded_call` contains a complete call."""
    forced = read_chat(unneeded)
    return isinstance(forced, SeenReply) and bool(forced.calls) and not any(map(_is_incomplete, forced.calls))


def check_named(exchange: Exchange, kind: ServerKind) -> CheckResult:
    """Check the answer to `RequestBuilder.other_tool_call`, which names a tool that the prompt does not need."""
    found = read_chat(exchange)
    if isinstance(found, NoReply):
        return no_reply_result("named", found, kind, optional=True)
    if not found.calls:
        return _no_forced_call("named", found, kind)
    names = {call.name for call in found.calls}
    if names != {"read_file"}:
        called = brief(", ".join(sorted(names)), 60)
        why = f"accepted but not enforced: the request names read_file, but the model called {called}"
        return CheckResult(check="named", verdict="broken", detail=why, fix=fix("known_good", kind))
    return _call_defect(found, "read_file", kind, check="named") or CheckResult(
        check="named", verdict="works", detail=f"finish_reason {found.finish_reason!r}"
    )


def check_strict(exchange: Exchange, kind: ServerKind) -> CheckResult:
    """Check the answer to `RequestBuilder.write_file` with a strict schema that forbids the requested path."""
    found = read_chat(exchange)
    if isinstance(found, NoReply):
        return no_reply_result("strict", found, kind, optional=True)
    if not found.calls:
        return no_call_made("strict", found)
    if found.finish_reason == "length" or _is_incomplete(found.calls[0]):
        return CheckResult(check="strict", verdict="unknown", detail="the call was cut off at max_tokens")
    values = found.calls[0].values or {}
    valid = set(values) == {"path", "content"} and values["path"] == requests.ONLY_PATH
    if valid and isinstance(values["content"], str):
        detail = "the arguments match the schema, although the prompt asks for a path that it forbids"
        return CheckResult(check="strict", verdict="works", detail=detail)
    why = f"accepted but not enforced: the arguments are {brief(found.calls[0].arguments, 80)}"
    return CheckResult(check="strict", verdict="broken", detail=why, fix=fix("known_good", kind))


def check_parallel(exchange: Exchange, kind: ServerKind) -> CheckResult:
    """Check the answer to `RequestBuilder.two_calls`."""
    found = read_chat(exchange)
    if isinstance(found, NoReply):
        return no_reply_result("parallel", found, kind, optional=False)
    if not found.calls:
        return no_call_made("parallel", found)
    defect = _call_defect(found, "read_file", kind, check="parallel")
    if defect is not None:
        return defect
    if len(found.calls) == 1:
        detail = "the model made one of two calls, which is its own choice"
        return CheckResult(check="parallel", verdict="unknown", detail=detail)
    ids = [call.id for call in found.calls]
    if len(set(ids)) < len(ids) or not all(ids):
        why = f"{len(ids)} calls with duplicate or empty ids: {brief(ids, 80)}"
        return CheckResult(check="parallel", verdict="broken", detail=why, fix=fix("known_good", kind))
    return CheckResult(check="parallel", verdict="works", detail=f"{len(ids)} calls in one reply, with distinct ids")


def check_streamed(whole: Exchange, streamed: Exchange, kind: ServerKind) -> CheckResult:
    """Check whether the same request at temperature 0 gets the same reply with and without streaming."""
    expected, found = read_chat(whole), read_chat(streamed)
    if isinstance(expected, NoReply):
        detail = "there is no non-streamed reply to compare with"
        return CheckResult(check="streamed", verdict="unknown", detail=detail)
    if isinstance(found, NoReply):
        return no_reply_result("streamed", found, kind, optional=False)
    if _comparable(expected) == _comparable(found):
        return CheckResult(check="streamed", verdict="works", detail=f"the same {_describe(expected)}")
    if _lost_call(expected, found) or _lost_call(found, expected) or _is_malformed(found):
        why = f"not streamed: {_describe(expected)}; streamed: {_describe(found)}"
        return CheckResult(check="streamed", verdict="broken", detail=why, fix=fix("known_good", kind))
    detail = "both replies are valid but differ: the engine is not deterministic at temperature 0"
    return CheckResult(check="streamed", verdict="unknown", detail=detail)


def check_round_trip(plain: Exchange, replayed: Exchange | None, kind: ServerKind) -> CheckResult:
    """Check the answers to `RequestBuilder.after_tool_result`.

    Args:
        plain: without reasoning in the history.
        replayed: with reasoning in the history. None means the server sent no reasoning to replay.
        kind: the server's kind.
    """
    found = read_chat(plain)
    if isinstance(found, NoReply):
        return no_reply_result("round_trip", found, kind, optional=False)
    again = None if replayed is None else read_chat(replayed)
    extra = ""
    if isinstance(again, NoReply):
        extra = f"; reasoning in the history is refused: {again.reason}" if again.cause == "refused" else ""
    elif again is not None:
        extra = ", with reasoning in the history too"
    if found.content.strip() or found.calls:
        return CheckResult(check="round_trip", verdict="works", detail=f"the model continued{extra}")
    detail = f"the result was accepted, but the reply is empty (finish_reason {found.finish_reason!r}){extra}"
    return CheckResult(check="round_trip", verdict="unknown", detail=detail)


def no_call_made(check: CheckName, found: SeenReply) -> CheckResult:
    """Build the result of a check whose reply contains no call."""
    if field_with_call(found) is not None:
        detail = f"the server left the call as text, so there is no call to check (see: {TITLES['auto']})"
    else:
        detail = f"the model made no call, which is its own choice: {_describe(found)}"
    return CheckResult(check=check, verdict="unknown", detail=detail)


def field_with_call(found: SeenReply) -> str | None:
    """Return the name of the field that contains a call as text, or None."""
    if _CALL_TEXT.search(found.content):
        return "content"
    return "reasoning" if _CALL_TEXT.search(found.reasoning) else None


def any_text(found: SeenReply) -> str:
    """Return the reply's text, or its reasoning if there is none."""
    return (found.content or found.reasoning).strip()


def _call_defect(found: SeenReply, name: str, kind: ServerKind, check: CheckName = "auto") -> CheckResult | None:
    """Check the form of calls; None if each has the expected name and a JSON object of arguments."""
    for call in found.calls:
        if call.name == name and call.values is not None:
            continue
        if found.finish_reason == "length":
            return CheckResult(check=check, verdict="unknown", detail="the call was cut off at max_tokens")
        why = f"malformed call: {brief(call.name, 60)!r} with arguments {brief(call.arguments, 80)!r}"
        return CheckResult(check=check, verdict="broken", detail=why, fix=fix("tool_parser", kind))
    return None


def _is_incomplete(call: SeenCall) -> bool:
    return call.values is None


def _is_malformed(found: SeenReply) -> bool:
    bad = any(_is_incomplete(call) or call.name not in {"write_file", "read_file"} for call in found.calls)
    return found.finish_reason != "length" and bad


def _lost_call(with_call: SeenReply, without: SeenReply) -> bool:
    """Return whether the second reply lost the call of the first; a model may also choose to answer with text."""
    lost = field_with_call(without) is not None or without.finish_reason == "tool_calls" or not any_text(without)
    return bool(with_call.calls) and not without.calls and lost


def _no_forced_call(check: Literal["required", "named"], found: SeenReply, kind: ServerKind) -> CheckResult:
    where = field_with_call(found)
    if where is not None and found.finish_reason == "length":
        # vLLM's hermes parser returns a call that is not complete as text.
        return CheckResult(check=check, verdict="unknown", detail=_CUT_AS_TEXT)
    if where is not None:
        why = f"the server left the call as text in {where}: its tool parser is missing or for another model"
        return CheckResult(check=check, verdict="broken", detail=why, fix=fix("tool_parser", kind))
    if found.finish_reason == "length":
        detail = "the reply reached max_tokens before a call: the grammar allows text before it"
        return CheckResult(check=check, verdict="unknown", detail=detail)
    why = f"accepted but not enforced: no call was made ({_describe(found)})"
    return CheckResult(check=check, verdict="broken", detail=why, fix=fix("known_good", kind))


def _text_with_call(found: SeenReply) -> str:
    return found.content if _CALL_TEXT.search(found.content) else found.reasoning


def _comparable(found: SeenReply) -> object:
    """Return the parts that must be equal: ids are generated, and whitespace in JSON does not matter."""
    calls = [(call.name.strip(), call.arguments if call.values is None else dict(call.values)) for call in found.calls]
    return found.content.strip(), found.reasoning.strip(), calls


def _describe(found: SeenReply) -> str:
    if found.calls:
        shown = "; ".join(f"{call.name}({brief(call.arguments, 60)})" for call in found.calls[:3])
        return f"call {brief(shown, 160)}"
    return f"text {brief(found.content, 60)!r}" if found.content.strip() else "nothing"

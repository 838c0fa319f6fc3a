"""Judge how a server takes and gives tool calls; pure over recorded exchanges."""

import re
from typing import Literal

from . import requests as questions
from .chat_reply import NoReply, SeenCall, SeenReply, brief, read_chat
from .fixes import fix, known_refusal
from .records import CheckName, CheckResult, Exchange, ServerKind

_CALL_TEXT = re.compile(
    r'\[TOOL_CALLS\]|<tool_call>|<\|tool_call|<function=|"name"\s*:\s*"(write|read)_file"|(write|read)_file(\[ARGS\])?\s*\{'
)
"""How models write a call that no parser has taken out of the text."""


def no_reply(check: CheckName, found: NoReply, kind: ServerKind, *, optional: bool) -> CheckResult:
    """Judge a request that brought no chat reply.

    Args:
        check: what it was asked for.
        found: why there is none.
        kind: the server's.
        optional: a server that refuses this does not offer it, and is not broken for that.
    """
    if found.cause == "not_asked":
        return CheckResult(check=check, verdict="unknown", detail=f"not asked: {found.reason}")
    known = known_refusal(found.reason)
    if known is not None:
        return CheckResult(check=check, verdict="broken", detail=known.why, fix=known.fix)
    if found.cause == "refused" and optional:
        return CheckResult(check=check, verdict="not_offered", detail=f"the server refuses it: {found.reason}")
    if found.cause == "silent" and check != "chat":
        # It may be busy just now, which says nothing of what it can do.
        return CheckResult(check=check, verdict="unknown", detail=f"no reply: {found.reason}")
    said = "the server refuses it" if found.cause == "refused" else "no reply"
    return CheckResult(check=check, verdict="broken", detail=f"{said}: {found.reason}", fix=fix("log", kind))


def judge_auto(exchange: Exchange, named: Exchange, kind: ServerKind) -> CheckResult:
    """Judge a call that the model makes by itself.

    Args:
        exchange: the answer to `Questions.write`.
        named: the answer to `Questions.unfitting_call`, which tells a missing parser from another model's.
        kind: the server's.
    """
    found = read_chat(exchange)
    if isinstance(found, NoReply):
        return no_reply("auto", found, kind, optional=False)
    if found.calls:
        return _sound(found, "write_file", kind) or CheckResult(
            check="auto", verdict="works", detail=f"finish_reason {found.finish_reason!r}"
        )
    where = _call_in_text(found)
    if where is not None:
        other = read_chat(named)
        failed = isinstance(other, NoReply) and other.cause == "failed"
        parser = "its tool parser is another model's" if failed else "it has no tool parser, or another model's"
        why = f"the server left the call as text in {where} ({brief(_text_of(found), 60)!r}): {parser}"
        return CheckResult(check="auto", verdict="broken", detail=why, fix=fix("tool_parser", kind))
    if found.finish_reason == "tool_calls":
        why = "finish_reason is 'tool_calls', and there are none: the tool parser lost the call"
        return CheckResult(check="auto", verdict="broken", detail=why, fix=fix("tool_parser", kind))
    return _chose_text("auto", found)


def judge_required(unneeded: Exchange, wanted: Exchange, kind: ServerKind) -> CheckResult:
    """Judge whether `required` brings a call.

    Args:
        unneeded: the answer to `Questions.unneeded_call`.
        wanted: the answer to `Questions.write` under required, where the model would call anyway.
        kind: the server's.
    """
    forced, free = read_chat(unneeded), read_chat(wanted)
    if isinstance(forced, SeenReply) and _whole_call(forced):
        return CheckResult(check="required", verdict="works", detail="a call came where the model had no use for one")
    if isinstance(free, NoReply):
        return no_reply("required", free, kind, optional=True)
    if not free.calls:
        return _none_forced("required", free, kind)
    unsound = _sound(free, "write_file", kind, check="required")
    if unsound is not None:
        return unsound
    if isinstance(forced, SeenReply) and not forced.calls and forced.finish_reason == "stop":
        why = "accepted and not enforced: the model answered in text where a call was required"
        return CheckResult(check="required", verdict="broken", detail=why, fix=fix("known_good", kind))
    detail = "a call came where the model makes one; where it would not, the model found no end"
    return CheckResult(check="required", verdict="works", detail=detail)


def judge_named(exchange: Exchange, kind: ServerKind) -> CheckResult:
    """Judge the answer to `Questions.unfitting_call`: another tool was named than the model would call."""
    found = read_chat(exchange)
    if isinstance(found, NoReply):
        return no_reply("named", found, kind, optional=True)
    if not found.calls:
        return _none_forced("named", found, kind)
    names = {call.name for call in found.calls}
    if names != {"read_file"}:
        why = f"accepted and not enforced: read_file was named, and {brief(', '.join(sorted(names)), 60)} was called"
        return CheckResult(check="named", verdict="broken", detail=why, fix=fix("known_good", kind))
    return _sound(found, "read_file", kind, check="named") or CheckResult(
        check="named", verdict="works", detail=f"finish_reason {found.finish_reason!r}"
    )


def judge_strict(exchange: Exchange, kind: ServerKind) -> CheckResult:
    """Judge the answer to `Questions.write` with a strict schema, which forbids what the user asks for."""
    found = read_chat(exchange)
    if isinstance(found, NoReply):
        return no_reply("strict", found, kind, optional=True)
    if not found.calls:
        return _chose_text("strict", found)
    if found.finish_reason == "length" or _is_cut(found.calls[0]):
        return CheckResult(check="strict", verdict="unknown", detail="the call ran into max_tokens before its end")
    values = found.calls[0].values or {}
    kept = set(values) == {"path", "content"} and values["path"] == questions.ONLY_PATH
    if kept and isinstance(values["content"], str):
        return CheckResult(
            check="strict", verdict="works", detail="the arguments keep to a schema that the user's wish breaks"
        )
    why = f"accepted and not enforced: the arguments are {brief(found.calls[0].arguments, 80)}"
    return CheckResult(check="strict", verdict="broken", detail=why, fix=fix("known_good", kind))


def judge_parallel(exchange: Exchange, kind: ServerKind) -> CheckResult:
    """Judge the answer to `Questions.two_calls`."""
    found = read_chat(exchange)
    if isinstance(found, NoReply):
        return no_reply("parallel", found, kind, optional=False)
    if not found.calls:
        return _chose_text("parallel", found)
    unsound = _sound(found, "read_file", kind, check="parallel")
    if unsound is not None:
        return unsound
    if len(found.calls) == 1:
        return CheckResult(check="parallel", verdict="unknown", detail="the model made one call of two: its own choice")
    ids = [call.id for call in found.calls]
    if len(set(ids)) < len(ids) or not all(ids):
        why = f"{len(ids)} calls came, whose ids are not told apart: {brief(ids, 80)}"
        return CheckResult(check="parallel", verdict="broken", detail=why, fix=fix("known_good", kind))
    return CheckResult(check="parallel", verdict="works", detail=f"{len(ids)} calls in one reply, each with its id")


def judge_streamed(whole: Exchange, streamed: Exchange, kind: ServerKind) -> CheckResult:
    """Judge whether the same request at temperature 0 brings the same in a stream."""
    expected, found = read_chat(whole), read_chat(streamed)
    if isinstance(expected, NoReply):
        detail = "there is no whole reply to compare with"
        return CheckResult(check="streamed", verdict="unknown", detail=detail)
    if isinstance(found, NoReply):
        return no_reply("streamed", found, kind, optional=False)
    if _essence(expected) == _essence(found):
        return CheckResult(check="streamed", verdict="works", detail=f"the same {_what(expected)}")
    if _lost_call(expected, found) or _lost_call(found, expected) or _garbled(found):
        why = f"whole: {_what(expected)}; streamed: {_what(found)}"
        return CheckResult(check="streamed", verdict="broken", detail=why, fix=fix("known_good", kind))
    detail = "both are sound and differ: the engine is not deterministic at temperature 0"
    return CheckResult(check="streamed", verdict="unknown", detail=detail)


def judge_truncated(whole: Exchange, streamed: Exchange, kind: ServerKind) -> CheckResult:
    """Judge what is said of a call that max_tokens cut off; `agent run` streams, so the stream decides."""
    told, seen = read_chat(streamed), read_chat(whole)
    if isinstance(told, NoReply):
        return no_reply("truncated", told, kind, optional=False)
    if told.finish_reason != "length" and _ended_early(told):
        return CheckResult(check="truncated", verdict="unknown", detail="the model ended before it could be cut off")
    if told.finish_reason != "length":
        why = f"a streamed call was cut off at max_tokens, and finish_reason is {told.finish_reason!r}, not 'length'"
        return CheckResult(check="truncated", verdict="broken", detail=why, fix=fix("known_good", kind))
    lies = isinstance(seen, SeenReply) and seen.finish_reason != "length"
    # vLLM 0.32: under auto, that there are calls outweighs that they were cut; "" becomes {}.
    warning = (
        "Without streaming a call that was cut off looks like a whole one, even with arguments that were invented "
        "({}): stream, or compare usage.completion_tokens with max_tokens. `agent run` does both."
    )
    detail = "finish_reason 'length' in a stream" + ("; without streaming it is not said" if lies else " and without")
    return CheckResult(check="truncated", verdict="works", detail=detail, warning=warning if lies else "")


def judge_round_trip(plain: Exchange, replayed: Exchange | None, kind: ServerKind) -> CheckResult:
    """Judge the answers to `Questions.after_result`.

    Args:
        plain: without reasoning in the history.
        replayed: with it. None: the server sent none, so there is none to replay.
        kind: the server's.
    """
    found = read_chat(plain)
    if isinstance(found, NoReply):
        return no_reply("round_trip", found, kind, optional=False)
    again = None if replayed is None else read_chat(replayed)
    extra = ""
    if isinstance(again, NoReply):
        extra = f"; reasoning in the history is refused: {again.reason}" if again.cause == "refused" else ""
    elif again is not None:
        extra = ", with reasoning in the history too"
    if found.content.strip() or found.calls:
        return CheckResult(check="round_trip", verdict="works", detail=f"the model went on{extra}")
    detail = f"the result was taken, and the reply is empty (finish_reason {found.finish_reason!r}){extra}"
    return CheckResult(check="round_trip", verdict="unknown", detail=detail)


def _sound(found: SeenReply, name: str, kind: ServerKind, check: CheckName = "auto") -> CheckResult | None:
    """Judge the form of calls; None: each has the name and a JSON object of arguments."""
    for call in found.calls:
        if call.name == name and call.values is not None:
            continue
        if found.finish_reason == "length":
            return CheckResult(check=check, verdict="unknown", detail="the call ran into max_tokens before its end")
        why = f"a garbled call: {brief(call.name, 60)!r} with arguments {brief(call.arguments, 80)!r}"
        return CheckResult(check=check, verdict="broken", detail=why, fix=fix("tool_parser", kind))
    return None


def _whole_call(found: SeenReply) -> bool:
    return bool(found.calls) and all(call.values is not None for call in found.calls)


def _is_cut(call: SeenCall) -> bool:
    return call.values is None


def _garbled(found: SeenReply) -> bool:
    return found.finish_reason != "length" and any(_is_cut(call) for call in found.calls)


def _lost_call(with_call: SeenReply, without: SeenReply) -> bool:
    """Tell whether a call that one way of asking brings is lost on the other; a model may also choose text."""
    lost = _call_in_text(without) is not None or without.finish_reason == "tool_calls" or not _what_is_said(without)
    return bool(with_call.calls) and not without.calls and lost


def _ended_early(found: SeenReply) -> bool:
    """Tell whether a reply to `Questions.cut_call` was whole after all."""
    if found.completion_tokens is not None and found.completion_tokens < questions.CUT_TOKENS:
        return True
    # Arguments that were cut may be mended to an object, such as {}, which lacks what the call needs.
    return all({"path", "content"} <= (call.values or {}).keys() for call in found.calls)


def _none_forced(check: Literal["required", "named"], found: SeenReply, kind: ServerKind) -> CheckResult:
    where = _call_in_text(found)
    if where is not None:
        why = f"the server left the call as text in {where}: its tool parser does not fit the model, or is missing"
        return CheckResult(check=check, verdict="broken", detail=why, fix=fix("tool_parser", kind))
    if found.finish_reason == "length":
        detail = "the reply ran into max_tokens before a call: the grammar lets text come first"
        return CheckResult(check=check, verdict="unknown", detail=detail)
    why = f"accepted and not enforced: no call came ({_what(found)})"
    return CheckResult(check=check, verdict="broken", detail=why, fix=fix("known_good", kind))


def _chose_text(check: CheckName, found: SeenReply) -> CheckResult:
    if _call_in_text(found) is not None:
        detail = "the server left the call as text, so there is none to judge (see: a call under auto)"
    else:
        detail = f"the model made no call, which is its own choice: {_what(found)}"
    return CheckResult(check=check, verdict="unknown", detail=detail)


def _call_in_text(found: SeenReply) -> str | None:
    """Name the field that holds a call as text; None: none does."""
    if _CALL_TEXT.search(found.content):
        return "content"
    return "reasoning" if _CALL_TEXT.search(found.reasoning) else None


def _text_of(found: SeenReply) -> str:
    return found.content if _CALL_TEXT.search(found.content) else found.reasoning


def _essence(found: SeenReply) -> object:
    """What must be equal: ids are drawn anew, blanks inside of JSON are free."""
    calls = [(call.name.strip(), call.arguments if call.values is None else dict(call.values)) for call in found.calls]
    return found.content.strip(), found.reasoning.strip(), calls


def _what_is_said(found: SeenReply) -> str:
    return (found.content or found.reasoning).strip()


def _what(found: SeenReply) -> str:
    if found.calls:
        shown = "; ".join(f"{call.name}({brief(call.arguments, 60)})" for call in found.calls[:3])
        return f"call {brief(shown, 160)}"
    return f"text {brief(found.content, 60)!r}" if found.content.strip() else "nothing"

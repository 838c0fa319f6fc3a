"""Check reasoning, effort and structured outputs from recorded exchanges; pure, sends nothing."""

import re

from . import requests
from .call_checks import no_reply_result
from .chat_reply import NoReply, SeenReply, as_list, as_object, brief, json_object, read_chat
from .fixes import fix
from .records import CheckName, CheckResult, Exchange, ServerKind

_THOUGHT = re.compile(r"\[/?THINK\]|</?think>|<\|channel\|>")
"""How models mark their reasoning if no parser has separated it."""


def check_chat(exchange: Exchange, kind: ServerKind) -> CheckResult:
    """Check whether chat works at all, from the answer to `RequestBuilder.one_word`."""
    found = read_chat(exchange)
    if isinstance(found, NoReply):
        return no_reply_result("chat", found, kind, optional=False)
    if found.content.strip() or found.reasoning.strip():
        return CheckResult(check="chat", verdict="works", detail=brief(found.content or found.reasoning, 60))
    detail = f"the reply is empty (finish_reason {found.finish_reason!r})"
    return CheckResult(check="chat", verdict="unknown", detail=detail)


def check_reasoning(high: Exchange, unfiltered: Exchange | None, kind: ServerKind) -> CheckResult:
    """Check whether reasoning is returned in its own field.

    Args:
        high: the answer to `RequestBuilder.one_word` at the highest effort that the server accepts.
        unfiltered: the same with special tokens kept in the text. None means not requested, since `high` is enough.
        kind: the server's kind.
    """
    found = read_chat(high)
    if isinstance(found, NoReply):
        return no_reply_result("reasoning", found, kind, optional=True)
    raw = None if unfiltered is None else read_chat(unfiltered)
    texts = [found.content, raw.content if isinstance(raw, SeenReply) else ""]
    marked = next((mark.group() for text in texts if (mark := _THOUGHT.search(text))), None)
    if marked is not None:
        why = f"the content contains reasoning ({marked}): there is no reasoning parser, or one for another model"
        return CheckResult(check="reasoning", verdict="broken", detail=why, fix=fix("reasoning_parser", kind))
    if found.reasoning_field is None:
        detail = "the model did not reason when asked to: it chose not to, or it cannot"
        return CheckResult(check="reasoning", verdict="unknown", detail=detail)
    if found.content.strip():
        return CheckResult(check="reasoning", verdict="works", detail=f"in the field {found.reasoning_field!r}")
    if found.finish_reason == "length":
        detail = f"in the field {found.reasoning_field!r}; the reply reached max_tokens before an answer"
        return CheckResult(check="reasoning", verdict="unknown", detail=detail)
    why = f"the answer is in the field {found.reasoning_field!r}, and the content is empty"
    return CheckResult(check="reasoning", verdict="broken", detail=why, fix=fix("reasoning_parser", kind))


def check_effort(
    none: Exchange, high: Exchange, rendered_none: Exchange, rendered_high: Exchange, kind: ServerKind
) -> CheckResult:
    """Check whether `reasoning_effort` is accepted and has an effect.

    Args:
        none: the answer to `RequestBuilder.one_word` at effort none.
        high: the same at effort high.
        rendered_none: the answer to `RequestBuilder.tokenize` at effort none.
        rendered_high: the same at effort high.
        kind: the server's kind.
    """
    low, top = read_chat(none), read_chat(high)
    for found in (top, low):
        if isinstance(found, NoReply):
            return no_reply_result("effort", found, kind, optional=True)
    assert isinstance(low, SeenReply), "the loop has returned"
    assert isinstance(top, SeenReply), "the loop has returned"
    before, after = _tokens(rendered_none), _tokens(rendered_high)
    if before and after and before != after:
        changed = sum(one != other for one, other in zip(before, after, strict=False)) + abs(len(before) - len(after))
        return _works("effort", f"it changes {changed} of the prompt's {len(after)} tokens")
    if low.prompt_tokens != top.prompt_tokens:
        return _works("effort", f"the prompt has {low.prompt_tokens} tokens at none, {top.prompt_tokens} at high")
    if top.reasoning and not low.reasoning:
        return _works("effort", "the model reasons at high and not at none")
    detail = "accepted but without visible effect: neither the prompt nor the reasoning changes"
    return CheckResult(check="effort", verdict="not_offered", detail=detail)


def check_json_schema(formatted: Exchange, kind: ServerKind) -> CheckResult:
    """Check the answer to `RequestBuilder.one_word` with `JSON_FORMAT`, whose schema requires an object."""
    found = read_chat(formatted)
    if isinstance(found, NoReply):
        return no_reply_result("json_schema", found, kind, optional=True)
    if matches_schema(found):
        return _works("json_schema", f"the reply matches its schema: {brief(found.content, 60)}")
    if found.finish_reason == "length":
        # llguidance allows any amount of whitespace between JSON tokens, and a small model may generate it forever.
        detail = f"the reply reached max_tokens: {brief(found.content, 60)!r}"
        return CheckResult(check="json_schema", verdict="unknown", detail=detail)
    why = f"response_format is accepted but not enforced: {brief(found.content, 60)!r}"
    return CheckResult(check="json_schema", verdict="broken", detail=why, fix=fix("grammar", kind))


def check_choice(plain: Exchange, without_reasoning: Exchange | None, kind: ServerKind) -> CheckResult:
    """Check whether a choice is enforced at effort none.

    Args:
        plain: the answer to `RequestBuilder.one_word` with `CHOICE`.
        without_reasoning: the same with `include_reasoning: false`. None means not requested, since `plain` is enough.
        kind: the server's kind.
    """
    found = read_chat(plain)
    if isinstance(found, NoReply):
        return no_reply_result("choice", found, kind, optional=True)
    if found.content.strip() in requests.CHOICES:
        return _works("choice", f"the reply is {found.content.strip()!r}")
    if not found.content.strip() and found.finish_reason == "length":
        detail = "the reply reached max_tokens before its text"
        return CheckResult(check="choice", verdict="unknown", detail=detail)
    if kind != "vllm":
        detail = "`structured_outputs` is a vLLM field, which this server ignores"
        return CheckResult(check="choice", verdict="not_offered", detail=detail)
    again = None if without_reasoning is None else read_chat(without_reasoning)
    if isinstance(again, SeenReply) and again.content.strip() in requests.CHOICES:
        # vLLM 0.32 with a reasoning parser: the grammar waits for the end of reasoning, which effort none never has.
        warning = f"Without include_reasoning: false, a choice or regex is accepted but ignored. {fix('grammar', kind)}"
        return CheckResult(
            check="choice", verdict="works", detail="only with include_reasoning: false", warning=warning
        )
    why = f"structured_outputs is accepted but not enforced: {brief(found.content, 60)!r}"
    return CheckResult(check="choice", verdict="broken", detail=why, fix=fix("grammar", kind))


def matches_schema(found: SeenReply) -> bool:
    """Return whether a reply matches `ANSWER_SCHEMA`."""
    values = json_object(found.content)
    return values is not None and list(values) == ["content"] and isinstance(values["content"], str)


def is_enforced(exchange: Exchange) -> bool:
    """Return whether an answer to `RequestBuilder.one_word` matches `ANSWER_SCHEMA`."""
    found = read_chat(exchange)
    return isinstance(found, SeenReply) and matches_schema(found)


def _tokens(rendered: Exchange) -> list[object]:
    return as_list(as_object(rendered.body).get("tokens")) if rendered.status == 200 else []


def _works(check: CheckName, detail: str) -> CheckResult:
    return CheckResult(check=check, verdict="works", detail=detail)

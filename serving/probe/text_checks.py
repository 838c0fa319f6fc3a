"""Judge how a server thinks, switches effort and holds a text to a form; pure over recorded exchanges."""

import re

from . import requests as questions
from .call_checks import no_reply
from .chat_reply import NoReply, SeenReply, as_list, as_object, brief, json_object, read_chat
from .fixes import fix
from .records import CheckName, CheckResult, Exchange, ServerKind

_THOUGHT = re.compile(r"\[/?THINK\]|</?think>|<\|channel\|>")
"""How models mark their reasoning where no parser has split it off."""


def judge_chat(exchange: Exchange, kind: ServerKind) -> CheckResult:
    """Judge the answer to `Questions.say`: whether anything works at all."""
    found = read_chat(exchange)
    if isinstance(found, NoReply):
        return no_reply("chat", found, kind, optional=False)
    if found.content.strip() or found.reasoning.strip():
        return CheckResult(check="chat", verdict="works", detail=brief(found.content or found.reasoning, 60))
    detail = f"the reply is empty (finish_reason {found.finish_reason!r})"
    return CheckResult(check="chat", verdict="unknown", detail=detail)


def judge_reasoning(high: Exchange, unfiltered: Exchange | None, kind: ServerKind) -> CheckResult:
    """Judge whether reasoning comes in a field of its own.

    Args:
        high: the answer to `Questions.say` at the highest effort that the server takes.
        unfiltered: the same with the special tokens left in the text. None: not asked, `high` says enough.
        kind: the server's.
    """
    found = read_chat(high)
    if isinstance(found, NoReply):
        return no_reply("reasoning", found, kind, optional=True)
    raw = None if unfiltered is None else read_chat(unfiltered)
    texts = [found.content, raw.content if isinstance(raw, SeenReply) else ""]
    marked = next((mark.group() for text in texts if (mark := _THOUGHT.search(text))), None)
    if marked is not None:
        why = f"reasoning stands in the content ({marked}): there is no reasoning parser, or another model's"
        return CheckResult(check="reasoning", verdict="broken", detail=why, fix=fix("reasoning_parser", kind))
    if found.reasoning_field is None:
        detail = "the model did not reason where it was asked to: its own choice, or it cannot"
        return CheckResult(check="reasoning", verdict="unknown", detail=detail)
    if found.content.strip():
        return CheckResult(check="reasoning", verdict="works", detail=f"in the field {found.reasoning_field!r}")
    if found.finish_reason == "length":
        detail = f"in the field {found.reasoning_field!r}; it ran into max_tokens before an answer came"
        return CheckResult(check="reasoning", verdict="unknown", detail=detail)
    why = f"the answer stands in the field {found.reasoning_field!r}, and the content is empty"
    return CheckResult(check="reasoning", verdict="broken", detail=why, fix=fix("reasoning_parser", kind))


def judge_effort(
    none: Exchange, high: Exchange, rendered_none: Exchange, rendered_high: Exchange, kind: ServerKind
) -> CheckResult:
    """Judge whether `reasoning_effort` is taken, and changes anything.

    Args:
        none: the answer to `Questions.say` at effort none.
        high: the same at effort high.
        rendered_none: the answer to `Questions.tokenize` at effort none.
        rendered_high: the same at effort high.
        kind: the server's.
    """
    low, top = read_chat(none), read_chat(high)
    for found in (top, low):
        if isinstance(found, NoReply):
            return no_reply("effort", found, kind, optional=True)
    assert isinstance(low, SeenReply), "the loop has returned"
    assert isinstance(top, SeenReply), "the loop has returned"
    before, after = _tokens(rendered_none), _tokens(rendered_high)
    if before and after and before != after:
        changed = sum(one != other for one, other in zip(before, after, strict=False)) + abs(len(before) - len(after))
        return _works("effort", f"{changed} of the prompt's {len(after)} tokens change with it")
    if low.prompt_tokens != top.prompt_tokens:
        return _works("effort", f"the prompt has {low.prompt_tokens} tokens at none, {top.prompt_tokens} at high")
    if top.reasoning and not low.reasoning:
        return _works("effort", "reasoning comes at high and none at none")
    detail = "accepted and without a visible effect: neither the prompt nor the reasoning changes"
    return CheckResult(check="effort", verdict="not_offered", detail=detail)


def judge_json_schema(formatted: Exchange, kind: ServerKind) -> CheckResult:
    """Judge the answer to `Questions.say` with `JSON_FORMAT`: the user asks for a word, the schema for an object."""
    found = read_chat(formatted)
    if isinstance(found, NoReply):
        return no_reply("json_schema", found, kind, optional=True)
    if holds_schema(found):
        return _works("json_schema", f"held to its schema: {brief(found.content, 60)}")
    if found.finish_reason == "length":
        # llguidance lets any number of blanks stand between tokens of JSON, and a small model may never leave them.
        detail = f"the reply ran into max_tokens: {brief(found.content, 60)!r}"
        return CheckResult(check="json_schema", verdict="unknown", detail=detail)
    why = f"response_format is accepted and not enforced: {brief(found.content, 60)!r}"
    return CheckResult(check="json_schema", verdict="broken", detail=why, fix=fix("grammar", kind))


def judge_choice(plain: Exchange, without_reasoning: Exchange | None, kind: ServerKind) -> CheckResult:
    """Judge whether a text is held to a choice at effort none.

    Args:
        plain: the answer to `Questions.say` with `CHOICE`.
        without_reasoning: the same with `include_reasoning: false`. None: not asked, `plain` says enough.
        kind: the server's.
    """
    found = read_chat(plain)
    if isinstance(found, NoReply):
        return no_reply("choice", found, kind, optional=True)
    if found.content.strip() in questions.CHOICES:
        return _works("choice", f"the reply is {found.content.strip()!r}")
    if kind != "vllm":
        detail = "`structured_outputs` is a field of vLLM, and this server ignores it"
        return CheckResult(check="choice", verdict="not_offered", detail=detail)
    again = None if without_reasoning is None else read_chat(without_reasoning)
    if isinstance(again, SeenReply) and again.content.strip() in questions.CHOICES:
        # vLLM 0.32: with a reasoning parser, the grammar waits for an end of reasoning, which effort none never has.
        warning = (
            f"Without include_reasoning: false a choice or a regex is accepted and ignored. {fix('grammar', kind)}"
        )
        return CheckResult(
            check="choice", verdict="works", detail="only with include_reasoning: false", warning=warning
        )
    why = f"structured_outputs is accepted and not enforced: {brief(found.content, 60)!r}"
    return CheckResult(check="choice", verdict="broken", detail=why, fix=fix("grammar", kind))


def holds_schema(found: SeenReply) -> bool:
    """Tell whether a reply is what `ANSWER_SCHEMA` asks for."""
    values = json_object(found.content)
    return values is not None and list(values) == ["content"] and isinstance(values["content"], str)


def enforced(exchange: Exchange) -> bool:
    """Tell whether an answer to `Questions.say` was held to `ANSWER_SCHEMA`."""
    found = read_chat(exchange)
    return isinstance(found, SeenReply) and holds_schema(found)


def _tokens(rendered: Exchange) -> list[object]:
    return as_list(as_object(rendered.body).get("tokens")) if rendered.status == 200 else []


def _works(check: CheckName, detail: str) -> CheckResult:
    return CheckResult(check=check, verdict="works", detail=detail)

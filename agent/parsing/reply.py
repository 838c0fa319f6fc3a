"""Classify a reply as an answer, calls or a failure; executes nothing, and trusts no reply that was cut off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..messages import RawCall, Reply
from ..tooling.toolbox import Toolbox
from .rescue import CONTROL_TOKENS, EXPLICIT_FORMATS, Found, RescueFormat, find_calls, has_open_call, last_token
from .thoughts import SplitText, split_thoughts


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Text for the user, no calls."""

    text: str
    """As the model wrote it, not blank; only control tokens at its ends are removed."""
    cut: tuple[str, ...] = ()
    """The control tokens removed from its ends, such as `</s>`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rescue:
    """Where calls were found that the server did not report as calls."""

    where: Literal["content", "reasoning"]
    format: RescueFormat


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """The calls of one reply; some may be invalid or duplicates."""

    calls: tuple[RawCall, ...]
    """At least one."""
    content: str = ""
    """Text beside the calls; empty if it is only whitespace."""
    rescue: Rescue | None = None
    """None means the server reported the calls."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EmptyReply:
    """Neither text nor calls."""

    reasoning: str
    """The reasoning that preceded the empty reply."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerInReasoning:
    """The model stopped on its own, but everything it wrote is reasoning: it never closed its reasoning."""

    text: str
    """The text after the last end-of-reasoning mark if there is one, else all of it; not fit to show as an answer."""
    is_marked: bool = False
    """True if the model itself marked all of it as thoughts, so that it cannot be the answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Truncated:
    """The reply used up its tokens, so nothing in it is trusted.

    vLLM turns a call that was cut after its name into a complete one with arguments `{}` and finish_reason `tool_calls`
    (vLLM 0.32.0, tool_choice auto, no streaming; seen 2026-11-23).
    """

    in_call: bool
    """True if it was writing calls."""
    in_reasoning: bool
    """True if it was still reasoning."""


Reading = Answer | Batch | EmptyReply | AnswerInReasoning | Truncated


def read(reply: Reply, toolbox: Toolbox, *, max_tokens: int, window_tokens: int | None) -> Reading:
    """Classify the reply. The server's `finish_reason` is trusted only when it reports a cut.

    Args:
        reply: what the server sent.
        toolbox: the tools of the run; plain JSON counts as calls only if it names one of them.
        max_tokens: the token limit that the request set for the reply.
        window_tokens: the limit for prompt and reply together. None means unknown.
    """
    # A named tool_choice ends with "stop" and still holds calls (vLLM 0.32.0): the calls decide, not finish_reason.
    calls = tuple(call for call in reply.tool_calls if not _is_noise(call))
    split = split_thoughts(reply.content)
    if _at_token_limit(reply, max_tokens, window_tokens):
        return _truncated(reply, split, calls)
    content = split.rest if split.rest.strip() else ""
    if calls:
        return Batch(calls=calls, content=content)
    found = _rescue(content, toolbox)
    if found is not None:
        return Batch(calls=found.calls, content=found.rest, rescue=Rescue(where="content", format=found.format))
    answer = _strip_control_tokens(content)
    return answer if answer.text.strip() else _read_without_content(reply, split, toolbox)


def _is_noise(call: RawCall) -> bool:
    return not call.name.strip() and call.arguments.strip() in {"", "{}", "null"}


def _at_token_limit(reply: Reply, max_tokens: int, window_tokens: int | None) -> bool:
    if reply.finish_reason == "length":
        return True
    if reply.usage is None:
        return False
    written = reply.usage.completion_tokens
    return written >= max_tokens or (window_tokens is not None and reply.usage.prompt_tokens + written >= window_tokens)


def _truncated(reply: Reply, split: SplitText, calls: tuple[RawCall, ...]) -> Truncated:
    text = split.rest.strip()
    if calls or reply.tool_calls or has_open_call(text):
        return Truncated(in_call=True, in_reasoning=False)
    return Truncated(in_call=False, in_reasoning=split.is_open or (not text and bool(reply.reasoning.strip())))


def _rescue(text: str, toolbox: Toolbox) -> Found | None:
    if not text or not len(toolbox):
        return None
    found = find_calls(text, frozenset(toolbox.names))
    if found is None or found.format in EXPLICIT_FORMATS:
        return found
    # JSON may be the answer itself; if it names a tool, it is a call that must be answered, valid or not.
    return found if any(call.name in toolbox.names for call in found.calls) else None


def _strip_control_tokens(content: str) -> Answer:
    text, first, last = content, list[str](), list[str]()
    while (start := CONTROL_TOKENS.match(text.lstrip())) is not None and not _is_html(start.group(), text):
        first.append(start.group())
        text = text.lstrip()[start.end() :].lstrip()
    while (token := last_token(text.rstrip())) is not None:
        last.insert(0, token)
        text = text.rstrip().removesuffix(token).rstrip()
    return Answer(text=text, cut=(*first, *last))


def _is_html(mark: str, text: str) -> bool:
    return mark == "<s>" and "</s>" in text


def _read_without_content(reply: Reply, split: SplitText, toolbox: Toolbox) -> Reading:
    reasoning = reply.reasoning.strip()
    found = _rescue(reasoning, toolbox)
    if found is not None and found.at_end:
        return Batch(calls=found.calls, rescue=Rescue(where="reasoning", format=found.format))
    # Calls in thoughts that the model marked itself were only considered, so none is looked for there.
    inner = split_thoughts(reasoning)
    if inner.thoughts and inner.rest:
        return AnswerInReasoning(text=inner.rest)
    if split.thoughts and reply.finish_reason == "stop":
        return AnswerInReasoning(text=split.thoughts, is_marked=True)
    if reasoning and reply.finish_reason == "stop":
        return AnswerInReasoning(text=reasoning)
    return EmptyReply(reasoning=reasoning or split.thoughts)

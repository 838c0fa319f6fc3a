"""Check from recorded exchanges whether a server reports a call that max_tokens cut off; pure, sends nothing."""

from . import requests
from .call_checks import any_text, field_with_call, no_call_made, no_reply_result
from .chat_reply import NoReply, SeenReply, read_chat
from .fixes import fix
from .records import CheckResult, Exchange, ServerKind

_COMPLETE = "the reply was complete before max_tokens could cut it off"
# vLLM 0.32 with auto: finish_reason is 'tool_calls' even if the calls were cut off, and "" becomes {}.
_HIDDEN = (
    "Without streaming, a call that was cut off looks complete, even with invented arguments ({}): use streaming, or "
    "compare usage.completion_tokens with max_tokens. `agent run` does both."
)


def check_truncated(whole: Exchange, streamed: Exchange, kind: ServerKind) -> CheckResult:
    """Check the answers to `RequestBuilder.truncated_call`; the stream decides, since `agent run` streams.

    Args:
        whole: without streaming.
        streamed: with streaming.
        kind: the server's kind.
    """
    found = read_chat(streamed)
    if isinstance(found, NoReply):
        return no_reply_result("truncated", found, kind, optional=False)
    if found.finish_reason == "length":
        return _reported(found, read_chat(whole))
    lost = not found.calls and not any_text(found) and _reached_the_limit(found)
    if not found.calls and not lost:
        return no_call_made("truncated", found)
    if found.calls and _ended_early(found):
        return CheckResult(check="truncated", verdict="unknown", detail=_COMPLETE)
    given = (
        f"finish_reason is {found.finish_reason!r}, not 'length'"
        if found.finish_reason
        else "there is no finish_reason"
    )
    why = f"max_tokens cut a streamed call off, but {given}"
    return CheckResult(check="truncated", verdict="broken", detail=why, fix=fix("known_good", kind))


def _reported(found: SeenReply, unstreamed: SeenReply | NoReply) -> CheckResult:
    """Return the result for a stream that ended with finish_reason 'length'."""
    if not found.calls and any_text(found) and field_with_call(found) is None:
        detail = "max_tokens cut the reply off before it contained a call"
        return CheckResult(check="truncated", verdict="unknown", detail=detail)
    what = "a call that max_tokens cuts off has finish_reason 'length'"
    if isinstance(unstreamed, NoReply):
        detail = f"{what} with streaming; without, no reply: {unstreamed.reason}"
    elif unstreamed.finish_reason == "length":
        detail = f"{what}, with streaming and without"
    elif _ended_early(unstreamed):
        detail = f"{what} with streaming; without, {_COMPLETE}"
    else:
        detail = f"{what}, but only with streaming"
        return CheckResult(check="truncated", verdict="works", detail=detail, warning=_HIDDEN)
    return CheckResult(check="truncated", verdict="works", detail=detail)


def _ended_early(found: SeenReply) -> bool:
    """Return whether a reply was complete after all."""
    if found.completion_tokens is not None and not _reached_the_limit(found):
        return True
    # Arguments that were cut off may be repaired to an object such as {}, which lacks the required keys.
    return all({"path", "content"} <= (call.values or {}).keys() for call in found.calls)


def _reached_the_limit(found: SeenReply) -> bool:
    return found.completion_tokens is not None and found.completion_tokens >= requests.CUT_TOKENS

"""Check what a server makes of a request as a prompt, its tokens and its tools; pure, sends nothing."""

from .call_checks import no_reply_result
from .chat_reply import NoReply, SeenReply, as_count, as_object, brief, error_text, read_chat
from .fixes import fix
from .records import TITLES, CheckResult, Exchange, ServerKind

_LEAST_TOOL_TOKENS = 8
"""Fewer than any tokenizer needs for the definition of a tool, which has some 200 characters."""


def check_tokenizer(counted: Exchange, chat: Exchange, kind: ServerKind) -> CheckResult:
    """Check whether /tokenize and usage count the same number of tokens.

    Args:
        counted: the answer to `RequestBuilder.tokenize`.
        chat: the answer to `RequestBuilder.one_word`, with the same messages.
        kind: the server's kind.
    """
    if counted.status != 200:
        reason = counted.failure or f"HTTP {counted.status}: {error_text(counted.body)}"
        if not counted.sent or counted.status is None or counted.status >= 500:
            detail = f"/tokenize did not answer: {reason}"
            return CheckResult(check="tokenizer", verdict="unknown", detail=detail, answered=False)
        detail = f"no /tokenize route for messages ({brief(reason, 80)})"
        return CheckResult(check="tokenizer", verdict="not_offered", detail=detail)
    reply = read_chat(chat)
    count = as_count(as_object(counted.body).get("count"))
    if count is None:
        detail = f"/tokenize returns no count: {brief(counted.body, 80)}"
        return CheckResult(check="tokenizer", verdict="not_offered", detail=detail)
    if isinstance(reply, NoReply) or reply.prompt_tokens is None:
        detail = f"/tokenize counts {count} tokens, but no reply reports usage"
        return CheckResult(check="tokenizer", verdict="unknown", detail=detail)
    if count == reply.prompt_tokens:
        return CheckResult(check="tokenizer", verdict="works", detail=f"{count} tokens in both")
    why = f"/tokenize counts {count} tokens, usage {reply.prompt_tokens}: /tokenize renders the messages differently"
    return CheckResult(check="tokenizer", verdict="broken", detail=why, fix=fix("known_good", kind))


def check_tools_seen(with_tool: Exchange, without: Exchange, kind: ServerKind) -> CheckResult:
    """Check whether a tool's definition becomes a part of the prompt, from the numbers of tokens.

    Args:
        with_tool: the answer to `RequestBuilder.write_file`.
        without: the answer to `RequestBuilder.without_tools`, with the same message.
        kind: the server's kind.
    """
    found, bare = read_chat(with_tool), read_chat(without)
    if isinstance(found, NoReply) and found.cause in {"refused", "failed"}:
        detail = f"a request with a tool gets no reply (see: {TITLES['auto']})"
        return CheckResult(check="tools_seen", verdict="unknown", detail=detail)
    for reply in (found, bare):
        if isinstance(reply, NoReply):
            return no_reply_result("tools_seen", reply, kind, optional=True)
    assert isinstance(found, SeenReply), "the loop has returned"
    assert isinstance(bare, SeenReply), "the loop has returned"
    tokens, bare_tokens = found.prompt_tokens, bare.prompt_tokens
    if found.calls and (not tokens or not bare_tokens or tokens - bare_tokens < _LEAST_TOOL_TOKENS):
        return CheckResult(check="tools_seen", verdict="works", detail="the model calls the tool")
    if not tokens or not bare_tokens:
        return CheckResult(check="tools_seen", verdict="unknown", detail="no reply reports the prompt's tokens")
    if tokens - bare_tokens >= _LEAST_TOOL_TOKENS:
        detail = f"the prompt has {tokens} tokens with a tool, {bare_tokens} without"
        return CheckResult(check="tools_seen", verdict="works", detail=detail)
    why = (
        f"the prompt has {tokens} tokens with a tool and {bare_tokens} without: the chat template leaves tools out, so "
        "the model never sees them"
    )
    return CheckResult(check="tools_seen", verdict="broken", detail=why, fix=fix("tool_template", kind))

"""Check everything but chat from recorded exchanges: models, cache, metrics, key; pure, sends nothing."""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from ..metrics import EngineMetrics, parse_metrics
from .call_checks import no_reply_result
from .chat_reply import NoReply, as_count, as_list, as_object, brief, read_chat
from .fixes import fix
from .records import CheckResult, Exchange, ServerKind

_ENOUGH_DRAFTS = 20
"""Fewer are too few to assess a draft model."""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """One entry of a server's model list."""

    name: str
    window_tokens: int | None
    """Prompt and answer together. None if the server does not report it."""
    owner: str
    """`owned_by`: vLLM and SGLang set it to their own names, and a router passes it on."""


def model_cards(exchange: Exchange) -> list[ModelCard]:
    """Parse the list of models; skip entries without a name."""
    return [
        ModelCard(name=name, window_tokens=as_count(card.get("max_model_len")) or None, owner=str(card.get("owned_by")))
        for card in map(as_object, as_list(as_object(exchange.body).get("data")))
        if isinstance(name := card.get("id"), str) and name
    ]


def kind_of(card: ModelCard, metrics: EngineMetrics) -> ServerKind:
    """Return the kind of server, from its metric names or the model's owner."""
    if metrics.engine != "unknown":
        return metrics.engine
    return card.owner if card.owner in ("vllm", "sglang") else "generic"


def version_of(exchange: Exchange) -> str:
    """Parse the answer of vLLM's /version or SGLang's /get_server_info; empty if it contains no version."""
    found = as_object(exchange.body).get("version") if exchange.status == 200 else None
    return brief(found, 60) if isinstance(found, str) else ""


def check_models(card: ModelCard) -> CheckResult:
    """Check what the server reports about the model."""
    if card.window_tokens is None:
        detail = f"{brief(card.name, 60)!r}; the server does not report its context window"
        return CheckResult(check="models", verdict="works", detail=detail)
    return CheckResult(check="models", verdict="works", detail=f"{brief(card.name, 60)!r}, {card.window_tokens} tokens")


def check_prefix_cache(again: Exchange, before: EngineMetrics, after: EngineMetrics, kind: ServerKind) -> CheckResult:
    """Check whether a prompt sent a second time was read from the cache.

    Args:
        again: the second answer to `RequestBuilder.long_prompt`.
        before: the engine's counters before the second request.
        after: the engine's counters after it.
        kind: the server's kind.
    """
    found = read_chat(again)
    if isinstance(found, NoReply):
        return no_reply_result("prefix_cache", found, kind, optional=False)
    cached, source = found.cached_tokens, "reported in usage"
    warning = ""
    if cached is None and before.prefix_hits is not None and after.prefix_hits is not None:
        cached, source = after.prefix_hits - before.prefix_hits, "reported in metrics, not in usage"
        warning = f"Usage does not report cached tokens: {fix('prompt_details', kind)}."
    if cached is None:
        detail = f"neither usage nor metrics report cached tokens: {fix('prompt_details', kind)}"
        return CheckResult(check="prefix_cache", verdict="unknown", detail=detail)
    if cached > 0:
        detail = f"{cached} of {found.prompt_tokens} prompt tokens came from the cache ({source})"
        return CheckResult(check="prefix_cache", verdict="works", detail=detail, warning=warning)
    if kind == "generic":
        # Some servers cache only longer prompts; vLLM's and SGLang's blocks are known to be shorter than this prompt.
        detail = f"no hit for a prompt of {found.prompt_tokens} tokens; this server may cache only longer ones"
        return CheckResult(check="prefix_cache", verdict="unknown", detail=detail)
    why = f"a prompt of {found.prompt_tokens} tokens was recomputed when it was sent again"
    return CheckResult(check="prefix_cache", verdict="broken", detail=why, fix=fix("prefix_cache", kind))


def check_metrics(exchange: Exchange, kind: ServerKind) -> CheckResult:
    """Check the answer of /metrics."""
    if not exchange.sent:
        return CheckResult(check="metrics", verdict="unknown", detail=f"not tested: {exchange.failure}", answered=False)
    if exchange.status != 200:
        reason = exchange.failure or f"HTTP {exchange.status}"
        return CheckResult(
            check="metrics", verdict="not_offered", detail=f"/metrics: {brief(reason, 80)}; {fix('metrics', kind)}"
        )
    found = read_metrics(exchange)
    if found.engine == "unknown":
        return CheckResult(
            check="metrics", verdict="not_offered", detail=f"/metrics has no engine metrics; {fix('metrics', kind)}"
        )
    shown = "; ".join(
        [
            *([] if found.running is None else [f"{found.running} running"]),
            *([] if found.waiting is None else [f"{found.waiting} waiting"]),
            *([] if found.kv_usage is None else [f"KV cache {found.kv_usage:.0%} full"]),
            *([] if found.preemptions is None else [f"{found.preemptions} preempted"]),
        ]
    )
    return CheckResult(check="metrics", verdict="works", detail=shown or "the engine's metrics are present")


def check_speculative(metrics: EngineMetrics, kind: ServerKind) -> CheckResult:
    """Check a draft model by the tokens accepted since the start."""
    if metrics.engine == "unknown":
        detail = "the server's metrics, which would show it, are not available"
        return CheckResult(check="speculative", verdict="unknown", detail=detail)
    if metrics.acceptance_length is None:
        detail = "no draft model runs" if metrics.drafts is None else "a draft model runs, but has drafted nothing yet"
        return CheckResult(check="speculative", verdict="not_offered", detail=detail)
    detail = f"acceptance length {metrics.acceptance_length:.2f}"
    if metrics.drafts is None:
        return CheckResult(check="speculative", verdict="works", detail=detail)
    detail = f"{detail} over {metrics.drafts} drafts"
    if metrics.accepted_tokens == 0 and metrics.drafts >= _ENOUGH_DRAFTS:
        why = f"{detail}: none of the draft's tokens are accepted, so it only adds cost"
        return CheckResult(check="speculative", verdict="broken", detail=why, fix=fix("draft", kind))
    return CheckResult(check="speculative", verdict="works", detail=detail)


def check_key(base_url: str, without_key: Exchange | None, metrics: Exchange | None, kind: ServerKind) -> CheckResult:
    """Check whether the key is required.

    Args:
        base_url: the server's address.
        without_key: the list of models, requested without the key. None means no key is in use.
        metrics: /metrics, requested without the key. None means no key is in use.
        kind: the server's kind.
    """
    local = is_loopback(base_url)
    if without_key is None:
        warning = "" if local else f"Anyone who can reach this address can use the model. {fix('key', kind)}"
        detail = "no key is in use" + ("; only this machine can reach the address" if local else "")
        return CheckResult(check="key", verdict="not_offered", detail=detail, warning=warning)
    if without_key.status is None:
        detail = f"no answer: {without_key.failure}"
        return CheckResult(check="key", verdict="unknown", detail=detail, answered=False)
    if without_key.status not in {200, 401, 403}:
        return CheckResult(check="key", verdict="unknown", detail=f"answered with HTTP {without_key.status}")
    if without_key.status == 200:
        why = "a request without the key is answered with HTTP 200: the server does not require it"
        return CheckResult(check="key", verdict="broken", detail=why, fix=fix("key", kind))
    is_exposed = metrics is not None and metrics.status == 200 and not local
    warning = (
        "The key protects only /v1: anyone who can reach this address can use /metrics and /tokenize. Put a proxy in "
        "front of the server that forwards only /v1."
    )
    return CheckResult(
        check="key", verdict="works", detail=f"HTTP {without_key.status}", warning=warning if is_exposed else ""
    )


def read_metrics(exchange: Exchange) -> EngineMetrics:
    """Parse the answer of /metrics."""
    text = exchange.body if exchange.status == 200 and isinstance(exchange.body, str) else ""
    return parse_metrics(text)


def is_loopback(url: str) -> bool:
    """Return whether an address is reachable only from its own machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

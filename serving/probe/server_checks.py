"""Judge what stands around the chat route: models, tokenizer, cache, metrics, key; pure over recorded exchanges."""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from ..metrics import EngineMetrics, parse_metrics
from .call_checks import no_reply
from .chat_reply import NoReply, as_count, as_list, as_object, brief, error_text, read_chat
from .fixes import fix
from .records import CheckResult, Exchange, ServerKind

_ENOUGH_DRAFTS = 20
"""Fewer say nothing of a draft's worth."""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """One model of a server's list."""

    name: str
    window_tokens: int | None
    """Prompt and answer together. None: the server does not say."""
    owner: str
    """`owned_by`: vLLM and SGLang put their own names here, which a router passes on."""


def model_cards(exchange: Exchange) -> list[ModelCard]:
    """Read the list of models; what is no model of a name is left out."""
    return [
        ModelCard(name=name, window_tokens=as_count(card.get("max_model_len")) or None, owner=str(card.get("owned_by")))
        for card in map(as_object, as_list(as_object(exchange.body).get("data")))
        if isinstance(name := card.get("id"), str) and name
    ]


def kind_of(card: ModelCard, metrics: EngineMetrics) -> ServerKind:
    """Tell whose server it is, by the names of its metrics or by whose the model is said to be."""
    if metrics.engine != "unknown":
        return metrics.engine
    return card.owner if card.owner in ("vllm", "sglang") else "generic"


def version_of(exchange: Exchange) -> str:
    """Read the answer of vLLM's /version or of SGLang's /get_server_info; empty: it names no version."""
    found = as_object(exchange.body).get("version") if exchange.status == 200 else None
    return brief(found, 60) if isinstance(found, str) else ""


def judge_models(card: ModelCard) -> CheckResult:
    """Judge what the server says of the model that is asked."""
    if card.window_tokens is None:
        detail = f"{brief(card.name, 60)!r}; it does not say how long a conversation may be"
        return CheckResult(check="models", verdict="works", detail=detail)
    return CheckResult(check="models", verdict="works", detail=f"{brief(card.name, 60)!r}, {card.window_tokens} tokens")


def judge_tokenizer(counted: Exchange, chat: Exchange, kind: ServerKind) -> CheckResult:
    """Judge whether /tokenize counts a conversation as usage does.

    Args:
        counted: the answer to `Questions.tokenize`.
        chat: the answer to `Questions.say`, the same messages.
        kind: the server's.
    """
    if counted.status != 200:
        reason = counted.failure or f"HTTP {counted.status}: {error_text(counted.body)}"
        if not counted.asked or counted.status is None or counted.status >= 500:
            return CheckResult(check="tokenizer", verdict="unknown", detail=f"/tokenize did not answer: {reason}")
        detail = f"no /tokenize for messages ({brief(reason, 80)})"
        return CheckResult(check="tokenizer", verdict="not_offered", detail=detail)
    billed = read_chat(chat)
    count = as_count(as_object(counted.body).get("count"))
    if count is None:
        detail = f"/tokenize answers without a count: {brief(counted.body, 80)}"
        return CheckResult(check="tokenizer", verdict="not_offered", detail=detail)
    if isinstance(billed, NoReply) or billed.prompt_tokens is None:
        detail = f"/tokenize counts {count}, and no reply says what was billed"
        return CheckResult(check="tokenizer", verdict="unknown", detail=detail)
    if count == billed.prompt_tokens:
        return CheckResult(check="tokenizer", verdict="works", detail=f"{count} tokens in both")
    why = f"/tokenize counts {count} tokens where usage says {billed.prompt_tokens}: it renders the messages otherwise"
    return CheckResult(check="tokenizer", verdict="broken", detail=why, fix=fix("known_good", kind))


def judge_prefix_cache(again: Exchange, before: EngineMetrics, after: EngineMetrics, kind: ServerKind) -> CheckResult:
    """Judge whether a prompt that was sent a second time came from the cache.

    Args:
        again: the second answer to `Questions.long_prompt`.
        before: the engine's counters before the second one.
        after: the same after it.
        kind: the server's.
    """
    found = read_chat(again)
    if isinstance(found, NoReply):
        return no_reply("prefix_cache", found, kind, optional=False)
    cached, where = found.cached_tokens, "usage says so"
    warning = ""
    if cached is None and before.prefix_hits is not None and after.prefix_hits is not None:
        cached, where = after.prefix_hits - before.prefix_hits, "its metrics say so, usage does not"
        warning = f"Usage does not say how much of a prompt was cached: {fix('prompt_details', kind)}."
    if cached is None:
        detail = f"neither usage nor metrics tell: {fix('prompt_details', kind)}"
        return CheckResult(check="prefix_cache", verdict="unknown", detail=detail)
    if cached > 0:
        detail = f"{cached} of {found.prompt_tokens} prompt tokens came from it ({where})"
        return CheckResult(check="prefix_cache", verdict="works", detail=detail, warning=warning)
    if kind == "generic":
        # Some keep longer prompts only; of vLLM and SGLang the block is known to be shorter than this prompt.
        detail = f"none of a prompt of {found.prompt_tokens} tokens; this server may keep longer ones only"
        return CheckResult(check="prefix_cache", verdict="unknown", detail=detail)
    why = f"a prompt of {found.prompt_tokens} tokens was computed anew when it was sent again"
    return CheckResult(check="prefix_cache", verdict="broken", detail=why, fix=fix("prefix_cache", kind))


def judge_metrics(exchange: Exchange, kind: ServerKind) -> CheckResult:
    """Judge what /metrics offers."""
    if not exchange.asked:
        return CheckResult(check="metrics", verdict="unknown", detail=f"not asked: {exchange.failure}")
    if exchange.status != 200:
        said = exchange.failure or f"HTTP {exchange.status}"
        return CheckResult(
            check="metrics", verdict="not_offered", detail=f"/metrics: {brief(said, 80)}; {fix('metrics', kind)}"
        )
    found = read_metrics(exchange)
    if found.engine == "unknown":
        return CheckResult(
            check="metrics", verdict="not_offered", detail=f"/metrics names no engine; {fix('metrics', kind)}"
        )
    shown = "; ".join(
        [
            *([] if found.running is None else [f"{found.running} running"]),
            *([] if found.waiting is None else [f"{found.waiting} waiting"]),
            *([] if found.kv_usage is None else [f"KV cache {found.kv_usage:.0%} full"]),
            *([] if found.preemptions is None else [f"{found.preemptions} preempted"]),
        ]
    )
    return CheckResult(check="metrics", verdict="works", detail=shown or "the engine's names are there")


def judge_speculative(metrics: EngineMetrics, kind: ServerKind) -> CheckResult:
    """Judge a draft model by what was accepted of it since the start."""
    if metrics.engine == "unknown":
        return CheckResult(check="speculative", verdict="unknown", detail="no metrics, so nothing tells")
    if metrics.acceptance_length is None:
        detail = "no draft model runs" if metrics.drafts is None else "a draft model runs, and nothing was drafted yet"
        return CheckResult(check="speculative", verdict="not_offered", detail=detail)
    detail = f"acceptance length {metrics.acceptance_length:.2f}"
    if metrics.drafts is None:
        return CheckResult(check="speculative", verdict="works", detail=detail)
    detail = f"{detail} over {metrics.drafts} drafts"
    if metrics.accepted_tokens == 0 and metrics.drafts >= _ENOUGH_DRAFTS:
        why = f"{detail}: nothing that the draft proposes is accepted, so it only costs"
        return CheckResult(check="speculative", verdict="broken", detail=why, fix=fix("draft", kind))
    return CheckResult(check="speculative", verdict="works", detail=detail)


def judge_key(base_url: str, without_key: Exchange | None, beside: Exchange | None, kind: ServerKind) -> CheckResult:
    """Judge whether the key guards anything.

    Args:
        base_url: where the server is.
        without_key: the list of models, asked without the key. None: no key is in use.
        beside: /metrics, asked without the key. None: no key is in use.
        kind: the server's.
    """
    here = is_loopback(base_url)
    if without_key is None:
        warning = "" if here else f"Everybody who reaches this address may use the model. {fix('key', kind)}"
        detail = "no key is in use" + ("; the address is of this machine only" if here else "")
        return CheckResult(check="key", verdict="not_offered", detail=detail, warning=warning)
    if without_key.status is None:
        return CheckResult(check="key", verdict="unknown", detail=f"not answered: {without_key.failure}")
    if without_key.status not in {200, 401, 403}:
        return CheckResult(check="key", verdict="unknown", detail=f"answered with HTTP {without_key.status}")
    if without_key.status == 200:
        why = "a request without the key is answered with HTTP 200: the server asks for none"
        return CheckResult(check="key", verdict="broken", detail=why, fix=fix("key", kind))
    open_beside = beside is not None and beside.status == 200 and not here
    warning = (
        "The key guards /v1 only: /metrics and /tokenize answer to everybody who reaches this address. Put a proxy "
        "before the server that passes /v1 alone."
    )
    return CheckResult(
        check="key", verdict="works", detail=f"HTTP {without_key.status}", warning=warning if open_beside else ""
    )


def read_metrics(exchange: Exchange) -> EngineMetrics:
    """Read the answer of /metrics."""
    text = exchange.body if exchange.status == 200 and isinstance(exchange.body, str) else ""
    return parse_metrics(text)


def is_loopback(url: str) -> bool:
    """Tell whether an address is reached from its own machine only."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

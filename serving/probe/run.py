"""Run the probe's requests against one server; later ones depend on earlier answers; the checks are elsewhere."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from ..errors import EngineError
from ..metrics import EngineMetrics
from . import call_checks, requests, server_checks, text_checks, truncation_checks
from .chat_reply import NoReply, SeenReply, brief, error_text, read_chat
from .records import (
    TITLES,
    Capabilities,
    CheckName,
    CheckResult,
    Exchange,
    ProbeReport,
    ProbeRequest,
    ServerKind,
)
from .transport import HttpTransport

DEADLINE_S = 60.0
"""For all requests together; a healthy server needs only part of it."""

Send = Callable[[ProbeRequest], Exchange]


def probe(base_url: str, *, model: str | None = None, api_key: str = "", deadline_s: float = DEADLINE_S) -> ProbeReport:
    """Test the features of an OpenAI-compatible server with about twenty-five small requests.

    Args:
        base_url: such as `http://127.0.0.1:8000/v1`.
        model: the served model to probe. None means the server's first.
        api_key: empty means no key is sent.
        deadline_s: seconds for all requests; checks not run by then are `unknown`.

    Raises:
        EngineError: the address is invalid, no server answers there, or it does not serve the model.
    """
    address = _address(base_url)
    began = time.monotonic()
    send = HttpTransport(api_key=api_key, ends_at=began + deadline_s)
    report = _Probe(send, requests.RequestBuilder(base_url=address, model=model or ""), has_key=bool(api_key)).run()
    return replace(report, elapsed_s=round(time.monotonic() - began, 1))


def _address(base_url: str) -> str:
    address = base_url.strip().rstrip("/")
    try:
        parts = urlsplit(address)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an invalid port, or brackets without an address
        valid = False
    if not valid:
        raise EngineError(f"{base_url!r} is not an HTTP URL.", cause="", do="Give one like http://127.0.0.1:8000/v1.")
    return address


class _Probe:
    """One run of the probe."""

    def __init__(self, send: Send, build: requests.RequestBuilder, *, has_key: bool) -> None:
        self._send = send
        self._build = build
        self._has_key = has_key
        self._kind: ServerKind = "generic"
        self._results: dict[CheckName, CheckResult] = {}
        self._blocked = ""
        """Why chat requests are skipped. Empty means they are sent."""
        self._capabilities = Capabilities()

    def run(self) -> ProbeReport:
        card = self._find_model()
        self._build = replace(self._build, model=card.name)
        self._add(server_checks.check_models(card))
        version = self._identify_server(card)
        first = self._chat(self._build.one_word())
        self._add(text_checks.check_chat(first, self._kind))
        self._add(server_checks.check_tokenizer(self._send(self._build.tokenize()), first, self._kind))
        self._block_if_unanswered(first)
        self._check_reasoning(first)
        self._check_calls(first)
        self._check_structured_outputs()
        self._check_caches()
        self._check_key()
        return ProbeReport(
            base_url=self._build.base_url,
            kind=self._kind,
            version=version,
            model=card.name,
            window_tokens=card.window_tokens,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            elapsed_s=0.0,
            checks=tuple(self._results[name] for name in TITLES),
            capabilities=replace(
                self._capabilities,
                auto_works=self._works("auto"),
                required_works=self._works("required"),
                named_works=self._works("named"),
                strict_works=self._works("strict"),
                stream_ok=self._works("streamed"),
                tokenizer=self._works("tokenizer"),
            ),
        )

    def _find_model(self) -> server_checks.ModelCard:
        url = self._build.models().url
        found = self._send(self._build.models())
        if found.status is None:
            raise EngineError(
                f"No server answers at {url}.",
                cause=found.failure,
                do="Start one, or give the address of a running one; `agent serve status` shows the one started here.",
            )
        if found.status in {401, 403}:
            raise EngineError(
                f"The server requires a different API key: {url} answers with HTTP {found.status}.",
                cause="",
                do="Give the environment variable with the key: --api-key-env NAME.",
            )
        cards = server_checks.model_cards(found)
        if not cards:
            text = brief(error_text(found.body), 120)
            raise EngineError(
                f"No model is listed at {url}.",
                cause=f"HTTP {found.status}: {text}",
                do="Give the base URL of the OpenAI-compatible routes; on most servers it ends in /v1.",
            )
        wanted = self._build.model
        card = next((card for card in cards if card.name == wanted), None) if wanted else cards[0]
        if card is None:
            names = ", ".join(brief(card.name, 80) for card in cards)
            raise EngineError(
                f"{self._build.base_url} does not serve {wanted!r}.",
                cause=f"it serves: {names}",
                do="Choose one of these with --model, or omit --model to probe the first.",
            )
        return card

    def _identify_server(self, card: server_checks.ModelCard) -> str:
        """Determine the kind of server; return its version."""
        metrics = self._send(self._build.get("/metrics"))
        self._kind = server_checks.kind_of(card, server_checks.read_metrics(metrics))
        self._add(server_checks.check_metrics(metrics, self._kind))
        return server_checks.version_of(self._send(self._build.version(self._kind)))

    def _block_if_unanswered(self, first: Exchange) -> None:
        found = read_chat(first)
        if isinstance(found, NoReply) and found.cause != "not_sent":
            self._blocked = f"no chat request is answered (see: {TITLES['chat']})"

    def _check_reasoning(self, first: Exchange) -> None:
        high = self._chat(self._build.one_word(reasoning_effort="high"))
        none = self._chat(self._build.one_word(reasoning_effort="none"))
        rendered = [self._send(self._build.tokenize(effort)) for effort in ("none", "high")]
        self._add(text_checks.check_effort(none, high, rendered[0], rendered[1], self._kind))
        seen = [read_chat(exchange) for exchange in (none, high)]
        accepted = not any(isinstance(found, NoReply) and found.cause == "refused" for found in seen)
        answered = all(isinstance(found, SeenReply) for found in seen)
        # A server that refuses the effort field may reason by default.
        reasoned, more = (high, {"reasoning_effort": "high"}) if accepted else (first, {})
        reply = read_chat(reasoned)
        unfiltered = None
        if isinstance(reply, SeenReply) and reply.reasoning_field is None:
            unfiltered = self._chat(self._build.one_word(**more, skip_special_tokens=False))
        self._add(text_checks.check_reasoning(reasoned, unfiltered, self._kind))
        field = reply.reasoning_field if isinstance(reply, SeenReply) else None
        self._capabilities = replace(
            self._capabilities,
            reasoning_field=field,
            effort_accepted=False if not accepted else True if answered else None,
        )
        if accepted and answered:
            # Use the cheapest effort from here on: fast and reproducible.
            self._build = replace(self._build, extra={"reasoning_effort": "none"})

    def _check_calls(self, first: Exchange) -> None:
        build, kind = self._build, self._kind
        auto, named = self._chat(build.write_file()), self._chat(build.other_tool_call())
        self._add(call_checks.check_auto(auto, named, kind))
        unneeded, needed = self._chat(build.unneeded_call()), self._chat(build.write_file(choice="required"))
        self._add(call_checks.check_required(unneeded, needed, kind))
        self._add(call_checks.check_named(named, kind))
        self._add(call_checks.check_strict(self._chat(build.write_file(strict=True)), kind))
        self._add(call_checks.check_parallel(self._chat(build.two_calls()), kind))
        if isinstance(read_chat(auto), SeenReply):
            self._add(call_checks.check_streamed(auto, self._chat(build.write_file(stream=True)), kind))
        else:
            again = self._chat(replace(build, extra={}).one_word(**requests.STREAMED))
            self._add(call_checks.check_streamed(first, again, kind))
        whole, streamed = self._chat(build.truncated_call()), self._chat(build.truncated_call(stream=True))
        self._add(truncation_checks.check_truncated(whole, streamed, kind))
        plain, replayed = self._chat(build.after_tool_result()), None
        if self._capabilities.reasoning_field is not None:
            replayed = self._chat(
                build.after_tool_result(**{self._capabilities.reasoning_field: "I should write the file."})
            )
            self._capabilities = replace(self._capabilities, reasoning_replayed=_accepts_reasoning(plain, replayed))
        self._add(call_checks.check_round_trip(plain, replayed, kind))

    def _check_structured_outputs(self) -> None:
        build, kind = self._build, self._kind
        formatted = self._chat(build.one_word(**requests.JSON_FORMAT))
        self._add(text_checks.check_json_schema(formatted, kind))
        if text_checks.is_enforced(self._chat(build.one_word(**requests.JSON_OUTPUTS))):
            self._capabilities = replace(self._capabilities, structured_outputs_field="structured_outputs")
        elif text_checks.is_enforced(formatted):
            self._capabilities = replace(self._capabilities, structured_outputs_field="response_format")
        elif self._results["json_schema"].verdict in {"not_offered", "broken"}:
            self._capabilities = replace(self._capabilities, structured_outputs_field="none")
        plain = self._chat(build.one_word(**requests.CHOICE))
        found = read_chat(plain)
        again = None
        if isinstance(found, SeenReply) and found.content.strip() not in requests.CHOICES and kind == "vllm":
            again = self._chat(build.one_word(**requests.CHOICE, include_reasoning=False))
        self._add(text_checks.check_choice(plain, again, kind))

    def _check_caches(self) -> None:
        self._chat(self._build.long_prompt())
        before = self._metrics()
        again = self._chat(self._build.long_prompt())
        after = self._metrics()
        self._add(server_checks.check_prefix_cache(again, before, after, self._kind))
        found = read_chat(again)
        if isinstance(found, SeenReply):
            self._capabilities = replace(self._capabilities, cached_tokens_reported=found.cached_tokens is not None)
        self._add(server_checks.check_speculative(after, self._kind))

    def _check_key(self) -> None:
        models = self._send(self._build.models(with_key=False)) if self._has_key else None
        metrics = self._send(self._build.get("/metrics", with_key=False)) if self._has_key else None
        self._add(server_checks.check_key(self._build.base_url, models, metrics, self._kind))

    def _metrics(self) -> EngineMetrics:
        return server_checks.read_metrics(self._send(self._build.get("/metrics")))

    def _chat(self, request: ProbeRequest) -> Exchange:
        if self._blocked:
            return Exchange(status=None, sent=False, failure=self._blocked)
        return self._send(request)

    def _works(self, check: CheckName) -> bool | None:
        verdict = self._results[check].verdict
        return None if verdict == "unknown" else verdict == "works"

    def _add(self, result: CheckResult) -> None:
        self._results[result.check] = result


def _accepts_reasoning(plain: Exchange, replayed: Exchange) -> bool | None:
    """Return whether a history accepted without reasoning is also accepted with it; None if that is unclear."""
    if isinstance(read_chat(plain), NoReply):
        return None
    found = read_chat(replayed)
    if isinstance(found, SeenReply):
        return True
    return False if found.cause == "refused" else None

"""Run the probe's requests against one server, independent ones side by side; the checks are elsewhere."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

from ..metrics import EngineMetrics
from . import call_checks, prompt_checks, requests, server_checks, text_checks, truncation_checks
from .chat_reply import NoReply, SeenReply, read_chat
from .find_model import Send, find_model, server_address
from .pace import FIRST_TOKENS, Pace
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
_AT_ONCE = 6
"""Requests side by side. More would wait in a small server, and their time would run out."""


def probe(base_url: str, *, model: str | None = None, api_key: str = "", deadline_s: float = DEADLINE_S) -> ProbeReport:
    """Test the features of an OpenAI-compatible server with about twenty-five small requests.

    Args:
        base_url: such as `http://127.0.0.1:8000/v1`.
        model: the served model to probe. None means the server's first.
        api_key: empty means no key is sent.
        deadline_s: seconds for all requests; the replies are kept short enough for it, by the measured speed. Checks
            not run by then are `unknown`.

    Raises:
        EngineError: the address is invalid, no server answers there, or it does not serve the model.
    """
    address = server_address(base_url)
    began = time.monotonic()
    send = HttpTransport(api_key=api_key, ends_at=began + deadline_s, request_s=deadline_s / 2)
    build = requests.RequestBuilder(base_url=address, model=model or "")
    report = _Probe(send, build, Pace(deadline_s=deadline_s), has_key=bool(api_key)).run()
    return replace(report, elapsed_s=round(time.monotonic() - began, 1))


class _Probe:
    """One run of the probe."""

    def __init__(self, send: Send, build: requests.RequestBuilder, pace: Pace, *, has_key: bool) -> None:
        self._send = send
        self._build = build
        self._pace = pace
        self._has_key = has_key
        self._kind: ServerKind = "generic"
        self._results: dict[CheckName, CheckResult] = {}
        self._blocked = ""
        """Why chat requests are skipped. Empty means they are sent."""
        self._capabilities = Capabilities()
        self._last_metrics = EngineMetrics(engine="unknown")

    def run(self) -> ProbeReport:
        card = find_model(self._send, self._build)
        self._build = replace(self._build, model=card.name)
        self._add(server_checks.check_models(card))
        version = self._identify_server(card)
        first = self._chat(self._build.one_word(FIRST_TOKENS))
        self._take_pace(first)
        self._add(text_checks.check_chat(first, self._kind))
        self._add(prompt_checks.check_tokenizer(self._send(self._build.tokenize()), first, self._kind))
        self._block_if_unanswered(first)
        reasoned = self._check_effort()
        auto = self._check_streaming(first)
        answers = self._ask_all(
            {
                **({"unfiltered": self._unfiltered()} if _hides_reasoning(reasoned) else {}),
                **self._call_requests(),
                **self._form_requests(),
            }
        )
        self._add(text_checks.check_reasoning(reasoned, answers.get("unfiltered"), self._kind))
        self._check_calls(auto, answers)
        self._check_forms(answers)
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

    def _identify_server(self, card: server_checks.ModelCard) -> str:
        """Determine the kind of server; return its version."""
        metrics = self._send(self._build.get("/metrics"))
        self._last_metrics = server_checks.read_metrics(metrics)
        self._kind = server_checks.kind_of(card, self._last_metrics)
        self._add(server_checks.check_metrics(metrics, self._kind))
        return server_checks.version_of(self._send(self._build.version(self._kind)))

    def _block_if_unanswered(self, first: Exchange) -> None:
        found = read_chat(first)
        if isinstance(found, NoReply) and found.cause != "not_sent":
            self._blocked = f"no chat request is answered (see: {TITLES['chat']})"

    def _check_effort(self) -> Exchange:
        """Check the effort; return the answer in which the model reasons most."""
        build = self._build
        most = build.reasoning_tokens
        answers = self._ask_all(
            {
                "high": build.one_word(most, reasoning_effort="high"),
                "none": build.one_word(reasoning_effort="none"),
            }
        )
        high, none = answers["high"], answers["none"]
        rendered = [self._send(build.tokenize(effort)) for effort in ("none", "high")]
        self._add(text_checks.check_effort(none, high, rendered[0], rendered[1], self._kind))
        seen = [read_chat(exchange) for exchange in (none, high)]
        accepted = not any(isinstance(found, NoReply) and found.cause == "refused" for found in seen)
        answered = all(isinstance(found, SeenReply) for found in seen)
        # A server that refuses the effort field may reason by default.
        reasoned = high if accepted else self._chat(build.one_word(most))
        self._take_pace(high, none, reasoned)
        reply = read_chat(reasoned)
        self._capabilities = replace(
            self._capabilities,
            reasoning_field=reply.reasoning_field if isinstance(reply, SeenReply) else None,
            effort_accepted=False if not accepted else True if answered else None,
        )
        if accepted and answered:
            # Use the cheapest effort from here on: fast and reproducible.
            self._build = replace(self._build, extra={"reasoning_effort": "none"})
        return reasoned

    def _unfiltered(self) -> ProbeRequest:
        """Build the request of the reasoned answer again, with special tokens kept in its text."""
        effort = {"reasoning_effort": "high"} if self._capabilities.effort_accepted is not False else {}
        build = replace(self._build, extra={})
        return build.one_word(build.reasoning_tokens, **effort, skip_special_tokens=False)

    def _check_streaming(self, first: Exchange) -> Exchange:
        """Check streams; return the whole answer with a call. Nothing runs beside them, which could change a reply."""
        build, kind = self._build, self._kind
        auto = self._chat(build.write_file())
        if isinstance(read_chat(auto), SeenReply):
            self._add(call_checks.check_streamed(auto, self._chat(build.write_file(stream=True)), kind))
        else:
            again = replace(build, extra={}).one_word(FIRST_TOKENS, **requests.STREAMED)
            self._add(call_checks.check_streamed(first, self._chat(again), kind))
        return auto

    def _call_requests(self) -> dict[str, ProbeRequest]:
        build = self._build
        field = self._capabilities.reasoning_field
        thought = {} if field is None else {field: "I should write the file."}
        return {
            "bare": build.without_tools(),
            "named": build.other_tool_call(),
            "unneeded": build.unneeded_call(),
            "strict": build.write_file(strict=True),
            "two": build.two_calls(),
            "cut": build.truncated_call(),
            "cut_streamed": build.truncated_call(stream=True),
            "plain": build.after_tool_result(),
            **({"replayed": build.after_tool_result(**thought)} if thought else {}),
        }

    def _check_calls(self, auto: Exchange, answers: Mapping[str, Exchange]) -> None:
        build, kind = self._build, self._kind
        self._add(prompt_checks.check_tools_seen(auto, answers["bare"], kind))
        self._add(call_checks.check_auto(auto, answers["named"], kind))
        unneeded = answers["unneeded"]
        # A call that was made although none is needed shows that it was forced.
        needed = unneeded if call_checks.is_forced(unneeded) else self._chat(build.write_file(choice="required"))
        self._add(call_checks.check_required(unneeded, needed, kind))
        self._add(call_checks.check_named(answers["named"], kind))
        self._add(call_checks.check_strict(answers["strict"], kind))
        self._add(call_checks.check_parallel(answers["two"], kind))
        self._add(truncation_checks.check_truncated(answers["cut"], answers["cut_streamed"], kind))
        plain, replayed = answers["plain"], answers.get("replayed")
        if replayed is not None:
            self._capabilities = replace(self._capabilities, reasoning_replayed=_accepts_reasoning(plain, replayed))
        self._add(call_checks.check_round_trip(plain, replayed, kind))

    def _form_requests(self) -> dict[str, ProbeRequest]:
        build = self._build
        return {
            "formatted": build.one_word(**requests.JSON_FORMAT),
            "outputs": build.one_word(**requests.JSON_OUTPUTS),
            "choice": build.one_word(**requests.CHOICE),
        }

    def _check_forms(self, answers: Mapping[str, Exchange]) -> None:
        """Check structured outputs."""
        formatted, kind = answers["formatted"], self._kind
        self._add(text_checks.check_json_schema(formatted, kind))
        if text_checks.is_enforced(answers["outputs"]):
            self._capabilities = replace(self._capabilities, structured_outputs_field="structured_outputs")
        elif text_checks.is_enforced(formatted):
            self._capabilities = replace(self._capabilities, structured_outputs_field="response_format")
        elif self._results["json_schema"].verdict in {"not_offered", "broken"}:
            self._capabilities = replace(self._capabilities, structured_outputs_field="none")
        plain, again = answers["choice"], None
        found = read_chat(plain)
        if isinstance(found, SeenReply) and found.content.strip() not in requests.CHOICES and kind == "vllm":
            again = self._chat(self._build.one_word(**requests.CHOICE, include_reasoning=False))
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
        """Return the current metrics, or the last known ones if the server does not answer now."""
        found = server_checks.read_metrics(self._send(self._build.get("/metrics")))
        if found.engine != "unknown":
            self._last_metrics = found
        return self._last_metrics

    def _ask_all(self, asked: Mapping[str, ProbeRequest]) -> dict[str, Exchange]:
        """Send independent requests side by side; return the answers under the same names."""
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            return dict(zip(asked, pool.map(self._chat, asked.values()), strict=True))

    def _take_pace(self, *answers: Exchange) -> None:
        for answer in answers:
            self._pace.observe(answer)
        self._build = self._pace.apply(self._build)

    def _chat(self, request: ProbeRequest) -> Exchange:
        if self._blocked:
            return Exchange(status=None, sent=False, failure=self._blocked)
        return self._send(request)

    def _works(self, check: CheckName) -> bool | None:
        verdict = self._results[check].verdict
        return None if verdict == "unknown" else verdict == "works"

    def _add(self, result: CheckResult) -> None:
        self._results[result.check] = result


def _hides_reasoning(reasoned: Exchange) -> bool:
    """Return whether a reply came without reasoning, which may still be in its text."""
    found = read_chat(reasoned)
    return isinstance(found, SeenReply) and found.reasoning_field is None


def _accepts_reasoning(plain: Exchange, replayed: Exchange) -> bool | None:
    """Return whether a history accepted without reasoning is also accepted with it; None if that is unclear."""
    if isinstance(read_chat(plain), NoReply):
        return None
    found = read_chat(replayed)
    if isinstance(found, SeenReply):
        return True
    return False if found.cause == "refused" else None

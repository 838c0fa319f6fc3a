"""Put the questions of the probe to one server, in an order that each answer may shorten; judges nothing itself."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from ..errors import EngineError
from ..metrics import EngineMetrics
from . import call_checks as calls
from . import requests as questions
from . import server_checks as surroundings
from . import text_checks as texts
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
"""All requests together; a healthy server needs a part of it."""

Ask = Callable[[ProbeRequest], Exchange]


def probe(base_url: str, *, model: str | None = None, api_key: str = "", deadline_s: float = DEADLINE_S) -> ProbeReport:
    """Try what an OpenAI-compatible server can do, with some twenty-five small requests.

    Args:
        base_url: such as `http://127.0.0.1:8000/v1`.
        model: the served model to ask. None: the server's first.
        api_key: empty: none is sent.
        deadline_s: seconds for all requests; what is not asked by then is `unknown`.

    Raises:
        EngineError: the address is none, the server does not answer there, or does not serve the model.
    """
    address = _address(base_url)
    began = time.monotonic()
    ask = HttpTransport(api_key=api_key, ends_at=began + deadline_s)
    report = _Probe(ask, questions.Questions(base_url=address, model=model or ""), has_key=bool(api_key)).run()
    return replace(report, elapsed_s=round(time.monotonic() - began, 1))


def _address(base_url: str) -> str:
    address = base_url.strip().rstrip("/")
    try:
        parts = urlsplit(address)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, brackets that hold no address
        sound = False
    if not sound:
        raise EngineError(
            f"{base_url!r} is not an http address.", cause="", do="Write it like http://127.0.0.1:8000/v1."
        )
    return address


class _Probe:
    """One probe under way."""

    def __init__(self, ask: Ask, wording: questions.Questions, *, has_key: bool) -> None:
        self._ask = ask
        self._wording = wording
        self._has_key = has_key
        self._kind: ServerKind = "generic"
        self._found: dict[CheckName, CheckResult] = {}
        self._blocked = ""
        """Why no chat request is worth sending. Empty: each is."""
        self._able = Capabilities()

    def run(self) -> ProbeReport:
        card = self._served()
        self._wording = replace(self._wording, model=card.name)
        self._note(surroundings.judge_models(card))
        version = self._recognise(card)
        first = self._chat(self._wording.say())
        self._note(texts.judge_chat(first, self._kind))
        self._note(surroundings.judge_tokenizer(self._ask(self._wording.tokenize()), first, self._kind))
        self._block(first)
        self._reasoning(first)
        self._calls(first)
        self._forms()
        self._caches()
        self._key()
        return ProbeReport(
            base_url=self._wording.base_url,
            kind=self._kind,
            version=version,
            model=card.name,
            window_tokens=card.window_tokens,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            elapsed_s=0.0,
            checks=tuple(self._found[name] for name in TITLES),
            capabilities=replace(
                self._able,
                auto_works=self._holds("auto"),
                required_works=self._holds("required"),
                named_works=self._holds("named"),
                strict_works=self._holds("strict"),
                stream_ok=self._holds("streamed"),
                tokenizer=self._holds("tokenizer"),
            ),
        )

    def _served(self) -> surroundings.ModelCard:
        url = self._wording.models().url
        found = self._ask(self._wording.models())
        if found.status is None:
            raise EngineError(
                f"No server answers at {url}.",
                cause=found.failure,
                do="Start it, or give the address of one that runs; `agent serve status` names the one started here.",
            )
        if found.status in {401, 403}:
            raise EngineError(
                f"The server wants another API key than it was given: {url} answers with HTTP {found.status}.",
                cause="",
                do="Name the variable that holds the key: --api-key-env NAME.",
            )
        cards = surroundings.model_cards(found)
        if not cards:
            said = brief(error_text(found.body), 120)
            raise EngineError(
                f"No model is listed at {url}.",
                cause=f"HTTP {found.status}: {said}",
                do="Give the root of the OpenAI-compatible routes; on most servers it ends in /v1.",
            )
        wanted = self._wording.model
        card = next((card for card in cards if card.name == wanted), None) if wanted else cards[0]
        if card is None:
            names = ", ".join(brief(card.name, 80) for card in cards)
            raise EngineError(
                f"{self._wording.base_url} does not serve {wanted!r}.",
                cause=f"it serves: {names}",
                do="Name one of these with --model, or none: then the first is asked.",
            )
        return card

    def _recognise(self, card: surroundings.ModelCard) -> str:
        """Find out whose server it is; return its version."""
        metrics = self._ask(self._wording.get("/metrics"))
        self._kind = surroundings.kind_of(card, surroundings.read_metrics(metrics))
        self._note(surroundings.judge_metrics(metrics, self._kind))
        return surroundings.version_of(self._ask(self._wording.version(self._kind)))

    def _block(self, first: Exchange) -> None:
        found = read_chat(first)
        if isinstance(found, NoReply) and found.cause != "not_asked":
            self._blocked = f"no chat request is answered (see: {TITLES['chat']})"

    def _reasoning(self, first: Exchange) -> None:
        high = self._chat(self._wording.say(reasoning_effort="high"))
        none = self._chat(self._wording.say(reasoning_effort="none"))
        rendered = [self._ask(self._wording.tokenize(effort)) for effort in ("none", "high")]
        self._note(texts.judge_effort(none, high, rendered[0], rendered[1], self._kind))
        seen = [read_chat(exchange) for exchange in (none, high)]
        accepted = not any(isinstance(found, NoReply) and found.cause == "refused" for found in seen)
        answered = all(isinstance(found, SeenReply) for found in seen)
        # What refuses the effort may reason without being asked to.
        thought, more = (high, {"reasoning_effort": "high"}) if accepted else (first, {})
        reply = read_chat(thought)
        unfiltered = None
        if isinstance(reply, SeenReply) and reply.reasoning_field is None:
            unfiltered = self._chat(self._wording.say(**more, skip_special_tokens=False))
        self._note(texts.judge_reasoning(thought, unfiltered, self._kind))
        field = reply.reasoning_field if isinstance(reply, SeenReply) else None
        self._able = replace(
            self._able, reasoning_field=field, effort_accepted=False if not accepted else True if answered else None
        )
        if accepted and answered:
            # From here on the probe asks as a run does at its cheapest: quickly, and the same each time.
            self._wording = replace(self._wording, extra={"reasoning_effort": "none"})

    def _calls(self, first: Exchange) -> None:
        ask, kind = self._wording, self._kind
        auto, named = self._chat(ask.write()), self._chat(ask.unfitting_call())
        self._note(calls.judge_auto(auto, named, kind))
        unneeded, wanted = self._chat(ask.unneeded_call()), self._chat(ask.write(choice="required"))
        self._note(calls.judge_required(unneeded, wanted, kind))
        self._note(calls.judge_named(named, kind))
        self._note(calls.judge_strict(self._chat(ask.write(strict=True)), kind))
        self._note(calls.judge_parallel(self._chat(ask.two_calls()), kind))
        if isinstance(read_chat(auto), SeenReply):
            self._note(calls.judge_streamed(auto, self._chat(ask.write(stream=True)), kind))
        else:
            again = self._chat(replace(ask, extra={}).say(**questions.STREAMED))
            self._note(calls.judge_streamed(first, again, kind))
        whole, streamed = self._chat(ask.cut_call()), self._chat(ask.cut_call(stream=True))
        self._note(calls.judge_truncated(whole, streamed, kind))
        plain, replayed = self._chat(ask.after_result()), None
        if self._able.reasoning_field is not None:
            replayed = self._chat(ask.after_result(**{self._able.reasoning_field: "I should write the file."}))
            self._able = replace(self._able, reasoning_replayed=_taken(plain, replayed))
        self._note(calls.judge_round_trip(plain, replayed, kind))

    def _forms(self) -> None:
        ask, kind = self._wording, self._kind
        formatted = self._chat(ask.say(**questions.JSON_FORMAT))
        self._note(texts.judge_json_schema(formatted, kind))
        if texts.enforced(self._chat(ask.say(**questions.JSON_OUTPUTS))):
            self._able = replace(self._able, structured_outputs_field="structured_outputs")
        elif texts.enforced(formatted):
            self._able = replace(self._able, structured_outputs_field="response_format")
        elif self._found["json_schema"].verdict in {"not_offered", "broken"}:
            self._able = replace(self._able, structured_outputs_field="none")
        plain = self._chat(ask.say(**questions.CHOICE))
        found = read_chat(plain)
        again = None
        if isinstance(found, SeenReply) and found.content.strip() not in questions.CHOICES and kind == "vllm":
            again = self._chat(ask.say(**questions.CHOICE, include_reasoning=False))
        self._note(texts.judge_choice(plain, again, kind))

    def _caches(self) -> None:
        self._chat(self._wording.long_prompt())
        before = self._metrics()
        again = self._chat(self._wording.long_prompt())
        after = self._metrics()
        self._note(surroundings.judge_prefix_cache(again, before, after, self._kind))
        found = read_chat(again)
        if isinstance(found, SeenReply):
            self._able = replace(self._able, cached_tokens_reported=found.cached_tokens is not None)
        self._note(surroundings.judge_speculative(after, self._kind))

    def _key(self) -> None:
        without = self._ask(self._wording.models(with_key=False)) if self._has_key else None
        beside = self._ask(self._wording.get("/metrics", with_key=False)) if self._has_key else None
        self._note(surroundings.judge_key(self._wording.base_url, without, beside, self._kind))

    def _metrics(self) -> EngineMetrics:
        return surroundings.read_metrics(self._ask(self._wording.get("/metrics")))

    def _chat(self, request: ProbeRequest) -> Exchange:
        if self._blocked:
            return Exchange(status=None, asked=False, failure=self._blocked)
        return self._ask(request)

    def _holds(self, check: CheckName) -> bool | None:
        verdict = self._found[check].verdict
        return None if verdict == "unknown" else verdict == "works"

    def _note(self, result: CheckResult) -> None:
        self._found[result.check] = result


def _taken(plain: Exchange, replayed: Exchange) -> bool | None:
    """Tell whether a history that is taken without reasoning is taken with it, too."""
    if isinstance(read_chat(plain), NoReply):
        return None
    found = read_chat(replayed)
    if isinstance(found, SeenReply):
        return True
    return False if found.cause == "refused" else None

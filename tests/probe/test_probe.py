"""Test the probe: working and broken servers over real HTTP, each check's verdicts, and malformed replies."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.testing import Answer, Received, ScriptedServer
from agent.testing.faults import error_in_stream, html, http_error, keep_alive, raw, reset, stall, stream
from serving import EngineError
from serving.metrics import EngineMetrics, parse_metrics
from serving.probe import (
    TITLES,
    Capabilities,
    CheckResult,
    ProbeReport,
    call_checks,
    find_report,
    probe,
    prompt_checks,
    read_cache,
    server_checks,
    text_checks,
    truncation_checks,
)
from serving.probe.cache import cache_path, write_cache
from serving.probe.chat_reply import NoReply, SeenCall, SeenReply, brief, read_chat
from serving.probe.records import Exchange, ProbeRequest
from serving.probe.transport import HttpTransport, read_events

Json = dict[str, Any]
Change = Callable[[Json, Json], Answer]
"""Takes the request and the correct answer; returns the answer to send instead."""

VLLM_METRICS = "vllm:num_requests_running 0\nvllm:prefix_cache_hits_total 5\nvllm:kv_cache_usage_perc 0.25\n"

# An ideal server for the probe's requests.


def correct_answer(body: Json) -> Json:
    """Answer one request of the probe like a good model on a working server."""
    parts: Json = {"finish": "stop", "content": "quixotic", "calls": []}
    tools = body.get("tools", [])
    last = body["messages"][-1]
    wants_call = body.get("tool_choice") in ("auto", "required") and last["role"] == "user"
    if "structured_outputs" in body or "response_format" in body:
        chosen = body.get("structured_outputs", {}).get("choice")
        parts["content"] = chosen[0] if chosen else '{"content": "quixotic"}'
    elif isinstance(body.get("tool_choice"), dict):
        parts |= {"content": None, "calls": [call(body["tool_choice"]["function"]["name"], path="out/word.txt")]}
    elif wants_call and "read_file" in json.dumps(tools):
        parts |= {"finish": "tool_calls", "content": None}
        parts["calls"] = [call("read_file", path="out/one.txt"), call("read_file", path="out/two.txt", number=1)]
    elif wants_call:
        path = "probe/strict.txt" if tools[0]["function"].get("strict") else "out/word.txt"
        parts |= {"finish": "tool_calls", "content": None, "calls": [call("write_file", path=path, content="quixotic")]}
    if body["max_tokens"] == 12:
        parts["finish"] = "length"
        parts["calls"][0]["function"]["arguments"] = '{"path": "out'
    return completion(body, parts)


def completion(body: Json, parts: Json) -> Json:
    message: Json = {"role": "assistant", "content": parts["content"]}
    if parts["calls"]:
        message["tool_calls"] = parts["calls"]
    if body.get("reasoning_effort") == "high":
        message["reasoning"] = "It is one word."
    prompt = len(json.dumps([body.get("tools"), body["messages"]]).encode())
    usage = {
        "prompt_tokens": -(-prompt // 4) + (body.get("reasoning_effort") == "high"),
        "completion_tokens": min(20, body["max_tokens"]),
        "prompt_tokens_details": {"cached_tokens": 128},
    }
    choice = {"index": 0, "message": message, "finish_reason": parts["finish"]}
    return {"object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}


def call(name: str, *, number: int = 0, **arguments: str) -> Json:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": f"probe{number:04d}", "type": "function", "function": function}


def serve(change: Change | None = None, **options: Any) -> ScriptedServer:
    """Start a server that answers correctly, except for what `change` alters."""

    def answer(received: Received) -> Answer:
        body = received.json
        good = correct_answer(body)
        return good if change is None else change(body, good)

    options.setdefault("metrics", VLLM_METRICS)
    return ScriptedServer(repeat(answer), model="m", **options)


def message_of(answer: Json) -> Json:
    return answer["choices"][0]["message"]


def found(report: ProbeReport) -> dict[str, CheckResult]:
    return {check.check: check for check in report.checks}


def broken(report: ProbeReport) -> dict[str, str]:
    return {check.check: check.detail for check in report.checks if check.verdict == "broken"}


def test_a_working_server_passes_every_check():
    with serve() as server:
        report = probe(server.url)

    assert {check.check: check.verdict for check in report.checks} == {
        **dict.fromkeys(TITLES, "works"),
        "speculative": "not_offered",
        "key": "not_offered",
    }
    assert [check.check for check in report.checks] == list(TITLES)
    assert report.capabilities == Capabilities(
        reasoning_field="reasoning",
        reasoning_replayed=True,
        effort_accepted=True,
        auto_works=True,
        required_works=True,
        named_works=True,
        strict_works=True,
        stream_ok=True,
        structured_outputs_field="structured_outputs",
        tokenizer=True,
        cached_tokens_reported=True,
    )
    assert (report.kind, report.version, report.model, report.window_tokens) == ("vllm", "", "m", 32_768)


def test_the_probe_sends_few_small_requests():
    with serve() as server:
        probe(server.url)

        assert len(server.bodies) < 25
        assert max(body["max_tokens"] for body in server.bodies) == 256


# One defect each, over HTTP.


def _without_calls(body: Json, good: Json) -> Answer:
    message_of(good).pop("tool_calls", None)
    return good


def _call_as_text(body: Json, good: Json) -> Answer:
    message = message_of(good)
    if message.pop("tool_calls", None):
        message["content"] = '[TOOL_CALLS]write_file[ARGS]{"path": "out/word.txt"}'
    return good


def _garbled(body: Json, good: Json) -> Answer:
    for item in message_of(good).get("tool_calls", []):
        item["function"] = {"name": 'write_file{"path"', "arguments": "[ARGS]{"}
    return good


def _ignores_required(body: Json, good: Json) -> Answer:
    if body.get("tool_choice") == "required" and body["messages"][0]["content"].startswith("Say"):
        return completion(body, {"finish": "stop", "content": "quixotic", "calls": []})
    return good


def _ignores_named(body: Json, good: Json) -> Answer:
    return correct_answer({**body, "tool_choice": "auto", "tools": body["tools"][:1]}) if named(body) else good


def _ignores_strict(body: Json, good: Json) -> Answer:
    for item in message_of(good).get("tool_calls", []):
        item["function"]["arguments"] = item["function"]["arguments"].replace("probe/strict.txt", "out/word.txt")
    return good


def _one_id(body: Json, good: Json) -> Answer:
    for item in message_of(good).get("tool_calls", []):
        item["id"] = "call_1"
    return good


def _stream_loses_calls(body: Json, good: Json) -> Answer:
    return _without_calls(body, good) if body.get("stream") else good


def _stream_refused(body: Json, good: Json) -> Answer:
    return error_in_stream(400, "no streams here") if body.get("stream") else good


def _stream_without_end(body: Json, good: Json) -> Answer:
    delta = {"choices": [{"index": 0, "delta": {"content": "quix"}}]}
    return stream(delta, done=False) if body.get("stream") else good


def _hides_the_cut(body: Json, good: Json) -> Answer:
    if body["max_tokens"] == 12:
        good["choices"][0]["finish_reason"] = "tool_calls"
    return good


def _refuses_results(body: Json, good: Json) -> Answer:
    if body["messages"][-1]["role"] == "tool":
        return http_error(400, "Tool call id was probe0001 but must be a-z, A-Z, 0-9, with a length of 9.")
    return good


def _thinks_aloud(body: Json, good: Json) -> Answer:
    thought = message_of(good).pop("reasoning", None)
    if thought:
        message_of(good)["content"] = f"<think>{thought}</think>quixotic"
    return good


def _answers_in_reasoning(body: Json, good: Json) -> Answer:
    if message_of(good).get("reasoning"):
        message_of(good)["content"] = None
    return good


def _fails_at_high(body: Json, good: Json) -> Answer:
    return http_error(500, "Internal server error") if body.get("reasoning_effort") == "high" else good


def _ignores_forms(body: Json, good: Json) -> Answer:
    if "response_format" in body or "structured_outputs" in body:
        message_of(good)["content"] = "quixotic"
    return good


def _never_cached(body: Json, good: Json) -> Answer:
    good["usage"]["prompt_tokens_details"]["cached_tokens"] = 0
    return good


def _bills_more(body: Json, good: Json) -> Answer:
    good["usage"]["prompt_tokens"] += 7
    return good


def named(body: Json) -> bool:
    return isinstance(body.get("tool_choice"), dict)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            _without_calls,
            {
                "auto": "finish_reason is 'tool_calls', but there are no calls: the tool parser lost them",
                "required": "accepted but not enforced: no call was made (nothing)",
                "named": "accepted but not enforced: no call was made (nothing)",
            },
        ),
        (
            _call_as_text,
            {
                "auto": 'the server left the call as text in content (\'[TOOL_CALLS]write_file[ARGS]{"path": '
                '"out/word.txt"}\'): it has no tool parser, or one for another model',
                "required": "the server left the call as text in content: its tool parser is missing or for another "
                "model",
                "named": "the server left the call as text in content: its tool parser is missing or for another model",
            },
        ),
        (
            _garbled,
            {
                "auto": "malformed call: 'write_file{\"path\"' with arguments '[ARGS]{'",
                "required": "malformed call: 'write_file{\"path\"' with arguments '[ARGS]{'",
                "named": "accepted but not enforced: the request names read_file, but the model called "
                'write_file{"path"',
                "parallel": "malformed call: 'write_file{\"path\"' with arguments '[ARGS]{'",
            },
        ),
        (
            _ignores_required,
            {"required": "accepted but not enforced: the model answered with text although a call was required"},
        ),
        (
            _ignores_named,
            {"named": "accepted but not enforced: the request names read_file, but the model called write_file"},
        ),
        (
            _ignores_strict,
            {"strict": 'accepted but not enforced: the arguments are {"path": "out/word.txt", "content": "quixotic"}'},
        ),
        (_one_id, {"parallel": "2 calls with duplicate or empty ids: ['call_1', 'call_1']"}),
        (
            _stream_loses_calls,
            {
                "streamed": 'not streamed: call write_file({"path": "out/word.txt", "content": "quixotic"}); '
                "streamed: nothing"
            },
        ),
        (
            _stream_refused,
            {
                "streamed": "the server refuses it: HTTP 400: no streams here",
                "truncated": "the server refuses it: HTTP 400: no streams here",
            },
        ),
        (
            _stream_without_end,
            {
                "streamed": "no reply: the stream ended without [DONE]",
                "truncated": "no reply: the stream ended without [DONE]",
            },
        ),
        (
            _hides_the_cut,
            {"truncated": "max_tokens cut a streamed call off, but finish_reason is 'tool_calls', not 'length'"},
        ),
        (
            _refuses_results,
            {"round_trip": "the server accepts only call ids of nine letters and digits, but generates other ids"},
        ),
        (
            _thinks_aloud,
            {
                "reasoning": "the content contains reasoning (<think>): there is no reasoning parser, or one for "
                "another model"
            },
        ),
        (
            _answers_in_reasoning,
            {"reasoning": "the answer is in the field 'reasoning', and the content is empty"},
        ),
        (
            _fails_at_high,
            {
                "effort": "no reply: HTTP 500: Internal server error",
                "reasoning": "no reply: HTTP 500: Internal server error",
            },
        ),
        (
            _ignores_forms,
            {
                "json_schema": "response_format is accepted but not enforced: 'quixotic'",
                "choice": "structured_outputs is accepted but not enforced: 'quixotic'",
            },
        ),
        (_never_cached, {"prefix_cache": "a prompt of 330 tokens was recomputed when it was sent again"}),
        (
            _bills_more,
            {"tokenizer": "/tokenize counts 16 tokens, usage 23: /tokenize renders the messages differently"},
        ),
    ],
)
def test_each_defect_is_reported(change: Change, expected: Mapping[str, str]):
    with serve(change) as server:
        report = probe(server.url)

    assert broken(report) == expected
    assert all(check.fix for check in report.checks if check.verdict == "broken")


def test_a_server_that_does_not_require_the_key_is_reported():
    with serve() as server:
        report = probe(server.url, api_key="secret")

    assert broken(report) == {
        "key": "a request without the key is answered with HTTP 200: the server does not require it"
    }
    assert server.requests[0].headers["authorization"] == "Bearer secret"


def test_a_draft_without_accepted_tokens_is_reported():
    counted = "vllm:spec_decode_num_drafts_total 50\nvllm:spec_decode_num_accepted_tokens_total 0\n"
    with serve(metrics=VLLM_METRICS + counted) as server:
        report = probe(server.url)

    assert broken(report) == {
        "speculative": "acceptance length 1.00 over 50 drafts: none of the draft's tokens are accepted, so it only "
        "adds cost"
    }


def test_when_no_chat_request_is_answered_the_cause_is_reported_and_no_more_are_sent():
    reason = "GrammarFactory.get_lark_from_jinja() missing 1 required positional argument: 'force_tool_names'"
    with serve(lambda _body, _good: http_error(400, reason)) as server:
        report = probe(server.url)

        assert len(server.bodies) == 1
    assert broken(report) == {
        "chat": "the installed mistral_common is 1.13 or newer and requires an argument that this vLLM does not pass "
        "(force_tool_names): every chat request fails"
    }
    assert found(report)["auto"] == CheckResult(
        check="auto",
        verdict="unknown",
        detail="not tested: no chat request is answered (see: plain reply)",
        answered=False,
    )
    assert report.capabilities == Capabilities()


def test_a_server_without_optional_features_is_not_reported_as_broken():
    def plain(body: Json, good: Json) -> Answer:
        extras = {"reasoning_effort", "structured_outputs", "response_format"} & body.keys()
        if extras or named(body) or '"strict": true' in json.dumps(body.get("tools", [])):
            return http_error(422, "Extra inputs are not permitted")
        return good

    with serve(plain, tokenize=False, metrics="", window_tokens=None) as server:
        report = probe(server.url)

    assert broken(report) == {}
    assert {name for name, check in found(report).items() if check.verdict == "not_offered"} == {
        "tokenizer", "named", "strict", "effort", "json_schema", "choice", "metrics", "key",
    }  # fmt: skip
    assert report.kind == "generic"
    assert report.capabilities == Capabilities(
        effort_accepted=False,
        auto_works=True,
        required_works=True,
        named_works=False,
        strict_works=False,
        stream_ok=True,
        structured_outputs_field="none",
        tokenizer=False,
        cached_tokens_reported=True,
    )


def test_a_server_that_refuses_reasoning_in_the_history_is_recognised():
    def picky(body: Json, good: Json) -> Answer:
        return http_error(422, "reasoning: extra") if '"reasoning":' in json.dumps(body["messages"]) else good

    with serve(picky) as server:
        report = probe(server.url)

    assert found(report)["round_trip"] == CheckResult(
        check="round_trip",
        verdict="works",
        detail="the model continued; reasoning in the history is refused: HTTP 422: reasoning: extra",
    )
    assert report.capabilities.reasoning_replayed is False


def test_sglangs_own_reasoning_field_is_recognised():
    def renamed(body: Json, good: Json) -> Answer:
        message = message_of(good)
        if "reasoning" in message:
            message["reasoning_content"] = message.pop("reasoning")
        return good

    with serve(renamed, metrics="sglang:num_running_reqs 1\n") as server:
        report = probe(server.url)

    assert (report.kind, report.capabilities.reasoning_field) == ("sglang", "reasoning_content")
    assert found(report)["choice"].verdict == "works"


def test_a_server_that_supports_only_openais_field_is_recognised():
    def without_own(body: Json, good: Json) -> Answer:
        if "structured_outputs" in body:
            message_of(good)["content"] = "quixotic"
        return good

    with serve(without_own, metrics="sglang:num_running_reqs 1\n") as server:
        report = probe(server.url)

    assert report.capabilities.structured_outputs_field == "response_format"
    assert found(report)["choice"] == CheckResult(
        check="choice",
        verdict="not_offered",
        detail="`structured_outputs` is a vLLM field, which this server ignores",
    )


@pytest.mark.parametrize(
    ("owner", "metrics", "kind"),
    [("vllm", "", "vllm"), ("sglang", "", "sglang"), ("me", "", "generic"), ("vllm", "sglang:x 1", "sglang")],
)
def test_the_kind_of_server_follows_from_its_metrics_or_the_models_owner(owner: str, metrics: str, kind: str):
    card = server_checks.ModelCard(name="m", window_tokens=None, owner=owner)

    assert server_checks.kind_of(card, parse_metrics(metrics)) == kind


def test_a_model_that_makes_no_call_is_not_reported_as_a_broken_server():
    def chatty(body: Json, good: Json) -> Answer:
        if body.get("tool_choice") == "auto" and body["messages"][-1]["role"] == "user":
            return completion(body, {"finish": "stop", "content": "I have no tool for that.", "calls": []})
        return good

    with serve(chatty) as server:
        report = probe(server.url)

    assert broken(report) == {}
    assert found(report)["auto"] == CheckResult(
        check="auto",
        verdict="unknown",
        detail="the model made no call, which is its own choice: text 'I have no tool for that.'",
    )
    assert report.capabilities.auto_works is None


def test_a_temporarily_busy_server_is_not_reported_as_broken():
    def busy(body: Json, good: Json) -> Answer:
        return http_error(503, "overloaded") if named(body) else good

    with serve(busy) as server:
        report = probe(server.url)

    assert found(report)["named"] == CheckResult(
        check="named", verdict="unknown", detail="no reply: HTTP 503: overloaded", answered=False
    )
    assert report.capabilities.named_works is None


@pytest.mark.parametrize("answer", [html(), html(502), raw(b"\xff\xfe"), raw(b"null"), raw(b"[1]"), reset(), stream()])
def test_the_probe_completes_whatever_the_chat_route_sends(answer: Answer):
    with serve(lambda _body, _good: answer) as server:
        report = probe(server.url)

    assert found(report)["chat"].verdict == "broken"


DEEP = "[" * 900 + "]" * 900


@pytest.mark.parametrize("text", [DEEP, '{"choices":' * 500 + "1" + "}" * 500, "[" * 200_000])
def test_a_too_deeply_nested_reply_is_read_as_text(text: str):
    with serve(lambda _body, _good: raw(text)) as server:
        report = probe(server.url)

    assert found(report)["chat"].detail.startswith("no reply: HTTP 200, but the body is not a chat reply: ")


def test_too_deeply_nested_arguments_are_not_an_object():
    result = call_checks.check_auto(chat(tool_calls=[call("write_file")]), chat(), "vllm")
    deep = chat(tool_calls=[{"function": {"name": "write_file", "arguments": f'{{"path": {DEEP}}}'}}])

    assert (result.verdict, call_checks.check_auto(deep, chat(), "vllm").verdict) == ("works", "broken")


@pytest.mark.parametrize("answer", [stall(), keep_alive()], ids=["silent", "trickling"])
def test_a_server_that_does_not_complete_its_reply_does_not_delay_the_probe(answer: Answer):
    with serve(lambda _body, _good: answer) as server:
        report = probe(server.url, deadline_s=0.5)

    assert found(report)["chat"].verdict == "broken"
    assert "no complete reply within 0." in found(report)["chat"].detail
    assert found(report)["auto"].detail == "not tested: no chat request is answered (see: plain reply)"
    assert found(report)["tokenizer"].verdict == "unknown"


# Servers that cannot be probed.


def test_an_address_that_is_not_a_url_is_refused():
    with pytest.raises(EngineError) as caught:
        probe("localhost:8000")

    assert str(caught.value) == ("'localhost:8000' is not an HTTP URL.\nNow:   Give one like http://127.0.0.1:8000/v1.")


@pytest.mark.parametrize("address", ["http://", "http://h:port/v1", "http://[::1/v1", "", "ftp://127.0.0.1/v1"])
def test_an_invalid_url_is_refused(address: str):
    with pytest.raises(EngineError, match="is not an HTTP URL"):
        probe(address)


def test_a_server_that_does_not_answer_is_reported():
    with serve() as server:
        url = server.url
    with pytest.raises(EngineError) as caught:
        probe(url)

    assert str(caught.value) == (
        f"No server answers at {url}/models.\n"
        "Cause: ConnectionRefusedError: [Errno 111] Connection refused\n"
        "Now:   Start one, or give the address of a running one; `agent serve status` shows the one started here."
    )


def test_an_address_without_v1_is_refused_with_a_hint():
    with serve() as server:
        root = server.url.removesuffix("/v1")
        with pytest.raises(EngineError) as caught:
            probe(root)

    assert str(caught.value) == (
        f"No model is listed at {root}/models.\n"
        "Cause: HTTP 404: Not Found\n"
        "Now:   Give the base URL of the OpenAI-compatible routes; on most servers it ends in /v1."
    )


def test_a_model_that_is_not_served_is_refused_with_the_list_of_those_that_are():
    with serve() as server, pytest.raises(EngineError) as caught:
        probe(server.url, model="other")

    assert str(caught.value) == (
        f"{server.url} does not serve 'other'.\n"
        "Cause: it serves: m\n"
        "Now:   Choose one of these with --model, or omit --model to probe the first."
    )


# Single checks.


def chat(content: str = "", **more: Any) -> Exchange:
    """A chat reply."""
    finish = more.pop("finish", "stop")
    usage = {name: more.pop(name) for name in ("prompt_tokens", "completion_tokens") if name in more}
    message = {"content": content, **more}
    return Exchange(status=200, body={"choices": [{"message": message, "finish_reason": finish}], "usage": usage})


def test_an_effort_that_changes_nothing_is_not_offered():
    result = text_checks.check_effort(chat("a"), chat("a"), Exchange(status=404), Exchange(status=404), "generic")

    assert (result.verdict, result.detail) == (
        "not_offered",
        "accepted but without visible effect: neither the prompt nor the reasoning changes",
    )


def test_an_effort_shows_in_the_tokens_of_the_prompt():
    none, high = (Exchange(status=200, body={"tokens": tokens}) for tokens in ([1, 2, 3], [1, 9, 3]))
    result = text_checks.check_effort(chat("a"), chat("a"), none, high, "vllm")

    assert (result.verdict, result.detail) == ("works", "it changes 1 of the prompt's 3 tokens")


def test_an_effort_shows_in_the_reasoning():
    high = chat("a", reasoning_content="hm")
    result = text_checks.check_effort(chat("a"), high, Exchange(status=404), Exchange(status=404), "sglang")

    assert (result.verdict, result.detail) == ("works", "the model reasons at high and not at none")


def test_reasoning_whose_marks_were_filtered_out_is_detected_without_the_filter():
    result = text_checks.check_reasoning(
        chat("It is one word.quixotic"), chat("[THINK]It is one word.[/THINK]"), "sglang"
    )

    assert (result.verdict, result.fix) == (
        "broken",
        "Start SGLang with the model's own --reasoning-parser; for Mistral: --reasoning-parser mistral.",
    )


def test_reasoning_that_reaches_max_tokens_is_inconclusive():
    result = text_checks.check_reasoning(chat("", reasoning="well", finish="length"), None, "vllm")

    assert (result.verdict, result.detail) == (
        "unknown",
        "in the field 'reasoning'; the reply reached max_tokens before an answer",
    )


def test_an_unfinished_structured_reply_is_inconclusive():
    result = text_checks.check_json_schema(chat('{"content"     ', finish="length"), "vllm")

    assert (result.verdict, result.detail) == ("unknown", "the reply reached max_tokens: '{\"content\"'")


def test_a_choice_that_is_enforced_only_without_reasoning_works_with_a_warning():
    result = text_checks.check_choice(chat("quixotic"), chat("alpha"), "vllm")

    assert result == CheckResult(
        check="choice",
        verdict="works",
        detail="only with include_reasoning: false",
        warning="Without include_reasoning: false, a choice or regex is accepted but ignored. Start vLLM with "
        "--structured-outputs-config '{\"enable_in_reasoning\":true}'.",
    )


def test_a_choice_that_reasoning_left_no_tokens_for_is_inconclusive():
    result = text_checks.check_choice(chat("", reasoning="Alpha or beta?", finish="length"), None, "vllm")

    assert (result.verdict, result.detail) == ("unknown", "the reply reached max_tokens before its text")


def test_a_vllm_field_that_another_server_ignores_is_not_offered():
    assert text_checks.check_choice(chat("quixotic"), None, "generic").verdict == "not_offered"


CUT: Json = {"tool_calls": [call("write_file")], "finish": "length", "completion_tokens": 12}
COMPLETE: Json = {
    "tool_calls": [call("write_file", path="a", content="b")], "finish": "tool_calls", "completion_tokens": 9,
}  # fmt: skip


def truncated(streamed: Exchange, whole: Exchange | None = None) -> CheckResult:
    return truncation_checks.check_truncated(chat(**CUT) if whole is None else whole, streamed, "vllm")


def test_truncation_that_is_always_reported_works():
    assert truncated(chat(**CUT)) == CheckResult(
        check="truncated",
        verdict="works",
        detail="a call that max_tokens cuts off has finish_reason 'length', with streaming and without",
    )


def test_truncation_that_only_a_stream_reports_works_with_a_warning():
    assert truncated(chat(**CUT), chat(**{**CUT, "finish": "tool_calls"})) == CheckResult(
        check="truncated",
        verdict="works",
        detail="a call that max_tokens cuts off has finish_reason 'length', but only with streaming",
        warning="Without streaming, a call that was cut off looks complete, even with invented arguments ({}): use "
        "streaming, or compare usage.completion_tokens with max_tokens. `agent run` does both.",
    )


@pytest.mark.parametrize(
    ("whole", "seen"),
    [
        (Exchange(status=500, body={"error": {"message": "boom"}}), "no reply: HTTP 500: boom"),
        (chat(**COMPLETE), "the reply was complete before max_tokens could cut it off"),
        (chat(**{**COMPLETE, "tool_calls": None}), "the reply was complete before max_tokens could cut it off"),
    ],
)
def test_truncation_is_not_called_reported_without_streaming_if_that_was_not_seen(whole: Exchange, seen: str):
    """It said "with streaming and without" of a request that failed, and warned of a call that was complete."""
    assert truncated(chat(**CUT), whole) == CheckResult(
        check="truncated",
        verdict="works",
        detail=f"a call that max_tokens cuts off has finish_reason 'length' with streaming; without, {seen}",
    )


@pytest.mark.parametrize(
    ("streamed", "detail"),
    [
        (chat(**COMPLETE), "the reply was complete before max_tokens could cut it off"),
        (
            chat(content="I cannot.", completion_tokens=4),
            "the model made no call, which is its own choice: text 'I cannot.'",
        ),
        (
            chat(content='[TOOL_CALLS]write_file[ARGS]{"pa', completion_tokens=12),
            "the server left the call as text, so there is no call to check (see: call under auto)",
        ),
        (
            chat(content="I will write the", finish="length", completion_tokens=12),
            "max_tokens cut the reply off before it contained a call",
        ),
        (
            chat(content=None, reasoning="I should", finish="length", completion_tokens=12),
            "max_tokens cut the reply off before it contained a call",
        ),
    ],
)
def test_a_reply_without_a_truncated_call_shows_nothing_about_truncated_calls(streamed: Exchange, detail: str):
    """A text without a call was taken for a complete reply, and a text that was cut off for a call that was."""
    assert truncated(streamed) == CheckResult(check="truncated", verdict="unknown", detail=detail)


@pytest.mark.parametrize(
    ("streamed", "what"),
    [
        (chat(**{**CUT, "finish": "stop"}), "finish_reason is 'stop', not 'length'"),
        (chat(**{**CUT, "finish": None}), "there is no finish_reason"),
        (chat(content=None, completion_tokens=12), "finish_reason is 'stop', not 'length'"),
    ],
)
def test_a_call_that_is_cut_off_without_a_report_is_broken_even_if_all_of_it_is_lost(streamed: Exchange, what: str):
    result = truncated(streamed)
    assert (result.verdict, result.detail) == ("broken", f"max_tokens cut a streamed call off, but {what}")


def test_required_works_if_the_needed_call_is_made_and_the_unneeded_one_reaches_max_tokens():
    rambling = chat("quixotic quixotic", finish="length")
    needed = chat(tool_calls=[call("write_file", path="a", content="b")])

    assert call_checks.check_required(rambling, needed, "vllm") == CheckResult(
        check="required",
        verdict="works",
        detail="a call was made where the prompt needs one; where it needs none, no complete call was made",
    )


def test_a_stream_with_different_but_valid_arguments_is_inconclusive():
    whole = chat(tool_calls=[call("write_file", path="a", content="b")])
    streamed = chat(tool_calls=[call("write_file", path="a", content="c")])

    assert call_checks.check_streamed(whole, streamed, "vllm").verdict == "unknown"


def test_a_call_on_one_side_only_is_broken_only_if_the_other_side_lost_it():
    called, text = chat(tool_calls=[call("write_file", path="a", content="b")]), chat(content="I cannot.")
    lost = chat(content='[TOOL_CALLS]write_file[ARGS]{"path": "a"}')
    cut = chat(tool_calls=[{"function": {"name": "write_file", "arguments": '{"path'}}], finish="length")

    assert call_checks.check_streamed(called, text, "vllm").verdict == "unknown"
    assert call_checks.check_streamed(text, called, "vllm").verdict == "unknown"
    assert call_checks.check_streamed(called, cut, "vllm").verdict == "unknown"
    assert call_checks.check_streamed(called, lost, "vllm").verdict == "broken"
    assert call_checks.check_streamed(called, chat(content=""), "vllm").verdict == "broken"


def test_a_server_that_may_cache_only_longer_prompts_is_not_reported_as_broken():
    usage = {"prompt_tokens": 330, "prompt_tokens_details": {"cached_tokens": 0}}
    none = Exchange(status=200, body={"choices": [{"message": {"content": "q"}}], "usage": usage})
    quiet = EngineMetrics(engine="unknown")

    assert server_checks.check_prefix_cache(none, quiet, quiet, "generic").verdict == "unknown"
    assert server_checks.check_prefix_cache(none, quiet, quiet, "vllm").verdict == "broken"


@pytest.mark.parametrize("status", [302, 404, 429, 500, 503])
def test_another_status_without_a_key_is_inconclusive(status: int):
    result = server_checks.check_key("http://10.0.0.7:8000/v1", Exchange(status=status), None, "vllm")

    assert (result.verdict, result.detail) == ("unknown", f"answered with HTTP {status}")


@pytest.mark.parametrize("head", [b"HTTP/1.1 100 Continue\r\n\r\n", b"X"], ids=["continues", "trickles"])
def test_a_server_that_never_completes_its_headers_does_not_delay_the_probe(head: bytes):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def talk() -> None:
            peer, _ = listening.accept()
            with peer, suppress(OSError):
                while True:
                    peer.sendall(head)
                    threading.Event().wait(0.01)

        threading.Thread(target=talk, daemon=True).start()
        ask = HttpTransport(api_key="", ends_at=time.monotonic() + 0.5, request_s=30.0)
        exchange = ask(ProbeRequest(method="GET", url=f"http://127.0.0.1:{listening.getsockname()[1]}/"))

    assert exchange.status is None
    assert exchange.failure.startswith("no complete reply within 0.")


def test_a_unicode_line_break_in_streamed_text_does_not_end_an_event():
    event = {"choices": [{"delta": {"content": "one\u2028two\x85three"}, "finish_reason": "stop"}]}
    sent = f"data: {json.dumps(event, ensure_ascii=False)}\r\n\r\ndata: [DONE]\n\n".encode()

    reply = read_chat(read_events(200, sent.decode()))

    assert isinstance(reply, SeenReply)
    assert reply.content == "one\u2028two\x85three"


def test_control_characters_from_a_server_do_not_reach_the_terminal():
    assert brief("\x1b[2Jgone \ud800\nnext") == "?[2Jgone ? next"


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (
            '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
            "the server was started without a tool parser",
        ),
        (
            'tool_choice="required" requires --tool-call-parser to be set',
            "the server was started without a tool parser",
        ),
        (
            "Tool call id was abc but must be a-z, A-Z, 0-9, with a length of 9.",
            "the server accepts only call ids of nine letters and digits, but generates other ids",
        ),
        (
            "reasoning_effort=high is nothing I know",
            "the server refuses it: HTTP 400: reasoning_effort=high is nothing I know",
        ),
    ],
)
def test_a_known_refusal_is_explained(message: str, why: str):
    refused = Exchange(status=400, body={"error": {"message": message, "code": 400}})
    result = call_checks.check_auto(refused, refused, "vllm")

    assert (result.verdict, result.detail) == ("broken", why)


def test_a_parser_that_fails_with_a_grammar_is_for_another_model():
    text = chat('[TOOL_CALLS]write_file[ARGS]{"path": "a"}')
    result = call_checks.check_auto(
        text, Exchange(status=500, body={"error": {"message": "Internal server error"}}), "vllm"
    )

    assert result.detail == (
        'the server left the call as text in content (\'[TOOL_CALLS]write_file[ARGS]{"path": "a"}\'): its tool '
        "parser is for another model"
    )


def test_a_cache_hit_that_only_the_metrics_report_works_with_a_warning():
    before, after = (EngineMetrics(engine="vllm", prefix_hits=hits) for hits in (10, 138))
    result = server_checks.check_prefix_cache(chat("q", prompt_tokens=200), before, after, "vllm")

    assert result == CheckResult(
        check="prefix_cache",
        verdict="works",
        detail="128 of 200 prompt tokens came from the cache (reported in metrics, not in usage)",
        warning="Usage does not report cached tokens: vLLM reports them with --enable-prompt-tokens-details.",
    )


def test_a_server_that_others_can_reach_without_a_key_gets_a_warning():
    result = server_checks.check_key("http://10.0.0.7:8000/v1", None, None, "vllm")

    assert (result.verdict, result.warning) == (
        "not_offered",
        "Anyone who can reach this address can use the model. Start vLLM with a key in the environment variable "
        "VLLM_API_KEY.",
    )


def test_a_key_that_protects_only_part_of_an_exposed_server_gets_a_warning():
    refused, answered = Exchange(status=401), Exchange(status=200)
    result = server_checks.check_key("http://10.0.0.7:8000/v1", refused, answered, "vllm")

    assert (result.verdict, result.detail, result.warning) == (
        "works",
        "HTTP 401",
        "The key protects only /v1: anyone who can reach this address can use /metrics and /tokenize. Put a proxy in "
        "front of the server that forwards only /v1.",
    )


@pytest.mark.parametrize(
    ("url", "local"),
    [("http://127.0.0.1:1/v1", True), ("http://[::1]:1/v1", True), ("http://localhost/v1", True),
     ("http://10.0.0.1/v1", False), ("https://example.org/v1", False)],
)  # fmt: skip
def test_loopback_addresses_are_recognised(url: str, local: bool):
    assert server_checks.is_loopback(url) is local


def test_a_streamed_call_is_assembled_from_its_parts():
    pieces: list[object] = [
        {
            "choices": [
                {"delta": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "w", "arguments": "{"}}]}}
            ]
        },
        {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}}]},
        {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]},
        {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3}},
    ]

    assert read_chat(Exchange(status=200, events=tuple(pieces))) == SeenReply(
        content="",
        reasoning="",
        reasoning_field=None,
        calls=(SeenCall(id="a", name="w", arguments="{}"),),
        finish_reason="tool_calls",
        prompt_tokens=5,
        completion_tokens=3,
        cached_tokens=None,
    )


def test_a_request_that_could_not_be_sent_in_time_is_unknown():
    late = HttpTransport(api_key="", ends_at=0.0, request_s=30.0, clock=lambda: 1.0)
    exchange = late(ProbeRequest(method="GET", url="http://127.0.0.1:9/v1/models"))

    assert read_chat(exchange) == NoReply(
        cause="not_sent", reason="the probe's time limit was reached before this request"
    )
    assert text_checks.check_chat(exchange, "vllm").verdict == "unknown"


# Malformed replies.

KEYS = (
    "choices", "message", "delta", "tool_calls", "function", "name", "arguments", "id", "index", "content", "usage",
    "reasoning", "reasoning_content", "finish_reason", "prompt_tokens", "prompt_tokens_details", "cached_tokens",
    "error", "code", "tokens", "count", "data", "max_model_len", "version", "completion_tokens",
)  # fmt: skip
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["{}", '{"path": 1}', "length", "stop", "write_file", "[TOOL_CALLS]", "[THINK]", "alpha", '{"content": []}']
    )
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
CHATS = st.dictionaries(st.sampled_from(KEYS), JSON, max_size=5).map(
    lambda fields: {"choices": [{"message": fields, "delta": fields, **fields}], "usage": fields.get("usage")}
)
EXCHANGES = st.builds(
    Exchange,
    status=st.none() | st.sampled_from([200, 200, 200, 400, 401, 404, 422, 500]),
    body=JSON | CHATS,
    events=st.lists(JSON | CHATS, max_size=3).map(tuple),
    failure=st.sampled_from(["", "", "cut"]),
    sent=st.booleans(),
)


@given(one=EXCHANGES, two=EXCHANGES, third=EXCHANGES, fourth=EXCHANGES, kind=st.sampled_from(["vllm", "generic"]))
def test_no_reply_makes_a_check_raise(one: Exchange, two: Exchange, third: Exchange, fourth: Exchange, kind: Any):
    metrics = server_checks.read_metrics(third)
    results = [
        call_checks.check_auto(one, two, kind),
        call_checks.check_required(one, two, kind),
        call_checks.check_named(one, kind),
        call_checks.check_strict(one, kind),
        call_checks.check_parallel(one, kind),
        call_checks.check_streamed(one, two, kind),
        truncation_checks.check_truncated(one, two, kind),
        call_checks.check_round_trip(one, two, kind),
        text_checks.check_chat(one, kind),
        text_checks.check_reasoning(one, two, kind),
        text_checks.check_effort(one, two, third, fourth, kind),
        text_checks.check_json_schema(one, kind),
        text_checks.check_choice(one, two, kind),
        prompt_checks.check_tokenizer(one, two, kind),
        server_checks.check_prefix_cache(one, metrics, metrics, kind),
        server_checks.check_metrics(one, kind),
        server_checks.check_speculative(metrics, kind),
        server_checks.check_key("http://127.0.0.1/v1", one, two, kind),
        *(server_checks.check_models(card) for card in server_checks.model_cards(one)),
    ]
    for result in results:
        assert "\n" not in result.detail
        assert bool(result.fix) == (result.verdict == "broken")


# Stored results.

REPORT = ProbeReport(
    base_url="http://127.0.0.1:8000/v1",
    kind="vllm",
    version="0.32.0",
    model="m",
    window_tokens=8192,
    at="2026-11-23T19:00:00+00:00",
    elapsed_s=2.5,
    checks=tuple(CheckResult(check=name, verdict="works", detail="") for name in TITLES),
    capabilities=Capabilities(strict_works=False),
)


def test_a_stored_report_can_be_read_again(tmp_path: Path):
    path = write_cache(REPORT, tmp_path)

    assert path == tmp_path / "probes" / "127.0.0.1-8000-v1-87459d11.json"
    assert read_cache("http://127.0.0.1:8000/v1/", tmp_path) == REPORT
    assert read_cache("http://127.0.0.1:8001/v1", tmp_path) is None
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "change",
    [{"format": 2}, {"checks": None}, {"checks": []}, {"capabilities": {"x": 1}}, {"at": 5}, {"at": "today"},
     {"more": 1}, {"base_url": "http://elsewhere/v1"}],
)  # fmt: skip
def test_a_file_with_invalid_fields_is_ignored(change: Json, tmp_path: Path):
    path = write_cache(REPORT, tmp_path)
    path.write_text(json.dumps(cast("Json", json.loads(path.read_text())) | change))

    assert read_cache(REPORT.base_url, tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "\udcff"])
def test_a_file_that_is_not_a_report_is_ignored(text: str, tmp_path: Path):
    path = cache_path(REPORT.base_url, tmp_path)
    path.parent.mkdir()
    path.write_bytes(text.encode("utf-8", "surrogateescape"))

    assert read_cache(REPORT.base_url, tmp_path) is None


def test_a_report_applies_only_to_its_model(tmp_path: Path):
    with serve() as server:
        report = replace(REPORT, base_url=server.url, version="")
        write_cache(report, tmp_path)

        assert find_report(server.url, model=None, api_key="", state=tmp_path) == report
        assert find_report(server.url, model="m", api_key="", state=tmp_path) == report
        assert find_report(server.url, model="other", api_key="", state=tmp_path) is None


def test_a_report_of_another_version_is_not_used(tmp_path: Path):
    with serve() as server:
        write_cache(replace(REPORT, base_url=server.url), tmp_path)

        assert find_report(server.url, model="m", api_key="", state=tmp_path) is None


def test_a_report_of_a_server_that_does_not_answer_is_not_used(tmp_path: Path):
    with serve() as server:
        url = server.url
    write_cache(replace(REPORT, base_url=url), tmp_path)

    assert find_report(url, model="m", api_key="", state=tmp_path) is None


def _tools_unseen(body: Json, good: Json) -> Answer:
    message = message_of(good)
    if message.pop("tool_calls", None):
        message["content"] = "I would write the file."
    good["usage"]["prompt_tokens"] = -(-len(json.dumps([None, body["messages"]]).encode()) // 4)
    return good


def test_tools_that_the_chat_template_leaves_out_are_found_by_the_length_of_the_prompt():
    """It said that the model made no call, which is its own choice."""
    with serve(_tools_unseen) as server:
        result = found(probe(server.url))["tools_seen"]

    assert (result.verdict, result.detail) == (
        "broken",
        "the prompt has 23 tokens with a tool and 23 without: the chat template leaves tools out, so the model never "
        "sees them",
    )
    assert result.fix.startswith("Start vLLM with a chat template of the model's family that renders tools")


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": 0}])
def test_without_the_prompts_length_a_call_shows_that_the_tools_were_seen(usage: Json):
    called = Exchange(
        status=200, body={"choices": [{"message": {"tool_calls": [call("write_file", path="a")]}}], "usage": usage}
    )
    silent = Exchange(status=200, body={"choices": [{"message": {"content": "no"}}], "usage": usage})

    assert prompt_checks.check_tools_seen(called, silent, "vllm").verdict == "works"
    assert prompt_checks.check_tools_seen(silent, silent, "vllm").verdict == "unknown"


def test_a_refused_request_with_a_tool_is_reported_once():
    refused = Exchange(status=400, body={"error": {"message": "requires --tool-call-parser to be set", "code": 400}})

    assert call_checks.check_auto(refused, refused, "vllm").verdict == "broken"
    assert prompt_checks.check_tools_seen(refused, refused, "vllm") == CheckResult(
        check="tools_seen", verdict="unknown", detail="a request with a tool gets no reply (see: call under auto)"
    )


def test_a_named_call_that_max_tokens_cut_off_is_no_wrong_parser():
    """The hermes parser of vLLM returns such a call as text, and the parser was blamed."""
    cut = chat('<tool_call>\n{"name": "read_file", "arguments": "fjr_fjr_fjr', finish="length")
    whole = chat('<tool_call>\n{"name": "read_file", "arguments": {}}</tool_call>')
    detail = "max_tokens cut the call off: the server returned the incomplete call as text"

    assert call_checks.check_named(cut, "vllm") == CheckResult(check="named", verdict="unknown", detail=detail)
    assert call_checks.check_auto(cut, cut, "vllm") == CheckResult(check="auto", verdict="unknown", detail=detail)
    assert call_checks.check_named(whole, "vllm").verdict == "broken"


class MetricsOnlyAtFirst(ScriptedServer):
    """Its metrics are gone after a few chat requests."""

    def _route(self, request: Received) -> Answer:
        gone = request.path == "/metrics" and len(self.bodies) > 3
        return http_error(503) if gone else super()._route(request)


def test_the_probe_does_not_say_that_there_are_no_metrics_beside_metrics_that_work():
    with MetricsOnlyAtFirst(repeat(lambda received: correct_answer(received.json)), metrics=VLLM_METRICS) as server:
        checks = found(probe(server.url))

    assert (checks["metrics"].verdict, checks["speculative"].verdict) == ("works", "not_offered")


@pytest.mark.parametrize("index", [{}, {"index": 0}], ids=["without", "always 0"])
def test_streamed_calls_without_a_number_of_their_own_are_kept_apart_by_their_ids(index: Json):
    deltas = [
        {"tool_calls": [{**index, **call("read_file", path="a"), "id": "aaaaaaaa1"}]},
        {"tool_calls": [{**index, **call("read_file", path="b"), "id": "bbbbbbbb2"}]},
    ]
    events = tuple({"choices": [{"delta": delta}]} for delta in deltas)
    reply = read_chat(Exchange(status=200, events=events))

    assert isinstance(reply, SeenReply)
    assert [(one.name, one.arguments) for one in reply.calls] == [
        ("read_file", '{"path": "a"}'),
        ("read_file", '{"path": "b"}'),
    ]


def test_a_name_that_is_repeated_in_every_part_of_a_streamed_call_is_one_name():
    parts = ['{"pa', 'th": ', '"a"}']
    events = tuple(
        {
            "choices": [
                {
                    "delta": {
                        "tool_calls": [{"index": 0, "id": "a", "function": {"name": "read_file", "arguments": part}}]
                    }
                }
            ]
        }
        for part in parts
    )
    reply = read_chat(Exchange(status=200, events=events))

    assert isinstance(reply, SeenReply)
    assert [(one.name, one.arguments) for one in reply.calls] == [("read_file", '{"path": "a"}')]


def test_a_streamed_call_of_a_tool_that_does_not_exist_is_not_called_valid():
    whole = chat(tool_calls=[call("write_file", path="a", content="b")])
    glued = chat(tool_calls=[call("write_filewrite_file", path="a", content="b")])

    assert call_checks.check_streamed(whole, glued, "vllm").verdict == "broken"

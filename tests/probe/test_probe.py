"""The probe: sound and broken servers over real HTTP, each judge's verdicts, and that no reply is too odd."""

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
from serving.probe import TITLES, Capabilities, CheckResult, ProbeReport, find_report, probe, read_cache
from serving.probe import call_checks as calls
from serving.probe import server_checks as surroundings
from serving.probe import text_checks as judges
from serving.probe.cache import cache_path, write_cache
from serving.probe.chat_reply import NoReply, SeenCall, SeenReply, brief, read_chat
from serving.probe.records import Exchange, ProbeRequest
from serving.probe.transport import HttpTransport, read_events

Json = dict[str, Any]
Change = Callable[[Json, Json], Answer]
"""Gets the request and the sound answer, and returns what is answered instead."""

VLLM_METRICS = "vllm:num_requests_running 0\nvllm:prefix_cache_hits_total 5\nvllm:kv_cache_usage_perc 0.25\n"

# An ideal server, as the probe's requests need it.


def sound(body: Json) -> Json:
    """Answer one request of the probe as a good model on a good server does."""
    told: Json = {"finish": "stop", "content": "quixotic", "calls": []}
    tools = body.get("tools", [])
    last = body["messages"][-1]
    wants_call = body.get("tool_choice") in ("auto", "required") and last["role"] == "user"
    if "structured_outputs" in body or "response_format" in body:
        chosen = body.get("structured_outputs", {}).get("choice")
        told["content"] = chosen[0] if chosen else '{"content": "quixotic"}'
    elif isinstance(body.get("tool_choice"), dict):
        told |= {"content": None, "calls": [call(body["tool_choice"]["function"]["name"], path="out/word.txt")]}
    elif wants_call and "read_file" in json.dumps(tools):
        told |= {"finish": "tool_calls", "content": None}
        told["calls"] = [call("read_file", path="out/one.txt"), call("read_file", path="out/two.txt", number=1)]
    elif wants_call:
        path = "probe/strict.txt" if tools[0]["function"].get("strict") else "out/word.txt"
        told |= {"finish": "tool_calls", "content": None, "calls": [call("write_file", path=path, content="quixotic")]}
    if body["max_tokens"] == 12:
        told["finish"] = "length"
        told["calls"][0]["function"]["arguments"] = '{"path": "out'
    return completion(body, told)


def completion(body: Json, told: Json) -> Json:
    message: Json = {"role": "assistant", "content": told["content"]}
    if told["calls"]:
        message["tool_calls"] = told["calls"]
    if body.get("reasoning_effort") == "high":
        message["reasoning"] = "It is one word."
    prompt = len(json.dumps([body.get("tools"), body["messages"]]).encode())
    usage = {
        "prompt_tokens": -(-prompt // 4) + (body.get("reasoning_effort") == "high"),
        "completion_tokens": min(20, body["max_tokens"]),
        "prompt_tokens_details": {"cached_tokens": 128},
    }
    choice = {"index": 0, "message": message, "finish_reason": told["finish"]}
    return {"object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}


def call(name: str, *, number: int = 0, **arguments: str) -> Json:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": f"probe{number:04d}", "type": "function", "function": function}


def serve(change: Change | None = None, **how: Any) -> ScriptedServer:
    """Serve soundly, but for what `change` does."""

    def answer(received: Received) -> Answer:
        body = received.json
        good = sound(body)
        return good if change is None else change(body, good)

    how.setdefault("metrics", VLLM_METRICS)
    return ScriptedServer(repeat(answer), model="m", **how)


def message_of(answer: Json) -> Json:
    return answer["choices"][0]["message"]


def found(report: ProbeReport) -> dict[str, CheckResult]:
    return {check.check: check for check in report.checks}


def broken(report: ProbeReport) -> dict[str, str]:
    return {check.check: check.detail for check in report.checks if check.verdict == "broken"}


def test_a_sound_server_passes_every_check():
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


def test_the_probe_asks_little():
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
    return sound({**body, "tool_choice": "auto", "tools": body["tools"][:1]}) if named(body) else good


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
                "auto": "finish_reason is 'tool_calls', and there are none: the tool parser lost the call",
                "required": "accepted and not enforced: no call came (nothing)",
                "named": "accepted and not enforced: no call came (nothing)",
            },
        ),
        (
            _call_as_text,
            {
                "auto": 'the server left the call as text in content (\'[TOOL_CALLS]write_file[ARGS]{"path": '
                "\"out/word.txt\"}'): it has no tool parser, or another model's",
                "required": "the server left the call as text in content: its tool parser does not fit the model, "
                "or is missing",
                "named": "the server left the call as text in content: its tool parser does not fit the model, "
                "or is missing",
            },
        ),
        (
            _garbled,
            {
                "auto": "a garbled call: 'write_file{\"path\"' with arguments '[ARGS]{'",
                "required": "a garbled call: 'write_file{\"path\"' with arguments '[ARGS]{'",
                "named": 'accepted and not enforced: read_file was named, and write_file{"path" was called',
                "parallel": "a garbled call: 'write_file{\"path\"' with arguments '[ARGS]{'",
            },
        ),
        (
            _ignores_required,
            {"required": "accepted and not enforced: the model answered in text where a call was required"},
        ),
        (_ignores_named, {"named": "accepted and not enforced: read_file was named, and write_file was called"}),
        (
            _ignores_strict,
            {"strict": 'accepted and not enforced: the arguments are {"path": "out/word.txt", "content": "quixotic"}'},
        ),
        (_one_id, {"parallel": "2 calls came, whose ids are not told apart: ['call_1', 'call_1']"}),
        (
            _stream_loses_calls,
            {"streamed": 'whole: call write_file({"path": "out/word.txt", "content": "quixotic"}); streamed: nothing'},
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
                "streamed": "no reply: the stream ended without its [DONE]",
                "truncated": "no reply: the stream ended without its [DONE]",
            },
        ),
        (
            _hides_the_cut,
            {"truncated": "a streamed call was cut off at max_tokens, and finish_reason is 'tool_calls', not 'length'"},
        ),
        (
            _refuses_results,
            {"round_trip": "the server takes only call ids of nine letters and digits, and its own are not"},
        ),
        (
            _thinks_aloud,
            {
                "reasoning": "reasoning stands in the content (<think>): there is no reasoning parser, or another "
                "model's"
            },
        ),
        (
            _answers_in_reasoning,
            {"reasoning": "the answer stands in the field 'reasoning', and the content is empty"},
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
                "json_schema": "response_format is accepted and not enforced: 'quixotic'",
                "choice": "structured_outputs is accepted and not enforced: 'quixotic'",
            },
        ),
        (_never_cached, {"prefix_cache": "a prompt of 330 tokens was computed anew when it was sent again"}),
        (
            _bills_more,
            {"tokenizer": "/tokenize counts 16 tokens where usage says 23: it renders the messages otherwise"},
        ),
    ],
)
def test_a_defect_is_named(change: Change, expected: Mapping[str, str]):
    with serve(change) as server:
        report = probe(server.url)

    assert broken(report) == expected
    assert all(check.fix for check in report.checks if check.verdict == "broken")


def test_a_server_that_asks_for_no_key_is_told_so():
    with serve() as server:
        report = probe(server.url, api_key="secret")

    assert broken(report) == {"key": "a request without the key is answered with HTTP 200: the server asks for none"}
    assert server.requests[0].headers["authorization"] == "Bearer secret"


def test_a_draft_of_which_nothing_is_accepted_is_told_so():
    counted = "vllm:spec_decode_num_drafts_total 50\nvllm:spec_decode_num_accepted_tokens_total 0\n"
    with serve(metrics=VLLM_METRICS + counted) as server:
        report = probe(server.url)

    assert broken(report) == {
        "speculative": "acceptance length 1.00 over 50 drafts: nothing that the draft proposes is accepted, so it "
        "only costs"
    }


def test_when_no_chat_request_is_answered_the_one_cause_is_named_and_nothing_else_is_asked():
    reason = "GrammarFactory.get_lark_from_jinja() missing 1 required positional argument: 'force_tool_names'"
    with serve(lambda _body, _good: http_error(400, reason)) as server:
        report = probe(server.url)

        assert len(server.bodies) == 1
    assert broken(report) == {
        "chat": "the installed mistral_common is 1.13 or newer, and this vLLM does not give it an argument that it "
        "wants (force_tool_names): every chat request fails"
    }
    assert found(report)["auto"] == CheckResult(
        check="auto", verdict="unknown", detail="not asked: no chat request is answered (see: a plain reply)"
    )
    assert report.capabilities == Capabilities()


def test_a_server_without_any_of_the_extras_is_asked_in_its_own_way():
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


def test_a_server_that_refuses_reasoning_in_the_history_is_known_for_it():
    def picky(body: Json, good: Json) -> Answer:
        return http_error(422, "reasoning: extra") if '"reasoning":' in json.dumps(body["messages"]) else good

    with serve(picky) as server:
        report = probe(server.url)

    assert found(report)["round_trip"] == CheckResult(
        check="round_trip",
        verdict="works",
        detail="the model went on; reasoning in the history is refused: HTTP 422: reasoning: extra",
    )
    assert report.capabilities.reasoning_replayed is False


def test_the_reasoning_of_sglang_comes_under_its_own_name():
    def renamed(body: Json, good: Json) -> Answer:
        message = message_of(good)
        if "reasoning" in message:
            message["reasoning_content"] = message.pop("reasoning")
        return good

    with serve(renamed, metrics="sglang:num_running_reqs 1\n") as server:
        report = probe(server.url)

    assert (report.kind, report.capabilities.reasoning_field) == ("sglang", "reasoning_content")
    assert found(report)["choice"].verdict == "works"


def test_a_server_that_knows_only_the_field_of_openai_is_known_for_it():
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
        detail="`structured_outputs` is a field of vLLM, and this server ignores it",
    )


@pytest.mark.parametrize(
    ("owner", "metrics", "kind"),
    [("vllm", "", "vllm"), ("sglang", "", "sglang"), ("me", "", "generic"), ("vllm", "sglang:x 1", "sglang")],
)
def test_a_server_is_known_by_its_metrics_or_by_its_models_owner(owner: str, metrics: str, kind: str):
    card = surroundings.ModelCard(name="m", window_tokens=None, owner=owner)

    assert surroundings.kind_of(card, parse_metrics(metrics)) == kind


def test_a_model_that_makes_no_call_is_not_called_a_broken_server():
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


def test_a_server_that_is_busy_for_a_moment_is_not_called_broken():
    def busy(body: Json, good: Json) -> Answer:
        return http_error(503, "overloaded") if named(body) else good

    with serve(busy) as server:
        report = probe(server.url)

    assert found(report)["named"] == CheckResult(
        check="named", verdict="unknown", detail="no reply: HTTP 503: overloaded"
    )
    assert report.capabilities.named_works is None


@pytest.mark.parametrize("answer", [html(), html(502), raw(b"\xff\xfe"), raw(b"null"), raw(b"[1]"), reset(), stream()])
def test_whatever_the_chat_route_sends_the_probe_ends(answer: Answer):
    with serve(lambda _body, _good: answer) as server:
        report = probe(server.url)

    assert found(report)["chat"].verdict == "broken"


DEEP = "[" * 900 + "]" * 900


@pytest.mark.parametrize("text", [DEEP, '{"choices":' * 500 + "1" + "}" * 500, "[" * 200_000])
def test_a_reply_that_is_nested_without_end_is_read_as_text(text: str):
    with serve(lambda _body, _good: raw(text)) as server:
        report = probe(server.url)

    assert found(report)["chat"].detail.startswith("no reply: HTTP 200 with a body that is no chat reply: ")


def test_arguments_that_are_nested_without_end_are_no_object():
    result = calls.judge_auto(said(tool_calls=[call("write_file")]), said(), "vllm")
    deep = said(tool_calls=[{"function": {"name": "write_file", "arguments": f'{{"path": {DEEP}}}'}}])

    assert (result.verdict, calls.judge_auto(deep, said(), "vllm").verdict) == ("works", "broken")


@pytest.mark.parametrize("answer", [stall(), keep_alive()], ids=["silent", "trickling"])
def test_a_server_that_does_not_end_its_reply_does_not_hold_up_the_probe(answer: Answer):
    with serve(lambda _body, _good: answer) as server:
        report = probe(server.url, deadline_s=0.5)

    assert found(report)["chat"].verdict == "broken"
    assert "no whole reply within 0." in found(report)["chat"].detail
    assert found(report)["auto"].detail == "not asked: no chat request is answered (see: a plain reply)"
    assert found(report)["tokenizer"].verdict == "unknown"


# What cannot be probed at all.


def test_an_address_that_is_none_is_refused():
    with pytest.raises(EngineError) as caught:
        probe("localhost:8000")

    assert str(caught.value) == (
        "'localhost:8000' is not an http address.\nNow:   Write it like http://127.0.0.1:8000/v1."
    )


@pytest.mark.parametrize("address", ["http://", "http://h:port/v1", "http://[::1/v1", "", "ftp://127.0.0.1/v1"])
def test_an_odd_address_is_refused(address: str):
    with pytest.raises(EngineError, match="is not an http address"):
        probe(address)


def test_a_server_that_does_not_answer_is_named():
    with serve() as server:
        url = server.url
    with pytest.raises(EngineError) as caught:
        probe(url)

    assert str(caught.value) == (
        f"No server answers at {url}/models.\n"
        "Cause: ConnectionRefusedError: [Errno 111] Connection refused\n"
        "Now:   Start it, or give the address of one that runs; `agent serve status` names the one started here."
    )


def test_an_address_without_v1_is_told_where_the_routes_are():
    with serve() as server:
        root = server.url.removesuffix("/v1")
        with pytest.raises(EngineError) as caught:
            probe(root)

    assert str(caught.value) == (
        f"No model is listed at {root}/models.\n"
        "Cause: HTTP 404: Not Found\n"
        "Now:   Give the root of the OpenAI-compatible routes; on most servers it ends in /v1."
    )


def test_a_model_that_is_not_served_is_named_with_those_that_are():
    with serve() as server, pytest.raises(EngineError) as caught:
        probe(server.url, model="other")

    assert str(caught.value) == (
        f"{server.url} does not serve 'other'.\n"
        "Cause: it serves: m\n"
        "Now:   Name one of these with --model, or none: then the first is asked."
    )


# The judges alone.


def said(content: str = "", **more: Any) -> Exchange:
    """A chat reply."""
    finish = more.pop("finish", "stop")
    usage = {name: more.pop(name) for name in ("prompt_tokens", "completion_tokens") if name in more}
    message = {"content": content, **more}
    return Exchange(status=200, body={"choices": [{"message": message, "finish_reason": finish}], "usage": usage})


def test_an_effort_that_changes_nothing_is_not_offered():
    result = judges.judge_effort(said("a"), said("a"), Exchange(status=404), Exchange(status=404), "generic")

    assert (result.verdict, result.detail) == (
        "not_offered",
        "accepted and without a visible effect: neither the prompt nor the reasoning changes",
    )


def test_an_effort_shows_in_the_tokens_of_the_prompt():
    none, high = (Exchange(status=200, body={"tokens": tokens}) for tokens in ([1, 2, 3], [1, 9, 3]))
    result = judges.judge_effort(said("a"), said("a"), none, high, "vllm")

    assert (result.verdict, result.detail) == ("works", "1 of the prompt's 3 tokens change with it")


def test_an_effort_shows_in_the_reasoning():
    high = said("a", reasoning_content="hm")
    result = judges.judge_effort(said("a"), high, Exchange(status=404), Exchange(status=404), "sglang")

    assert (result.verdict, result.detail) == ("works", "reasoning comes at high and none at none")


def test_reasoning_whose_marks_were_filtered_out_is_found_without_the_filter():
    result = judges.judge_reasoning(said("It is one word.quixotic"), said("[THINK]It is one word.[/THINK]"), "sglang")

    assert (result.verdict, result.fix) == (
        "broken",
        "Start SGLang with the model's own --reasoning-parser; for Mistral: --reasoning-parser mistral.",
    )


def test_a_thought_without_an_end_is_the_models_own_affair():
    result = judges.judge_reasoning(said("", reasoning="well", finish="length"), None, "vllm")

    assert (result.verdict, result.detail) == (
        "unknown",
        "in the field 'reasoning'; it ran into max_tokens before an answer came",
    )


def test_a_form_that_the_model_does_not_finish_is_unknown():
    result = judges.judge_json_schema(said('{"content"     ', finish="length"), "vllm")

    assert (result.verdict, result.detail) == ("unknown", "the reply ran into max_tokens: '{\"content\"'")


def test_a_choice_that_holds_only_without_reasoning_works_with_a_warning():
    result = judges.judge_choice(said("quixotic"), said("alpha"), "vllm")

    assert result == CheckResult(
        check="choice",
        verdict="works",
        detail="only with include_reasoning: false",
        warning="Without include_reasoning: false a choice or a regex is accepted and ignored. Start vLLM with "
        "--structured-outputs-config '{\"enable_in_reasoning\":true}'.",
    )


def test_a_field_of_vllm_that_another_server_ignores_is_not_offered():
    assert judges.judge_choice(said("quixotic"), None, "generic").verdict == "not_offered"


def test_a_cut_that_only_the_stream_admits_works_with_a_warning():
    cut = {"tool_calls": [call("write_file")], "finish": "length", "completion_tokens": 12}
    result = calls.judge_truncated(said(**{**cut, "finish": "tool_calls"}), said(**cut), "vllm")

    assert result == CheckResult(
        check="truncated",
        verdict="works",
        detail="finish_reason 'length' in a stream; without streaming it is not said",
        warning="Without streaming a call that was cut off looks like a whole one, even with arguments that were "
        "invented ({}): stream, or compare usage.completion_tokens with max_tokens. `agent run` does both.",
    )


def test_a_forced_call_that_finds_no_end_counts_if_a_wanted_one_comes():
    rambling = said("quixotic quixotic", finish="length")
    wanted = said(tool_calls=[call("write_file", path="a", content="b")])

    assert calls.judge_required(rambling, wanted, "vllm") == CheckResult(
        check="required",
        verdict="works",
        detail="a call came where the model makes one; where it would not, the model found no end",
    )


def test_an_engine_that_words_the_same_call_otherwise_is_not_called_broken():
    whole = said(tool_calls=[call("write_file", path="a", content="b")])
    streamed = said(tool_calls=[call("write_file", path="a", content="c")])

    assert calls.judge_streamed(whole, streamed, "vllm").verdict == "unknown"


def test_a_model_that_calls_in_one_way_and_talks_in_the_other_is_not_called_a_broken_server():
    called, talked = said(tool_calls=[call("write_file", path="a", content="b")]), said(content="I cannot.")
    lost = said(content='[TOOL_CALLS]write_file[ARGS]{"path": "a"}')
    cut = said(tool_calls=[{"function": {"name": "write_file", "arguments": '{"path'}}], finish="length")

    assert calls.judge_streamed(called, talked, "vllm").verdict == "unknown"
    assert calls.judge_streamed(talked, called, "vllm").verdict == "unknown"
    assert calls.judge_streamed(called, cut, "vllm").verdict == "unknown"
    assert calls.judge_streamed(called, lost, "vllm").verdict == "broken"
    assert calls.judge_streamed(called, said(content=""), "vllm").verdict == "broken"


def test_a_server_that_keeps_only_longer_prompts_is_not_told_to_switch_its_cache_on():
    usage = {"prompt_tokens": 330, "prompt_tokens_details": {"cached_tokens": 0}}
    none = Exchange(status=200, body={"choices": [{"message": {"content": "q"}}], "usage": usage})
    quiet = EngineMetrics(engine="unknown")

    assert surroundings.judge_prefix_cache(none, quiet, quiet, "generic").verdict == "unknown"
    assert surroundings.judge_prefix_cache(none, quiet, quiet, "vllm").verdict == "broken"


@pytest.mark.parametrize("status", [302, 404, 429, 500, 503])
def test_a_server_that_answers_otherwise_without_a_key_is_not_said_to_ask_for_none(status: int):
    result = surroundings.judge_key("http://10.0.0.7:8000/v1", Exchange(status=status), None, "vllm")

    assert (result.verdict, result.detail) == ("unknown", f"answered with HTTP {status}")


@pytest.mark.parametrize("head", [b"HTTP/1.1 100 Continue\r\n\r\n", b"X"], ids=["continues", "trickles"])
def test_a_server_that_never_ends_its_headers_does_not_hold_up_the_probe(head: bytes):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def talk() -> None:
            peer, _ = listening.accept()
            with peer, suppress(OSError):
                while True:
                    peer.sendall(head)
                    threading.Event().wait(0.01)

        threading.Thread(target=talk, daemon=True).start()
        ask = HttpTransport(api_key="", ends_at=time.monotonic() + 0.5)
        exchange = ask(ProbeRequest(method="GET", url=f"http://127.0.0.1:{listening.getsockname()[1]}/"))

    assert exchange.status is None
    assert exchange.failure.startswith("no whole reply within 0.")


def test_a_line_break_of_unicode_in_a_streamed_text_ends_no_event():
    event = {"choices": [{"delta": {"content": "one\u2028two\x85three"}, "finish_reason": "stop"}]}
    sent = f"data: {json.dumps(event, ensure_ascii=False)}\r\n\r\ndata: [DONE]\n\n".encode()

    reply = read_chat(read_events(200, sent.decode()))

    assert isinstance(reply, SeenReply)
    assert reply.content == "one\u2028two\x85three"


def test_what_a_server_says_cannot_steer_the_terminal():
    assert brief("\x1b[2Jgone \ud800\nnext") == "?[2Jgone ? next"


@pytest.mark.parametrize(
    ("words", "why"),
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
            "the server takes only call ids of nine letters and digits, and its own are not",
        ),
        (
            "reasoning_effort=high is nothing I know",
            "the server refuses it: HTTP 400: reasoning_effort=high is nothing I know",
        ),
    ],
)
def test_a_refusal_is_known_by_its_words(words: str, why: str):
    refused = Exchange(status=400, body={"error": {"message": words, "code": 400}})
    result = calls.judge_auto(refused, refused, "vllm")

    assert (result.verdict, result.detail) == ("broken", why)


def test_a_parser_that_fails_where_a_grammar_is_asked_for_is_another_models():
    text = said('[TOOL_CALLS]write_file[ARGS]{"path": "a"}')
    result = calls.judge_auto(text, Exchange(status=500, body={"error": {"message": "Internal server error"}}), "vllm")

    assert result.detail == (
        'the server left the call as text in content (\'[TOOL_CALLS]write_file[ARGS]{"path": "a"}\'): its tool '
        "parser is another model's"
    )


def test_a_cache_that_only_the_metrics_tell_of_works_with_a_warning():
    before, after = (EngineMetrics(engine="vllm", prefix_hits=hits) for hits in (10, 138))
    result = surroundings.judge_prefix_cache(said("q", prompt_tokens=200), before, after, "vllm")

    assert result == CheckResult(
        check="prefix_cache",
        verdict="works",
        detail="128 of 200 prompt tokens came from it (its metrics say so, usage does not)",
        warning="Usage does not say how much of a prompt was cached: vLLM says it with --enable-prompt-tokens-details.",
    )


def test_a_server_that_others_reach_without_a_key_is_warned_of():
    result = surroundings.judge_key("http://10.0.0.7:8000/v1", None, None, "vllm")

    assert (result.verdict, result.warning) == (
        "not_offered",
        "Everybody who reaches this address may use the model. Start vLLM with a key in the variable VLLM_API_KEY.",
    )


def test_a_key_that_guards_a_part_of_an_open_server_is_warned_of():
    refused, answered = Exchange(status=401), Exchange(status=200)
    result = surroundings.judge_key("http://10.0.0.7:8000/v1", refused, answered, "vllm")

    assert (result.verdict, result.detail, result.warning) == (
        "works",
        "HTTP 401",
        "The key guards /v1 only: /metrics and /tokenize answer to everybody who reaches this address. Put a proxy "
        "before the server that passes /v1 alone.",
    )


@pytest.mark.parametrize(
    ("url", "here"),
    [("http://127.0.0.1:1/v1", True), ("http://[::1]:1/v1", True), ("http://localhost/v1", True),
     ("http://10.0.0.1/v1", False), ("https://example.org/v1", False)],
)  # fmt: skip
def test_the_loopback_is_known(url: str, here: bool):
    assert surroundings.is_loopback(url) is here


def test_a_streamed_call_is_put_together():
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
    late = HttpTransport(api_key="", ends_at=0.0, clock=lambda: 1.0)
    exchange = late(ProbeRequest(method="GET", url="http://127.0.0.1:9/v1/models"))

    assert read_chat(exchange) == NoReply(
        cause="not_asked", reason="the time for the probe was used up before it was asked"
    )
    assert judges.judge_chat(exchange, "vllm").verdict == "unknown"


# No reply is too odd.

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
    lambda held: {"choices": [{"message": held, "delta": held, **held}], "usage": held.get("usage")}
)
EXCHANGES = st.builds(
    Exchange,
    status=st.none() | st.sampled_from([200, 200, 200, 400, 401, 404, 422, 500]),
    body=JSON | CHATS,
    events=st.lists(JSON | CHATS, max_size=3).map(tuple),
    failure=st.sampled_from(["", "", "cut"]),
    asked=st.booleans(),
)


@given(one=EXCHANGES, two=EXCHANGES, third=EXCHANGES, fourth=EXCHANGES, kind=st.sampled_from(["vllm", "generic"]))
def test_no_reply_is_too_odd_for_a_judge(one: Exchange, two: Exchange, third: Exchange, fourth: Exchange, kind: Any):
    metrics = surroundings.read_metrics(third)
    results = [
        calls.judge_auto(one, two, kind),
        calls.judge_required(one, two, kind),
        calls.judge_named(one, kind),
        calls.judge_strict(one, kind),
        calls.judge_parallel(one, kind),
        calls.judge_streamed(one, two, kind),
        calls.judge_truncated(one, two, kind),
        calls.judge_round_trip(one, two, kind),
        judges.judge_chat(one, kind),
        judges.judge_reasoning(one, two, kind),
        judges.judge_effort(one, two, third, fourth, kind),
        judges.judge_json_schema(one, kind),
        judges.judge_choice(one, two, kind),
        surroundings.judge_tokenizer(one, two, kind),
        surroundings.judge_prefix_cache(one, metrics, metrics, kind),
        surroundings.judge_metrics(one, kind),
        surroundings.judge_speculative(metrics, kind),
        surroundings.judge_key("http://127.0.0.1/v1", one, two, kind),
        *(surroundings.judge_models(card) for card in surroundings.model_cards(one)),
    ]
    for result in results:
        assert "\n" not in result.detail
        assert bool(result.fix) == (result.verdict == "broken")


# What is kept.

SOUND_REPORT = ProbeReport(
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


def test_what_was_found_is_found_again(tmp_path: Path):
    path = write_cache(SOUND_REPORT, tmp_path)

    assert path == tmp_path / "probes" / "127.0.0.1-8000-v1-87459d11.json"
    assert read_cache("http://127.0.0.1:8000/v1/", tmp_path) == SOUND_REPORT
    assert read_cache("http://127.0.0.1:8001/v1", tmp_path) is None
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "change",
    [{"format": 2}, {"checks": None}, {"checks": []}, {"capabilities": {"x": 1}}, {"at": 5}, {"at": "today"},
     {"more": 1}, {"base_url": "http://elsewhere/v1"}],
)  # fmt: skip
def test_a_file_that_does_not_fit_counts_as_none(change: Json, tmp_path: Path):
    path = write_cache(SOUND_REPORT, tmp_path)
    path.write_text(json.dumps(cast("Json", json.loads(path.read_text())) | change))

    assert read_cache(SOUND_REPORT.base_url, tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "\udcff"])
def test_a_file_that_is_no_report_counts_as_none(text: str, tmp_path: Path):
    path = cache_path(SOUND_REPORT.base_url, tmp_path)
    path.parent.mkdir()
    path.write_bytes(text.encode("utf-8", "surrogateescape"))

    assert read_cache(SOUND_REPORT.base_url, tmp_path) is None


def test_a_report_is_recalled_for_the_model_it_is_about(tmp_path: Path):
    with serve() as server:
        report = replace(SOUND_REPORT, base_url=server.url, version="")
        write_cache(report, tmp_path)

        assert find_report(server.url, model=None, api_key="", state=tmp_path) == report
        assert find_report(server.url, model="m", api_key="", state=tmp_path) == report
        assert find_report(server.url, model="other", api_key="", state=tmp_path) is None


def test_a_report_of_another_version_is_not_recalled(tmp_path: Path):
    with serve() as server:
        write_cache(replace(SOUND_REPORT, base_url=server.url), tmp_path)

        assert find_report(server.url, model="m", api_key="", state=tmp_path) is None


def test_a_report_of_a_server_that_is_gone_is_not_recalled(tmp_path: Path):
    with serve() as server:
        url = server.url
    write_cache(replace(SOUND_REPORT, base_url=url), tmp_path)

    assert find_report(url, model="m", api_key="", state=tmp_path) is None

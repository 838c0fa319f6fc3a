"""The probe on slow servers: every check is answered within the time limit."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import repeat
from typing import Any, cast

import pytest

from agent.testing import Answer, Received, ScriptedServer
from agent.testing.faults import Fault
from serving.probe import ProbeReport, probe
from serving.probe.pace import Pace
from serving.probe.records import Exchange
from serving.probe.requests import RequestBuilder

Json = dict[str, Any]

# 30 tokens/s for 60 s, ten times as fast.
TOKENS_PER_S = 300.0
DEADLINE_S = 6.0
METRICS = "vllm:num_requests_running 0\nvllm:prefix_cache_hits_total 5\n"


def sound(body: Json) -> Json:
    """Answer like a model that does what it is asked, with as many tokens as a large one needs."""
    message: Json = {"role": "assistant", "content": "quixotic"}
    finish, tokens, tools = "stop", 6, body.get("tools", [])
    choice = body.get("tool_choice")
    if body.get("reasoning_effort") == "high":
        message["reasoning"], tokens = "It is one word, so I say it.", 40
    if "structured_outputs" in body or "response_format" in body:
        message["content"] = "alpha" if "choice" in str(body.get("structured_outputs")) else '{"content": "quixotic"}'
        tokens = 12
    elif tools and body["messages"][-1]["role"] == "user":
        names = ["read_file", "read_file"] if tools[0]["function"]["name"] == "read_file" else ["write_file"]
        names = [choice["function"]["name"]] if isinstance(choice, dict) else names
        path = "probe/strict.txt" if tools[0]["function"].get("strict") else "out/word.txt"
        arguments = f'{{"path": "{path}", "content": "quixotic"}}' if "write_file" in names else f'{{"path": "{path}"}}'
        calls = [
            {"id": f"probe000{number}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for number, name in enumerate(names)
        ]
        message |= {"content": None, "tool_calls": calls}
        finish, tokens = "tool_calls", 32 * len(calls)
    if tokens > body["max_tokens"]:
        finish, tokens = "length", body["max_tokens"]
        for one in message.get("tool_calls", ()):
            one["function"]["arguments"] = '{"path": "out'
    return completion(body, message, finish, tokens)


def rambling(body: Json) -> Json:
    """Answer like dummy weights: words until the last token."""
    return completion(body, {"role": "assistant", "content": "half navy " * 9}, "length", body["max_tokens"])


def completion(body: Json, message: Json, finish: str, tokens: int) -> Json:
    # As the scripted server counts at /tokenize.
    prompt = -(-len(json.dumps([body.get("tools"), body["messages"]]).encode()) // 4)
    prompt += body.get("reasoning_effort") == "high"
    usage = {"prompt_tokens": prompt, "completion_tokens": tokens, "prompt_tokens_details": {"cached_tokens": 16}}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}


def probed(answer: Callable[[Json], Json]) -> tuple[ProbeReport, list[Json]]:
    """Probe a server with this model at the speed above; return the report and the chat requests."""

    def slow(received: Received) -> Answer:
        reply = answer(received.json)
        # A mapping is sent like a reply, which its type does not say.
        return Fault(reply=cast("Any", reply), delay_s=reply["usage"]["completion_tokens"] / TOKENS_PER_S)

    with ScriptedServer(repeat(slow), model="m", metrics=METRICS) as server:
        report = probe(server.url, deadline_s=DEADLINE_S)
        return report, server.bodies


def test_every_check_of_a_slow_server_is_answered_in_time():
    """13 of 19 checks were unknown on an H200 that computed 30 tokens/s."""
    report, _ = probed(sound)

    assert {check.check: check.detail for check in report.checks if check.verdict not in ("works", "not_offered")} == {}
    assert report.elapsed_s < DEADLINE_S


def test_every_request_to_a_slow_model_that_never_stops_is_answered_in_time():
    report, bodies = probed(rambling)

    assert [check.check for check in report.checks if not check.answered] == []
    assert report.elapsed_s < DEADLINE_S
    # Also if the server computes one reply at a time.
    assert sum(body["max_tokens"] for body in bodies) / TOKENS_PER_S < DEADLINE_S


def replied(tokens: int, elapsed_s: float) -> Exchange:
    body = {"choices": [{"message": {"content": "a"}}], "usage": {"completion_tokens": tokens}}
    return Exchange(status=200, body=body, elapsed_s=elapsed_s)


@pytest.mark.parametrize(
    ("tokens_per_s", "reasoning", "call", "brief"),
    [(5.0, 64, 64, 48), (30.0, 153, 90, 63), (300.0, 256, 128, 128)],
)
def test_the_faster_the_server_the_longer_a_reply_may_be(tokens_per_s: float, reasoning: int, call: int, brief: int):
    pace = Pace(deadline_s=60.0)
    pace.observe(replied(8, 8.0))  # The first reply waits for the engine's warm-up.
    pace.observe(replied(100, 100 / tokens_per_s))
    build = pace.apply(RequestBuilder(base_url="http://127.0.0.1:9/v1", model="m"))

    assert (build.reasoning_tokens, build.call_tokens, build.brief_tokens) == (reasoning, call, brief)


def test_a_server_that_does_not_report_its_tokens_may_send_the_longest_replies():
    pace = Pace(deadline_s=60.0)
    pace.observe(Exchange(status=200, body={"choices": [{"message": {"content": "a"}}]}, elapsed_s=9.0))
    build = RequestBuilder(base_url="http://127.0.0.1:9/v1", model="m")

    assert pace.apply(build) == build

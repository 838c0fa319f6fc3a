"""Servers that refuse or ignore a part of a request: it is left out, said once, remembered, and the run goes on."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent import Agent, Endpoint, Limits, tool
from agent.journal.events import Adapted, Event, Retried
from agent.messages import Image, Usage
from agent.model.profiles import GENERIC
from agent.testing import Answer, Received, ScriptedServer, calls, faults, says

RESULT = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
SEEN = ("look", {})
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="

Policy = Callable[[dict[str, Any]], Answer | None]
"""Returns what a server answers to a request that it does not accept. None means it accepts it."""


@tool
def look() -> str:
    """Look."""
    return "seven"


@tool
def picture() -> Image:
    """Return a picture."""
    return Image(data=PIXEL, media_type="image/png")


def answers(policy: Policy) -> Callable[[Received], Answer]:
    def answer(received: Received) -> Answer:
        body = received.json
        refusal = policy(body)
        if refusal is not None:
            return refusal
        names = [tool["function"]["name"] for tool in body.get("tools", [])]
        done = body["messages"][-1]["role"] != "user" or isinstance(body["messages"][-1]["content"], list)
        if names and not done and body["messages"][-1]["content"] != "Hello" and len(body["messages"]) <= 2:
            return calls((names[0], {}))
        return says("It is 7.")

    return answer


class Ran:
    def __init__(self, policy: Policy, *, runs: int = 1, **settings: Any) -> None:
        self.events: list[Event] = []
        options = {key: settings.pop(key) for key in ("output_type", "tools") if key in settings}
        window = settings.pop("window_tokens", 32_768)
        scripted = (answers(policy) for _ in itertools.count())
        with ScriptedServer(scripted, window_tokens=window, tokenize=False) as server:
            settings = {"profile": GENERIC, "first_wait_s": 0.01, "patience_s": 1.0, **settings}
            agent = Agent(Endpoint(server.url, **settings), limits=Limits(steps=20), **{"tools": [look], **options})
            self.outcomes = [agent.run_sync("Look.", observe=self.events.append) for _ in range(runs)]
            self.bodies = server.bodies
        self.notices = [event.notice for event in self.events if isinstance(event, Adapted)]
        self.retries = [event.reason for event in self.events if isinstance(event, Retried)]


def refuses(text: str, used: Callable[[dict[str, Any]], object], *, status: int = 400) -> Policy:
    return lambda body: faults.http_error(status, text) if used(body) else None


def is_strict(body: dict[str, Any]) -> bool:
    return any(tool["function"].get("strict") for tool in body.get("tools", []))


REFUSALS: dict[str, tuple[Policy, str, dict[str, Any]]] = {
    "strict": (
        refuses("Unknown parameter: 'tools[0].function.strict'.", is_strict), "without `strict`", {"strict": False}
    ),
    "strict, unnamed": (
        refuses("Extra inputs are not permitted", is_strict, status=422), "without `strict`", {"strict": False}
    ),
    "stream_options": (
        refuses("Unrecognized request argument supplied: stream_options", lambda body: "stream_options" in body),
        "without `stream_options`", {"stream_usage": False},
    ),
    "streams": (
        refuses("Streaming is not supported with tools", lambda body: body["stream"]), "whole instead of streamed",
        {"stream": False},
    ),
    "an empty stream": (
        lambda body: faults.stream(done=False) if body["stream"] else None, "whole instead of streamed",
        {"stream": False},
    ),
    "temperature": (
        refuses("'temperature' does not support 0.0. Only the default (1) value is supported.",
                lambda body: "temperature" in body), "Neither `temperature`", {"sampling": False}
    ),
    "max_tokens": (
        refuses("Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.",
                lambda body: "max_tokens" in body), "`max_completion_tokens`",
        {"reply_field": "max_completion_tokens"},
    ),
    "more than its limit": (
        refuses("max_tokens is too large: 8192. This model supports at most 4096 completion tokens.",
                lambda body: body.get("max_tokens", 0) > 4_096), "limited to 4,096 tokens", {"reply_tokens": 4_096}
    ),
    "tool_choice": (
        refuses("Unrecognized request argument supplied: tool_choice", lambda body: "tool_choice" in body),
        "`tool_choice` is not sent", {"tool_choice": False},
    ),
    "the system role": (
        refuses("System role not supported", lambda body: body["messages"][0]["role"] == "system"),
        "first message of the user", {"system_role": False},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_what_a_server_refuses_is_left_out_said_once_and_remembered(name: str) -> None:
    policy, notice, _ = REFUSALS[name]
    ran = Ran(policy, runs=2)
    assert [outcome.status for outcome in ran.outcomes] == ["finished", "finished"]
    assert len(ran.notices) == 2, "once in each run"
    assert all(notice in text for text in ran.notices)
    assert ran.notices[1].endswith("Why: an earlier request was refused.")
    assert all(policy(body) is None for body in ran.bodies[-2:]), "the second run is refused nothing"
    assert ran.retries == []


@pytest.mark.parametrize("name", REFUSALS)
def test_a_setting_spares_the_attempt(name: str) -> None:
    policy, _, settings = REFUSALS[name]
    ran = Ran(policy, **settings)
    assert (ran.outcomes[0].status, len(ran.bodies), ran.notices) == ("finished", 2, [])


def test_a_resumed_run_sends_nothing_that_was_refused_before(tmp_path: Path) -> None:
    policy = REFUSALS["strict"][0]
    with ScriptedServer((answers(policy) for _ in itertools.count()), tokenize=False) as server:
        begun = Agent(Endpoint(server.url, profile=GENERIC), tools=[look], limits=Limits(steps=1), runs=tmp_path)
        assert begun.run_sync("Look.").status == "budget"
        folder = next(tmp_path.glob("[!.]*"))
        server.requests.clear()
        again = Agent(Endpoint(server.url, profile=GENERIC), tools=[look], limits=Limits(steps=5), runs=tmp_path)
        assert asyncio.run(again.resume(folder)).status == "finished"
        assert not any(is_strict(body) for body in server.bodies)


def test_a_server_that_ignores_that_streams_are_wanted_loses_nothing() -> None:
    reply = {"choices": [{"message": {"content": "It is 7."}, "finish_reason": "stop"}]}
    ran = Ran(lambda body: faults.raw(reply) if body["stream"] else None, tools=[])
    assert (ran.outcomes[0].answer, len(ran.bodies), ran.notices) == ("It is 7.", 1, [])


def test_a_reply_that_does_not_fit_is_asked_for_shorter_and_the_window_is_remembered() -> None:
    def too_much(body: dict[str, Any]) -> Answer | None:
        prompt = len(json.dumps([body["messages"], body["tools"]])) // 4
        if prompt + body["max_tokens"] > 4_096:
            text = f"maximum context length is 4096 tokens and your request has {prompt} input tokens"
            return faults.http_error(400, text)
        return says("It is 7.", usage=None)

    ran = Ran(too_much, runs=2, window_tokens=None)
    assert [outcome.status for outcome in ran.outcomes] == ["finished", "finished"]
    assert len(ran.bodies) == 3, "only the first request is refused"
    assert "The window is taken to be 4,096 tokens" in ran.notices[0]


def test_a_limit_that_the_server_does_not_name_is_found_by_halving() -> None:
    ran = Ran(refuses("max_tokens is too large", lambda body: body["max_tokens"] > 1_500), window_tokens=None)
    assert [body["max_tokens"] for body in ran.bodies] == [8_192, 4_096, 2_048, 1_024, 1_024]
    assert (ran.outcomes[0].status, len(ran.notices)) == ("finished", 1)


def test_a_prompt_that_is_too_long_ends_as_budget_with_both_numbers() -> None:
    text = "request (27360 tokens) exceeds the available context size (4096 tokens), try increasing it"
    ran = Ran(refuses(text, lambda _: True), window_tokens=None)
    assert (ran.outcomes[0].status, ran.outcomes[0].exit_code, len(ran.bodies)) == ("budget", 3, 1)
    assert ran.outcomes[0].reason == (
        "the conversation filled the context window before the task was done (the prompt has 27,360 tokens of 4,096)"
    )


def test_near_the_window_no_request_is_refused_even_if_the_server_cannot_count() -> None:
    """Every byte is a token on this server, far more than a usual tokenizer makes of it."""
    refused: list[int] = []
    numbers = itertools.count()

    @tool
    def count() -> str:
        """Count."""
        return f"{next(numbers)} " + "x" * 700

    def answer(received: Received) -> Answer:
        body = received.json
        tokens = len(json.dumps([body["messages"], body["tools"]]).encode())
        if tokens + body["max_tokens"] > 16_384:
            refused.append(tokens)
            return faults.http_error(400, "This model's maximum context length is 16384 tokens.")
        return calls(("count", {}), text=f"{tokens}", usage=Usage(prompt_tokens=tokens, completion_tokens=10))

    with ScriptedServer((answer for _ in itertools.count()), window_tokens=16_384, tokenize=False) as server:
        endpoint = Endpoint(server.url, profile=GENERIC, reply_tokens=4_096)
        Agent(endpoint, tools=[count], limits=Limits(steps=30)).run_sync("Count.")
        longest = max(len(request.body) for request in server.requests)
    assert refused == []
    assert longest > 10_000, "the window was nearly full"


@pytest.mark.parametrize(("status", "text"), [(500, "image input is not supported"), (500, "oops"), (400, "no"),
                                              (422, "unknown variant `image_url`, expected `text`")])  # fmt: skip
def test_a_refused_picture_of_a_tool_is_left_out_and_never_retried(status: int, text: str) -> None:
    def has_image(body: dict[str, Any]) -> bool:
        return any(isinstance(message["content"], list) for message in body["messages"])

    ran = Ran(refuses(text, has_image, status=status), tools=[picture])
    assert (ran.outcomes[0].status, ran.retries) == ("finished", [])
    assert "a note in place of each image" in ran.notices[0]


def test_a_failure_that_is_not_about_the_picture_keeps_it() -> None:
    failed: list[bool] = []

    def once(body: dict[str, Any]) -> Answer | None:
        if not failed and any(isinstance(message["content"], list) for message in body["messages"]):
            failed.append(True)
            return faults.http_error(500, "oops")
        return None

    ran = Ran(once, tools=[picture])
    assert (ran.outcomes[0].status, len(ran.retries), ran.notices) == ("finished", 1, [])
    assert isinstance(ran.bodies[-1]["messages"][-1]["content"], list)


def test_a_forced_result_that_is_ignored_is_asked_for_in_other_ways_and_then_the_run_is_stuck() -> None:
    ran = Ran(lambda _: says("The number is 7."), output_type=RESULT)
    assert ran.outcomes[0].status == "stuck"
    assert len(ran.bodies) < 20
    named = [body for body in ran.bodies if isinstance(body["tool_choice"], dict)]
    formats = [body for body in ran.bodies if "response_format" in body]
    assert (len(named), len(formats)) == (1, 1), "each way is tried once"


def test_a_forced_result_that_is_ignored_is_held_by_a_response_format() -> None:
    def answer(body: dict[str, Any]) -> Answer:
        return says('{"n": 7}') if "response_format" in body else says("The number is 7.")

    ran = Ran(answer, output_type=RESULT)
    assert (ran.outcomes[0].status, ran.outcomes[0].output) == ("finished", {"n": 7})


def test_missing_usage_is_said_once_and_budgets_count_an_estimate() -> None:
    ran = Ran(lambda _: says("word " * 100, usage=None), tools=[])
    outcome = ran.outcomes[0]
    assert (outcome.usage.output_tokens, outcome.usage.prompt_tokens > 50) == (167, True)
    assert outcome.usage.estimated_tokens == outcome.usage.total_tokens
    assert [text for text in outcome.notices if "no usage" in text] == [
        "The server sends no usage, so token counts and token budgets are an estimate: about 3 bytes per token, "
        "reasoning that the server does not send not included."
    ]


def test_runs_in_an_open_endpoint_share_a_connection() -> None:
    async def run_twice(url: str) -> None:
        endpoint = Endpoint(url, profile=GENERIC)
        async with endpoint.open():
            for _ in range(2):
                assert (await Agent(endpoint).run("Hi.")).status == "finished"

    ports: list[str] = []
    with ScriptedServer(says("Hi.") for _ in itertools.count()) as server:
        accept = server._accept  # pyright: ignore[reportPrivateUsage]
        server._accept = lambda reader, writer: (ports.append("new"), accept(reader, writer))[1]  # type: ignore[method-assign]
        asyncio.run(run_twice(server.url))
    assert len(ports) <= 1

"""Every kind of server failure, over real HTTP: runs survive temporary failures and report permanent ones."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from agent import Agent, Endpoint, EndpointUnreachable, Limits, Outcome, tool
from agent.journal.events import ContextRenewed, Event, Retried
from agent.model.profiles import MISTRAL
from agent.testing import Answer, Fault, Received, ScriptedAnswer, ScriptedServer, calls, faults, says

DEADLINE_S = 0.25
REPLY = says("The sum is seven, and this sentence is long enough to be cut in the middle.")


@dataclass(frozen=True, kw_only=True)
class Ran:
    outcome: Outcome
    added: list[tuple[int, int]]
    events: list[Event]
    bodies: list[dict[str, Any]]

    @property
    def retries(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, Retried)]


def answers_correctly(received: Received) -> Answer:
    """Call `add`, then answer; the answer depends only on the request, however often it is sent."""
    last = received.json["messages"][-1]
    return REPLY if last["role"] == "tool" else calls(("add", {"a": 3, "b": 4}))


async def run(
    answers: Iterable[ScriptedAnswer],
    *,
    stream: bool,
    patience_s: float = 20.0,
    first_byte_timeout_s: float = 20.0,
    idle_timeout_s: float = 20.0,
) -> Ran:
    added: list[tuple[int, int]] = []
    events: list[Event] = []

    @tool
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        added.append((a, b))
        return a + b

    with ScriptedServer(itertools.chain(answers, itertools.repeat(answers_correctly)), strict=True) as server:
        endpoint = Endpoint(
            server.url,
            profile=MISTRAL,
            stream=stream,
            patience_s=patience_s,
            first_wait_s=0.002,
            first_byte_timeout_s=first_byte_timeout_s,
            idle_timeout_s=idle_timeout_s,
        )
        outcome = await Agent(endpoint, tools=[add]).run("Add 3 and 4.", observe=events.append)
    assert server.refusals == []
    return Ran(outcome=outcome, added=added, events=events, bodies=server.bodies)


TEMPORARY: dict[str, tuple[list[Fault], str]] = {
    "h01_429_retry_after": ([faults.http_error(429, "slow down", headers={"Retry-After": "0"})], "HTTP 429: slow down"),
    "h02_429_no_header": ([faults.http_error(429, "slow down")], "HTTP 429: slow down"),
    "h03_503_once": ([faults.http_error(503, "loading")], "HTTP 503: loading"),
    "h04_500_once": ([faults.http_error(500, "oops")], "HTTP 500: oops"),
    "h05_reset_before_reply": ([faults.reset()], "No answer from"),
    "h06_cut_mid_body": ([faults.cut(REPLY)], "peer closed connection without sending complete message body"),
    "h06_reset_mid_body": ([faults.reset(REPLY)], "No answer from"),
    "h09_html_200": ([faults.html()], "did not answer like an OpenAI-compatible server"),
    "h10_empty_200": ([faults.raw(b"")], "did not answer like an OpenAI-compatible server"),
    "h11_error_object_200": (
        [faults.raw({"error": {"message": "busy"}})],
        "HTTP 500: busy",
    ),
    "h13_invalid_json_200": ([faults.raw('{"choices": [')], "did not answer like an OpenAI-compatible server"),
    "wrong_content": ([faults.raw({"hello": "world"})], "did not answer like an OpenAI-compatible server"),
    "a_list": ([faults.raw(b"[1, 2]")], "did not answer like an OpenAI-compatible server"),
    "h14_502_html_x4": ([faults.html(502)] * 4, "HTTP 502"),
    "h15_refused_while_it_restarts": ([faults.restart(0.05)], "No answer from"),
    "h16_408_once": ([faults.http_error(408)], "HTTP 408"),
    "h17_409_once": ([faults.http_error(409)], "HTTP 409"),
    "425_once": ([faults.http_error(425)], "HTTP 425"),
    "h20_503_x8": ([faults.http_error(503, "loading")] * 8, "HTTP 503: loading"),
}
STREAMED: dict[str, tuple[list[Fault], str]] = {
    "h18_chunked_cut": ([faults.cut(calls(("add", {"a": 3, "b": 4})), share=0.9)], "incomplete chunked read"),
    "82_cut_between_name_and_arguments": ([faults.cut(calls(("add", {"a": 3, "b": 4})), share=0.5)], "incomplete"),
    "ended_early_but_orderly": (
        [faults.stream({"choices": [{"index": 0, "delta": {"content": "The"}}]}, done=False)],
        "the stream ended before the reply was complete",
    ),
    "error_in_stream": ([faults.error_in_stream(500, "engine died")], "HTTP 500: engine died"),
    "broken_chunk": ([faults.stream(b'data: {"choices": [\n\n')], "invalid JSON"),
}


async def check_recovery(name: str, bad: list[Fault], reason: str, *, stream: bool) -> None:
    ran = await run(bad, stream=stream)
    assert (ran.outcome.status, ran.outcome.answer, ran.added) == ("finished", REPLY.content, [(3, 4)])
    assert len(ran.retries) >= len(bad)
    assert all(reason in text for text in ran.retries[: len(bad)]), ran.retries
    assert all(body["messages"] == ran.bodies[0]["messages"] for body in ran.bodies[: len(bad) + 1]), name


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", TEMPORARY)
async def test_a_temporary_failure_is_retried_and_no_call_is_executed_twice(name: str, stream: bool) -> None:
    bad, reason = TEMPORARY[name]
    await check_recovery(name, bad, reason, stream=stream)


@pytest.mark.parametrize("name", STREAMED)
async def test_a_broken_stream_is_requested_again_from_the_start(name: str) -> None:
    bad, reason = STREAMED[name]
    await check_recovery(name, bad, reason, stream=True)


FIRST = f"timed out after {DEADLINE_S:g} s without the first byte"
NEXT = f"timed out after {DEADLINE_S:g} s without the next part of the reply"
STALLS: dict[str, tuple[Fault, bool, str]] = {
    "h08_stall_forever_whole": (faults.stall(), False, FIRST),
    "h08_stall_forever_stream": (faults.stall(), True, FIRST),
    "h19_header_then_stall_whole": (faults.stall(REPLY, share=0.0), False, FIRST),
    "h19_header_then_stall_stream": (faults.stall(REPLY, share=0.0), True, FIRST),
    "stall_mid_body": (faults.stall(REPLY), False, FIRST),
    "stall_mid_stream": (faults.stall(REPLY), True, NEXT),
    "84_comments_only": (faults.keep_alive(), True, FIRST),
    "84_comments_only_from_the_middle": (faults.keep_alive(REPLY), True, NEXT),
}


@pytest.mark.parametrize("name", STALLS)
async def test_a_stalled_request_times_out_and_is_retried(name: str) -> None:
    bad, stream, reason = STALLS[name]
    deadlines = {"first_byte_timeout_s": DEADLINE_S} if reason == FIRST else {"idle_timeout_s": DEADLINE_S}
    ran = await run([bad], stream=stream, **deadlines)
    assert (ran.outcome.status, ran.outcome.answer, ran.added) == ("finished", REPLY.content, [(3, 4)])
    assert reason in ran.retries[0]


async def test_h07_a_slow_reply_is_not_retried() -> None:
    ran = await run([faults.slow(calls(("add", {"a": 3, "b": 4})), delay_s=0.1)], stream=True)
    assert (ran.outcome.status, ran.added, ran.retries) == ("finished", [(3, 4)], [])


TOO_LONG = "This model's maximum context length is 32768 tokens. However, your request has 40000 input tokens."


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_h12_a_full_context_restarts_with_a_summary(stream: bool) -> None:
    bad = faults.http_error(400, TOO_LONG)
    ran = await run([calls(("add", {"a": 3, "b": 4})), bad, says("I added."), REPLY], stream=stream)
    assert (ran.outcome.status, ran.outcome.answer, ran.added) == ("finished", REPLY.content, [(3, 4)])
    # The summary is asked for without the turn that did not fit.
    assert [message["role"] for message in ran.bodies[2]["messages"]] == ["system", "user", "user"]
    assert [message["content"] for message in ran.bodies[3]["messages"][1:]] == [
        "Add 3 and 4.\n\nYou are in the middle of this task; the conversation was restarted because it filled the "
        "context window. Nothing is known to be wrong with your last changes.\nThe files are as you left them.\n\n"
        "What you wrote for yourself before the restart:\n> I added.\n\n"
        "Your last calls ran, but you have not seen their results yet. These are the results:\n\n"
        '=== add {"a": 3, "b": 4} -> ok\n7\n\n'
        "Go on with the task from here. Read again only what you need."
    ]
    assert [event.restored for event in ran.events if isinstance(event, ContextRenewed)] == [()]
    assert ran.retries == []


async def test_h12_a_context_that_is_full_from_the_start_ends_the_run() -> None:
    ran = await run([faults.http_error(400, TOO_LONG)], stream=True)
    assert (ran.outcome.status, ran.added, len(ran.bodies)) == ("budget", [], 1)
    assert ran.outcome.reason == (
        "the conversation filled the context window before the task was done (the prompt has 40,000 tokens of 32,768)"
    )


CLIENT_ERRORS: dict[str, Callable[[], Fault]] = {
    str(status): lambda status=status: faults.http_error(status, "no") for status in (400, 401, 403, 404, 422)
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("status", CLIENT_ERRORS)
async def test_a_permanent_refusal_is_not_retried(status: str, stream: bool) -> None:
    ran = await run([CLIENT_ERRORS[status]()], stream=stream)
    assert (ran.outcome.status, ran.added, len(ran.bodies), ran.retries) == ("error", [], 1, [])
    assert f"/chat/completions refused the request with HTTP {status}: no" in ran.outcome.reason
    assert ran.outcome.exit_code == 2


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_request_that_always_gets_a_500_is_sent_six_times(stream: bool) -> None:
    ran = await run(itertools.repeat(faults.http_error(500, "oops")), stream=stream)
    assert (ran.outcome.status, len(ran.bodies), len(ran.retries)) == ("error", 6, 5)
    assert ran.outcome.reason.endswith("refused the request with HTTP 500: oops")


@pytest.mark.parametrize("bad", [faults.http_error(503, "loading"), faults.reset()], ids=["503", "reset"])
async def test_when_patience_ends_the_run_reports_the_last_failure(bad: Fault) -> None:
    ran = await run(itertools.repeat(bad), stream=True, patience_s=0.1)
    assert (ran.outcome.status, ran.added) == ("error", [])
    assert ran.retries
    assert ran.outcome.reason == ran.retries[-1]


async def test_a_retry_after_beyond_patience_is_not_waited_for() -> None:
    ran = await run([faults.http_error(429, "later", headers={"Retry-After": "3600"})], stream=True, patience_s=1.0)
    assert (ran.outcome.status, ran.retries) == ("error", [])
    assert ran.outcome.reason.endswith("refused the request with HTTP 429: later")


async def test_a_refused_named_tool_choice_is_replaced_by_the_schema_of_the_tool() -> None:
    invalid = calls(("add", {"a": "three", "b": 4}))
    constrained = says('{"a": 3, "b": 4}')
    ran = await run(
        [invalid, faults.http_error(400, "tool_choice is not supported"), constrained, answers_correctly], stream=True
    )
    assert (ran.outcome.status, ran.outcome.answer, ran.added) == ("finished", REPLY.content, [(3, 4)])
    first, named, schema, _ = ran.bodies
    assert named == {**first, "tool_choice": {"type": "function", "function": {"name": "add"}}}
    parameters = first["tools"][0]["function"]["parameters"]
    assert schema == {**first, "tool_choice": "none", "structured_outputs": {"json": parameters}}


async def test_an_unreachable_server_is_an_error_before_the_run() -> None:
    server = ScriptedServer().start()
    server.close()
    with pytest.raises(EndpointUnreachable, match="Is the server up"):
        await Agent(Endpoint(server.url, profile=MISTRAL)).run("Hello.")


@pytest.fixture
async def quick_waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the waits between attempts so far; each only moves the time of the loop."""
    waits = list[float]()

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0.001)  # what is due by now comes first

    loop = asyncio.get_running_loop()
    loop.time = lambda: time.monotonic() + sum(waits)
    monkeypatch.setattr(
        "agent.loop.clock.asyncio", SimpleNamespace(sleep=wait, get_running_loop=asyncio.get_running_loop)
    )
    return waits


async def test_waiting_for_a_server_takes_nothing_of_the_limit_of_time(quick_waits: list[float]):
    """A run with less time left than an upgrade of the engine takes gave up during it."""
    loading = faults.http_error(503, "loading", headers={"Retry-After": "200"})
    with ScriptedServer([loading, loading, REPLY]) as server:
        endpoint = Endpoint(server.url, patience_s=900.0)
        outcome = await Agent(endpoint, limits=Limits(wall_s=60.0)).run("Well?")
    assert (outcome.status, quick_waits) == ("finished", [200.0, 200.0])
    assert outcome.usage.wall_s < 60.0


async def test_patience_ends_whatever_the_limit_of_time(quick_waits: list[float]):
    loading = faults.http_error(503, "loading", headers={"Retry-After": "200"})
    with ScriptedServer(itertools.repeat(loading)) as server:
        endpoint = Endpoint(server.url, patience_s=900.0)
        outcome = await Agent(endpoint, limits=Limits(wall_s=60.0)).run("Well?")
    assert (outcome.status, quick_waits) == ("error", [200.0] * 4)

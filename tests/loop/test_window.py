"""The context window: estimated prompt sizes, room for replies, and what happens when it is full."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from agent import Agent, Endpoint, EndpointRejected, Image, Ladder, Outcome, Rung, tool
from agent.journal.events import ContextRenewed, Event, Requested
from agent.loop.summary import trained_summary
from agent.loop.window import (
    LIKELY_BYTES_PER_TOKEN,
    PromptSize,
    likely_tokens,
    min_reply_tokens,
    reply_room,
    result_limit_chars,
)
from agent.messages import AssistantMessage, Message, ToolCall, ToolResult, Usage
from agent.model.profiles import MISTRAL
from agent.testing import ScriptedModel, ScriptedServer, calls, says


@pytest.mark.parametrize(
    ("size", "wire_bytes", "expected"),
    [
        (PromptSize(), 1_000, 500),
        (PromptSize(counted_tokens=300, counted_bytes=1_000), 1_000, 300),
        (PromptSize(counted_tokens=300, counted_bytes=1_000), 1_400, 500),
        (PromptSize(counted_tokens=300, counted_bytes=1_000), 10, 300),
    ],
)
def test_counted_tokens_are_used_and_the_rest_is_estimated_high(size: PromptSize, wire_bytes: int, expected: int):
    assert size.estimate(wire_bytes) == expected


def test_the_likely_estimate_is_lower():
    assert PromptSize().estimate(3_000, bytes_per_token=LIKELY_BYTES_PER_TOKEN) == 1_000


@pytest.mark.parametrize(
    ("prompt", "window", "wanted", "allowed", "room"),
    [
        (100, None, 8_192, None, 8_192),
        (100, 32_768, 8_192, None, 8_192),
        (30_000, 32_768, 8_192, None, 2_768),
        (100, 32_768, 8_192, 50, 50),
        (40_000, 32_768, 8_192, None, 1),
    ],
)
def test_reply_room_is_limited_by_window_and_budget(
    prompt: int, window: int | None, wanted: int, allowed: int | None, room: int
):
    assert reply_room(prompt_tokens=prompt, window_tokens=window, wanted=wanted, allowed=allowed) == room


# The summary.


def turn(number: int, content: str = "fine", **result: Any) -> list[Message]:
    call = ToolCall(id=f"call{number:05}", name="look", arguments=json.dumps({"at": number}))
    answer = ToolResult(tool_call_id=call.id, name="look", content=content, **result)
    return [AssistantMessage(tool_calls=(call,)), answer]


def test_a_summary_has_one_line_per_call():
    messages = [*turn(1), *turn(2, "\n\nError: no\nmore", status="error"), *turn(3, "x" * 500)]

    assert trained_summary(messages, reason="it was stuck", restored=False) == (
        "An earlier attempt at this task failed: it was stuck\nWhat it tried, in order:\n"
        '- look {"at": 1} -> ok: fine\n- look {"at": 2} -> error: Error: no\n'
        f'- look {{"at": 3}} -> ok: {"x" * 160}\n'
        "The workspace is as the earlier attempt left it. Take another way."
    )


def test_a_summary_of_no_calls_and_of_too_many():
    assert "\n- nothing was called\nThe workspace is back" in trained_summary([], reason="x", restored=True)
    lines = trained_summary([m for n in range(45) for m in turn(n)], reason="x", restored=True).splitlines()
    assert (lines[2], lines[3], len(lines)) == ("- (5 earlier calls are left out)", '- look {"at": 5} -> ok: fine', 44)


# In a run.


@tool(read_only=True, output_limit_chars=100_000)
def read(size: int) -> str:
    """Read a lot."""
    return "word " * (size // 5)


async def run_on(server: ScriptedServer) -> Outcome:
    return await Agent(Endpoint(server.url, profile=MISTRAL, stream=False), tools=[read]).run("Go.")


async def test_the_server_counts_only_near_the_window():
    script = [
        calls(("read", {"size": 100}), usage=Usage(prompt_tokens=300, completion_tokens=9)),
        calls(*(("read", {"size": size}) for size in range(9_000, 9_030, 5)), usage=Usage(prompt_tokens=6_000)),
        says("Done."),
    ]
    with ScriptedServer(script, window_tokens=32_768) as server:
        outcome = await run_on(server)

    assert outcome.status == "finished"
    paths = [request.path for request in server.requests if request.method == "POST"]
    assert paths == ["/v1/chat/completions", "/v1/chat/completions", "/tokenize", "/v1/chat/completions"]
    counted = len(json.dumps([server.bodies[2]["tools"], server.bodies[2]["messages"]]).encode()) / 4
    assert [body["max_tokens"] for body in server.bodies] == [8_192, 8_192, 8_192]
    assert counted + 8_192 < 32_768


async def test_a_request_records_whether_its_prompt_was_counted_or_estimated():
    reads = [calls(*(("read", {"size": size + at}) for at in range(0, 20, 5))) for size in (4_800, 4_820)]
    events: list[Event] = []
    with ScriptedServer([*reads, says("Done.")], window_tokens=16_384) as server:
        endpoint = Endpoint(server.url, profile=MISTRAL, stream=False)
        await Agent(endpoint, tools=[read]).run("Go.", observe=events.append)

    requested = [event for event in events if isinstance(event, Requested)]
    assert [event.source for event in requested] == ["estimate", "engine", "engine"]
    counted = -(-len(json.dumps([server.bodies[2]["tools"], server.bodies[2]["messages"]]).encode()) // 4)
    assert requested[2].prompt_tokens == likely_tokens(requested[2]) == counted
    assert likely_tokens(requested[0]) == round(requested[0].prompt_tokens * 2 / 3)


async def test_a_prompt_that_is_too_long_by_an_estimate_is_called_about():
    """The reason named the estimate as if the server had counted it."""
    outcome = await Agent(ScriptedModel([], window_tokens=4_096)).run("word " * 14_000)
    assert re.search(r"\(the prompt has about [\d,]+ tokens of 4,096\)", outcome.reason), outcome.reason


async def test_reply_room_is_what_the_counted_prompt_leaves():
    reads = [calls(*(("read", {"size": size + at}) for at in range(0, 20, 5))) for size in (4_800, 4_820)]
    script = [*reads, says("Done.")]
    with ScriptedServer(script, window_tokens=16_384) as server:
        await run_on(server)

    counted = -(-len(json.dumps([server.bodies[2]["tools"], server.bodies[2]["messages"]]).encode()) // 4)
    assert server.bodies[2]["max_tokens"] == 16_384 - counted < 8_192


async def test_if_the_server_cannot_count_a_prompt_that_probably_fits_is_sent():
    """A run once ended as too long on an estimate of two bytes per token, which plain text never needs."""
    model = ScriptedModel([says("Done.")], window_tokens=32_768)

    outcome = await Agent(model).run("word " * 14_000)

    assert (outcome.status, len(model.requests)) == ("finished", 1)
    assert 8_000 < model.bodies[0]["max_tokens"] <= 8_192


async def test_the_estimate_for_an_image_does_not_depend_on_its_bytes():
    image = Image(data=base64.b64encode(bytes(300_000)).decode(), media_type="image/png")
    model = ScriptedModel([says("A cat.")], window_tokens=32_768)

    outcome = await Agent(model).run("What is it?", images=[image])

    assert (outcome.status, model.bodies[0]["max_tokens"]) == ("finished", 8_192)


NO_VISION = EndpointRejected("m is not a multimodal model", url="http://x/v1", status=400)
IMAGE = Image(data=base64.b64encode(b"png").decode(), media_type="image/png")


async def test_a_model_without_vision_gets_a_note_in_place_of_a_tools_image():
    @tool
    def look() -> Image:
        """Look."""
        return IMAGE

    model = ScriptedModel([calls(("look", {})), NO_VISION, calls(("look", {})), says("I cannot see it.")])
    outcome = await Agent(model, tools=[look]).run("What is it?")

    assert (outcome.status, outcome.steps) == ("finished", 3)
    assert [isinstance(model.bodies[at]["messages"][-1]["content"], list) for at in (1, 2, 3)] == [True, False, False]
    note = "Images returned by look, in order:\n(Not shown: you cannot see images. Continue without them.)"
    assert [message["content"] for message in model.bodies[3]["messages"] if message["role"] == "user"][1:] == [
        note
    ] * 2


async def test_a_retried_request_is_sent_without_the_image_too():
    @tool
    def look() -> Image:
        """Look."""
        return IMAGE

    busy = EndpointRejected("busy", url="http://x/v1", status=503)
    model = ScriptedModel([calls(("look", {})), NO_VISION, busy, says("I cannot see it.")], patience_s=60.0)
    outcome = await Agent(model, tools=[look]).run("What is it?")

    assert outcome.status == "finished", outcome.reason
    assert [isinstance(body["messages"][-1]["content"], list) for body in model.bodies[1:]] == [True, False, False]


async def test_a_task_with_an_image_ends_as_an_error_on_a_model_without_vision():
    outcome = await Agent(ScriptedModel([NO_VISION])).run("What is it?", images=[IMAGE])
    assert outcome.status == "error"
    assert outcome.reason.endswith(
        "m is not a multimodal model. Use a model with vision, or leave the images out of the prompt."
    )


FULL = EndpointRejected("This model's maximum context length is 2048 tokens.", url="http://x/v1", status=400)


async def test_a_full_window_renews_the_context_and_leaves_the_workspace_unchanged(tmp_path: Path):
    @tool
    def write(name: str = "file") -> str:
        """Write."""
        (tmp_path / name).touch()
        return "written"

    model = ScriptedModel([calls(("write", {"name": "file"})), FULL, says(""), says("Done.")])
    events: list[Event] = []

    outcome = await Agent(model, tools=[write], workspace=tmp_path).run("Go.", observe=events.append)

    assert (outcome.status, (tmp_path / "file").exists()) == ("finished", True)
    assert model.bodies[3]["messages"][1:] == [
        {
            "role": "user",
            "content": (
                "Go.\n\nYou are in the middle of this task; the conversation was restarted because it filled the "
                "context window. Nothing is known to be wrong with your last changes.\n"
                "The files are as you left them.\n\n"
                "Your changes so far:\n```diff\ndiff --git a/file b/file\nnew file mode 100644\n```\n\n"
                "Your last calls ran, but you have not seen their results yet. These are the results:\n\n"
                '=== write {"name": "file"} -> ok\nwritten\n\n'
                "Go on with the task from here. Read again only what you need."
            ),
        }
    ]
    assert [event.restored for event in events if isinstance(event, ContextRenewed)] == [()]


@pytest.mark.parametrize(
    ("ladder", "script"),
    [
        (Ladder(), [FULL]),
        # The request for a summary is refused as well, and then a new conversation and a shorter one.
        (Ladder(), [calls(("read", {"size": 10})), *[FULL] * 4]),
        (Ladder(rungs=(Rung(),)), [calls(("read", {"size": 10})), FULL]),
    ],
)
async def test_a_window_that_stays_full_ends_the_run(ladder: Ladder, script: list[Any]):
    model = ScriptedModel(script, window_tokens=2_048)

    outcome = await Agent(model, tools=[read], ladder=ladder).run("Go.")

    assert (outcome.status, len(model.requests)) == ("budget", len(script))
    assert re.fullmatch(
        r"the conversation filled the context window before the task was done \(the prompt has about \d+ tokens of "
        r"2,048\): .* This model's maximum context length is 2048 tokens\.",
        outcome.reason,
    )


async def test_a_prompt_that_cannot_fit_is_not_sent():
    model = ScriptedModel([], window_tokens=2_048)

    outcome = await Agent(model).run("word " * 4_000)

    assert (outcome.status, model.requests) == ("budget", [])


# Small windows.


@pytest.mark.parametrize(
    ("window", "is_new", "least"),
    [(262_144, False, 2_048), (16_384, False, 2_048), (8_192, False, 1_024), (8_192, True, 256), (512, True, 128)],
)
def test_a_conversation_restarts_before_replies_get_too_short(window: int, is_new: bool, least: int):
    assert min_reply_tokens(window, is_new=is_new) == least


@pytest.mark.parametrize(
    ("limit", "window", "chars"),
    [(16_000, None, 16_000), (16_000, 65_536, 16_000), (16_000, 16_384, 4_915), (16_000, 1_024, 800)],
)
def test_a_result_takes_no_more_than_a_tenth_of_the_window(limit: int, window: int | None, chars: int):
    assert result_limit_chars(limit, window) == chars


def test_dense_text_and_many_calls_of_a_turn_leave_less_for_each_result():
    assert result_limit_chars(16_000, 16_384, bytes_per_token=2.0) == 3_276
    assert [result_limit_chars(16_000, 16_384, calls=calls) for calls in (1, 4, 8)] == [4_915, 4_915, 2_457]


def test_the_bytes_of_a_token_are_what_the_server_counted_last():
    counted = PromptSize.of(1_000, 1_500)
    assert PromptSize().bytes_per_token(500, most=3.0) == 3.0
    assert counted.bytes_per_token(500, most=3.0) == pytest.approx(1.8)
    assert counted.bytes_per_token(9_500, most=3.0) == 3.0
    assert counted.less(1_000).bytes_per_token(500, most=3.0) == pytest.approx(1.8)
    assert counted.restarted().bytes_per_token(500, most=3.0) == pytest.approx(1.8)
    assert counted.restarted().counted_tokens == 0

"""Every request of a run is valid: mistral_common validates random runs, and history is append-only."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.validator import MistralRequestValidatorV15, ValidationMode
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

from agent import Agent, EndpointRejected, EndpointUnreachable, Image, Limits, Rung, Tool, ToolError, Verify, tool
from agent.journal.events import BranchEnded, ContextRenewed, Event, Folded, PrefixChanged, Requested, Resumed, RunEnded
from agent.journal.journal import read_journal
from agent.messages import AssistantMessage, RawCall, Reply, SystemMessage, ToolCall, ToolResult, Usage, UserMessage
from agent.model.history import History, call_id
from agent.model.profiles import GENERIC, MISTRAL, Profile
from agent.testing import ScriptedModel, says
from agent.testing.legality import refusal

TEKKEN = Path(__file__).parents[2] / "serving" / "pocket" / "model" / "tekken.json"
PIXEL = Image(
    data="iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    media_type="image/png",
)


def tools() -> list[Tool]:
    @tool(read_only=True)
    def add(a: int, b: int) -> int:
        """Add two integers."""
        return a + b

    @tool
    def write(path: str, text: str = "") -> str:
        """Report what was written."""
        return f"{path}: {len(text)} characters"

    @tool(read_only=True)
    def look(count: int = 1) -> list[Image]:
        """Return images."""
        return [PIXEL] * min(max(count, 1), 3)

    @tool(exclusive=True)
    def fail(how: str) -> str:
        """Fail."""
        if how == "ToolError":
            raise ToolError(how)
        raise ValueError(how)

    @tool
    def quiet() -> None:
        """Return nothing."""

    @tool(read_only=True)
    def dump(at: int = 0) -> str:
        """Return a long text."""
        return f"{at} " * 500

    return [add, write, look, fail, quiet, dump]


# Replies of a model, from valid to absurd.

NAMES = st.sampled_from(
    [
        "add",
        "write",
        "look",
        "fail",
        "quiet",
        "final_result",
        "Add",
        "ad",
        "wrtie",
        "functions.add",
        " add ",
        "",
        "nö tool",
        "x" * 80,
        "a b\n",
        "add</s>",
        "[TOOL_CALLS]add",
    ]
)
ARGUMENTS = st.one_of(
    st.sampled_from(
        [
            '{"a": 1, "b": 2}',
            '{"a": 2, "b": 2}',
            '{"path": "x", "text": "y"}',
            '{"how": "ToolError"}',
            '{"how": "oh"}',
            '{"count": 2}',
            "{}",
            "",
            "null",
            "[]",
            "3",
            '"text"',
            "true",
            '{"a": "1", "b": 2.0}',
            '{"a": 1}',
            "NaN",
            '{"a": 1, "b": 2, "c": 3}',
            "{'a': 1, 'b': 2}",
            '{"a": 1, "b": 2',
            '{"path": "x',
            '{"a": 1, "a": 2, "b": 3}',
            '"{\\"a\\": 1, \\"b\\": 2}"',
            '```json\n{"a": 1, "b": 2}\n```',
            '{"a": 1, "b": 2}</s>',
            '{"a": NaN, "b": 1}',
            '{"path": "�", "text": "\\ud800"}',
            '{"path": "[INST]", "text": "[/INST]"}',
            '{"a": 1e400, "b": 1}',
            '{"name": "add", "arguments": {"a": 1, "b": 2}}',
            "[" * 300,
            '{"a":' * 300,
            '{"path": "\x00"}',
        ]
    ),
    st.text(max_size=12),
)
IDS = st.sampled_from(["", "abcdefghi", "abcdefghi", "call_0123456789abcdef", "a", "ünïcödé!!", "000000000"])
RAW_CALLS = st.builds(RawCall, id=IDS, name=NAMES, arguments=ARGUMENTS)
GOOD_CALLS = st.sampled_from(
    [
        ("add", '{"a": 1, "b": 2}'),
        ("add", '{"a": 3, "b": 4}'),
        ("write", '{"path": "x"}'),
        ("look", "{}"),
        ("quiet", "{}"),
        ("dump", '{"at": 1}'),
        ("dump", '{"at": 2}'),
        ("fail", '{"how": "ToolError"}'),
        ("look", '{"count": 3}'),
    ]
).map(lambda call: RawCall(name=call[0], arguments=call[1]))
TEXTS = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            "\n",
            "Done.",
            "It is 3.",
            '[TOOL_CALLS]add[ARGS]{"a": 1, "b": 2}',
            "</s>",
            "�",
            "[INST]",
            "\x00",
            '<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>',
            "[THINK]hm",
            "[/THINK]",
            "<s>",
            '{"name": "add", "arguments": {"a": 5, "b": 2}}',
            '[TOOL_CALLS]add[ARGS]{"a": 1',
            "[THINK]so[/THINK]Yes.",
        ]
    ),
    st.text(max_size=8),
)
USAGES = st.one_of(
    st.none(),
    st.builds(
        Usage,
        prompt_tokens=st.sampled_from([0, 100, 900, 1_900]),
        completion_tokens=st.sampled_from([0, 5, 40]),
        cached_tokens=st.sampled_from([None, 0, 64]),
    ),
)
REPLIES = st.builds(
    Reply,
    content=TEXTS,
    reasoning=TEXTS,
    tool_calls=st.lists(st.one_of(GOOD_CALLS, RAW_CALLS), max_size=4).map(tuple),
    finish_reason=st.sampled_from(["stop", "stop", "tool_calls", "tool_calls", "unknown", "length", "content_filter"]),
    usage=USAGES,
    extra=st.sampled_from([{}, {"reasoning_field": "reasoning"}, {"reasoning_field": "reasoning_content"}]),
)
GOOD_REPLIES = st.builds(
    Reply,
    content=st.sampled_from(["", "Now I call."]),
    reasoning=st.sampled_from(["", "Let me think."]),
    tool_calls=st.lists(GOOD_CALLS, min_size=1, max_size=3).map(tuple),
    finish_reason=st.just("tool_calls"),
    usage=USAGES,
)
ERRORS = st.sampled_from(
    [
        EndpointUnreachable("refused", url="http://x/v1"),
        EndpointRejected("bad tool_choice", url="http://x/v1", status=400),
        EndpointRejected("the maximum context length is 9 tokens", url="http://x/v1", status=400),
        EndpointRejected("busy", url="http://x/v1", status=503),
    ]
)
SCRIPTS = st.lists(
    st.one_of(GOOD_REPLIES, GOOD_REPLIES, REPLIES, REPLIES, TEXTS.map(says), ERRORS), min_size=1, max_size=14
)
RESULT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}


def no_paths(_arguments: Mapping[str, Any], _workspace: Path) -> Sequence[str]:
    """Declare that a tool reaches no files."""
    return ()


class Killed(BaseException):
    """Ends a process, as far as this can be had in a test."""


@settings(
    max_examples=int(os.environ.get("AGENT_TEST_RUNS", "60")), deadline=None, suppress_health_check=list(HealthCheck)
)
@given(
    script=SCRIPTS,
    window_tokens=st.sampled_from([None, 1_500, 3_000, 32_768]),
    profile=st.sampled_from([MISTRAL, MISTRAL, GENERIC]),
    verify=st.sampled_from([None, None, Verify(command="test -e flag || { touch flag; exit 1; }", attempts=3)]),
    result=st.sampled_from([None, None, RESULT_SCHEMA]),
    killed_after=st.sampled_from([None, None, 4, 9, 14, 23]),
)
def test_no_request_of_any_run_is_refused_by_mistral_common(
    script: Sequence[Reply | Exception],
    window_tokens: int | None,
    profile: Profile,
    verify: Verify | None,
    result: Mapping[str, Any] | None,
    killed_after: int | None,
) -> None:
    model = ScriptedModel([*script, *[says("Done.")] * 60], window_tokens=window_tokens, profile=profile)
    events: list[Event] = []

    def observe(event: Event) -> None:
        events.append(event)
        if len(events) == killed_after and not isinstance(event, RunEnded):
            raise Killed

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "work").mkdir()
        agent = Agent(
            model,
            tools=tools(),
            limits=Limits(steps=30, wall_s=60.0),
            verify=verify,
            output_type=result,
            workspace=f"{folder}/work",
            runs=f"{folder}/runs",
            env={"PATH": "/usr/bin:/bin"},
        )
        try:
            outcome = asyncio.run(agent.run("Work.", images=[PIXEL], observe=observe))
        except Killed:
            outcome = asyncio.run(agent.resume(next(Path(folder, "runs").glob("[!.]*")), observe=observe))
        events = list(read_journal(outcome.journal or Path()))

    assert outcome.status in {"verified", "finished", "verify_failed", "budget", "stuck", "error"}
    for body in model.bodies:
        assert refusal(body) is None
        validate(body)
    check_ids(model.bodies)
    check_prefixes(model, events)


@settings(
    max_examples=int(os.environ.get("AGENT_TEST_RUNS", "60")) // 4, deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(
    script=SCRIPTS,
    profile=st.sampled_from([MISTRAL, MISTRAL, GENERIC]),
    passes=st.sampled_from(["false", "test -e flag || { touch flag; exit 1; }"]),
    killed_after=st.sampled_from([None, None, 9, 14, 23]),
)
def test_no_request_of_a_run_that_branches_is_refused_by_mistral_common(
    script: Sequence[Reply | Exception], profile: Profile, passes: str, killed_after: int | None
) -> None:
    rungs = (Rung(effort="none"), Rung(fresh_context=True), Rung(effort="high", branch=3))
    model = ScriptedModel([*script, *[says("Done.")] * 200], profile=profile)
    seen: list[Event] = []

    def observe(event: Event) -> None:
        seen.append(event)
        if len(seen) == killed_after and not isinstance(event, RunEnded):
            raise Killed

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "work").mkdir()
        agent = Agent(
            model, tools=[replace(one, paths=no_paths) for one in tools()],
            limits=Limits(steps=20, wall_s=60.0), verify=Verify(command=passes, attempts=2),
            ladder=replace(profile.ladder, rungs=rungs), workspace=f"{folder}/work", runs=f"{folder}/runs",
            env={"PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        try:
            outcome = asyncio.run(agent.run("Work.", observe=observe))
        except Killed:
            outcome = asyncio.run(agent.resume(next(Path(folder, "runs").glob("[!.]*")), observe=observe))
        events = list(read_journal(outcome.journal or Path()))

    assert outcome.status in {"verified", "verify_failed", "budget", "stuck", "error"}
    ends = [event.run for event in events if isinstance(event, BranchEnded)]
    assert len(ends) == len(set(ends)) in {0, 3}
    for body in model.bodies:
        assert refusal(body) is None
        validate(body)


def validate(body: Mapping[str, Any]) -> None:
    """Validate the request with mistral_common, and render it with the pocket model's tokenizer."""
    request = chat_request(body, with_images=True)
    MistralRequestValidatorV15(mode=ValidationMode.serving).validate_request(request)
    # The pocket model has no vision, so its tokenizer gets only the text.
    assert tokenizer().encode_chat_completion(chat_request(body, with_images=False)).tokens


def chat_request(body: Mapping[str, Any], *, with_images: bool) -> Any:
    messages = body["messages"] if with_images else [_without_images(message) for message in body["messages"]]
    return ChatCompletionRequest.from_openai(
        messages=messages, tools=body["tools"], reasoning_effort=body.get("reasoning_effort"), model=body["model"]
    )


def _without_images(message: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(message["content"], list):
        return message
    return {**message, "content": [part for part in message["content"] if part["type"] == "text"]}


@cache
def tokenizer() -> MistralTokenizer:
    return MistralTokenizer.from_file(str(TEKKEN), mode=ValidationMode.serving)


def check_ids(bodies: Sequence[Mapping[str, Any]]) -> None:
    """Check that ids are 9 of [A-Za-z0-9] and mean one call in the whole run, and that arguments are objects."""
    by_id: dict[str, str] = {}
    for body in bodies:
        seen: list[str] = []
        for message in body["messages"]:
            for call in message.get("tool_calls", []):
                assert re.fullmatch("[A-Za-z0-9]{9}", call["id"])
                assert isinstance(json.loads(call["function"]["arguments"]), dict)
                seen.append(call["id"])
                assert by_id.setdefault(call["id"], json.dumps(call)) == json.dumps(call)
        assert len(seen) == len(set(seen))


def check_prefixes(model: ScriptedModel, events: Sequence[Event]) -> None:
    """Check that each request begins with the messages of the one before it, unless it was folded or renewed.

    A re-ask has the same messages, and so has what is sent again because the server refused or ignored a part of it.
    What an event names as the first message that changed is the first one that the server got another text of.
    """
    sent = [list(request.messages) for request in model.requests if request.max_tokens > 1]  # not those of one word
    new = [
        sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(before, now, strict=False)))
        for before, now in itertools.pairwise(sent)
        if now[: len(before)] != before
    ]
    kinds = [type(event) for event in events if isinstance(event, ContextRenewed | Folded | Requested)]
    assert len(new) == sum(before is not now is Requested for before, now in itertools.pairwise(kinds))
    was_killed = any(isinstance(event, Resumed) for event in events)
    assert len(sent) >= kinds.count(Requested) - was_killed  # perhaps between the event and the request
    changed = [event for event in events if isinstance(event, PrefixChanged)]
    assert not any("unknown" in event.because for event in changed)
    assert Counter(event.first_message for event in changed if {"fold", "renewal"} & {*event.because}) <= Counter(
        [*new, *[0 for event in changed if {"effort", "server"} & {*event.because}]]
    )


# History alone.

CALL = ToolCall(id="call00000", name="add", arguments="{}")
RESULT = ToolResult(tool_call_id="call00000", name="add", content="3")
TURN = AssistantMessage(tool_calls=(CALL,))


def new_history(*, replay_reasoning: bool = True) -> History:
    history = History(replay_reasoning=replay_reasoning)
    history.add_system("Be good.")
    history.add_user(UserMessage(content="Work."))
    return history


def sent(history: History) -> list[Any]:
    return [json.loads(message) for message in history.wire]


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "call00000"), (61, "call0000z"), (62, "call00010"), (62**5 - 1, "callzzzzz")]
)
def test_call_ids_count_in_nine_characters(number: int, expected: str):
    assert call_id(number) == expected


def test_images_of_results_follow_all_results_in_one_user_message():
    first, second = (
        ToolCall(id="call00000", name="look", arguments="{}"),
        ToolCall(id="call00001", name="add", arguments="{}"),
    )
    history = new_history()
    history.add_turn(
        AssistantMessage(tool_calls=(first, second)),
        [
            ToolResult(tool_call_id="call00000", name="look", content="(an image: image/png)", images=(PIXEL, PIXEL)),
            ToolResult(tool_call_id="call00001", name="add", content="3"),
        ],
    )

    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL.data}"}}
    assert sent(history)[3:] == [
        {"role": "tool", "tool_call_id": "call00000", "content": "(an image: image/png)"},
        {"role": "tool", "tool_call_id": "call00001", "content": "3"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Images returned by look, in order:"}, image, image],
        },
    ]


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_is_sent_back_in_the_field_it_came_in(field: Any):
    history = new_history()
    history.add_turn(AssistantMessage(content="Yes.", reasoning="Hm.", reasoning_field=field), [])

    assert sent(history)[2] == {"role": "assistant", "content": "Yes.", field: "Hm."}


def test_reasoning_is_omitted_if_the_profile_does_not_replay_it():
    history = new_history(replay_reasoning=False)
    history.add_turn(AssistantMessage(content="Yes.", reasoning="Hm."), [])

    assert sent(history)[2] == {"role": "assistant", "content": "Yes."}


def test_a_restart_removes_the_messages_and_keeps_the_ids_reserved():
    history = new_history()
    history.add_turn(TURN, [RESULT])
    history.restart()

    assert (list(history.messages), list(history.wire), history.wire_bytes) == ([], [], 0)
    history.add_system("Be good.")
    with pytest.raises(AssertionError, match="call ids are unique in a run"):
        history.add_turn(TURN, [RESULT])


def test_the_digest_is_that_of_the_messages_as_they_are_now():
    history = new_history()
    history.add_turn(TURN, [RESULT])
    changes: list[Callable[[], object]] = [
        lambda: None,
        lambda: history.add_user(UserMessage(content="More.")),
        lambda: history.fold({RESULT.tool_call_id: "folded"}, images=""),
        history.restart,
        lambda: history.add_system("Be better."),
    ]
    for change in changes:
        change()
        assert (
            history.digest()
            == hashlib.blake2b(b"".join(b"%s\n" % one for one in history.wire), digest_size=8).hexdigest()
        )


def test_a_digest_reads_no_message_a_second_time(monkeypatch: pytest.MonkeyPatch):
    """At each of 400 requests, the whole history was read again, twice."""
    read: list[bytes] = []
    monkeypatch.setattr(hashlib, "blake2b", lambda digest_size: ListedHash(read))  # pyright: ignore[reportUnknownLambdaType]
    history = new_history()
    for number in range(10):
        history.add_user(UserMessage(content=f"Go on with {number}."))
        history.digest()
    assert [one for one in read if one != b"\n"] == list(history.wire)


class ListedHash:
    """A hash that lists what it is given."""

    def __init__(self, read: list[bytes]) -> None:
        self.update = read.append

    def hexdigest(self) -> str:
        return ""


def test_wire_bytes_is_the_size_of_all_messages():
    history = new_history()

    assert history.wire_bytes == sum(len(message) for message in history.wire) > 0
    assert list(history.messages) == [SystemMessage(content="Be good."), UserMessage(content="Work.")]


@pytest.mark.parametrize(
    ("turn", "results", "violated"),
    [
        (AssistantMessage(content=" "), [], "an assistant message needs text or calls"),
        (TURN, [], "one result per call, in call order"),
        (AssistantMessage(content="x"), [RESULT], "one result per call, in call order"),
        (AssistantMessage(tool_calls=(CALL, CALL)), [RESULT, RESULT], "call ids are unique in a message"),
        (TURN, [ToolResult(tool_call_id="call00000", name="add", content="")], "a result is never empty"),
    ],
)
def test_an_invalid_turn_fails_an_assertion(turn: AssistantMessage, results: list[ToolResult], violated: str):
    with pytest.raises(AssertionError, match=violated):
        new_history().add_turn(turn, results)


def test_a_system_message_after_the_start_fails_an_assertion():
    with pytest.raises(AssertionError, match="a system message is only allowed at the start"):
        new_history().add_system("Be better.")

"""Every kind of faulty model output, over real HTTP: what is executed, what feedback is sent, how the run ends."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.validator import MistralRequestValidatorV15, ValidationMode

from agent import Agent, Endpoint, Ladder, Outcome, Tool, ToolError, tool
from agent.journal.events import Event, Noticed, Repaired, Rescued, Triggered
from agent.messages import Usage
from agent.model.profiles import MISTRAL
from agent.testing import Answer, Received, ScriptedAnswer, ScriptedServer, calls, says

GOOD = ("add", {"a": 3, "b": 4})
SEVEN = ("add", 3, 4)


def tools(done: list[Any]) -> list[Tool]:
    """Return the tools of every run in this file; each records its calls in `done`."""

    @tool(read_only=True)
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        done.append(("add", a, b))
        return a + b

    @tool
    def ping() -> str:
        """Return pong."""
        done.append(("ping",))
        return "pong"

    @tool
    def boom(x: int) -> str:
        """Fail."""
        done.append(("boom", x))
        msg = f"kaboom {x}"
        raise ValueError(msg)

    @tool
    def note(text: str) -> str:
        """Write a note down."""
        done.append(("note", text))
        return "noted"

    @tool(output_limit_chars=2_000)
    def big() -> str:
        """Return a very large output."""
        done.append(("big",))
        return "first line\n" + "x" * 400_000 + "\nlast line"

    @tool(timeout_s=0.05)
    async def slow() -> str:
        """Take a long time."""
        done.append(("slow",))
        await asyncio.sleep(30)
        return "never"

    @tool
    def flag(on: bool) -> str:
        """Set the flag."""
        done.append(("flag", on))
        return "set"

    @tool
    async def echo(text: str) -> str:
        """Return the text."""
        done.append(("echo", text))
        return text

    @tool
    def refuse() -> str:
        """Refuse."""
        done.append(("refuse",))
        raise ToolError("not today")

    return [add, ping, boom, note, big, slow, flag, echo, refuse]


@dataclass(frozen=True, kw_only=True)
class Ran:
    """One run, with its events and requests."""

    outcome: Outcome
    done: list[Any]
    events: list[Event]
    bodies: list[dict[str, Any]]

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def repairs(self) -> tuple[str, ...]:
        return tuple(name for event in self.of(Repaired) for name in event.repairs)

    @property
    def triggers(self) -> list[str]:
        return [f"{event.trigger} {event.action}" for event in self.of(Triggered)]

    def last_message(self, request: int) -> str:
        """Return the content of the last message of a request, counted from 0."""
        return str(self.bodies[request]["messages"][-1]["content"])


def results(body: Mapping[str, Any]) -> list[str]:
    """Return the tool results in a request, in order."""
    return [message["content"] for message in body["messages"] if message["role"] == "tool"]


def answers_correctly(received: Received) -> Answer:
    """Play a model that makes the right call, and answers once it has the result."""
    return says("The sum is 7.") if "7" in results(received.json) else calls(GOOD)


async def run(
    answers: Iterable[ScriptedAnswer],
    *,
    stream: bool,
    ladder: Ladder | None = None,
    workspace: Path | None = None,
) -> Ran:
    done: list[Any] = []
    events: list[Event] = []
    with ScriptedServer(answers, strict=True) as server:
        endpoint = Endpoint(server.url, profile=MISTRAL, stream=stream, first_wait_s=0.0)
        agent = Agent(endpoint, tools=tools(done), ladder=ladder, workspace=workspace)
        outcome = await agent.run("Add 3 and 4.", observe=events.append)
    assert server.refusals == []
    for body in server.bodies:
        assert "Traceback" not in json.dumps(body)
        validate(body)
    return Ran(outcome=outcome, done=done, events=events, bodies=server.bodies)


def validate(body: Mapping[str, Any]) -> None:
    """Validate the request with mistral_common, with the ids as they were sent."""
    request = ChatCompletionRequest.from_openai(
        messages=body["messages"], tools=body["tools"], reasoning_effort=body["reasoning_effort"], model=body["model"]
    )
    MistralRequestValidatorV15(mode=ValidationMode.serving).validate_request(request)


def completion(message: Mapping[str, Any] | None, *, finish_reason: str | None = "tool_calls") -> dict[str, Any]:
    """Return a handwritten body, for what a Reply cannot express."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish_reason}
    if message is not None:
        choice["message"] = {"role": "assistant", "content": None, **message}
    usage = {"prompt_tokens": 100, "completion_tokens": 9, "total_tokens": 109}
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": "scripted", "choices": [choice], "usage": usage}


def a_call(name: str, arguments: object, *, call_id: object = "abcdefghi") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def one_call(name: str, arguments: object, *, call_id: object = "abcdefghi") -> dict[str, Any]:
    return completion({"tool_calls": [a_call(name, arguments, call_id=call_id)]})


@dataclass(frozen=True, kw_only=True)
class Repairable:
    """A faulty reply with one possible meaning: it is executed at once, and the journal records the repair."""

    bad: Answer
    done: tuple[Any, ...] = (SEVEN,)
    repairs: tuple[str, ...] = ()
    rescued: tuple[str, str] | None = None


def text_call(text: str, form: str, *, where: str = "content") -> Repairable:
    return Repairable(bad=says(text) if where == "content" else says("", reasoning=text), rescued=(where, form))


REPAIRABLE = {
    "m05_single_quotes": Repairable(bad=calls(("add", "{'a': 3, 'b': 4}")), repairs=("single_quotes",)),
    "m06_trailing_comma": Repairable(bad=calls(("add", '{"a": 3, "b": 4,}')), repairs=("trailing_comma",)),
    "m07_python_literals": Repairable(
        bad=calls(("flag", "{'on': True}")), done=(("flag", True),), repairs=("single_quotes", "python_literal")
    ),
    "m08_double_encoded": Repairable(bad=calls(("add", json.dumps('{"a": 3, "b": 4}'))), repairs=("double_encoded",)),
    "m09_ints_as_strings": Repairable(
        bad=calls(("add", {"a": "3", "b": "4"})), repairs=("string_to_integer $.a", "string_to_integer $.b")
    ),
    "m10_int_as_float": Repairable(bad=calls(("add", '{"a": 3.0, "b": 4}')), repairs=("float_to_integer $.a",)),
    "m18_prefixed_tool": Repairable(bad=calls(("functions.add", {"a": 3, "b": 4})), repairs=("name_prefix",)),
    "m19_case_tool": Repairable(bad=calls(("Add", {"a": 3, "b": 4})), repairs=("name_spelling",)),
    "m20_padded_tool": Repairable(bad=calls((" add ", {"a": 3, "b": 4})), repairs=("name_blanks",)),
    "m22_nested_wrapper": Repairable(
        bad=calls(("add", {"name": "add", "arguments": {"a": 3, "b": 4}})), repairs=("unwrapped",)
    ),
    "m23_markdown_fence": Repairable(bad=calls(("add", '```json\n{"a": 3, "b": 4}\n```')), repairs=("code_fence",)),
    "m24_raw_control_chars": Repairable(
        bad=calls(("note", '{"text": "one\ntwo"}')), done=(("note", "one\ntwo"),), repairs=("control_characters",)
    ),
    "m25_bad_escape": Repairable(
        bad=calls(("note", '{"text": "a\\d+z"}')), done=(("note", "a\\d+z"),), repairs=("single_backslashes",)
    ),
    "m30_trailing_text": Repairable(bad=calls(("add", '{"a": 3, "b": 4} I add them.')), repairs=("trailing_text",)),
    "m31_empty_args_where_none_are_needed": Repairable(
        bad=calls(("ping", "")), done=(("ping",),), repairs=("empty_arguments",)
    ),
    "m32_null_args_where_none_are_needed": Repairable(
        bad=calls(("ping", "null")), done=(("ping",),), repairs=("empty_arguments",)
    ),
    "m34_args_object_not_string": Repairable(bad=one_call("add", {"a": 3, "b": 4})),
    "m36_id_null": Repairable(bad=one_call("add", '{"a": 3, "b": 4}', call_id=None)),
    "m37_id_empty": Repairable(bad=one_call("add", '{"a": 3, "b": 4}', call_id="")),
    "m42_huge_args_1MB": Repairable(
        bad=calls(("note", {"text": "x" * 1_000_000}), usage=Usage(prompt_tokens=100, completion_tokens=5_000)),
        done=(("note", "x" * 1_000_000),),
    ),
    "m43_call_in_content_mistral": text_call('[TOOL_CALLS]add[ARGS]{"a": 3, "b": 4}', "mistral"),
    "m44_call_in_content_mistral_v3": text_call(
        '[TOOL_CALLS][{"name": "add", "arguments": {"a": 3, "b": 4}}]', "mistral_json"
    ),
    "m45_call_in_content_hermes": text_call(
        '<tool_call>\n{"name": "add", "arguments": {"a": 3, "b": 4}}\n</tool_call>', "hermes"
    ),
    "m46_call_in_content_json": text_call('{"name": "add", "arguments": {"a": 3, "b": 4}}', "bare_json"),
    "text_fence": text_call('Now:\n```json\n{"name": "add", "arguments": {"a": 3, "b": 4}}\n```', "fenced_json"),
    "call_in_reasoning": text_call('I add.\n[TOOL_CALLS]add[ARGS]{"a": 3, "b": 4}', "mistral", where="reasoning"),
    "m51_fin_stop_with_calls": Repairable(bad=calls(GOOD, finish_reason="stop")),
    "m52_unknown_finish_reason": Repairable(
        bad=completion({"tool_calls": [a_call("add", '{"a": 3, "b": 4}')]}, finish_reason="eos_abort")
    ),
    "m54_missing_usage": Repairable(bad=calls(GOOD, usage=None)),
    "m58_text_and_call": Repairable(bad=calls(GOOD, text="I add them.")),
    "r01_reasoning_content_roundtrip": Repairable(
        bad=completion({"reasoning_content": "I add.", "tool_calls": [a_call("add", '{"a": 3, "b": 4}')]})
    ),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", REPAIRABLE)
async def test_an_unambiguous_reply_is_repaired_and_executed_at_once(name: str, stream: bool) -> None:
    row = REPAIRABLE[name]
    ran = await run([row.bad, *[answers_correctly] * 3], stream=stream)
    assert (ran.outcome.status, ran.outcome.answer) == ("finished", "The sum is 7.")
    assert ran.done == [*row.done, *(() if SEVEN in row.done else (SEVEN,))]
    assert ran.repairs == row.repairs
    assert [(event.where, event.format) for event in ran.of(Rescued)] == ([row.rescued] if row.rescued else [])
    is_said = bool(row.rescued) or name == "m54_missing_usage"
    assert len(ran.outcome.notices) == len(ran.of(Noticed)) == is_said
    assert ran.triggers == []
    assert all(body["tool_choice"] == "auto" for body in ran.bodies)


@dataclass(frozen=True, kw_only=True)
class Invalid:
    """A call that must not be executed: a constrained re-ask comes first, then feedback."""

    bad: Answer
    feedback: str
    constrained_to: str = "add"
    """The tool that the re-ask is constrained to; `required` means any tool."""
    trigger: str = "invalid_call"


def bad_call(name: str, arguments: Mapping[str, Any] | str, wrong: str, **more: str) -> Invalid:
    return Invalid(bad=calls((name, arguments)), feedback=wrong, **more)


def mismatch(arguments: Mapping[str, Any] | str, wrong: str) -> Invalid:
    return bad_call("add", arguments, f'Arguments for "add" do not match: {wrong}. Send the call again.')


def not_an_object(arguments: str, wrong: str, *, tool: str = "add") -> Invalid:
    text = f'Arguments for "{tool}" are not a JSON object: {wrong}. Send the arguments as one JSON object.'
    return bad_call(tool, arguments, text, constrained_to=tool)


def ends_early(arguments: str, end: str, *, tool: str) -> Invalid:
    text = (
        f'Arguments for "{tool}" end early: they stop at {json.dumps(end)}. Send the call again with complete '
        "arguments; split long content into several smaller calls."
    )
    return bad_call(tool, arguments, text, constrained_to=tool)


AVAILABLE = "Available: add, ping, boom, note, big, slow, flag, echo, refuse. Call one of these."
SCHEMA = ' (schema: {"type":"integer"})'

INVALID = {
    "m02_missing_brace": ends_early('{"a": 3, "b": 4', '{"a": 3, "b": 4', tool="add"),
    "m03_truncated_number": ends_early('{"a": 30, "b": 4', '{"a": 30, "b": 4', tool="add"),
    "m04_truncated_string": ends_early('{"text": "rm -rf /srv/build', '{"text": "rm -rf /srv/build', tool="note"),
    "m11_float_with_fraction": mismatch('{"a": 3.5, "b": 4}', f"$.a must be an integer, got 3.5{SCHEMA}"),
    "m12_not_a_number": mismatch({"a": "three", "b": 4}, f'$.a must be an integer, got "three"{SCHEMA}'),
    "m13_bool_for_int": mismatch({"a": True, "b": 4}, f"$.a must be an integer, got true{SCHEMA}"),
    "m14_missing_required": mismatch({"a": 3}, f"$.b is required and missing{SCHEMA}"),
    "m15_extra_param": mismatch({"a": 3, "b": 4, "c": 5}, "$.c is not a parameter, got 5; allowed: a, b"),
    "m16_null_required": mismatch({"a": 3, "b": None}, f"$.b must be an integer, got null{SCHEMA}"),
    "m17_hallucinated_tool": bad_call(
        "calculator",
        {"a": 3},
        f'Unknown tool "calculator". {AVAILABLE}',
        constrained_to="required",
        trigger="unknown_tool",
    ),
    "unknown_tool": bad_call(
        "adder", {"a": 3}, f'Unknown tool "adder". Did you mean "add"? {AVAILABLE}', trigger="unknown_tool"
    ),
    "m21_empty_name": bad_call(
        "", {"a": 3}, f'Unknown tool "". {AVAILABLE}', constrained_to="required", trigger="unknown_tool"
    ),
    "m26_lone_surrogate": not_an_object(
        '{"text": "\\ud83d"}', "a \\ud800 to \\udfff escape stands alone, which is half a character", tool="note"
    ),
    "m29_concatenated": not_an_object(
        '{"a": 3, "b": 4}{"a": 5, "b": 6}',
        'more text follows the object at character 16, near "{\\"a\\": 3, \\"b\\": 4}{\\"a\\": 5, \\"b\\": 6}"',
    ),
    "m31_empty_args": not_an_object("", "it is empty"),
    "m32_null_args": not_an_object("null", "it is null, not an object"),
    "m33_array_args": not_an_object("[3, 4]", "it is an array, not an object"),
    "m35_args_none": Invalid(
        bad=one_call("add", None),
        feedback='Arguments for "add" are not a JSON object: it is empty. Send the arguments as one JSON object.',
    ),
    "m38_nan": not_an_object('{"a": NaN, "b": 4}', "NaN is not a JSON value"),
    "m39_huge_int": not_an_object('{"a": 1' + "0" * 5_000 + ', "b": 4}', "a number has too many digits"),
    "m40_deep_nesting": not_an_object(
        '{"text": ' + "[" * 3_000 + "]" * 3_000 + "}", "it is nested more than 100 deep", tool="note"
    ),
    "m41_dup_keys": not_an_object('{"a": 3, "a": 5, "b": 4}', 'the key "a" comes twice'),
    "bad_call_in_text": Invalid(
        bad=says('[TOOL_CALLS]adder[ARGS]{"a": 3}'),
        feedback=f'Unknown tool "adder". Did you mean "add"? {AVAILABLE}',
        trigger="unknown_tool",
    ),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", INVALID)
async def test_an_invalid_call_is_re_asked_constrained_to_its_schema(name: str, stream: bool) -> None:
    row = INVALID[name]
    ran = await run([row.bad, answers_correctly, answers_correctly], stream=stream)
    assert (ran.outcome.status, ran.done) == ("finished", [SEVEN])
    assert ran.triggers == [f"{row.trigger} reask"]
    first, again, _ = ran.bodies
    choice = (
        "required"
        if row.constrained_to == "required"
        else {"type": "function", "function": {"name": row.constrained_to}}
    )
    assert again == {**first, "tool_choice": choice}, (
        "the same request except for tool_choice: the invalid reply left no trace"
    )
    assert all(offered["function"]["strict"] is True for offered in again["tools"]), (
        "without strict, no grammar constrains the model"
    )


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", INVALID)
async def test_a_call_that_is_invalid_twice_gets_feedback(name: str, stream: bool) -> None:
    row = INVALID[name]
    ran = await run([row.bad, row.bad, answers_correctly, answers_correctly], stream=stream)
    assert (ran.outcome.status, ran.done) == ("finished", [SEVEN])
    assert ran.last_message(2) == row.feedback
    assert ran.bodies[2]["messages"][-1]["role"] == "tool"
    assert ran.triggers == [f"{row.trigger} reask", f"{row.trigger} climb"]


@pytest.mark.parametrize("name", INVALID)
async def test_a_call_that_stays_invalid_is_never_executed_and_ends_as_stuck(name: str) -> None:
    ran = await run(itertools.repeat(INVALID[name].bad), stream=True)
    assert (ran.outcome.status, ran.done, ran.outcome.answer) == ("stuck", [], "")
    trigger = INVALID[name].trigger
    assert ran.outcome.reason == f"the ladder has no rung left after {trigger}: a call could not be executed"


async def test_an_invalid_call_that_is_repeated_gets_an_example_and_alternatives() -> None:
    patient = Ladder(triggers={"invalid_call": 9})
    bad = INVALID["m12_not_a_number"].bad
    ran = await run([bad, bad, bad, bad, answers_correctly, answers_correctly], stream=True, ladder=patient)
    assert (ran.outcome.status, ran.done) == ("finished", [SEVEN])
    assert ran.last_message(4) == (
        'The very same call to "add" has failed before, in the same way. Sent again, it will fail again.\n'
        f'Arguments for "add" do not match (attempt 2): $.a must be an integer, got "three"{SCHEMA}.\n'
        '"add" accepts, for example: {"a": 1, "b": 1}\n'
        "Change the call, or do something else: call another tool, or say what is in the way."
    )


# Replies that cannot be used at all.

CUT_OFF = (
    "Your last reply was cut off: it used up the {} tokens there was room for, so nothing of it was used. "
    "Be shorter. Split long content into several smaller calls."
)
CUT_OFF_WHILE_REASONING = (
    "Your last reply was cut off while you were still reasoning: it used up the {} tokens there was room for. "
    "Reason less, then call a tool or answer."
)
FULL = Usage(prompt_tokens=100, completion_tokens=8_192)

CUT = {
    "m01_truncated_length": (calls(("note", '{"text": "rm -rf /srv/build'), finish_reason="length"), CUT_OFF),
    "m01_made_whole_by_vllm": (calls(("ping", "{}"), usage=FULL), None),
    "m50_reasoning_only_length": (says("", reasoning="Let me see", finish_reason="length"), CUT_OFF_WHILE_REASONING),
    "text_cut": (says("The sum is", finish_reason="length"), CUT_OFF),
    "call_in_text_cut": (says('[TOOL_CALLS]add[ARGS]{"a": 3, "b": 4}', finish_reason="length"), CUT_OFF),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", CUT)
async def test_a_truncated_reply_is_not_used_and_max_tokens_grows(name: str, stream: bool) -> None:
    ran = await run([CUT[name][0], answers_correctly, answers_correctly], stream=stream)
    assert (ran.outcome.status, ran.done) == ("finished", [SEVEN])
    first, second, _ = ran.bodies
    assert second == {**first, "max_tokens": second["max_tokens"]}, "only max_tokens differs"
    assert first["max_tokens"] == 8_192
    assert second["max_tokens"] > 32_000, "four times as many, or what the window leaves"
    assert ran.triggers == ["truncated stay"]


@pytest.mark.parametrize("name", [name for name in CUT if CUT[name][1]])
async def test_a_reply_truncated_at_the_largest_max_tokens_gets_feedback_to_be_shorter(name: str) -> None:
    bad, feedback = CUT[name]
    ran = await run([bad, bad, answers_correctly, answers_correctly], stream=True)
    assert (ran.outcome.status, ran.done) == ("finished", [SEVEN])
    assert feedback is not None
    assert ran.last_message(2) == feedback.format(ran.bodies[1]["max_tokens"])
    assert ran.triggers == ["truncated stay", "truncated climb"]
    assert ran.bodies[2]["reasoning_effort"] == "high"


@pytest.mark.parametrize("name", [name for name in CUT if CUT[name][1]])
async def test_replies_that_are_always_truncated_end_as_stuck(name: str) -> None:
    ran = await run(itertools.repeat(CUT[name][0]), stream=True)
    assert (ran.outcome.status, ran.done) == ("stuck", [])


EMPTY = {
    "m47_empty_response": says(""),
    "m47_blank_response": says(" \n"),
    "m48_null_content": completion({"content": None}, finish_reason="stop"),
    "m49_fin_tool_calls_without_calls": completion({"content": None}),
    "nothing_but_the_end_token": says("</s>"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", EMPTY)
async def test_an_empty_reply_gets_feedback_and_repeated_ones_end_as_stuck(name: str, stream: bool) -> None:
    once = await run([EMPTY[name], answers_correctly, answers_correctly], stream=stream)
    assert (once.outcome.status, once.done) == ("finished", [SEVEN])
    assert once.last_message(1) == (
        "Your last reply was empty. Call a tool to go on with the task, or, if it is done, answer in one sentence."
    )
    always = await run(itertools.repeat(EMPTY[name]), stream=stream)
    assert (always.outcome.status, always.outcome.answer, always.done) == ("stuck", "", [])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_an_answer_in_the_reasoning_is_asked_for_again_once_and_then_accepted(stream: bool) -> None:
    in_reasoning = says("", reasoning="The sum is 7.")
    once = await run([calls(GOOD), in_reasoning, says("Seven.")], stream=stream)
    assert (once.outcome.status, once.outcome.answer, once.outcome.notices) == ("finished", "Seven.", ())
    assert once.last_message(2) == (
        "Your last reply held only reasoning and no answer. Call a tool to go on, or write the answer itself."
    )
    twice = await run([calls(GOOD), in_reasoning, in_reasoning], stream=stream)
    assert (twice.outcome.status, twice.outcome.answer) == ("finished", "The sum is 7.")
    assert twice.outcome.notices == (
        "The server put the answer into the reasoning field twice in a row, so the answer was taken from there. The "
        "server's reasoning parser does not match the model: check the answer.",
    )


UNREADABLE = {
    "m53_no_choices": ({"id": "x", "object": "chat.completion", "choices": []}, "no `choices`", "no `choices`"),
    "m55_message_missing": (completion(None), "`message` is None", None),
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_a_body_that_is_not_a_completion_is_requested_six_times(name: str) -> None:
    bad, whole, streamed = UNREADABLE[name]
    for stream, wrong in ((False, whole), (True, streamed)):
        once = await run([bad, answers_correctly, answers_correctly], stream=stream)
        assert (once.outcome.status, once.done) == ("finished", [SEVEN])
        always = await run(itertools.repeat(bad), stream=stream)
        assert always.done == []
        # In a stream, a missing message is an empty reply.
        assert always.outcome.status == ("stuck" if wrong is None else "error")
        # An empty stream is asked for once, then whole replies are.
        assert wrong is None or (wrong in always.outcome.reason and len(always.bodies) == (7 if stream else 6))


# Several calls in one reply, and failing tools.

DUPLICATES = {
    "m27_duplicate_call_same_id": completion({"tool_calls": [a_call("add", '{"a": 3, "b": 4}')] * 2}),
    "m28_duplicate_call_new_id": calls(GOOD, ("add", '{"b":4, "a":3}')),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", DUPLICATES)
async def test_a_duplicate_call_in_one_reply_is_executed_once_and_both_get_a_result(name: str, stream: bool) -> None:
    ran = await run([DUPLICATES[name], answers_correctly], stream=stream)
    assert (ran.outcome.status, ran.done) == ("finished", [SEVEN])
    assert results(ran.bodies[1]) == [
        "7",
        "This call is the same as an earlier one of the same reply, which was run once. See its result.",
    ]
    ids = [call["id"] for call in ran.bodies[1]["messages"][2]["tool_calls"]]
    assert ids == ["call00000", "call00001"], "ours, not the server's"


@pytest.mark.parametrize(
    ("ids", "noted"), [(("abcdefghi", "abcdefghi"), 1), (("abcdefghi", "abcdefgh2"), 2), (("", ""), 2)]
)
async def test_a_writing_call_that_the_server_sent_twice_is_executed_once_and_equal_calls_each(
    ids: tuple[str, str], noted: int
) -> None:
    both = completion({"tool_calls": [a_call("note", {"text": "x"}, call_id=call_id) for call_id in ids]})
    ran = await run([both, says("Done.")], stream=False)
    assert (ran.outcome.status, ran.done) == ("finished", [("note", "x")] * noted)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_m56_a_hundred_calls_are_executed_once_each_with_results_in_order(stream: bool) -> None:
    hundred = calls(*[("echo", {"text": f"n{number}"}) for number in range(100)])
    ran = await run([hundred, says("Done.")], stream=stream)
    assert ran.outcome.status == "finished"
    assert sorted(ran.done) == sorted(("echo", f"n{number}") for number in range(100))
    assert results(ran.bodies[1]) == [f"n{number}" for number in range(100)]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_m57_valid_calls_beside_invalid_ones_are_executed_once_and_the_invalid_ones_get_feedback(
    stream: bool,
) -> None:
    mixed = calls(("add", {"a": "x", "b": 4}), ("note", {"text": "kept"}), ("adder", {"a": 3, "b": 4}))
    ran = await run([mixed, answers_correctly, answers_correctly], stream=stream)
    assert (ran.outcome.status, ran.done) == ("finished", [("note", "kept"), SEVEN])
    assert results(ran.bodies[1]) == [
        f'Arguments for "add" do not match: $.a must be an integer, got "x"{SCHEMA}. Send the call again.',
        "noted",
        f'Unknown tool "adder". Did you mean "add"? {AVAILABLE}',
    ]
    assert ran.triggers == [], "no re-ask, which would execute the valid call twice, and no climb for one invalid call"


AGAIN = (
    "(You made this very call before, and its result is the same. Calling it once more will not change it: "
    "do something else.)"
)
LOOPS = {
    "loop": (calls(GOOD), "7"),
    "raises": (calls(("boom", {"x": 1})), "Error: ValueError: kaboom 1"),
    "refuses": (calls(("refuse", {})), "Error: not today"),
    "slow": (
        calls(("slow", {})),
        "Error: slow did not finish within 0.05 s and was abandoned. Its effect is unknown: "
        "check what it changed before you call it again.",
    ),
}


@pytest.mark.parametrize("name", LOOPS)
async def test_a_repeated_call_gets_a_note_in_its_result_and_finally_ends_as_stuck(name: str) -> None:
    bad, result = LOOPS[name]
    ran = await run(itertools.repeat(bad), stream=True)
    assert [ran.last_message(1), ran.last_message(2)] == [result, f"{result}\n{AGAIN}"]
    assert ran.outcome.status == "stuck"
    assert ran.outcome.reason == ("the ladder has no rung left after repeat: the same call gave the same result again")
    assert len(ran.done) == len(ran.bodies) == 8


async def test_a_very_large_output_keeps_its_head_and_its_tail(tmp_path: Path) -> None:
    ran = await run([calls(("big", {})), answers_correctly, answers_correctly], stream=True, workspace=tmp_path)
    shown = ran.last_message(1)
    assert ran.outcome.status == "finished"
    assert len(shown) < 2_200
    assert shown.startswith("first line\nxxx")
    assert shown.endswith("xxx\nlast line")
    assert "characters left out; the whole is in .agent/outputs/call00000.txt; read it in parts" in shown


async def test_the_same_large_output_counts_as_repeated_although_its_file_differs(tmp_path: Path) -> None:
    ran = await run(itertools.repeat(calls(("big", {}))), stream=True, workspace=tmp_path)
    assert (ran.outcome.status, len(ran.done)) == ("stuck", 8)
    assert ran.last_message(2).endswith(AGAIN)

"""Thoughts in a reply's content: separated in the marks of every family, and never part of an answer."""

from __future__ import annotations

import pytest

from agent.messages import Reply
from agent.parsing.reply import Answer, AnswerInReasoning, Batch, EmptyReply, Reading, Truncated, read
from agent.parsing.thoughts import SplitText, split_thoughts
from agent.tooling.tool import tool
from agent.tooling.toolbox import Toolbox


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


TOOLBOX = Toolbox([add])


def reading(content: str, *, finish_reason: str = "stop") -> Reading:
    reply = Reply(content=content, finish_reason=finish_reason)
    return read(reply, TOOLBOX, max_tokens=100, window_tokens=None)


MARKED = {
    "Mistral": "[THINK]two and two[/THINK]The answer is 4.",
    "Qwen and DeepSeek": "<think>\ntwo and two\n</think>\n\nThe answer is 4.",
    "the opening mark is in the prompt": "two and two\n</think>\n\nThe answer is 4.",
    "the opening mark was removed": "two and two[/THINK]The answer is 4.",
    "no line end after the mark": "two and two\n</think>The answer is 4.",
    "after a control token": "<s> <think>two and two</think> The answer is 4.",
    "Seed-OSS": "<seed:think>two and two</seed:think>The answer is 4.",
    "Kimi-VL": "◁think▷two and two◁/think▷The answer is 4.",
    "Cohere": "<|START_THINKING|>two and two<|END_THINKING|>The answer is 4.",
    "gpt-oss": (
        "<|channel|>analysis<|message|>two and two<|end|><|start|>assistant<|channel|>final<|message|>The answer is 4."
    ),
    "asked to think": "<thinking>two and two</thinking>\nThe answer is 4.",
}


@pytest.mark.parametrize("name", MARKED)
def test_thoughts_in_the_content_are_not_the_answer(name: str) -> None:
    split = split_thoughts(MARKED[name])
    assert (split.thoughts, split.rest.strip(), split.is_open) == ("two and two", "The answer is 4.", False)
    answer = reading(MARKED[name])
    assert isinstance(answer, Answer)
    assert answer.text.strip() == "The answer is 4."


QUOTED = {
    "inline code": "Use the `<think>` tag and close it with `</think>`.",
    "a sentence": "The closing tag is </think>, which ends thoughts.",
    "a later sentence": "Models write <think> before they answer.",
    "a fenced block": "Send:\n```\n<think>\nx\n</think>\n```\nThat is all.",
    "no marks": "The answer is 4.",
}


@pytest.mark.parametrize("name", QUOTED)
def test_an_answer_about_the_marks_stays_whole(name: str) -> None:
    assert reading(QUOTED[name]) == Answer(text=QUOTED[name])


def test_thoughts_between_texts_are_taken_out_too() -> None:
    assert split_thoughts("<think>a</think>One.\n<think>b</think>\nTwo.") == SplitText(
        thoughts="a\n\nb", rest="One.\n\nTwo."
    )


CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 3, "b": 4}}\n</tool_call>'


def test_a_call_after_thoughts_is_found_and_one_inside_them_is_not() -> None:
    found = reading(f"<think>I could call {CALL} but no</think>\n[TOOL_CALLS]add[ARGS]" + '{"a": 1, "b": 2}')
    assert isinstance(found, Batch)
    assert [call.arguments for call in found.calls] == ['{"a": 1, "b": 2}']
    assert found.content == ""
    only = reading(f"<think>Maybe I call {CALL}</think>")
    assert only == AnswerInReasoning(text=f"Maybe I call {CALL}", is_marked=True)


def test_thoughts_that_never_end_are_no_answer() -> None:
    assert reading("<think>two and two") == AnswerInReasoning(text="two and two", is_marked=True)
    assert reading("<think>two and two", finish_reason="tool_calls") == EmptyReply(reasoning="two and two")
    assert reading("[THINK]two and", finish_reason="length") == Truncated(in_call=False, in_reasoning=True)


V11 = {
    "a call id": '[TOOL_CALLS]add[CALL_ID]123456789[ARGS]{"a": 3, "b": 4}',
    "an empty call id": '[TOOL_CALLS]add[CALL_ID][ARGS]{"a": 3, "b": 4}',
    "spaces": '[TOOL_CALLS] add [CALL_ID] 123456789 [ARGS] {"a": 3, "b": 4}',
    "no ARGS": '[TOOL_CALLS]add[CALL_ID]chatcmpl-tool-1{"a": 3, "b": 4}',
    "prose before it": 'Let me add.\n[TOOL_CALLS]add[CALL_ID]123456789[ARGS]{"a": 3, "b": 4}</s>',
    "thoughts before it": '[THINK]Add.[/THINK][TOOL_CALLS]add[CALL_ID]123456789[ARGS]{"a": 3, "b": 4}',
}


@pytest.mark.parametrize("name", V11)
def test_a_call_with_a_call_id_in_the_text_is_a_call_and_not_the_answer(name: str) -> None:
    found = reading(V11[name])
    assert isinstance(found, Batch)
    assert [(call.name, call.arguments) for call in found.calls] == [("add", '{"a": 3, "b": 4}')]


def test_several_calls_with_call_ids_are_found() -> None:
    found = reading('[TOOL_CALLS]add[CALL_ID]1[ARGS]{"a": 1, "b": 2}[TOOL_CALLS]add[CALL_ID]2[ARGS]{"a": 3, "b": 4}')
    assert isinstance(found, Batch)
    assert [call.arguments for call in found.calls] == ['{"a": 1, "b": 2}', '{"a": 3, "b": 4}']

"""Results that give way to a line when the window is full: which, where the whole is, and that nothing else changes."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import Agent, Image, Limits, Outcome, tool
from agent.events import CallEnded, ContextRenewed, Event, Folded
from agent.loop import prompts
from agent.loop.folding import KEPT_TURNS, LEAST_CHARS, choose
from agent.loop.summary_calls import CallRecord
from agent.messages import AssistantMessage, Reply, ToolCall, ToolResult, UserMessage
from agent.model.history import History, call_id
from agent.testing import ScriptedModel, calls, says

PIXEL = Image(data="iVBORw0KGgo=", media_type="image/png")


def png(pixels: int) -> Image:
    """Return the header of a square image."""
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + pixels.to_bytes(4) * 2 + b"\0\0"
    return Image(data=base64.b64encode(header).decode(), media_type="image/png")


SMALL, TINY = png(500), png(20)


def conversation(
    *lengths: int, images: Mapping[int, int] | None = None, image: Image = PIXEL
) -> tuple[History, list[CallRecord]]:
    """Return a conversation of one call a turn, whose results have these lengths, and its calls."""
    history, records = History(replay_reasoning=True), list[CallRecord]()
    history.add_system("Work.")
    history.add_user(UserMessage(content="Go."))
    for number, length in enumerate(lengths):
        call = ToolCall(id=call_id(number), name="read", arguments=json.dumps({"at": number}))
        shown = (image,) * (images or {}).get(number, 0)
        result = ToolResult(tool_call_id=call.id, name="read", content="x" * length, images=shown)
        history.add_turn(AssistantMessage(tool_calls=(call,)), [result])
        records.append(CallRecord(call=call, result=result, is_read=True))
    return history, records


def chosen(*lengths: int, folded: Sequence[int] = (), tools_bytes: int = 0) -> list[int] | None:
    history, records = conversation(*lengths)
    found = choose(history, records, {call_id(number) for number in folded}, tools_bytes=tools_bytes)
    return None if found is None else [json.loads(record.call.arguments)["at"] for record in found.records]


def test_the_oldest_results_go_first_until_the_prompt_takes_six_tenths():
    assert chosen(*[2_000] * 12) == [0, 1, 2, 3, 4, 5, 6]


def test_the_last_turns_stay_whole_while_they_take_four_tenths_of_the_prompt():
    """In a window of 4,096 tokens four turns filled it, so nothing was ever folded."""
    assert chosen(*[2_000] * 5, *[100] * KEPT_TURNS) == [0, 1, 2]
    assert chosen(*[100] * 3, *[5_000] * KEPT_TURNS) == [3, 4]
    assert chosen(50_000) is None


def test_turns_are_not_kept_for_taking_little_beside_long_definitions_of_tools():
    """Where tools and system prompt took half of a small window, four tenths of the prompt were nearly all turns."""
    assert chosen(*[4_000] * 5, tools_bytes=24_000) == [0, 1, 2]


def test_short_results_stay():
    assert chosen(*[LEAST_CHARS - 1] * 40) is None
    assert chosen(100, 8_000, 100, 8_000, *[100] * 4) == [1]


def test_a_result_is_folded_once():
    assert chosen(*[2_000] * 12, folded=range(4)) == [4, 5, 6, 7]
    assert chosen(*[2_000] * 12, folded=range(8)) is None


def test_a_fold_that_makes_the_engine_read_much_for_little_is_not_made():
    assert chosen(700, *[100] * 40) is None
    assert chosen(9_000, *[100] * 40) == [0]


def test_what_the_tools_take_counts_as_part_of_the_prompt():
    assert chosen(*[2_000] * 12, tools_bytes=20_000) == [0, 1, 2, 3, 4, 5, 6, 7]


def thinking(*lengths: int, replay: bool = True) -> tuple[History, list[CallRecord]]:
    """Return a conversation of short results, before which the model thought so many characters."""
    history, records = History(replay_reasoning=replay), list[CallRecord]()
    history.add_system("Work.")
    history.add_user(UserMessage(content="Go."))
    for number, length in enumerate(lengths):
        call = ToolCall(id=call_id(number), name="read", arguments=json.dumps({"at": number}))
        result = ToolResult(tool_call_id=call.id, name="read", content="short")
        history.add_turn(AssistantMessage(tool_calls=(call,), reasoning="t" * length), [result])
        records.append(CallRecord(call=call, result=result, is_read=True))
    return history, records


def test_the_reasoning_of_the_oldest_turns_is_dropped_where_it_fills_the_window():
    """At high effort it took most of a window, and nothing could be folded."""
    history, records = thinking(*[4_000] * 10)
    found = choose(history, records, (), tools_bytes=0)
    assert found is not None
    assert (found.records, found.first_message) == ([], 2), "its turn begins to differ, and no result does"
    before = history.wire_bytes
    assert history.fold({}, "gone", found.reasoning_before) == found.freed_bytes == before - history.wire_bytes
    kept = [bool(one.reasoning) for one in history.messages if isinstance(one, AssistantMessage)]
    assert kept == [False] * 5 + [True] * 5
    assert choose(history, records, (), tools_bytes=0) is not None, "the others follow when it is full again"


def test_no_reasoning_is_dropped_that_was_never_sent():
    history, records = thinking(*[4_000] * 10, replay=False)
    assert choose(history, records, (), tools_bytes=0) is None


def test_images_are_folded_with_their_results():
    history, records = conversation(50, *[2_000] * 6, images={0: 2})
    found = choose(history, records, set(), tools_bytes=0)
    assert found is not None
    assert found.records[0].call.id == call_id(0)
    before = history.wire_bytes

    freed = history.fold({call_id(0): "look -> an image"}, images="(gone)")

    assert [message.content for message in history.messages[3:5]] == ["look -> an image", "(gone)"]
    assert b"image_url" not in b"".join(history.wire)
    assert freed == before - history.wire_bytes == before - sum(history.sizes)
    assert history.wire_bytes == sum(map(len, history.wire))


def test_small_images_go_until_the_prompt_takes_six_tenths():
    """A fold took lines for as long as the results, so it freed a fifth, and one fold followed another."""
    history, records = conversation(*[40] * 40, images=dict.fromkeys(range(40), 1), image=SMALL)
    found = choose(history, records, set(), tools_bytes=0)
    assert found is not None
    before = history.wire_bytes

    line = "- look {} -> ok: (an image: image/png)\n" + prompts.FOLDED
    freed = history.fold({record.call.id: line for record in found.records}, images=prompts.FOLDED_IMAGES)

    assert freed >= found.freed_bytes
    assert 0.4 < history.wire_bytes / before < 0.65


def test_images_that_take_less_than_the_lines_in_their_place_stay():
    history, records = conversation(*[40] * 40, images=dict.fromkeys(range(40), 1), image=TINY)
    assert choose(history, records, set(), tools_bytes=0) is None


def test_images_stay_while_one_of_their_results_does():
    history = History(replay_reasoning=True)
    pair = [ToolCall(id=call_id(number), name="look", arguments="{}") for number in range(2)]
    results = [ToolResult(tool_call_id=call.id, name="look", content="seen", images=(PIXEL,)) for call in pair]
    history.add_system("Work.")
    history.add_turn(AssistantMessage(tool_calls=tuple(pair)), results)

    history.fold({pair[0].id: "folded"}, images="(gone)")

    assert [message.content for message in history.messages[2:4]] == ["folded", "seen"]
    assert isinstance(history.messages[4], UserMessage)
    assert history.messages[4].images == (PIXEL, PIXEL)


# In a run.


@tool(read_only=True, name="read_file")
def read(path: str) -> str:
    """Read a file.

    Args:
        path: of the file.
    """
    return f"{path}: " + " ".join(f"line{number}" for number in range(300))


@tool(read_only=True)
def look(at: int) -> str:
    """Check a number."""
    return f"{at} is fine"


def reads(number: int) -> Iterator[Reply]:
    """Yield replies that read one file each; their prompts are not counted, so that sizes are estimated."""
    for at in range(number):
        yield replace(calls(("read_file", {"path": f"f{at}.txt"})), usage=None)


class Ran:
    """A run in a small window, and what came of it."""

    def __init__(self, model: ScriptedModel, folder: Path, tools: Sequence[Any] = ()) -> None:
        self.model, self.folder, self.tools = model, folder, tools or [read]
        self.events: list[Event] = []
        self.outcome: Outcome | None = None

    async def run(self) -> Ran:
        agent = Agent(self.model, tools=self.tools, workspace=self.folder)
        self.outcome = await agent.run("Read them all.", observe=self.events.append)
        return self

    @property
    def folds(self) -> list[Folded]:
        return [event for event in self.events if isinstance(event, Folded)]

    def sent(self, body: int) -> list[dict[str, Any]]:
        return self.model.bodies[body]["messages"]


@pytest.fixture
async def ran(tmp_path: Path) -> Ran:
    return await Ran(ScriptedModel([*reads(30), says("Done.")], window_tokens=16_384), tmp_path).run()


async def test_a_full_window_is_folded_and_the_run_goes_on(ran: Ran):
    assert ran.outcome is not None
    assert ran.outcome.status == "finished"
    assert ran.folds
    assert not any(isinstance(event, ContextRenewed) for event in ran.events)
    assert sum(isinstance(event, CallEnded) for event in ran.events) == 30


async def test_a_folded_result_names_its_call_and_the_file_that_holds_the_whole(ran: Ran):
    line = ran.folds[0].lines[call_id(0)]
    first, second = line.splitlines()
    assert first == 'read_file {"path": "f0.txt"}'
    # It told to read the parts needed from the copy, which is out of date once the model has edited the file.
    assert second == (
        "(This result was left out to make room. Call it again to see the file as it is now; as it was then, it is in "
        f".agent/outputs/{call_id(0)}.txt.)"
    )
    whole = (ran.folder / ".agent" / "outputs" / f"{call_id(0)}.txt").read_text()
    assert whole.startswith("f0.txt: line0")
    assert whole.endswith("line299")


async def test_reasoning_that_fills_the_window_is_dropped_and_the_run_goes_on(tmp_path: Path):
    script = [replace(calls(("look", {"at": at})), reasoning="think " * 700, usage=None) for at in range(30)]
    ran = Ran(ScriptedModel([*script, says("Done.")], window_tokens=16_384), tmp_path, tools=[look])
    await ran.run()
    assert ran.outcome is not None
    assert (ran.outcome.status, {tuple(fold.lines) for fold in ran.folds}) == ("finished", {()})
    assert not any(isinstance(event, ContextRenewed) for event in ran.events)
    last = ran.sent(-1)
    turns = [at for at, message in enumerate(last) if message["role"] == "assistant"]
    dropped = [at for at in turns if "reasoning" not in last[at]]
    assert dropped == [at for at in turns if at < ran.folds[-1].reasoning_before]
    assert dropped
    assert ran.sent(-1)[turns[-1]]["reasoning"] == "think " * 700


async def test_only_the_folded_results_change(ran: Ran):
    kinds = [event for event in ran.events if isinstance(event, Folded)]
    changes = 0
    for number in range(1, len(ran.model.bodies)):
        before, now = ran.sent(number - 1), ran.sent(number)
        changed = [at for at, (old, new) in enumerate(zip(before, now, strict=False)) if old != new]
        if not changed:
            continue
        fold = kinds[changes]
        changes += 1
        assert changed[0] == fold.first_message
        assert {before[at]["tool_call_id"] for at in changed} == set(fold.lines)
        assert [now[at]["content"] for at in changed] == list(fold.lines.values())
    assert changes == len(kinds)


async def test_the_last_turns_and_the_task_are_sent_whole(ran: Ran):
    for body in ran.model.bodies:
        messages = body["messages"]
        assert messages[1]["content"] == "Read them all."
        for message in messages[-2 * KEPT_TURNS :]:
            assert message["role"] != "tool" or message["content"].endswith("line299")


async def test_reading_again_what_was_folded_is_no_repetition(tmp_path: Path):
    model = ScriptedModel([*reads(22), *reads(1), says("Done.")], window_tokens=16_384)
    ran = await Ran(model, tmp_path).run()

    assert ran.folds
    last = [event for event in ran.events if isinstance(event, CallEnded)][-1]
    assert "already" not in last.result.content
    assert last.result.content.endswith("line299")


async def test_a_resumed_run_sends_what_it_folded_before(tmp_path: Path):
    script = [*reads(22), says("Done.")]
    whole = ScriptedModel(script, window_tokens=16_384)
    (tmp_path / "work").mkdir()
    await Ran(whole, tmp_path / "work").run()
    common = {"tools": [read], "workspace": tmp_path / "work", "runs": tmp_path / "runs"}
    first, second = (ScriptedModel(part, window_tokens=16_384) for part in (script[:20], script[20:]))
    stopped = await Agent(first, limits=Limits(steps=20), **common).run("Read them all.")
    assert stopped.status == "budget"

    await Agent(second, limits=Limits(steps=30), **common).resume(stopped.run)

    assert [body["messages"] for body in second.bodies] == [body["messages"] for body in whole.bodies[20:]]


async def test_a_model_that_cannot_read_files_is_told_of_none_and_none_is_written(tmp_path: Path):
    @tool(read_only=True)
    def look_up(path: str) -> str:
        """Look something up."""
        return read(path)

    script = [replace(calls(("look_up", {"path": str(at)})), usage=None) for at in range(22)]
    events: list[Event] = []
    agent = Agent(ScriptedModel([*script, says("Done.")], window_tokens=16_384), tools=[look_up], workspace=tmp_path)

    await agent.run("Look all up.", observe=events.append)

    (first, *_) = (event for event in events if isinstance(event, Folded))
    assert first.lines[call_id(0)].endswith("Call it again if you need it.)")
    assert list(tmp_path.iterdir()) == []


async def test_a_workspace_that_takes_no_file_loses_no_run(tmp_path: Path):
    (tmp_path / ".agent").write_text("in the way")
    ran = await Ran(ScriptedModel([*reads(22), says("Done.")], window_tokens=16_384), tmp_path).run()

    assert ran.outcome is not None
    assert ran.outcome.status == "finished"
    assert ran.folds[0].lines[call_id(0)].endswith("Call it again if you need it.)")

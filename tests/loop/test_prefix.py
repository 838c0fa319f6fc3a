"""Each prompt goes on from the one before it, or an event says why not, from where on, and what the engine read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agent import Agent, Ladder, Limits, Rung, tool
from agent.events import Event, PrefixChanged
from agent.journal.journal import read_journal
from agent.loop.state import RunState
from agent.messages import Message, Reply, Usage
from agent.model.history import History
from agent.model.profiles import GENERIC
from agent.model.wire import encode_message
from agent.testing import ScriptedModel, calls, says

COUNTED = Usage(prompt_tokens=1_000, completion_tokens=4, cached_tokens=480)


@tool(read_only=True)
def look(path: str) -> str:
    """Look at a file."""
    return f"{path} is empty"


def looks(path: str) -> Reply:
    return replace(calls(("look", {"path": path})), usage=COUNTED)


def changes(events: Sequence[Event]) -> list[tuple[int, tuple[str, ...], int]]:
    """Return step, reasons and first message of each change."""
    return [(e.step, e.because, e.first_message) for e in events if isinstance(e, PrefixChanged)]


async def ran(model: ScriptedModel, ladder: Ladder | None = None) -> list[Event]:
    events: list[Event] = []
    await Agent(model, tools=[look], ladder=ladder, limits=Limits(steps=12)).run("Look.", observe=events.append)
    return events


class Killed(BaseException):
    """Ends a run as SIGKILL would."""


async def killed_after_a_turn(runs: Path) -> None:
    def kill(event: Event) -> None:
        if event.kind == "turn_taken":
            raise Killed

    with pytest.raises(Killed):
        await Agent(ScriptedModel([looks("a")]), tools=[look], runs=runs).run("Look.", observe=kill)


async def test_turns_feedback_and_invalid_calls_only_add_to_the_prompt():
    bad = calls(("lok", {"path": "a"}))
    script = [
        looks("a"),
        calls(("look", {"path": "b"}), ("look", {"path": "c"})),
        bad,
        looks("d"),
        says(""),
        says("Ok."),
    ]
    patient = Ladder(rungs=(Rung(effort="none"),), triggers={"unknown_tool": 3, "empty_reply": 3})
    events = await ran(ScriptedModel(script), patient)
    assert changes(events) == []
    assert "said" in {event.kind for event in events}


async def test_an_effort_switch_changes_the_prompt_from_its_beginning_on():
    events = await ran(ScriptedModel([looks("a"), says(""), says(""), says("Ok.", usage=COUNTED)]))
    assert changes(events) == [(4, ("effort",), 0)]
    (changed,) = [event for event in events if isinstance(event, PrefixChanged)]
    assert (changed.effort, changed.prefilled_tokens, changed.source) == ("high", 520, "engine")


async def test_a_constrained_re_ask_one_rung_up_is_two_switches_each_with_its_own_price():
    """The switch back was not recorded, nor was that of the re-ask if its call was accepted."""
    ladder = Ladder(rungs=(Rung(effort="none"), Rung(effort="high", constrained=True)))
    events = await ran(ScriptedModel([calls(("lok", {"path": "a"})), looks("a"), says("Ok.", usage=COUNTED)]), ladder)
    assert changes(events) == [(2, ("effort",), 0), (3, ("effort",), 0)]


async def test_a_model_without_efforts_has_no_effort_switch():
    model = ScriptedModel([says(""), says(""), says("Ok.")], profile=GENERIC)
    ladder = Ladder(rungs=(Rung(effort="none"), Rung(effort="high")))
    events = await ran(model, ladder)
    assert (changes(events), "moved" in {event.kind for event in events}) == ([], True)


async def test_a_renewed_conversation_changes_from_the_task_on():
    ladder = Ladder(rungs=(Rung(effort="none"), Rung(effort="none", fresh_context=True)), triggers={"empty_reply": 1})
    events = await ran(ScriptedModel([looks("a"), says(""), says("Ok.")]), ladder)
    assert changes(events) == [(3, ("renewal",), 1)]


async def test_a_resumed_run_tells_what_its_first_request_cost(tmp_path: Path):
    await killed_after_a_turn(tmp_path)
    outcome = await Agent(ScriptedModel([says("Ok.", usage=COUNTED)]), tools=[look]).resume(
        next(tmp_path.glob("[!.]*"))
    )

    assert changes(read_journal(outcome.journal or Path())) == [(2, ("resume",), 2)]


# Changes that nobody intended.


def spoiled(monkeypatch: pytest.MonkeyPatch, spoil: Callable[[History], None], *, at: str) -> None:
    """Change the history of every run before the events of a kind are applied."""
    applied = RunState.apply

    def apply(state: RunState, event: Event) -> None:
        if event.kind == at:
            spoil(state.history)
        applied(state, event)

    monkeypatch.setattr(RunState, "apply", apply)


async def test_a_message_that_changed_for_no_reason_is_a_fault_with_an_event(monkeypatch: pytest.MonkeyPatch):
    def spoil(history: History) -> None:
        if len(history.messages) > 4:
            history.fold({"call00000": "(gone)"}, images="")

    spoiled(monkeypatch, spoil, at="requested")
    events = await ran(ScriptedModel([looks("a"), looks("b"), says("Ok.", usage=COUNTED)]))
    assert changes(events) == [(3, ("unknown",), 3)]


def encoded_with_a_blank(message: Message, *, with_reasoning: bool) -> bytes:
    return encode_message(message, with_reasoning=with_reasoning) + b" "


async def test_a_journal_that_makes_another_conversation_of_a_run_is_a_fault_when_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    await killed_after_a_turn(tmp_path)
    # As if another version of this library encoded messages in another way.
    monkeypatch.setattr("agent.model.history.encode_message", encoded_with_a_blank)
    outcome = await Agent(ScriptedModel([says("Ok.")]), tools=[look]).resume(next(tmp_path.glob("[!.]*")))

    assert changes(read_journal(outcome.journal or Path())) == [(2, ("resume", "unknown"), 2)]

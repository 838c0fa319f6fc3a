"""What the engine read in a run: new tokens, and those it read again, by reason."""

from __future__ import annotations

import pytest

from agent.events import Event, PrefixChanged, Replied, SummedUp
from agent.journal.prefill import prefill
from agent.journal.prefix_events import Because
from agent.messages import Reply, Usage


def replied(prompt: int, cached: int | None) -> Replied:
    usage = Usage(prompt_tokens=prompt, completion_tokens=5, cached_tokens=cached)
    return Replied(step=1, rung=1, reply=Reply(usage=usage), max_tokens=9, wire_bytes=9, elapsed_s=0.1)


def changed(*because: Because) -> PrefixChanged:
    return PrefixChanged(
        step=1, because=because, effort=None, prompt_tokens=0, cached_tokens=0, prefilled_tokens=0, source="engine"
    )


def test_each_token_is_new_or_read_again_for_one_reason():
    events: list[Event] = [
        replied(1_000, 0), replied(1_200, 1_000), replied(1_500, 1_184),
        replied(1_600, 100), changed("effort"), replied(900, 500), changed("fold", "effort"), replied(1_000, 0),
        SummedUp(step=1, text="", usage=Usage(prompt_tokens=1_100, completion_tokens=3, cached_tokens=1_000)),
        SummedUp(step=1, text="", why_not="no reply"),
    ]  # fmt: skip
    found = prefill(events)
    assert (found.requests, found.prompt_tokens, found.cached_tokens) == (7, 8_300, 3_784)
    assert found.new_tokens == 1_000 + 200 + 300 + 100
    assert found.again == {"lost": 16 + 900, "effort": 1_500, "fold": 400, "summary": 100}
    assert found.new_tokens + found.again.total() == found.read_tokens
    assert str(found) == (
        "the engine read 4,516 of 8,300 prompt tokens (46% were in its cache): 1,600 new; again: 916 not found in its "
        "cache, which keeps whole blocks (2), 1,500 after effort switches (1), 400 after folds (1), 100 for "
        "summaries (1)"
    )


@pytest.mark.parametrize("events", [[], [replied(50, None)]])
def test_nothing_is_said_of_a_server_that_does_not_report_its_cache(events: list[Event]):
    found = prefill(events)
    assert (str(found), found.requests, found.hit_rate) == ("", 0, 0.0)

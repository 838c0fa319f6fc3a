"""The profile of each model family, and its settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from agent import Agent, Ladder, Limits, Rung, tool
from agent.events import Event, Moved, Requested
from agent.messages import Effort
from agent.model.profiles import (
    GENERIC,
    GPT_OSS,
    MISTRAL,
    MISTRAL_LARGE,
    POCKET,
    Profile,
    Sampling,
    named_profile,
    profile_for,
)
from agent.testing import ScriptedModel, calls, says


@tool(read_only=True)
def look(path: str) -> str:
    """Look at a file."""
    return f"{path} is empty"


@pytest.mark.parametrize(
    ("model", "profile"),
    [
        ("mistralai/Mistral-Medium-3.5-128B", MISTRAL),
        ("mistral-medium-3-5", MISTRAL),
        ("/models/Mistral-Small-4-24B", MISTRAL),
        ("pocket", POCKET),
        ("tramontane/pocket-1", POCKET),
        ("mistralai/Mistral-Medium-3.1", GENERIC),
        ("Mistral-7B-Instruct-v0.3", GENERIC),
        ("Qwen/Qwen3-32B", GENERIC),
        ("mistralai/Mistral-Large-4-1T-A52B-NVFP4", MISTRAL_LARGE),
        ("openai/gpt-oss-120b", GPT_OSS),
        ("my-pocket-model", GENERIC),
        ("", GENERIC),
    ],
)
def test_the_profile_is_chosen_by_the_model_name(model: str, profile: Profile):
    assert profile_for(model) is profile


def test_a_profile_is_found_by_its_name():
    assert (named_profile("mistral"), named_profile("generic")) == (MISTRAL, GENERIC)


def test_mistral_is_sampled_as_its_model_card_recommends():
    assert MISTRAL.sampling == {
        "none": Sampling(temperature=0.0),
        "high": Sampling(temperature=0.7, top_p=0.95),
        None: Sampling(temperature=0.0),
    }


@pytest.mark.parametrize("profile", [MISTRAL, MISTRAL_LARGE, GPT_OSS, POCKET, GENERIC])
def test_every_effort_of_a_ladder_is_one_of_the_model_and_has_reply_tokens(profile: Profile):
    efforts = {rung.effort for rung in profile.climbed(None).rungs}

    assert efforts <= {*profile.efforts} or efforts == {None}
    assert efforts <= profile.reply_tokens.keys()
    assert efforts <= profile.sampling.keys() or profile.sampling.keys() == {None}
    assert profile.takes_effort == any(effort is not None for effort in efforts)


@pytest.mark.parametrize(
    ("profile", "efforts"),
    [
        (MISTRAL, {"none": "none", "low": "none", "medium": "high", "high": "high", None: None}),
        (MISTRAL_LARGE, {"none": "low", "low": "low", "medium": "medium", "high": "high", None: None}),
        (GENERIC, {"none": None, "low": None, "medium": None, "high": None, None: None}),
    ],
)
def test_an_effort_that_a_model_does_not_have_is_the_one_at_its_place(
    profile: Profile, efforts: Mapping[Effort | None, Effort | None]
):
    assert {wanted: profile.effort(wanted) for wanted in efforts} == efforts


async def test_one_ladder_serves_models_with_other_efforts():
    """`none` was sent to models that do not know it; the switch to `high` of a model without efforts was priced."""
    ladder = Ladder(rungs=(Rung(effort="none"), Rung(effort="high")), triggers={"empty_reply": 1})
    sent: dict[str, list[str | None]] = {}
    for profile in (MISTRAL, GPT_OSS, GENERIC):
        model, events = ScriptedModel([says(""), says("Done.")], profile=profile), list[Event]()
        await Agent(model, ladder=ladder).run("Go.", observe=events.append)
        sent[profile.name] = [body.get("reasoning_effort") for body in model.bodies]
        asked = [event.effort for event in events if isinstance(event, Requested)]
        assert asked == sent[profile.name]
        moved = [event for event in events if isinstance(event, Moved)]
        assert [event.switches_effort for event in moved] == [profile.takes_effort]
    assert sent == {"mistral": ["none", "high"], "gpt_oss": ["low", "high"], "generic": [None, None]}


async def test_a_run_that_is_resumed_on_another_model_goes_on_with_that_ones_efforts(tmp_path: Path):
    script = [calls(("look", {"path": "a"})), says("Done.")]
    tools = [look]
    stopped = await Agent(
        ScriptedModel(script[:1], profile=None, model="mistral-medium-3.5"), tools=tools, runs=tmp_path,
        limits=Limits(steps=1),
    ).run("Go.")  # fmt: skip
    model = ScriptedModel(script[1:], profile=None, model="openai/gpt-oss-120b")
    outcome = await Agent(model, tools=tools, runs=tmp_path, limits=Limits(steps=5)).resume(stopped.run)
    assert (outcome.status, [body["reasoning_effort"] for body in model.bodies]) == ("finished", ["low"])

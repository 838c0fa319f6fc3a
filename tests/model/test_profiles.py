"""The profile of each model family, and its settings."""

from __future__ import annotations

import pytest

from agent.model.profiles import GENERIC, MISTRAL, POCKET, Profile, Sampling, named_profile, profile_for


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


@pytest.mark.parametrize("profile", [MISTRAL, GENERIC])
def test_every_effort_of_a_ladder_has_sampling_and_reply_tokens(profile: Profile):
    efforts = {rung.effort for rung in profile.ladder.rungs}

    assert efforts <= profile.sampling.keys()
    assert efforts <= profile.reply_tokens.keys()
    assert profile.takes_effort == any(effort is not None for effort in efforts)

"""Runs of the real command line that are killed at random moments, or resumed twice at once; the bench kills 200."""

from __future__ import annotations

import os

import pytest
from killed_runs import kill_runs, race

KILLS = int(os.environ.get("AGENT_TEST_KILLS", "12"))


def test_no_effect_is_lost_or_repeated_by_kills_at_random_moments():
    found = kill_runs(KILLS, seed=int(os.environ.get("AGENT_TEST_SEED", "1")))
    assert found.is_good, str(found)
    assert found.kills == KILLS


@pytest.mark.parametrize("resumes", [2, 4])
def test_of_several_resumes_at_once_one_goes_on_and_the_others_are_told_who_has_the_run(resumes: int):
    found = race(resumes)
    assert found.is_good, found

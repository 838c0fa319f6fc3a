"""The outcome of a run: its exit code, and raise_for_status."""

import pytest

from agent import Agent, RunFailed, Verify
from agent.loop.outcome import EXIT_CODES
from agent.testing import ScriptedModel, says


def test_the_exit_codes_are_stable():
    assert EXIT_CODES == {
        "verified": 0, "finished": 0, "verify_failed": 1, "error": 2, "budget": 3, "stuck": 4, "interrupted": 130,
    }  # fmt: skip


def test_raise_for_status_returns_a_good_outcome():
    outcome = Agent(ScriptedModel([says("Done.")])).run_sync("Hi.")
    assert outcome.raise_for_status() is outcome
    assert (outcome.ok, outcome.exit_code, outcome.status) == (True, 0, "finished")


def test_raise_for_status_raises_any_other_outcome_with_its_reason():
    outcome = Agent(ScriptedModel([says("Done.")]), verify=Verify(command="echo no; exit 3", attempts=1)).run_sync(
        "Hi."
    )
    with pytest.raises(RunFailed) as raised:
        outcome.raise_for_status()
    text = "The run ended as 'verify_failed': the verification failed on the last attempt (1); its output:\nno"
    assert str(raised.value).rstrip() == text
    assert (raised.value.status, outcome.exit_code) == ("verify_failed", 1)

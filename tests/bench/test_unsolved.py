"""What the default ladder left unsolved is given to another arm, and both are compared by computed tokens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from escalation import RecordFile
from escalation_unsolved import beside, computed, unsolved

RECORDS = RecordFile(Path(__file__).parent / "pocket-escalation.jsonl").records


def test_only_runs_of_the_ladder_without_faults_that_ended_unsolved_are_taken():
    found = unsolved(RECORDS)
    assert len(found) == 58
    assert {record.arm for record in found} == {"ladder"}
    assert {record.status for record in found} == {"stuck", "budget", "verify_failed"}
    assert {record.fault_rate for record in found} == {0.0}


def test_an_arm_is_compared_on_the_tasks_that_it_has_run():
    first, second, *_ = before = unsolved(RECORDS)
    tokens = computed(first) + computed(second)
    runs = [
        replace(first, arm="branches", status="verified", prompt_tokens=3 * tokens, cached_tokens=0, output_tokens=0),
        replace(second, arm="branches", prompt_tokens=tokens, cached_tokens=tokens, output_tokens=tokens),
        replace(before[2], arm="branches", status="error"),
    ]
    assert beside(before, runs) == (
        f"branches: solved 1 of 2, computed {4 * tokens:,} tokens, 4.0 times as many as the ladder ({tokens:,})"
    )

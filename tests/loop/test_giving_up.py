"""Work is not given up before it was verified: errors beside progress, circling, the ends of ladder and limits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from agent import Agent, EndpointRejected, Ladder, Limits, Outcome, Rung, Tool, ToolError, Verify, tool
from agent.journal.events import ContextRenewed, Event, Moved, Triggered, VerifyEnded, VerifyStarted
from agent.messages import Reply
from agent.model.profiles import GENERIC, MISTRAL, POCKET, Profile
from agent.testing import ScriptedModel, calls, says

ENV = {"PATH": os.environ["PATH"]}
VERIFY = Verify(command="test -e flag || { echo SECRET; exit 1; }", attempts=3)
FULL = EndpointRejected("This model's maximum context length is 2048 tokens.", url="http://x/v1", status=400)
PROFILES = pytest.mark.parametrize("profile", [MISTRAL, GENERIC, POCKET], ids=lambda profile: profile.name)


class Project:
    """A project with tools that read, write and fail."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self.settings: dict[str, Any] = {"instructions": "Be good.", "verify": VERIFY, "env": ENV, **settings}

    def tools(self) -> list[Tool]:
        @tool(read_only=True)
        def read(name: str) -> str:
            """Read a file."""
            return f"content of {name}"

        @tool(exclusive=True)
        def write(name: str) -> str:
            """Write a file."""
            (self.folder / name).write_text(f"{name}\n")
            return f"wrote {name}"

        @tool(read_only=True)
        def find(name: str) -> str:
            """Find a definition."""
            msg = f"No definition of {name} was found."
            raise ToolError(msg)

        return [read, write, find]

    async def run(self, *script: Any) -> Outcome:
        self.model = ScriptedModel(script, profile=self.settings.pop("profile", MISTRAL))
        agent = Agent(self.model, tools=self.tools(), workspace=self.folder, **self.settings)
        return await agent.run("Go.", observe=self.events.append)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def climbs(self) -> list[str]:
        return [f"{event.trigger} {event.action}" for event in self.of(Triggered)]

    @property
    def verifications(self) -> list[tuple[int, bool]]:
        return [(event.attempt, event.ok) for event in self.of(VerifyEnded)]

    @property
    def said(self) -> list[str]:
        """What the harness said to the model after the prompt, in the last request."""
        messages = self.model.bodies[-1]["messages"]
        return [str(message["content"]) for message in messages[2:] if message["role"] == "user"]


def reads(*names: str) -> Reply:
    return calls(*[("read", {"name": name}) for name in names])


WRITES_FLAG = calls(("write", {"name": "flag"}))
WRITES_DRAFT = calls(("write", {"name": "draft"}))


# Errors beside good work.


@PROFILES
async def test_three_steps_with_one_failed_call_each_beside_good_work_do_not_climb(tmp_path: Path, profile: Profile):
    """The third climbed, and the second climb put the workspace back although every step had found something new."""
    project = Project(tmp_path, profile=profile)
    steps = [calls(("read", {"name": f"{n}.py"}), ("find", {"name": f"name{n}"})) for n in range(9)]

    outcome = await project.run(WRITES_FLAG, *steps, says("Done."))

    assert (outcome.status, project.climbs) == ("verified", [])


async def test_steps_with_errors_and_nothing_new_still_climb(tmp_path: Path):
    project = Project(tmp_path)
    fails = [calls(("find", {"name": f"name{n}"})) for n in range(3)]

    await project.run(*fails, WRITES_FLAG, says("Done."))

    assert project.climbs == ["tool_error stay", "tool_error stay", "tool_error climb"]
    assert project.said == [
        "Several steps in a row failed; the last: a tool reported an error (find: Error: No definition of name2 was "
        "found.). Find out why before you try again: look at the files and the exact message, then act."
    ]


# Circling.


async def test_a_b_a_b_is_noticed_as_a_a_is(tmp_path: Path):
    """Eight steps of two alternating pairs of calls passed without a word to the model."""
    project = Project(tmp_path, verify=None)
    one, other = reads("a", "b"), reads("c", "d")

    await project.run(one, other, one, other, says("Done."))

    assert project.climbs == ["repeat stay", "repeat climb"]
    assert [event.rung for event in project.of(Moved)] == [2]
    note = (
        "(You made this very call before, and its result is the same. Calling it once more will not change it: do "
        "something else.)"
    )
    results = [message["content"] for message in project.model.bodies[-1]["messages"] if message["role"] == "tool"]
    assert results == [
        *[f"content of {name}" for name in "abcd"],
        *[f"content of {name}\n{note}" for name in "abcd"],
    ]
    assert project.said == [
        "You are repeating calls whose results you already have, and nothing has changed in between. Think again about "
        "what you know, then do something new: make the next change, test it, or give your answer."
    ]


async def test_a_test_run_again_after_an_edit_of_the_same_reply_gets_no_note_about_repetition(tmp_path: Path):
    project = Project(tmp_path, verify=None)

    await project.run(reads("a"), calls(("write", {"name": "b"}), ("read", {"name": "a"})), says("Done."))

    assert project.model.bodies[-1]["messages"][-1]["content"] == "content of a"
    assert project.climbs == []


async def test_circling_on_good_files_renews_the_conversation_and_keeps_them(tmp_path: Path):
    """The working change was put back because its passing tests were run again and again."""
    project = Project(tmp_path, verify=None)

    await project.run(WRITES_DRAFT, *[reads("a")] * 5, says("Done."))

    assert [event.rung for event in project.of(Moved)] == [2, 3]
    assert [event.restored for event in project.of(ContextRenewed)] == [()]
    assert (tmp_path / "draft").read_text() == "draft\n"
    assert project.model.bodies[-1]["messages"][1]["content"].startswith(
        "Go.\n\nYou have worked on this task before; the conversation was restarted because you repeated calls whose "
        "results you already had.\nThe files are as you left them."
    )


# Before the run ends or renews its context, the work is verified.


@PROFILES
async def test_work_that_passes_the_verification_is_not_put_back_but_ends_the_run(tmp_path: Path, profile: Profile):
    project = Project(tmp_path, profile=profile)

    outcome = await project.run(WRITES_FLAG, *[says("")] * 4)

    assert (outcome.status, outcome.reason) == (
        "verified",
        "the verification passed when the run was about to give up",
    )
    assert (tmp_path / "flag").read_text() == "flag\n"
    assert project.verifications == [(0, True)]


async def test_the_pocket_model_is_put_back_to_the_start_in_the_words_it_was_trained_on(tmp_path: Path):
    """Its ladder was measured so, but now only after a silent verification, and with a patch for the user."""
    project = Project(tmp_path, profile=POCKET)

    outcome = await project.run(WRITES_DRAFT, says(""), says(""), WRITES_FLAG, says("Done."))

    assert (outcome.status, project.verifications) == ("verified", [(0, False), (1, True)])
    assert project.model.bodies[3]["messages"][1]["content"] == (
        "Go.\n\nAn earlier attempt at this task failed: the reply was empty\nWhat it tried, in order:\n"
        '- write {"name": "draft"} -> ok: wrote draft\n'
        "The workspace is back in the state it had at the start. Take another way."
    )
    assert [(event.restored, event.patch) for event in project.of(ContextRenewed)] == [
        (("draft",), ".agent/attempts/1/changes.diff")
    ]
    assert not (tmp_path / "draft").exists()


async def test_the_pocket_model_that_has_changed_nothing_reads_that_it_is_at_the_start(tmp_path: Path):
    project = Project(tmp_path, profile=POCKET)

    await project.run(reads("a"), says(""), says(""), WRITES_FLAG, says("Done."))

    assert project.model.bodies[3]["messages"][1]["content"].endswith(
        "The workspace is back in the state it had at the start. Take another way."
    )


@PROFILES
async def test_work_that_passes_the_verification_is_not_given_up_as_stuck(tmp_path: Path, profile: Profile):
    ladder = Ladder(rungs=(Rung(),), triggers={"empty_reply": 1})
    project = Project(tmp_path, profile=profile, ladder=ladder)

    outcome = await project.run(WRITES_FLAG, says(""))

    assert (outcome.status, outcome.exit_code, project.verifications) == ("verified", 0, [(0, True)])


@pytest.mark.parametrize(
    ("limits", "script"),
    [
        (Limits(steps=1), [WRITES_FLAG]),
        (Limits(tool_calls=1), [WRITES_FLAG, reads("a")]),
        (Limits(), [WRITES_FLAG, FULL]),
    ],
    ids=["steps", "tool_calls", "window"],
)
async def test_work_that_passes_the_verification_is_not_given_up_as_budget(
    tmp_path: Path, limits: Limits, script: list[Any]
):
    project = Project(tmp_path, limits=limits, ladder=Ladder(rungs=(Rung(),)))

    outcome = await project.run(*script)

    assert (outcome.status, project.verifications) == ("verified", [(0, True)])


async def test_a_silent_verification_is_no_attempt_and_its_output_is_not_shown(tmp_path: Path):
    ladder = Ladder(rungs=(Rung(effort="none"), Rung(effort="high", fresh_context=True)), triggers={"empty_reply": 1})
    project = Project(tmp_path, ladder=ladder)

    outcome = await project.run(WRITES_DRAFT, says(""), says("Done."), WRITES_FLAG, says("Done."))

    assert (outcome.status, outcome.reason) == ("verified", "the verification passed on attempt 2")
    assert project.verifications == [(0, False), (1, False), (2, True)]
    assert [event.restored for event in project.of(ContextRenewed)] == [()]
    assert "SECRET" not in str(project.model.bodies[:3])
    assert project.said[-1].startswith("Verification failed (attempt 1 of 3).")


async def test_a_run_that_is_stuck_says_that_its_work_was_tried(tmp_path: Path):
    ladder = Ladder(rungs=(Rung(),), triggers={"tool_error": 1})
    project = Project(tmp_path, ladder=ladder)

    outcome = await project.run(WRITES_DRAFT, calls(("find", {"name": "x"})))

    assert (outcome.status, outcome.reason) == (
        "stuck",
        "the ladder has no rung left after tool_error: a tool reported an error (find: Error: No definition of x was "
        "found.); the changes so far are in the workspace and did not pass the verification",
    )
    assert (tmp_path / "draft").exists()


async def test_without_a_verification_the_end_says_that_the_changes_were_not_verified(tmp_path: Path):
    project = Project(tmp_path, limits=Limits(steps=1), verify=None)

    outcome = await project.run(WRITES_DRAFT)

    assert (outcome.status, outcome.reason) == (
        "budget",
        "the limit steps = 1 is reached (1 used). Raise `limits.steps`, or set it to None (null in a task); the "
        "changes so far are in the workspace and were not verified",
    )


# When it is skipped, and when it is repeated.


@PROFILES
@pytest.mark.parametrize("script", [[], [reads("a")]], ids=["no call", "only read"])
async def test_no_verification_runs_if_nothing_may_have_changed(tmp_path: Path, profile: Profile, script: list[Reply]):
    project = Project(tmp_path, profile=profile, ladder=Ladder(rungs=(Rung(),), triggers={"empty_reply": 1}))

    outcome = await project.run(*script, says(""))

    assert (outcome.status, project.verifications) == ("stuck", [])
    assert outcome.reason == "the ladder has no rung left after empty_reply: the reply was empty"


async def test_files_that_a_verification_has_failed_for_are_not_verified_again(tmp_path: Path):
    ladder = Ladder(rungs=(Rung(),), triggers={"empty_reply": 1})
    project = Project(tmp_path, ladder=ladder)

    outcome = await project.run(WRITES_DRAFT, says("Done."), reads("a"), says(""))

    assert (outcome.status, project.verifications) == ("stuck", [(1, False)])


async def test_files_that_have_changed_since_a_failed_verification_are_verified_again(tmp_path: Path):
    ladder = Ladder(rungs=(Rung(),), triggers={"empty_reply": 1})
    project = Project(tmp_path, ladder=ladder)

    outcome = await project.run(WRITES_DRAFT, says("Done."), WRITES_FLAG, says(""))

    assert (outcome.status, project.verifications) == ("verified", [(1, False), (0, True)])


class Sum(BaseModel):
    """The sum."""

    value: int


async def test_a_run_that_owes_a_result_is_not_verified_without_it(tmp_path: Path):
    """The verification would pass, but the run would end without the structured result that the caller asked for."""
    ladder = Ladder(rungs=(Rung(), Rung(fresh_context=True, restore="any")), triggers={"empty_reply": 1})
    project = Project(tmp_path, ladder=ladder, output_type=Sum)

    outcome = await project.run(WRITES_FLAG, says(""), calls(("final_result", {"value": 5})))

    assert (outcome.status, outcome.output, project.verifications) == ("verified", Sum(value=5), [(1, True)])
    assert [event.restored for event in project.of(ContextRenewed)] == [()]


async def test_a_result_that_was_given_is_kept_when_the_run_is_verified_at_its_end(tmp_path: Path):
    project = Project(tmp_path, limits=Limits(tool_calls=2), output_type=Sum)
    both = calls(("write", {"name": "flag"}), ("final_result", {"value": 5}))

    outcome = await project.run(both)

    assert (outcome.status, outcome.output) == ("verified", Sum(value=5))


async def test_a_verification_that_changes_files_itself_does_not_verify_forever(tmp_path: Path):
    ladder = Ladder(rungs=(Rung(), Rung(fresh_context=True)), triggers={"empty_reply": 1})
    verify = Verify(command="date +%N >> report; exit 1", attempts=3)
    project = Project(tmp_path, ladder=ladder, verify=verify)

    outcome = await project.run(WRITES_DRAFT, says(""), says(""))

    assert (outcome.status, project.verifications) == ("stuck", [(0, False)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["draft", "report"]


@pytest.mark.parametrize("killed_at", [VerifyStarted, VerifyEnded])
async def test_a_run_killed_around_its_silent_verification_ends_as_verified_when_resumed(
    tmp_path: Path, killed_at: type
):
    class Killed(BaseException):
        pass

    def kill(event: Event) -> None:
        if isinstance(event, killed_at):
            raise Killed

    folder = tmp_path / "work"
    folder.mkdir()
    project = Project(folder)
    settings: dict[str, Any] = {
        **project.settings, "tools": project.tools(), "workspace": folder, "limits": Limits(steps=1),
    }  # fmt: skip
    with pytest.raises(Killed):
        await Agent(ScriptedModel([WRITES_FLAG]), runs=tmp_path / "runs", **settings).run("Go.", observe=kill)
    (run,) = (tmp_path / "runs").glob("[!.]*")
    outcome = await Agent(ScriptedModel([]), **settings).resume(run, observe=project.events.append)

    assert (outcome.status, outcome.steps) == ("verified", 1)
    assert project.verifications == ([(0, True)] if killed_at is VerifyStarted else [])

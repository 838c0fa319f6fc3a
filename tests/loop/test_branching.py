"""The last rung tries the task anew, several times at once, and takes the first attempt whose verification passes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent import Agent, ConfigError, EndpointUnreachable, Ladder, Limits, Outcome, Rung, Sandbox, Verify, tool
from agent.journal.events import (
    BranchEnded,
    BranchesStarted,
    BranchTaken,
    Event,
    Moved,
    RunEnded,
    Triggered,
    VerifyEnded,
)
from agent.journal.journal import read_journal
from agent.messages import Reply
from agent.model.wire import Request
from agent.sandbox.rules import Rules
from agent.testing import ScriptedModel, calls, says
from agent.workspace.workspace import NoSnapshot, Workspace

ENV = {"PATH": os.environ["PATH"]}
LADDER = Ladder(rungs=(Rung(effort="none"), Rung(effort="high", branch=3)))
VERIFY = Verify(command="grep -q right flag", attempts=1)
"""What a try writes into `flag` decides."""


def write(text: str, path: str = "flag") -> Reply:
    return calls(("write_file", {"path": path, "content": text}))


class Project:
    """A folder whose task is solved once `flag` holds `right`, and a model that plays each branch by its number."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder, self.work = folder, folder / "work"
        self.work.mkdir(exist_ok=True)
        (self.work / "kept.txt").write_text("as it was\n")
        self.requests: list[dict[str, Any]] = []
        self.events: list[Event] = []
        self.solves = {2}
        """The branches that solve the task, by their numbers."""
        self.after: Callable[[int], bool] = lambda _branch: True
        """Whether a branch may go on now; it waits otherwise, by taking notes."""
        self.settings: dict[str, Any] = {
            "tools": ["write_file", "list_files"], "instructions": "Be good.", "ladder": LADDER, "verify": VERIFY,
            "workspace": self.work, "runs": folder / "runs", "env": ENV, **settings,
        }  # fmt: skip

    @property
    def agent(self) -> Agent:
        return Agent(ScriptedModel([self.play] * 400), **self.settings)

    def play(self, request: Request) -> Reply:
        body = json.loads(request.encode(stream=False))
        self.requests.append(body)
        branch = self.branch_of(body)
        said = [message["content"] for message in body["messages"] if message["role"] == "tool"]
        if branch and not self.after(branch):
            return write("so far", path=f"notes/{len(said)}")
        if not any("flag" in text for text in said):
            return write("right" if branch in self.solves else f"wrong {branch}")
        return says(f"Done by {branch}.")

    def branch_of(self, body: dict[str, Any]) -> int:
        """Return the number of the branch that sent a request, by how the table makes it ask; 0 for the run itself."""
        plan = (body["reasoning_effort"], body["temperature"])
        return {("none", 0.0): 0, ("high", 0.7): 1 if "restarted" not in str(body["messages"][1]) else 2}.get(plan, 3)

    async def run(self) -> Outcome:
        return await self.agent.run("Write right into flag.", name="go", observe=self.events.append)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


async def test_the_first_branch_that_passes_is_taken_and_verified_in_the_workspace(tmp_path: Path):
    project = Project(tmp_path)
    outcome = await project.run()

    assert (outcome.status, outcome.reason) == ("verified", "the verification passed for the work of the branch go-b2")
    assert (project.work / "flag").read_text() == "right"
    assert outcome.answer == "Done by 2."
    assert [event.action for event in project.of(Triggered)] == ["branch"]
    assert [event.ok for event in project.of(VerifyEnded)] == [False, True]
    (taken,) = project.of(BranchTaken)
    assert (taken.run, taken.changed, taken.conflicts) == ("go-b2", ("flag",), ())
    assert "wrong 0" in (project.work / taken.patch).read_text()


async def test_every_branch_begins_with_the_runs_own_prompt_tools_and_task(tmp_path: Path):
    """So the engine finds the beginning of their prompts in its cache."""
    project = Project(tmp_path)
    await project.run()
    firsts = {branch: body for body in reversed(project.requests) if (branch := project.branch_of(body)) in range(4)}
    assert sorted(firsts) == [0, 1, 2, 3]
    for branch, body in firsts.items():
        assert body["tools"] == firsts[0]["tools"]
        assert body["messages"][0] == firsts[0]["messages"][0]
        assert body["messages"][1]["content"].startswith("Write right into flag."), branch
    tried = [str(firsts[branch]["messages"][1]["content"]) for branch in (1, 2, 3)]
    assert ["+wrong 0" in text for text in tried] == [False, True, False]
    assert tried[0] == tried[2] == "Write right into flag."


async def test_a_branch_is_told_its_folder_if_the_prompt_names_that_of_the_run(tmp_path: Path):
    project = Project(tmp_path, instructions=None)
    await project.run()
    prompts = {str(body["messages"][1]["content"]) for body in project.requests if project.branch_of(body) == 1}
    folder = tmp_path / "runs" / "go" / "branches" / "go-b1" / "workspace"
    assert [str(folder) in prompt for prompt in prompts] == [True]


async def test_the_other_branches_are_cancelled_and_what_they_used_is_counted(tmp_path: Path):
    project = Project(tmp_path)
    project.after = lambda branch: branch == 2
    outcome = await project.run()

    ends = {event.run: event for event in project.of(BranchEnded)}
    assert {run: end.status for run, end in ends.items()} == {
        "go-b1": "interrupted", "go-b2": "verified", "go-b3": "interrupted",
    }  # fmt: skip
    assert ends["go-b1"].reason == "the branch go-b2 passed first"
    assert outcome.usage.prompt_tokens == 100 * len(project.requests)
    assert outcome.usage.steps == 2
    for run, end in ends.items():
        (*_, last) = read_journal(Path(end.journal))
        assert isinstance(last, RunEnded)
        assert (last.status, last.spent.prompt_tokens) == (end.status, end.spent.prompt_tokens), run


async def test_if_no_branch_passes_the_run_ends_with_what_each_came_to_and_its_own_files(tmp_path: Path):
    project = Project(tmp_path)
    project.solves = set()
    outcome = await project.run()

    assert outcome.status == "verify_failed"
    assert outcome.reason == (
        "no branch passed the verification: go-b1 ended as verify_failed after 2 steps; go-b2 ended as verify_failed "
        "after 2 steps; go-b3 ended as verify_failed after 2 steps. The workspace is as the run's own last attempt "
        "left it"
    )
    assert (project.work / "flag").read_text() == "wrong 0"
    assert sorted(path.name for path in project.work.iterdir()) == ["flag", "kept.txt"]


async def test_a_branch_that_passes_only_in_its_copy_ends_the_run_as_verify_failed(tmp_path: Path):
    project = Project(tmp_path, verify=Verify(command="pwd; grep -q right flag && pwd | grep -q branches", attempts=1))
    outcome = await project.run()
    assert outcome.status == "verify_failed"
    assert outcome.reason == (
        "the branch go-b2 passed the verification in its copy, but the workspace with its changes does not; its "
        f"output:\n{project.work}"
    )
    assert (project.work / "flag").read_text() == "right"
    assert "wrong 0" in (project.work / project.of(BranchTaken)[0].patch).read_text()


async def test_the_branches_stop_together_at_the_runs_limit_of_tokens(tmp_path: Path):
    """Each of them knew only what the run itself had used, so three branches used three times what was left."""
    project = Project(tmp_path, limits=Limits(tokens=1300))
    project.after = lambda _branch: False
    outcome = await project.run()

    assert outcome.status == "budget"
    assert outcome.reason.startswith("the limit tokens = 1300 is reached (1")
    assert outcome.usage.tokens < 1300 + 3 * 150  # those of requests that were under way
    assert {event.status for event in project.of(BranchEnded)} <= {"interrupted", "budget"}


async def test_branches_that_a_limit_stopped_go_on_when_the_run_is_resumed_with_a_higher_one(tmp_path: Path):
    project = Project(tmp_path, limits=Limits(tokens=1300))
    project.after = lambda _branch: False
    await project.run()
    before = len(project.requests)
    project.after = lambda _branch: True
    project.settings["limits"] = Limits()
    outcome = await project.agent.resume("go", observe=project.events.append)

    assert outcome.status == "verified"
    assert len(project.of(BranchesStarted)) == 1
    again = [len(body["messages"]) for body in project.requests[before:]]
    assert min(again) > 2  # they went on where they were
    assert outcome.usage.prompt_tokens == 100 * len(project.requests)


async def test_a_run_that_gave_up_climbs_again_to_new_branches(tmp_path: Path):
    project = Project(tmp_path)
    project.solves = set()
    await project.run()
    project.solves = {3}
    outcome = await project.agent.resume("go", observe=project.events.append)
    assert (outcome.status, outcome.reason) == ("verified", "the verification passed for the work of the branch go-b6")


async def test_new_branches_never_take_the_name_of_one_that_has_ended(tmp_path: Path):
    """Where a branch had not started, the next ones were numbered again, and an old end was taken for theirs."""
    project = Project(tmp_path)
    project.solves = set()
    await project.run()
    shutil.rmtree(tmp_path / "runs" / "go" / "branches" / "go-b1")
    project.solves = {3}
    outcome = await project.agent.resume("go", observe=project.events.append)
    assert (outcome.status, outcome.reason) == ("verified", "the verification passed for the work of the branch go-b6")


async def test_branches_end_with_the_server_and_go_on_on_another_one(tmp_path: Path):
    project = Project(tmp_path)
    play = project.play

    def fail(request: Request) -> Reply:
        if project.branch_of(json.loads(request.encode(stream=False))):
            raise EndpointUnreachable("refused", url="http://x/v1")
        return play(request)

    project.play = fail
    outcome = await project.run()
    assert (outcome.status, outcome.server_failed) == ("error", True)
    assert "no branch passed the verification: go-b1 ended as error" in outcome.reason
    project.play = play
    outcome = await project.agent.resume("go", observe=project.events.append)
    assert (outcome.status, outcome.answer) == ("verified", "Done by 2.")


async def test_a_run_climbs_to_branches_after_a_failure_that_is_not_the_last_verification(tmp_path: Path):
    ladder = Ladder(rungs=LADDER.rungs, triggers={"repeat": 1})
    project = Project(tmp_path, ladder=ladder)
    play = project.play
    project.play = lambda request: (
        play(request)
        if project.branch_of(json.loads(request.encode(stream=False)))
        else calls(("list_files", {"path": "."}))
    )
    outcome = await project.run()
    assert outcome.status == "verified"
    assert [(event.trigger, event.action) for event in project.of(Triggered)] == [("repeat", "climb")]
    assert [(event.rung, event.switches_effort) for event in project.of(Moved)] == [(1, False)]
    assert [event.patch for event in project.of(BranchTaken)] == [""]


async def test_a_run_without_a_journal_takes_a_branch_too(tmp_path: Path):
    project = Project(tmp_path, runs=None)
    outcome = await project.run()
    assert (outcome.status, (project.work / "flag").read_text()) == ("verified", "right")


async def test_the_structured_result_is_that_of_the_branch(tmp_path: Path):
    schema = {"type": "object", "properties": {"by": {"type": "integer"}}, "required": ["by"]}
    project = Project(tmp_path, output_type=schema)
    play = project.play

    def result(request: Request) -> Reply:
        reply = play(request)
        branch = project.branch_of(project.requests[-1])
        return reply if reply.tool_calls else calls(("final_result", {"by": branch}))

    project.play = result
    outcome = await project.run()
    assert (outcome.status, outcome.output) == ("verified", {"by": 2})


async def test_the_next_turn_of_a_session_knows_that_the_work_of_a_branch_was_taken(tmp_path: Path):
    project = Project(tmp_path)
    agent = project.agent
    session = agent.session("talk")
    first = await session.run("Write right into flag.")
    assert first.status == "verified"
    project.requests.clear()
    again = await agent.session("talk").run("And now?")
    assert again.status == "verified"
    sent = [(message["role"], message["content"]) for message in project.requests[0]["messages"][-3:]]
    assert [role for role, _ in sent] == ["user", "assistant", "user"]
    assert sent[0][1].startswith("Your attempts did not pass the verification, so their changes were put back.")
    assert [content for _, content in sent[1:]] == ["Done by 2.", "And now?"]
    assert project.requests[0]["reasoning_effort"] == "none"


async def test_what_somebody_else_changes_meanwhile_is_left_alone(tmp_path: Path):
    project = Project(tmp_path)

    def seen(event: Event) -> None:
        if isinstance(event, BranchEnded) and event.status == "verified":
            (project.work / "kept.txt").write_text("somebody else's\n")

    await project.agent.run("Write right into flag.", name="go", observe=seen)
    assert (project.work / "kept.txt").read_text() == "somebody else's\n"
    assert (project.work / "flag").read_text() == "right"


async def test_a_file_that_branch_and_somebody_else_changed_is_a_conflict_and_keeps_the_run_from_passing(
    tmp_path: Path,
):
    project = Project(tmp_path)

    def seen(event: Event) -> None:
        project.events.append(event)
        if isinstance(event, BranchEnded) and event.status == "verified":
            (project.work / "flag").write_text("somebody else's\n")

    outcome = await project.agent.run("Write right into flag.", name="go", observe=seen)
    assert [event.conflicts for event in project.of(BranchTaken)] == [("flag",)]
    assert outcome.status == "verify_failed"
    assert "with its changes, but not those of flag, which something else changed" in outcome.reason
    assert (project.work / "flag").read_text() == "somebody else's\n"


# Killed and resumed.


class Killed(BaseException):
    """Ends a process, as far as this can be had in a test."""


@pytest.mark.parametrize("is_hard", [False, True], ids=["interrupted", "killed"])
@pytest.mark.parametrize(
    ("kind", "number"),
    [("moved", 1), ("branches_started", 1), ("branch_ended", 1), ("branch_ended", 3), ("files_changed", 2),
     ("branch_taken", 1), ("verify_started", 2), ("verify_ended", 2)],
)  # fmt: skip
def test_a_run_killed_after_any_event_of_its_branches_ends_as_if_it_had_not_been_killed(
    tmp_path: Path, kind: str, number: int, *, is_hard: bool
):
    project = Project(tmp_path)
    seen: list[str] = []
    project.after = lambda branch: branch == 2 or "killed" in seen

    def kill(event: Event) -> None:
        seen.append(event.kind)
        if seen.count(kind) == number and event.kind == kind:
            seen.append("killed")
            raise Killed

    with pytest.raises(Killed):
        asyncio.run(project.agent.run("Write right into flag.", name="go", observe=kill))
    if is_hard:
        for journal in (tmp_path / "runs" / "go" / "branches").glob("*/journal.jsonl"):
            *_, last = read_journal(journal)
            if isinstance(last, RunEnded) and last.status == "interrupted":  # a killed process does not write this
                journal.write_bytes(journal.read_bytes()[: journal.read_bytes()[:-1].rfind(b"\n") + 1])
    outcome = asyncio.run(project.agent.resume("go"))

    assert outcome.status == "verified"
    assert outcome.reason.startswith("the verification passed for the work of the branch go-b")
    assert (project.work / "flag").read_text() == "right"
    assert (project.work / "kept.txt").read_text() == "as it was\n"
    events = read_journal(tmp_path / "runs" / "go" / "journal.jsonl")
    (taken,) = [event for event in events if isinstance(event, BranchTaken)]
    assert "+wrong 0" in (project.work / taken.patch).read_text()
    ends = [event for event in events if isinstance(event, BranchEnded)]
    assert len({end.run for end in ends}) == len(ends) == 3
    assert outcome.usage.prompt_tokens == 100 * len(project.requests)
    asked = [(project.branch_of(body), json.dumps(body["messages"])) for body in project.requests]
    assert len(set(asked)) == len(asked)  # nothing twice


def test_a_branch_that_was_killed_before_its_first_event_is_started_anew(tmp_path: Path):
    project = Project(tmp_path)

    def kill(event: Event) -> None:
        if isinstance(event, BranchesStarted):
            raise Killed

    with pytest.raises(Killed):
        asyncio.run(project.agent.run("Write right into flag.", name="go", observe=kill))
    for folder in ("go-b2/workspace", ".start.partial"):
        (tmp_path / "runs" / "go" / "branches" / folder).mkdir(parents=True)
    assert asyncio.run(project.agent.resume("go")).status == "verified"


# What is refused.


@tool
def send(text: str) -> str:
    """Send a message."""
    return text


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"verify": None}, "nothing decides which branch is right. Add `verify`"),
        ({"workspace": None}, "the agent has no `workspace` that could be copied"),
        ({"tools": ["read_file"]}, "no tool changes files"),
        ({"tools": ["write_file", send]}, "send may change something outside of the workspace"),
        ({"sandbox": Sandbox(isolation="none")}, "commands are not sandboxed"),
        ({"sandbox": Sandbox(isolation="bubblewrap", rules=Rules(network=True))}, "commands may use the network"),
        (
            {"sandbox": Sandbox(isolation="bubblewrap", rules=Rules(write=(Path("/opt"),)))},
            "may change /opt, which",
        ),
    ],
)
async def test_an_agent_whose_branches_could_not_be_told_apart_or_change_more_is_refused(
    tmp_path: Path, settings: dict[str, Any], problem: str
):
    project = Project(tmp_path, **settings)
    with pytest.raises(ConfigError) as refused:
        await project.run()
    assert str(refused.value).startswith("The ladder ends with `branch`, but ")
    assert problem in str(refused.value)


async def test_a_workspace_that_is_too_large_for_a_snapshot_ends_the_run_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def none(*_arguments: object, **_more: object) -> NoSnapshot:
        return NoSnapshot(reason="too many")

    monkeypatch.setattr(Workspace, "snapshot", none)
    project = Project(tmp_path)
    outcome = await project.run()
    assert outcome.status == "verify_failed"
    assert "but there is no copy of it (too many)" in outcome.reason

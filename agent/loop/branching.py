"""Run the branches of a run at the same time, and take the work of the first one whose verification passes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from ..errors import ConfigError, EndpointError
from ..journal.branch_events import Branch, BranchEnded, BranchesStarted, BranchTaken
from ..journal.events import Event, Noticed, Replied, RunEnded
from ..journal.runs import read_run
from ..journal.status import Status
from ..messages import UserMessage
from ..policy.branches import plan_branches
from ..policy.budget import Spent
from ..workspace.taking import take_changes
from ..workspace.workspace import Snapshot, Workspace
from . import prompts
from .dependencies import Branches, RunDependencies
from .pending import RunBranches
from .renewal import handle_files, tell_what_was_tried
from .state import RunState

_TAKING = "the files of another attempt were put in their place"
_NO_COPY = "the ladder ends with branches, which work in copies of the folder as it was at the start, but {reason}"


@dataclass(frozen=True, kw_only=True, slots=True)
class NonePassed:
    """How the run ends, because no branch has passed."""

    status: Status
    reason: str
    cause: Literal["", "endpoint"] = ""


async def run_branches(state: RunState, deps: RunDependencies, action: RunBranches) -> NonePassed | None:
    """Run what is left to run of the branches, and take the first that passes.

    A run that is killed meanwhile goes on here: branches that were running are resumed, and what was taken in part is
    taken again. None means that the work of a branch is in the workspace now and has to be verified there.
    """
    branching, branches = state.branching, deps.branches
    if branching.taken is not None:
        return _failed_here(state, branching.taken)
    if branches is None or deps.snapshot is None:
        why = f"there is no copy of it ({state.started.note or 'the run was given no folder, or changes no files'})"
        return _given_up(action, _NO_COPY.format(reason=why))
    if branching.started is None:
        deps.record(await _started(state, deps, branches, action))
    race = _Race(state, deps, branches)
    if branching.winner is None:
        try:
            lacks = await asyncio.to_thread(branches.prepare)
        except (ConfigError, OSError) as error:
            return _given_up(action, _NO_COPY.format(reason=f"it cannot be made: {error}"))
        if lacks and lacks not in state.notices:
            deps.record(Noticed(text=lacks))
        await race.run()
    race.drop_open()
    if branching.winner is None:
        exceeded = race.exceeded or str(state.budget.exceeded(replace(state.spent, wall_s=deps.clock())) or "")
        return NonePassed(status="budget", reason=exceeded) if exceeded else _none_passed(state)
    try:
        deps.record(await _taken(state, deps, branching.winner))
    except (OSError, ConfigError) as error:
        where = f"it is in the folder of its run, {Path(branching.winner.journal).parent}"
        return NonePassed(status="error", reason=f"the work of a branch that passed cannot be taken: {error}; {where}")
    return None


class _Race:
    """Runs the branches that have not ended, until one passes or a limit is reached."""

    def __init__(self, state: RunState, deps: RunDependencies, branches: Branches) -> None:
        self._state = state
        self._deps = deps
        self._branches = branches
        self._running: dict[str, Spent] = {}
        """What each running branch has used that is not counted yet."""
        self._stopped = asyncio.Event()
        self.exceeded = ""
        """The limit that the branches have reached together. Empty if none."""

    async def run(self) -> None:
        """Run them; when this returns or raises, none is running any more."""
        tasks = {asyncio.ensure_future(self._run(branch)): branch for branch in self._state.branching.open}
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            while tasks and self._state.branching.winner is None and not self.exceeded:
                done, _ = await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in tasks if task in done]:
                    del tasks[task]
                    self._deps.record(task.result())
        finally:
            for task in (*tasks, stopped):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def drop_open(self) -> None:
        """Record the end of the branches that were cancelled, with what they used."""
        branching = self._state.branching
        reason = f"the branch {branching.winner.run} passed first" if branching.winner else self.exceeded
        for branch in branching.open:
            spent = self._branches.spent(branch.run)
            self._deps.record(self._end(branch, spent, "interrupted", reason))

    async def _run(self, branch: Branch) -> BranchEnded:
        counted = self._state.branching.spent.get(branch.run, Spent())
        self._running[branch.run] = self._branches.spent(branch.run) - counted
        prompt = _prompt(self._state, self._deps, branch, self._branches.workspace(branch.run))
        try:
            ended = await self._branches.run(branch, prompt, partial(self._observe, branch.run))
        except (ConfigError, EndpointError) as error:
            cause = "endpoint" if isinstance(error, EndpointError) else ""
            return replace(self._end(branch, counted, "error", f"it could not start: {error}"), cause=cause)
        finally:
            self._running.pop(branch.run, None)
        return replace(self._end(branch, ended.spent, ended.status, ended.reason), cause=ended.cause)

    def _end(self, branch: Branch, spent: Spent, status: Status, reason: str) -> BranchEnded:
        journal = self._branches.journal(branch.run)
        counted = self._state.branching.spent.get(branch.run, Spent())
        return BranchEnded(
            run=branch.run, status=status, reason=reason, steps=spent.steps, spent=spent - counted,
            journal=str(journal) if journal.exists() else "",
        )  # fmt: skip

    def _observe(self, run: str, event: Event) -> None:
        """Count a branch's reply; the branches know what the run had used before they began, but not of each other."""
        if not isinstance(event, Replied) or run not in self._running:
            return
        self._running[run] = self._running[run].after_reply(event.reply.usage)
        spent = self._state.spent
        for more in self._running.values():
            spent = spent.after_delegation(more)
        exceeded = self._state.budget.exceeded(replace(spent, wall_s=self._deps.clock()))
        if exceeded is not None:
            self.exceeded = str(exceeded)
            self._stopped.set()


async def _started(
    state: RunState, deps: RunDependencies, branches: Branches, action: RunBranches
) -> BranchesStarted:  # fmt: skip
    plans = plan_branches(state.started.ladder)
    names = branches.new_names(len(plans))
    clause = prompts.RENEWED_BECAUSE[action.trigger].format(reason=action.reason)
    return BranchesStarted(
        step=state.step,
        branches=tuple(Branch(run=name, plan=plan) for name, plan in zip(names, plans, strict=True)),
        summary=await tell_what_was_tried(state, deps, reason=action.reason, clause=clause),
    )


def _prompt(state: RunState, deps: RunDependencies, branch: Branch, folder: Path) -> UserMessage:
    """Return what a branch is asked; it begins as the run's own prompt, which the engine may have in its cache."""
    first, started = state.started, state.branching.started
    parts = [first.prompt.content]
    if branch.plan.reads == "tried" and started is not None:
        parts.append(started.summary)
    own = str(deps.context.workspace)
    if own in first.system or own in first.prompt.content:
        parts.append(prompts.BRANCH_FOLDER.format(folder=folder))
    return replace(first.prompt, content="\n\n".join(parts))


async def _taken(state: RunState, deps: RunDependencies, winner: BranchEnded) -> BranchTaken:
    """Save the run's own changes, and replace them by those of the branch.

    Raises:
        ConfigError: the workspace or the branch's copy is gone.
        OSError: the run's own changes cannot be saved, or files cannot be written.
    """
    first, events = await asyncio.to_thread(read_run, Path(winner.journal).parent)
    ended = next(event for event in reversed(events) if isinstance(event, RunEnded))
    workspace, snapshot = Workspace(deps.context.workspace), deps.snapshot
    assert snapshot is not None, "without a snapshot there are no branches"
    assert first.snapshot is not None, "a branch works in a copy, which has a snapshot"
    async with deps.member.alone(before=_TAKING):
        files = await handle_files(state, deps, restore=state.work.may_have_changed)
        if files.changes is None:
            msg = "the changes that are in the workspace could not be saved first"
            raise ConfigError(msg)
        taken = await asyncio.to_thread(
            take_changes, workspace, snapshot, Workspace(first.workspace), Snapshot(tree=Path(first.snapshot))
        )
    return BranchTaken(
        run=winner.run, changed=taken.changed, patch=files.patch, conflicts=taken.conflicts,
        files=taken.signatures if deps.shared_workspace else {}, answer=ended.answer, output=ended.output,
    )  # fmt: skip


def _failed_here(state: RunState, taken: BranchTaken) -> NonePassed:
    ended = state.work.files_verification
    printed = "" if ended is None or not ended.output.strip() else f"; its output:\n{ended.output}"
    kept = f", but not those of {', '.join(taken.conflicts)}, which something else changed" if taken.conflicts else ""
    text = (
        f"the branch {taken.run} passed the verification in its copy, but the workspace with its changes{kept} does not"
    )
    return NonePassed(status="verify_failed", reason=f"{text}{printed}")


def _given_up(action: RunBranches, why: str) -> NonePassed:
    status = "verify_failed" if action.trigger == "verify_failed" else "stuck"
    return NonePassed(status=status, reason=f"{action.trigger}: {action.reason}; {why}")


def _none_passed(state: RunState) -> NonePassed:
    """Return the end of a run none of whose branches passed, with what each came to."""
    ends = sorted(state.branching.ended.values(), key=lambda end: state.branching.number(end.run))
    found = "; ".join(f"{end.run} ended as {end.status} after {end.steps} steps" for end in ends)
    failed = next((end for end in ends if end.status == "error"), None)
    reason = f"no branch passed the verification: {found}"
    if failed is not None and all(end.status == "error" for end in ends):
        return NonePassed(status="error", reason=f"{reason}; {failed.reason}", cause=failed.cause)
    came_to = {end.status for end in ends}
    status = "verify_failed" if "verify_failed" in came_to else "stuck" if "stuck" in came_to else "budget"
    return NonePassed(status=status, reason=f"{reason}. The workspace is as the run's own last attempt left it")

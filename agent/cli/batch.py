"""`agent run FOLDER`: run every task of a folder, print a line for each and a summary; a failure does not stop it."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ..agent import Agent
from ..errors import ConfigError
from ..journal.events import Event, Requested, RunEnded, RunStarted, Status
from ..journal.runs import runs_folder
from ..loop.outcome import EXIT_CODES
from ..messages import Image
from ..model.endpoint import Endpoint
from ..names import on_its_line
from ..policy.budget import Spent
from ..sandbox.imports import guarded_imports
from ..task.own_files import writable_folders
from ..task.parts import TaskModel
from ..task.task import Task
from ..view.text import on_one_line, visible, visible_json
from .discovery import NOWHERE
from .dry_run import dry_run
from .go_on import GoOn
from .jobs import fitting_jobs
from .run_task import all_served, find_servers, parse_overrides, write_output
from .suspending import run_suspendable
from .task_file import TASK_FILE, read_task

_EXPLAINED = frozenset({"stuck", "budget", "error"})
"""Outcomes whose reason is shown; the output of a verification is too long here."""


def is_batch(args: argparse.Namespace) -> bool:
    """Return whether a folder of tasks is given, rather than one task or the folder of one task."""
    if args.resume is not None or args.task is None:
        return False
    given = Path(args.task)
    return given.is_dir() and not (given / TASK_FILE).exists()


def run_batch(args: argparse.Namespace) -> int:
    """Run every task of a folder, and return the exit code.

    Raises:
        ConfigError: a task or the command line is wrong; nothing was started.
        EndpointError: the server did not answer at the start of a run; the runs in progress were interrupted.
    """
    entries = _load(Path(args.task), parse_overrides(args.overrides))
    if args.jobs != 1:
        _refuse_shared_workspaces(entries)
    found = find_servers([entry.task.model for entry in entries], args)
    if args.dry_run:
        return _dry_run(entries, found, args.model)
    with all_served(found) as endpoints:
        jobs = fitting_jobs(endpoints.values()) if args.jobs is None else args.jobs
        go_on = GoOn(args)
        entries = [entry.at(endpoints[entry.task.model]) for entry in entries]
        batch = _Batch(entries, go_on, as_json=args.json, only_totals=args.quiet)
        folders = [folder for entry in entries for folder in writable_folders(entry.task)]
        try:
            with guarded_imports(folders):
                run_suspendable(batch.run(jobs), go_on.advice)
        finally:
            batch.print_summary()
    return batch.exit_code


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One task, with everything that is read for it before any run starts."""

    name: str
    """Name of its folder; the task's own name may not be unique."""
    file: Path
    task: Task
    agent: Agent
    prompt: str
    images: Sequence[Image]

    def at(self, endpoint: Endpoint) -> _Entry:
        return replace(self, agent=replace(self.agent, model=endpoint))


def _load(folder: Path, overrides: Mapping[str, str]) -> list[_Entry]:
    found = [file for file in folder.glob(f"*/{TASK_FILE}") if not file.parent.name.startswith(".")]
    if not found:
        msg = (
            f"No task found in {str(folder)!r}: neither {TASK_FILE} nor */{TASK_FILE}. Give a task file, a folder with "
            f"a {TASK_FILE}, or a folder of such folders."
        )
        raise ConfigError(msg)
    entries: list[_Entry] = []
    problems: list[str] = []
    for file in sorted(found, key=lambda file: file.parent.name):
        try:
            entries.append(_entry(file, overrides))
        except ConfigError as error:
            problems.append(str(error) if error.path == file else f"{on_its_line(str(file))}: {error}")
    if problems:
        raise ConfigError("\n".join(problems))
    return entries


def _entry(file: Path, overrides: Mapping[str, str]) -> _Entry:
    task = read_task(file, overrides)
    agent = Agent.from_task(task, NOWHERE, environ=os.environ, runs=runs_folder(os.environ))
    agent.settings()
    prompt, images = task.rendered_prompt(), task.images()
    return _Entry(name=file.parent.name, file=file, task=task, agent=agent, prompt=prompt, images=images)


def _refuse_shared_workspaces(entries: Sequence[_Entry]) -> None:
    """Check that tasks that run at the same time do not change each other's workspace.

    Raises:
        ConfigError: two workspaces overlap, and one of the tasks changes its workspace in place.
    """
    placed = [(entry, entry.task.workspace_folder().resolve()) for entry in entries]
    for (first, first_folder), (second, second_folder) in itertools.combinations(placed, 2):
        overlap = first_folder.is_relative_to(second_folder) or second_folder.is_relative_to(first_folder)
        if overlap and not {first.task.workspace.mode, second.task.workspace.mode} <= {"copy", "worktree"}:
            shared = max(first_folder, second_folder, key=lambda path: len(path.parts))
            msg = (
                f"The tasks {first.name!r} and {second.name!r} both work in {str(shared)!r}, so they cannot run at the "
                "same time. Run them one after the other, without --jobs, or give each a copy: "
                "workspace: {path: ..., copy: true}."
            )
            raise ConfigError(msg)


def _dry_run(entries: Sequence[_Entry], found: Mapping[TaskModel, Endpoint | None], model: str | None) -> int:
    for number, entry in enumerate(entries):
        print(f"== {entry.file}" if number == 0 else f"\n== {entry.file}")
        dry_run(entry.task, found[entry.task.model], model=model)
    return 0


@dataclass(kw_only=True)
class _Report:
    """What is printed about a task when it ends; collected from the events of its run."""

    task: str
    file: str
    run: str | None = None
    """None if it did not start."""
    outcome: Status | None = None
    """None if it has not ended."""
    reason: str = ""
    spent: Spent = field(default_factory=Spent)
    highest_rung: int = 0
    """Highest rung of the requests that were sent; index into the ladder, from 0."""
    reasks: int = 0
    """Requests that were sent again, constrained to a schema."""

    def observe(self, event: Event) -> None:
        """Update the report from an event."""
        match event:
            case RunStarted():
                self.run = event.run
            case Requested():
                self.highest_rung = max(self.highest_rung, event.rung)
                self.reasks += event.reask
            case RunEnded():
                self.outcome, self.reason, self.spent = event.status, event.reason, event.spent
            case _:
                pass

    def text(self, name_chars: int) -> str:
        begin = f"{self.outcome:<13}  {on_its_line(self.task):<{name_chars}}"
        if self.run is None:
            return f"{begin}  not started"
        spent = self.spent
        output = f"{'~' if spent.estimated_tokens else ''}{spent.output_tokens:,}"
        reasks = f", re-asks: {self.reasks}" if self.reasks else ""
        return (
            f"{begin}  {spent.steps:>3} steps  {output:>7} output tokens  {spent.wall_s:>7.1f} s  "
            f"{self.run}  rung {self.highest_rung}{reasks}"
        )


class _Batch:
    """Runs the tasks, and reports on each when it ends."""

    def __init__(self, entries: Sequence[_Entry], go_on: GoOn, *, as_json: bool, only_totals: bool) -> None:
        self._entries = entries
        self._go_on = go_on
        self._as_json = as_json
        self._only_totals = only_totals
        self._began_s = time.monotonic()
        self._name_chars = max(len(on_its_line(entry.name)) for entry in entries)
        self._ended: list[_Report] = []

    @property
    def exit_code(self) -> int:
        """0 if all tasks succeeded, 2 if a configuration or the endpoint failed one, 1 if one failed otherwise."""
        codes = {EXIT_CODES[report.outcome] for report in self._ended if report.outcome is not None}
        return 2 if 2 in codes else min(1, max(codes))

    async def run(self, jobs: int) -> None:
        """Run all tasks in order, `jobs` at a time; a cancelled run is reported too, and its journal is complete."""
        waiting = iter(self._entries)

        async def work() -> None:
            for entry in waiting:
                await self._run_one(entry)

        # Not a TaskGroup, which cancels its tasks without the reason.
        workers = [asyncio.create_task(work()) for _ in range(min(jobs, len(self._entries)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.wait(workers)

    async def _run_one(self, entry: _Entry) -> None:
        report = _Report(task=entry.name, file=str(entry.file))
        observe = self._go_on.watching(report.observe)
        problem = ""
        try:
            outcome = await entry.agent.run(entry.prompt, images=entry.images, observe=observe)
            write_output(entry.task, outcome)
        except ConfigError as error:
            problem = report.reason = str(error)
            report.outcome = "error"
        finally:
            if report.outcome is not None:
                self._ended.append(report)
                self._print(report, problem)

    def _print(self, report: _Report, problem: str) -> None:
        if self._as_json:
            print(visible_json(json.dumps({"kind": "task_ended", **asdict(report)}, ensure_ascii=False)), flush=True)
            return
        if not self._only_totals:
            print(report.text(self._name_chars), flush=True)
        if problem:
            print(visible(f"agent: {on_its_line(report.file)}: {problem}"), file=sys.stderr, flush=True)
        elif report.outcome in _EXPLAINED and not self._only_totals:
            print(f"    {on_one_line(report.reason)}", flush=True)

    def print_summary(self) -> None:
        """Print one line with the totals, and how many tasks did not start or did not end."""
        outcomes = Counter(str(report.outcome) for report in self._ended)
        not_run = len(self._entries) - len(self._ended)
        # Runs at the same time overlap, so the total is the elapsed time, not the sum.
        wall_s = round(time.monotonic() - self._began_s, 3)
        spent = replace(sum((report.spent for report in self._ended), Spent()), wall_s=wall_s)
        if self._as_json:
            totals = {"tasks": len(self._entries), "outcomes": outcomes, "not_run": not_run, "spent": asdict(spent)}
            print(json.dumps({"kind": "batch_ended", **totals}), flush=True)
            return
        others = [f"{count} {name}" for name, count in outcomes.items() if name != "verified"]
        counts = [f"{outcomes['verified']} of {len(self._entries)} verified", *others]
        if not_run:
            counts.append(f"{not_run} not run")
        about = "about " if spent.estimated_tokens else ""
        print(
            f"{', '.join(counts)}  {about}{spent.prompt_tokens:,} prompt tokens, "
            f"{about}{spent.output_tokens:,} output tokens, {spent.wall_s:.1f} s",
            flush=True,
        )

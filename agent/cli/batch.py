"""`agent run FOLDER`: run every task of a folder, a line for each and one for all; a task that fails stops no other."""

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
from ..policy.budget import Spent
from ..task.load import load_task
from ..task.parts import TaskModel
from ..task.task import Task
from .discovery import NOWHERE
from .dry_run import dry_run
from .running import TASK_FILE, all_served, find_servers, parse_overrides, write_output


def is_batch(args: argparse.Namespace) -> bool:
    """Tell whether a folder of tasks is given, and not one task, be it by its own folder."""
    if args.resume is not None or args.task is None:
        return False
    given = Path(args.task)
    return given.is_dir() and not (given / TASK_FILE).exists()


def run_batch(args: argparse.Namespace) -> int:
    """Run every task of a folder, and return the exit code.

    Raises:
        ConfigError: a task or the command line is wrong; then nothing was started.
        EndpointError: the server does not answer at the start of a run; then the runs under way were interrupted.
    """
    if args.jobs < 1:
        msg = f"--jobs must be 1 or more, got {args.jobs}."
        raise ConfigError(msg)
    entries = _load(Path(args.task), parse_overrides(args.overrides))
    if args.jobs > 1:
        _refuse_shared_workspaces(entries)
    found = find_servers([entry.task.model for entry in entries], args)
    if args.dry_run:
        return _dry_run(entries, found)
    with all_served(found) as endpoints:
        batch = _Batch([entry.at(endpoints[entry.task.model]) for entry in entries], as_json=args.json)
        try:
            asyncio.run(batch.run(args.jobs))
        finally:
            batch.tell_sum()
    return batch.exit_code


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """One task, with everything that was read for it before anything was started."""

    name: str
    """Of its folder: the task's own name may be that of another."""
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
            f"No task is in {str(folder)!r}: neither {TASK_FILE} nor */{TASK_FILE}. Name a task file, or a folder "
            "that holds one, or that holds folders which do."
        )
        raise ConfigError(msg)
    entries: list[_Entry] = []
    problems: list[str] = []
    for file in sorted(found, key=lambda file: file.parent.name):
        try:
            entries.append(_entry(file, overrides))
        except ConfigError as error:
            problems.append(str(error) if error.path == file else f"{file}: {error}")
    if problems:
        raise ConfigError("\n".join(problems))
    return entries


def _entry(file: Path, overrides: Mapping[str, str]) -> _Entry:
    task = load_task(file, overrides)
    agent = Agent.from_task(task, NOWHERE, environ=os.environ, runs=runs_folder(os.environ))
    agent.toolbox()
    prompt, images = task.rendered_prompt(), task.images()
    return _Entry(name=file.parent.name, file=file, task=task, agent=agent, prompt=prompt, images=images)


def _refuse_shared_workspaces(entries: Sequence[_Entry]) -> None:
    """Let no two tasks that run at once get into each other's way.

    Raises:
        ConfigError: the workspaces of two overlap, and one of them is not left alone.
    """
    placed = [(entry, entry.task.workspace_folder().resolve()) for entry in entries]
    for (one, mine), (other, theirs) in itertools.combinations(placed, 2):
        overlap = mine.is_relative_to(theirs) or theirs.is_relative_to(mine)
        if overlap and not {one.task.workspace.mode, other.task.workspace.mode} <= {"copy", "worktree"}:
            shared = max(mine, theirs, key=lambda path: len(path.parts))
            msg = (
                f"The tasks {one.name!r} and {other.name!r} both work in {str(shared)!r}, so they cannot run at the "
                "same time. Run them one after the other, without --jobs, or give each a copy: "
                "workspace: {path: ..., copy: true}."
            )
            raise ConfigError(msg)


def _dry_run(entries: Sequence[_Entry], found: Mapping[TaskModel, Endpoint | None]) -> int:
    for number, entry in enumerate(entries):
        print(f"== {entry.file}" if number == 0 else f"\n== {entry.file}")
        dry_run(entry.task, found[entry.task.model])
    return 0


@dataclass(kw_only=True)
class _Line:
    """What is told of a task when it has ended; gathered from the events of its run."""

    task: str
    file: str
    run: str | None = None
    """None: it did not begin."""
    outcome: Status | None = None
    """None: it has not ended."""
    reason: str = ""
    spent: Spent = field(default_factory=Spent)
    highest_rung: int = 0
    """Index into the ladder, from 0, of the requests that were sent."""
    reasks: int = 0
    """Requests that were sent once more, held to a schema."""

    def see(self, event: Event) -> None:
        """Take from an event what the line says."""
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
        begin = f"{self.outcome:<13}  {self.task:<{name_chars}}"
        if self.run is None:
            return f"{begin}  not begun"
        spent = self.spent
        reasks = f", re-asks: {self.reasks}" if self.reasks else ""
        return (
            f"{begin}  {spent.steps:>3} steps  {spent.output_tokens:>7,} output tokens  {spent.wall_s:>7.1f} s  "
            f"{self.run}  rung {self.highest_rung}{reasks}"
        )


class _Batch:
    """Runs the tasks, and tells of each when it has ended."""

    def __init__(self, entries: Sequence[_Entry], *, as_json: bool) -> None:
        self._entries = entries
        self._as_json = as_json
        self._began_s = time.monotonic()
        self._name_chars = max(len(entry.name) for entry in entries)
        self._ended: list[_Line] = []

    @property
    def exit_code(self) -> int:
        """0: all did; 2: the configuration or the endpoint failed one; 1: another of them did not."""
        codes = {EXIT_CODES[line.outcome] for line in self._ended if line.outcome is not None}
        return 2 if 2 in codes else min(1, max(codes))

    async def run(self, jobs: int) -> None:
        """Run all, in their order, so many at once; a cancelled run is told of too, and its journal is whole."""
        waiting = iter(self._entries)

        async def work() -> None:
            for entry in waiting:
                await self._run_one(entry)

        try:
            async with asyncio.TaskGroup() as together:
                for _ in range(min(jobs, len(self._entries))):
                    together.create_task(work())
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from failed

    async def _run_one(self, entry: _Entry) -> None:
        line = _Line(task=entry.name, file=str(entry.file))
        problem = ""
        try:
            outcome = await entry.agent.run(entry.prompt, images=entry.images, observe=line.see)
            write_output(entry.task, outcome)
        except ConfigError as error:
            problem = line.reason = str(error)
            line.outcome = "error"
        finally:
            if line.outcome is not None:
                self._ended.append(line)
                self._tell(line, problem)

    def _tell(self, line: _Line, problem: str) -> None:
        if self._as_json:
            print(json.dumps({"kind": "task_ended", **asdict(line)}, ensure_ascii=False), flush=True)
            return
        print(line.text(self._name_chars), flush=True)
        if problem:
            print(f"agent: {line.file}: {problem}", file=sys.stderr, flush=True)

    def tell_sum(self) -> None:
        """Say in one line what all came to, and how many were not begun or not ended."""
        outcomes = Counter(str(line.outcome) for line in self._ended)
        not_run = len(self._entries) - len(self._ended)
        # Runs at once overlap, so the time is that of the clock on the wall.
        wall_s = round(time.monotonic() - self._began_s, 3)
        spent = replace(sum((line.spent for line in self._ended), Spent()), wall_s=wall_s)
        if self._as_json:
            told = {"tasks": len(self._entries), "outcomes": outcomes, "not_run": not_run, "spent": asdict(spent)}
            print(json.dumps({"kind": "batch_ended", **told}), flush=True)
            return
        others = [f"{count} {name}" for name, count in outcomes.items() if name != "verified"]
        counts = [f"{outcomes['verified']} of {len(self._entries)} verified", *others]
        if not_run:
            counts.append(f"{not_run} not run")
        print(
            f"{', '.join(counts)}  {spent.prompt_tokens:,} prompt tokens, {spent.output_tokens:,} output tokens, "
            f"{spent.wall_s:.1f} s",
            flush=True,
        )

"""Arms, tasks and run order of the escalation bench, and one run of one task; leaves no files behind."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import yaml
from escalation_faults import FaultPlan, TrialModel
from escalation_stats import Record
from pydantic import JsonValue, TypeAdapter

from agent import Agent, ConfigError, Ladder, Limits, Rung, Task, load_task
from agent.journal.events import (
    CallEnded,
    Event,
    PrefixChanged,
    Repaired,
    Replied,
    Requested,
    Triggered,
    TurnTaken,
    VerifyEnded,
)
from agent.model.profiles import Profile
from agent.model.protocol import Model
from agent.policy.ladder import Trigger
from agent.task.parts import MergedLadder

LADDER: TypeAdapter[Ladder | None] = TypeAdapter(MergedLadder)
CACHES = frozenset({"__pycache__", ".pytest_cache"})


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to run every task."""

    name: str
    ladder: Ladder

    def is_sampled(self, profile: Profile) -> bool:
        """Return whether the arm samples at a temperature above 0, so that more seeds add information."""
        used = [profile.sampling.get(rung.effort) or profile.sampling[None] for rung in self.ladder.rungs]
        return any(sampling.temperature != 0 for sampling in used)


def arms_of(profile: Profile) -> dict[str, Arm]:
    """Return the arms that need no file."""
    patient = patience(profile.ladder)
    none, high = Rung(effort="none"), Rung(effort="high")
    ladders = {
        "none": Ladder(rungs=(none,), triggers=patient),
        "high": Ladder(rungs=(high,), triggers=patient),
        "ladder": profile.ladder,
        "reask": Ladder(rungs=(none, Rung(effort="none", constrained=True)), triggers=patient),
        # A whole run of this model takes about eight steps, so its plan takes the first one.
        "phases": replace(profile.ladder, policy="phases", hold_steps=1),
        "both": replace(profile.ladder, policy="both", hold_steps=1),
        "branches": replace(profile.ladder, rungs=(*profile.ladder.rungs, Rung(branch=4))),
    }
    return {name: Arm(name=name, ladder=ladder) for name, ladder in ladders.items()}


def patience(ladder: Ladder) -> Mapping[Trigger, int]:
    """Return the thresholds of an arm that cannot climb: as many failures as the whole ladder would tolerate.

    With the ladder's own thresholds, its first broken call would end the run as stuck and its first failed verification
    as failed. The number of attempts is limited by `attempts`, which is the same for all arms.
    """
    rungs = sum(not rung.constrained for rung in ladder.rungs)
    return {trigger: rungs * count for trigger, count in ladder.triggers.items() if trigger != "verify_failed"}


def arm_from_file(name: str, path: Path) -> Arm:
    """Read the `escalation:` of a YAML file.

    Raises:
        ConfigError: the file has no `escalation:`.
        ValidationError: it is not a ladder.
    """
    read: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    found = cast("dict[str, object]", read).get("escalation") if isinstance(read, dict) else None
    ladder = LADDER.validate_json(json.dumps(found), strict=True)
    if ladder is None:
        msg = f"{str(path)!r} has no `escalation:`. Write the ladder below that key, as in a task file."
        raise ConfigError(msg)
    return Arm(name=name, ladder=ladder)


@dataclass(frozen=True, kw_only=True)
class BenchTask:
    """One project with one bug."""

    name: str
    bug_kind: str
    digest: str
    """SHA-256 over its files, 12 digits; a task with changed files counts as another task."""
    task: Task
    project: Path


def read_tasks(folder: Path) -> list[BenchTask]:
    """Read all tasks of a folder, sorted by name."""
    return [_read_task(path.parent) for path in sorted(folder.glob("*/task.yaml"))]


def _read_task(folder: Path) -> BenchTask:
    task = load_task(folder / "task.yaml")
    if task.verify is None:
        msg = f"The task {folder.name!r} has no `verify`, so the success of its runs cannot be measured. Add one."
        raise ConfigError(msg)
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not CACHES & set(path.parts)):
        digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes() + b"\0")
    return BenchTask(
        name=folder.name,
        bug_kind=folder.name.partition("_")[2] or "unknown",
        digest=digest.hexdigest()[:12],
        task=task,
        project=task.workspace_folder(),
    )


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run to make."""

    task: BenchTask
    arm: Arm
    seed: int
    fault_rate: float

    @property
    def key(self) -> tuple[str, str, str, int, float]:
        return (self.task.name, self.task.digest, self.arm.name, self.seed, self.fault_rate)

    def __str__(self) -> str:
        faults = f" faults {self.fault_rate:g}" if self.fault_rate else ""
        return f"{self.task.name} {self.arm.name} seed {self.seed}{faults}"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The requested measurements."""

    seeds: Sequence[int]
    fault_rates: Sequence[float]
    fault_tasks: int | None
    """Number of tasks run with faults. None means all."""


def schedule(tasks: Sequence[BenchTask], arms: Sequence[Arm], wanted: Wanted, profile: Profile) -> Iterator[Job]:
    """Yield all jobs task by task, starting each task with another arm, so that all arms run under the same load.

    Jobs without faults come first. Jobs with faults use only the first seed: it also decides the faults, and another
    task is more informative than another seed.
    """
    for at, task in enumerate(tasks):
        for seed in wanted.seeds:
            for arm in _rotated(arms, at):
                if seed == wanted.seeds[0] or arm.is_sampled(profile):
                    yield Job(task=task, arm=arm, seed=seed, fault_rate=0.0)
    for at, task in enumerate(tasks[: wanted.fault_tasks]):
        for rate in wanted.fault_rates:
            if rate > 0:
                for arm in _rotated(arms, at):
                    yield Job(task=task, arm=arm, seed=wanted.seeds[0], fault_rate=rate)


def _rotated(arms: Sequence[Arm], by: int) -> Iterable[Arm]:
    start = by % len(arms)
    return (*arms[start:], *arms[:start])


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The model, limits and scratch folder that all runs share."""

    model: Model
    limits: Limits
    scratch: Path
    """Holds one folder per run, removed when the run ends."""
    salt: str
    """Different at each start, so that no run reuses cached prefixes of an interrupted one."""

    async def run(self, job: Job) -> Record:
        """Run one task once, in a copy of its project.

        Raises:
            ConfigError: the task is invalid.
            EndpointError: the server could not be reached before its first answer.
        """
        task = job.task.task
        plan = FaultPlan(rate=job.fault_rate, seed=job.seed, task=job.task.name)
        # Tasks of one arm share the cached prefix of system prompt and tools, as on a dedicated server.
        shared = f"{self.salt} {job.arm.name} {job.seed} {job.fault_rate}"
        model = TrialModel(model=self.model, plan=plan, cache_salt=_digest(shared))
        folder = self.scratch / _digest(repr(job.key))
        workspace = folder / "project"
        await asyncio.to_thread(shutil.copytree, job.task.project, workspace, ignore=shutil.ignore_patterns(*CACHES))
        try:
            agent = Agent.from_task(task, model, environ=environment())
            agent = replace(agent, workspace=workspace, workspace_mode="in_place")
            agent = replace(agent, ladder=job.arm.ladder, limits=self.limits, env={**QUICK, **agent.env})
            counts = EventCounts()
            began = time.monotonic()
            outcome = await agent.run(task.rendered_prompt(), images=task.images(), observe=counts.observe)
            wall_s = time.monotonic() - began
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        spent = outcome.usage
        return Record(
            task=job.task.name,
            bug_kind=job.task.bug_kind,
            task_digest=job.task.digest,
            arm=job.arm.name,
            seed=job.seed,
            fault_rate=job.fault_rate,
            status=outcome.status,
            reason=outcome.reason.partition("\n")[0][:200],
            output_tokens=spent.output_tokens,
            reasoning_tokens=spent.reasoning_tokens,
            prompt_tokens=spent.prompt_tokens,
            cached_tokens=spent.cached_tokens,
            tool_calls=spent.tool_calls,
            faults=dict(model.damaged),
            wall_s=round(wall_s, 3),
            climbs=dict(counts.climbs),
            **{name: round(value, 3) for name, value in counts.values.items()},
        )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


QUICK = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
"""Defaults that a task's own `env` overrides. Without plugins pytest starts in half the time. Python reuses a .pyc if
the file's size and modification second are unchanged, so a second edit within a second would be tested as the first."""


def environment() -> dict[str, str]:
    """Return this process's environment with this Python first on PATH, so that `python -m pytest` uses it."""
    return {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])}


COUNTED = (
    "requests", "reasks", "cured", "effort_switches", "switch_prefilled_tokens", "verifications", "repaired",
    "engine_s", "tools_s", "verify_s",
)  # fmt: skip


@dataclass(kw_only=True)
class EventCounts:
    """Counts what a run does from its events."""

    values: dict[str, int | float] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    climbs: Counter[str] = field(default_factory=Counter[str])
    _reasked: bool = False

    def observe(self, event: Event) -> None:
        match event:
            case Requested():
                self._add("requests")
                self._add("reasks", event.reask)
                self._reasked = event.reask
            case Replied():
                self._add("engine_s", event.elapsed_s)
            case TurnTaken() if self._reasked:
                self._add("cured", not event.faults)
                self._reasked = False
            case Repaired():
                self._add("repaired")
            case CallEnded():
                self._add("tools_s", event.elapsed_s)
            case VerifyEnded():
                self._add("verifications")
                self._add("verify_s", event.elapsed_s)
            case PrefixChanged() if "effort" in event.because:
                self._add("effort_switches")
                self._add("switch_prefilled_tokens", event.prefilled_tokens)
            case Triggered(action="climb"):
                self.climbs[event.trigger] += 1
            case _:
                pass

    def _add(self, name: str, by: float = 1) -> None:
        self.values[name] += by


def ladders_as_json(arms: Iterable[Arm]) -> dict[str, JsonValue]:
    """Return each arm's ladder as JSON, for the records."""
    return {arm.name: LADDER.dump_python(arm.ladder, mode="json") for arm in arms}

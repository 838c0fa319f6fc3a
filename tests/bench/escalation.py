"""Measure the benefit of escalating the reasoning effort on failure: every arm on every task, on a real engine.

    python tests/bench/escalation.py TASKS --records runs.jsonl --seeds 1,2,3 --faults 0,0.1,0.3 --fault-limit 40
    python tests/bench/escalation.py --records runs.jsonl --report report.md

TASKS holds one folder `NNNN_kind` per task, with `task.yaml`, `project/` and `hidden/`. Each run appends a line to the
records; a restart makes only the missing runs. Without --base-url the bench starts the pocket model.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import platform
import secrets
import signal
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from escalation_report import report
from escalation_runs import Arm, Bench, Job, Wanted, arm_from_file, arms_of, ladders_as_json, read_tasks, schedule
from escalation_stats import RECORD, SETUP, Record, Setup
from escalation_unsolved import beside, unsolved

from agent import AgentError, Endpoint, Limits, RunFailed
from agent.model.profiles import profile_for

ARMS = "none,high,ladder,reask,phases,both"
MORE_ARMS = "branches"
MARK = "<!-- what follows is written by a program -->"
MAX_ERRORS = 5
"""Stop after this many consecutive runs with status `error`, which the model did not cause; a restart repeats them."""


def main() -> int:
    """Make the missing runs, then write the report if one is requested."""
    args = _arguments()
    # A shell starts background jobs with SIGINT ignored; restore it. SIGTERM acts like Ctrl-C and stops the engine.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)
    log = RecordFile(args.records)
    if args.tasks is not None:
        try:
            _measure(args, log)
        except KeyboardInterrupt:
            print(f"\nInterrupted. {len(log.records)} runs are in {args.records}.", file=sys.stderr)
            return 130
        except (AgentError, ExceptionGroup) as error:
            first = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
            if not isinstance(first, AgentError):
                raise
            print(f"Stopped: {first}\n{len(log.records)} runs are in {args.records}.", file=sys.stderr)
            return 2
    if args.report is not None:
        if not log.setups or not log.records:
            print(f"{args.records} holds no runs, so there is nothing to report. Pass TASKS.", file=sys.stderr)
            return 2
        write_report(args.report, report(log.setups, log.records))
    return 0


def write_report(path: Path, text: str) -> None:
    """Write a report; if the file has the line `MARK`, as a model card does, keep the text above it."""
    before, found, _ = (path.read_text(encoding="utf-8") if path.exists() else "").partition(MARK)
    path.write_text(f"{before}{MARK}\n\n{text}" if found else text, encoding="utf-8")


def _interrupt(_number: int, _frame: object) -> None:
    signal.raise_signal(signal.SIGINT)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tasks", type=Path, nargs="?", help="folder of tasks; without it only the report is written")
    parser.add_argument("--records", type=Path, default=Path("escalation.jsonl"), help="file of run records")
    parser.add_argument(
        "--report", type=Path, help=f"write a Markdown report of all records to this file; text above {MARK} is kept"
    )
    parser.add_argument(
        "--base-url", type=lambda text: text.rstrip("/"), help="a running engine, such as http://127.0.0.1:8000/v1"
    )
    parser.add_argument(
        "--arms", default=ARMS, help=f"any of {ARMS} (default: all of these), {MORE_ARMS}, or NAME=FILE.yaml"
    )
    parser.add_argument("--seeds", default="1", type=_numbers(int), help="such as 1,2,3; temperature 0 uses the first")
    parser.add_argument("--faults", default="0", type=_numbers(float), help="rates, such as 0,0.1,0.3 (default: 0)")
    parser.add_argument("--unsolved", type=Path, help="records: only tasks that the arm `ladder` did not solve there")
    parser.add_argument("--limit", type=int, help="number of tasks (default: all)")
    parser.add_argument("--fault-limit", type=int, help="number of tasks run with faults (default: all)")
    parser.add_argument("--concurrency", type=int, default=4, help="concurrent runs (default: 4)")
    parser.add_argument("--steps", type=int, default=30, help="requests per run (default: 30)")
    return parser.parse_args()


def _numbers(kind: type[int] | type[float]) -> Any:
    def numbers(text: str) -> list[int | float]:
        return list(dict.fromkeys(kind(part) for part in text.split(",")))

    return numbers


@dataclass(kw_only=True)
class RecordFile:
    """All runs so far, and the file that new ones are appended to."""

    path: Path
    setups: list[Setup]
    records: list[Record]

    def __init__(self, path: Path) -> None:
        self.path, self.setups, self.records = path, [], []
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            path.write_text(whole, encoding="utf-8")  # the last process was killed while writing a line
        for line in whole.splitlines():
            data = json.loads(line)
            if data.pop("record") == "setup":
                self.setups.append(SETUP.validate_python(data))
            else:
                self.records.append(RECORD.validate_python(data))

    def add(self, item: Setup | Record) -> None:
        """Append one line to the file at once, so that an interruption loses no finished run."""
        if isinstance(item, Setup):
            self.setups.append(item)
            data = {"record": "setup", **SETUP.dump_python(item, mode="json")}
        else:
            self.records.append(item)
            data = {"record": "run", **RECORD.dump_python(item, mode="json")}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(data, ensure_ascii=False) + "\n")

    def exit_if_different(self, setup: Setup) -> None:
        """Exit if these records come from another model, engine, budget or ladder; the load may differ."""
        for earlier in self.setups:
            for name in ("model", "model_digest", "engine", "steps"):
                was, now = getattr(earlier, name), getattr(setup, name)
                if was != now:
                    sys.exit(f"{self.path} was measured with {name} {was!r}, not {now!r}. Pass another --records.")
            for arm in earlier.arms.keys() & setup.arms.keys():
                if earlier.arms[arm] != setup.arms[arm]:
                    sys.exit(
                        f"{self.path} has another ladder for the arm {arm!r}. Rename the arm or pass another --records."
                    )


def _measure(args: argparse.Namespace, log: RecordFile) -> None:
    with ExitStack() as stack:
        url = args.base_url or start_pocket(stack)
        served = get_json(f"{url}/models")["data"][0]
        profile = profile_for(served["id"])
        endpoint = Endpoint(url, patience_s=60.0)
        known = arms_of(profile)
        arms = [_arm(name, known) for name in args.arms.split(",")]
        before = unsolved(RecordFile(args.unsolved).records) if args.unsolved else []
        failed = {record.task_digest for record in before}
        tasks = [task for task in read_tasks(args.tasks) if not before or task.digest in failed][: args.limit]
        if not tasks:
            sys.exit(f"{args.tasks} holds no */task.yaml. Pass the folder that holds the tasks.")
        setup = setup_of(args, served, endpoint.base_url, arms)
        log.exit_if_different(setup)
        wanted = Wanted(seeds=args.seeds, fault_rates=args.faults, fault_tasks=args.fault_limit)
        done = {record.key for record in log.records if record.status != "error"}
        jobs = [job for job in schedule(tasks, arms, wanted, profile) if job.key not in done]
        print(f"{len(jobs)} runs to make, {len(done)} already done.", file=sys.stderr)
        if not jobs:
            return
        log.add(setup)
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        bench = Bench(model=endpoint, limits=Limits(steps=args.steps), scratch=scratch, salt=secrets.token_hex(8))
        try:
            asyncio.run(_run_all(bench, jobs, log, args.concurrency))
        finally:
            print(beside(before, log.records))


def start_pocket(stack: ExitStack) -> str:
    """Start the pocket model until the stack closes, and return its address."""
    from serving import pocket_engine  # not needed for a report or a run against another engine

    print("Starting the pocket model on the CPU (about 45 s on two cores).", file=sys.stderr)
    return stack.enter_context(pocket_engine()).start().base_url


def _arm(name: str, known: dict[str, Arm]) -> Arm:
    title, is_file, path = name.partition("=")
    if is_file:
        return arm_from_file(title, Path(path))
    if name not in known:
        sys.exit(f"Unknown arm {name!r}. Known: {', '.join(known)}. Pass other arms as NAME=FILE.yaml.")
    return known[name]


def setup_of(args: argparse.Namespace, served: dict[str, Any], base_url: str, arms: Iterable[Arm]) -> Setup:
    """Return the conditions of a series of runs, from the arguments `tasks`, `concurrency` and `steps`."""
    file = args.tasks / "tasks.json"
    about = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    held_out = about.pop("held_out_kinds", [])
    return Setup(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        model=served["id"],
        model_digest=_digest(Path(served.get("root") or "")),
        engine=get_json(f"{base_url.removesuffix('/v1')}/version")["version"],
        python=platform.python_version(),
        cores=len(os.sched_getaffinity(0)),
        load_average=os.getloadavg()[0],
        concurrency=args.concurrency,
        steps=args.steps,
        arms=ladders_as_json(arms),
        held_out_kinds=tuple(held_out),
        tasks={name: value for name, value in about.items() if isinstance(value, str | int | float)},
    )


def _digest(folder: Path) -> str:
    """Return a digest of the weights, or "unknown" if the engine's model folder is not on this machine."""
    files = sorted(folder.glob("*.safetensors")) if folder.is_absolute() else []
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16] if files else "unknown"


def get_json(url: str) -> Any:
    """Return what a server of this machine answers."""
    # A proxy in the environment cannot reach the loopback address of this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=30) as reply:
        return json.load(reply)


async def _run_all(bench: Bench, jobs: Sequence[Job], log: RecordFile, concurrency: int) -> None:
    async with bench.model.open() as connection:
        await connection.served()  # imports the client; its 0.4 s belong to no run
    waiting = iter(jobs)
    progress = Progress(left=list(jobs), concurrency=concurrency)

    async def work() -> None:
        for job in waiting:
            record = await bench.run(job)
            log.add(record)
            progress.finish(job, record)
            if [one.status for one in log.records[-MAX_ERRORS:]] == ["error"] * MAX_ERRORS:
                reason = f"{record.reason} ({MAX_ERRORS} errors in a row; check the engine, then start again)"
                raise RunFailed("error", reason)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(work())


@dataclass(kw_only=True)
class Progress:
    """Prints each finished run and the time left, estimated from the mean duration of each arm so far."""

    left: list[Job]
    concurrency: int
    took: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    done: int = 0
    began: float = field(default_factory=time.monotonic)

    def finish(self, job: Job, record: Record) -> None:
        self.left.remove(job)
        self.done += 1
        self.took.setdefault(record.arm, []).append(record.wall_s)
        overall = statistics.fmean(one for found in self.took.values() for one in found)
        means = {arm: statistics.fmean(found) for arm, found in self.took.items()}
        left_s = sum(means.get(other.arm.name, overall) for other in self.left) / self.concurrency
        print(
            f"[{self.done}/{self.done + len(self.left)}] {job}: {record.status}, {record.requests} requests, "
            f"{record.output_tokens} tokens, {record.wall_s:.1f} s; about {left_s / 60:.0f} min left",
            file=sys.stderr,
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())

"""What `agent run` does: read the task, find or start the server, run, show it live, report the outcome."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..assembly import Agent
from ..endpoint import Endpoint
from ..errors import ConfigError
from ..events import Event
from ..journal import event_json, find_run, read_journal, runs_folder, started
from ..outcome import Outcome
from ..task import Task
from ..taskfile import load_task, recorded_task
from ..view.live import LiveView
from .discovery import Wanted, endpoint_at, find_endpoint
from .dry_run import dry_run
from .progress import ProgressLines


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    with _end_like_interrupt():
        return _chosen(args)


def _chosen(args: argparse.Namespace) -> int:
    if args.resume is None:
        if args.task is None:
            msg = "Which task? Give its file: agent run task.yaml."
            raise ConfigError(msg)
        return _run(load_task(args.task, parse_overrides(args.overrides)), args, None)
    if args.task is not None:
        msg = "--resume goes on with a run and its own task. Give no task file with it."
        raise ConfigError(msg)
    folder = find_run(runs_folder(os.environ), args.resume)
    return _run(_task_of(folder, parse_overrides(args.overrides)), args, folder)


def parse_overrides(pairs: Sequence[str]) -> dict[str, str]:
    """Read `--set KEY=VALUE`.

    Raises:
        ConfigError: one has no `=`.
    """
    overrides: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            msg = f"--set wants KEY=VALUE, got {pair!r}."
            raise ConfigError(msg)
        overrides[key] = value
    return overrides


def _run(task: Task, args: argparse.Namespace, folder: Path | None) -> int:
    endpoint = find_endpoint(Wanted(base_url=args.base_url, model=args.model), task.model, os.environ)
    if args.dry_run:
        return dry_run(task, endpoint)
    if endpoint is not None:
        return _with_endpoint(task, endpoint, args, folder)
    with _pocket(task) as started_endpoint:
        return _with_endpoint(task, started_endpoint, args, folder)


def _with_endpoint(task: Task, endpoint: Endpoint, args: argparse.Namespace, folder: Path | None) -> int:
    agent = Agent.from_task(task, endpoint, environ=os.environ, runs=runs_folder(os.environ))
    observe = _json_lines if args.json else LiveView(sys.stdout).show
    if folder is None:
        prompt, images = task.rendered_prompt(), task.images()
        outcome = asyncio.run(agent.run(prompt, images=images, observe=observe))
    else:
        outcome = asyncio.run(agent.resume(folder, observe=observe))
    _write_output(task, outcome)
    return outcome.exit_code


def _task_of(folder: Path, overrides: Mapping[str, str]) -> Task:
    journal = folder / "journal.jsonl"
    first = started(read_journal(journal), journal)
    if not first.task:
        msg = f"Run {first.run!r} was made in Python, not from a task file. Resume it there: Agent(...).resume(folder)."
        raise ConfigError(msg)
    return recorded_task(first.task, overrides)


@contextmanager
def _pocket(task: Task) -> Generator[Endpoint]:
    """Start the shipped model on the CPU for the time of the run."""
    from serving import pocket_engine  # only this run needs it, and the front door of agent must work without it

    print(
        "No server has the model `pocket`: starting it on the CPU for this run (about 40 s on two cores).",
        file=sys.stderr,
    )
    with pocket_engine() as engine:
        record = engine.start(ProgressLines().show)
        yield endpoint_at(record.base_url, record.model, task.model, os.environ)
        print("Stopping the engine.", file=sys.stderr)


@contextmanager
def _end_like_interrupt() -> Generator[None]:
    """Let SIGTERM and a closed terminal end a run, and the engine started for it, as cleanly as Ctrl-C does."""

    def interrupt(_number: int, _frame: object) -> None:
        signal.raise_signal(signal.SIGINT)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _json_lines(event: Event) -> None:
    sys.stdout.write(event_json(event).decode() + "\n")
    sys.stdout.flush()


def _write_output(task: Task, outcome: Outcome) -> None:
    """Write the answer where the task wants it, as a whole or not at all; nothing after a run that failed."""
    if task.output.file is None or not outcome.ok:
        return
    path = task.path(task.output.file)
    text = outcome.answer if outcome.output is None else json.dumps(outcome.output, ensure_ascii=False, indent=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.getpid()}")
    half.write_text(text + "\n", encoding="utf-8")
    half.replace(path)

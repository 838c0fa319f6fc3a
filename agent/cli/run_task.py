"""Run one task for `agent run`: read it, find or start the server, run it, show it live, report the outcome."""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..agent import Agent
from ..errors import ConfigError
from ..journal.runs import find_run, read_run, refuse_running, runs_folder
from ..loop.outcome import Outcome
from ..model.endpoint import Endpoint
from ..sandbox.imports import guarded_imports
from ..task.own_files import writable_folders
from ..task.parts import TaskModel
from ..task.recorded import recorded_task
from ..task.task import Task
from .approval import terminal_approval
from .changed_files import print_changed_files
from .discovery import EndpointRequest, endpoint_at, find_endpoint
from .dry_run import dry_run
from .go_on import GoOn
from .progress import ProgressLines
from .run_views import run_view
from .suspending import run_suspendable
from .task_file import read_task


def run(args: argparse.Namespace) -> int:
    """Run one task, new or resumed, and return the exit code."""
    if args.resume is None:
        if args.task is None:
            msg = "No task is given. Give its file: agent run task.yaml."
            raise ConfigError(msg)
        return _run(read_task(args.task, parse_overrides(args.overrides)), args, None)
    if args.task is not None:
        msg = "--resume continues a run with its own task. Do not give a task file or folder as well."
        raise ConfigError(msg)
    folder = find_run(runs_folder(os.environ), args.resume)
    return _run(_task_of(folder, parse_overrides(args.overrides)), args, folder)


def parse_overrides(pairs: Sequence[str]) -> dict[str, str]:
    """Parse the values of `--set KEY=VALUE`.

    Raises:
        ConfigError: one has no `=` or no key.
    """
    overrides: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            msg = f"--set needs KEY=VALUE, got {pair!r}."
            raise ConfigError(msg)
        overrides[key] = value
    return overrides


def find_servers(models: Iterable[TaskModel], args: argparse.Namespace) -> dict[TaskModel, Endpoint | None]:
    """Find the server for each different `model` of the tasks. None means none yet, for the pocket model or a dry run.

    Raises:
        ConfigError: no server is given, or the API key's variable is not set.
    """
    wanted = EndpointRequest(base_url=args.base_url, model=args.model, is_needed=not args.dry_run)
    return {model: find_endpoint(wanted, model, os.environ) for model in dict.fromkeys(models)}


@contextmanager
def all_served(found: Mapping[TaskModel, Endpoint | None]) -> Generator[Mapping[TaskModel, Endpoint]]:
    """Yield an endpoint for each model; starts the pocket model on the CPU for the block if it is not served."""
    served = {model: endpoint for model, endpoint in found.items() if endpoint is not None}
    if len(served) == len(found):
        yield served
        return
    from serving import pocket_engine  # only these runs need it, and agent must work without serving

    print(
        "No server has the model `pocket`: starting it on the CPU for this run (about 40 s on two cores).",
        file=sys.stderr,
    )
    with pocket_engine() as engine:
        record = engine.start(ProgressLines().show)
        missing = [model for model in found if model not in served]
        yield served | {model: endpoint_at(record.base_url, record.model, model, os.environ) for model in missing}
        print("Stopping the engine.", file=sys.stderr)


def write_output(task: Task, outcome: Outcome[Any]) -> None:
    """Write the answer to the task's output file, atomically; write nothing if the run failed.

    Raises:
        ConfigError: it cannot be written there.
    """
    if task.output.file is None or not outcome.ok:
        return
    from serving.atomic import write_atomically

    from ..sandbox.inside import find_inside
    from ..tooling.own_files import write_inside

    path, workspace = task.path(task.output.file), task.path(task.workspace.path)
    found = outcome.output_json
    text = outcome.answer if found is None else json.dumps(found, ensure_ascii=False, indent=2)
    try:
        folder = find_inside(path.parent, workspace)
        if folder is None:
            write_atomically(path, text + "\n")
            return
        inside = (Path(folder) / path.name).as_posix()
        if ".git" in inside.casefold().split("/"):  # git starts programs from settings there
            raise PermissionError(errno.EPERM, "a symlink leads into .git, or the path does")
        write_inside(workspace.resolve(), inside, (text + "\n").encode(), replace=True)
    except OSError as error:
        msg = (
            f"The answer cannot be written to {str(path)!r}: {error.strerror}. It is in the journal: "
            f"agent show {outcome.run} --full. Set `output.file` to another path."
        )
        raise ConfigError(msg, key="output.file") from error


def _run(task: Task, args: argparse.Namespace, folder: Path | None) -> int:
    found = find_servers([task.model], args)
    if args.dry_run:
        return dry_run(task, found[task.model], model=args.model)
    with all_served(found) as endpoints:
        return _with_endpoint(task, endpoints[task.model], args, folder)


def _with_endpoint(task: Task, endpoint: Endpoint, args: argparse.Namespace, folder: Path | None) -> int:
    agent = Agent.from_task(task, endpoint, environ=os.environ, runs=runs_folder(os.environ))
    go_on = GoOn(args)
    with run_view(args, endpoint) as view, guarded_imports(writable_folders(task)):
        agent = replace(agent, approve=terminal_approval(view.paused))
        observe = go_on.watching(view.show, "" if folder is None else folder.name)
        if folder is None:
            prompt, images = task.rendered_prompt(), task.images()
            work = agent.run(prompt, images=images, observe=observe, deltas=view.deltas)
        else:
            work = agent.resume(folder, observe=observe, deltas=view.deltas)
        outcome = run_suspendable(work, go_on.advice, paused=view.paused)
    if outcome.journal is not None and not args.json:
        print_changed_files(outcome.journal.parent)
    if outcome.server_failed and not args.json:
        print(go_on.advice(), file=sys.stderr)
    write_output(task, outcome)
    return outcome.exit_code


def _task_of(folder: Path, overrides: Mapping[str, str]) -> Task:
    refuse_running(folder)  # before its tools are loaded and a server is started; the run itself locks the journal
    first, _ = read_run(folder)
    if not first.task:
        msg = (
            f"Run {first.run!r} was started in Python, without a task file. Resume it there: Agent(...).resume(folder)."
        )
        raise ConfigError(msg)
    return recorded_task(first.task, overrides, redacted=first.redacted, environ=os.environ)

"""Run `agent serve MODEL`: plan, check, start, and supervise the server here or in the background."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .command_view import render
from .plan_json import command_of
from .plan_options import gpus_of, options_of, plan_on
from .progress import ProgressView, progress_view
from .serve_status import LoadLine
from .speed_view import speed_line

if TYPE_CHECKING:
    from serving import Engine, EngineError, Progress
    from serving.capacity.sizing import Plan
    from serving.progress import OnProgress
    from serving.running.death import EngineDied

POCKET = "pocket"
_DEFAULT_HOST = "127.0.0.1"
_DEFAULT_PORT = 8000


def start(args: argparse.Namespace) -> int:
    """Start the server; return the exit code."""
    from serving.engines import engine_command
    from serving.engines.command import ServeOptions

    plan = _plan(args)
    host = _DEFAULT_HOST if args.host is None else args.host
    options = ServeOptions(
        host=host,
        port=args.port or _free_port(host),
        served_model_name=POCKET if args.model == POCKET else None,
        api_key_file=args.api_key_file,
    )
    command = engine_command(plan, options)
    if args.dry_run:
        print(render(command, python=_known_python(args, plan)))
        return _warn_unless_it_fits(plan)
    from serving import Engine
    from serving.capacity.notes import notes_on_speed
    from serving.directories import state_dir
    from serving.readiness.machine import inspect_machine
    from serving.readiness.preflight import preflight, raise_if_blocked
    from serving.running.death import EngineDied

    with progress_view(LoadLine()) as view:
        python = _python(args, plan, view.show)
        machine = inspect_machine(plan.request, command, options, python=python, environ=os.environ, state=state_dir())
        findings = preflight(plan, machine, options)
        raise_if_blocked(findings, plan.request.model.title)
        for finding in findings:
            view.note("\n".join(filter(None, (finding.what, finding.do))))
        if line := speed_line(plan):
            view.note("\n".join((f"Planned: {plan.kv_tokens:,} tokens of KV cache. {line}", *notes_on_speed(plan))))
        engine = Engine(plan, options=options, python=machine.python)
        begin = _start_in_background if args.keep else _supervise
        try:
            return begin(engine, view, fit=args.fit)
        except EngineDied as error:
            raise _with_nearest_fit(engine, error, _location_arguments(args)) from error


def _warn_unless_it_fits(plan: Plan) -> int:
    """Print that a plan may not fit; return the exit code, which is that of `agent plan`."""
    if plan.starts == "yes":
        return 0
    problem = "does not fit" if plan.starts == "no" else "may not fit: its estimate is a range"
    print(f"This plan {problem}. To see why, and what would fit: {command_of(plan.request)}", file=sys.stderr)
    return 1


def _plan(args: argparse.Namespace) -> Plan:
    from serving import EngineError
    from serving.capacity.calibration import lookup
    from serving.capacity.planner import decide
    from serving.directories import state_dir
    from serving.engine import POCKET_REQUESTS
    from serving.readiness.gpu_state import query_driver
    from serving.readiness.preflight import NO_GPU

    if args.model == POCKET:
        # As in pocket_engine: compiling takes a minute at each start and gains nothing at this size.
        args.enforce_eager, args.max_num_seqs = True, args.max_num_seqs or str(POCKET_REQUESTS)
    gpus = gpus_of(args, os.environ)
    if gpus is None:
        raise EngineError(
            f"Cannot serve {args.model or 'Mistral Medium 3.5 128B'} here: no NVIDIA GPU was found.",
            cause=query_driver(os.environ).error,
            do=NO_GPU,
        )
    plan = plan_on(gpus, args, os.environ)
    if args.fit and plan.starts == "no" and plan.changes:
        change = plan.changes[0]
        print(f"This plan does not fit. Using the nearest one: {change.what} ({change.option}).", file=sys.stderr)
        return decide(change.request, lambda request: lookup(request, state_dir()))
    return plan


def _free_port(host: str) -> int:
    from serving.readiness.machine import is_taken
    from serving.running.process_group import free_port

    if is_taken(host, _DEFAULT_PORT):
        with suppress(OSError):  # This machine has no such address: the preflight reports it.
            return free_port(host)
    return _DEFAULT_PORT


def _python(args: argparse.Namespace, plan: Plan, show: OnProgress) -> Path | EngineError:
    """Find an interpreter with the engine, or return the error, to be reported with all other problems."""
    from serving import EngineError, Progress
    from serving.readiness.interpreter import cpu_python, gpu_python

    if args.python is not None:
        what = f"--python {str(args.python)!r} is not a file."
        missing = EngineError(what, cause="", do="Give a Python interpreter with the engine installed.")
        return args.python.absolute() if args.python.is_file() else missing
    try:
        if plan.request.on_cpu:
            return cpu_python(
                os.environ, lambda detail: show(Progress(phase="installing", elapsed_s=0.0, detail=detail))
            )
        return gpu_python(plan.request.engine, os.environ)
    except EngineError as error:
        return error


def _known_python(args: argparse.Namespace, plan: Plan) -> Path | None:
    """Find the interpreter that the printed command needs because its engine is not on the PATH; install nothing."""
    from serving.directories import cache_dir
    from serving.readiness.install import installed_python

    on_cpu = plan.request.on_cpu
    return args.python or (installed_python(cache_dir(os.environ)) if on_cpu else None)


def _start_in_background(engine: Engine, view: ProgressView, *, fit: bool) -> int:
    from serving.running.signals import interrupt_on

    # Not SIGHUP: if the terminal is closed, the start continues in the background.
    with interrupt_on(signal.SIGTERM):
        record = engine.start(view.show, keep=True, fit=fit)
    print(f"{record.model} answers at {record.base_url} (process {record.pid}, log {record.log}).")
    print("`agent run` finds it automatically. It is restarted if it dies; stop it with: agent serve stop")
    return 0


def _supervise(engine: Engine, view: ProgressView, *, fit: bool) -> int:
    from serving.running.signals import interrupt_on

    phases: list[str] = []

    def on_progress(progress: Progress) -> None:
        phases.append(progress.phase)
        view.show(progress)
        if progress.phase == "ready" and phases.count("ready") == 1:
            view.note("`agent run` finds it automatically. Ctrl-C stops it. In another terminal: agent serve status")

    # Ctrl-C is the normal way to stop it.
    with interrupt_on(signal.SIGTERM, signal.SIGHUP), suppress(KeyboardInterrupt):
        engine.supervise(on_progress, fit=fit)
    return 0 if "ready" in phases else 130


def _location_arguments(args: argparse.Namespace) -> tuple[str, ...]:
    """Return the given arguments about where and how the server runs."""
    given = (
        ("--host", args.host),
        ("--port", args.port),
        ("--api-key-file", args.api_key_file),
        ("--python", args.python),
    )
    words = (word for flag, value in given if value for word in (flag, str(value)))
    return (*words, *(("--keep",) if args.keep else ()))


def _with_nearest_fit(engine: Engine, error: EngineDied, location: tuple[str, ...]) -> EngineError:
    """Add the command that would fit; `location` holds its arguments that are not part of the plan."""
    from serving import EngineError

    change = engine.nearest_fit(error)
    if change is None:
        return error
    command = shlex.join(("agent", "serve", *options_of(change.request), *location))
    return EngineError(
        error.what,
        cause=error.cause,
        do=f"{error.do}\nThe nearest plan that fits: {change.what}:\n{command}\nTo try it automatically: --fit",
        log=error.log,
    )

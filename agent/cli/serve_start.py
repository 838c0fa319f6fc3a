"""What `agent serve MODEL` does: plan, look whether it can start, start it, watch over it or leave it watched over."""

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
from .plan_options import gpus_of, options_of, plan_on
from .progress import ProgressView, progress_view
from .serve_status import Live

if TYPE_CHECKING:
    from serving import Engine, EngineError, Progress
    from serving.capacity.sizing import Plan
    from serving.progress import OnProgress
    from serving.running.death import EngineDied

POCKET = "pocket"
_USUAL_HOST = "127.0.0.1"
_USUAL_PORT = 8000


def start(args: argparse.Namespace) -> int:
    """Start the server; returns the exit code."""
    from serving.engines import engine_command
    from serving.engines.command import ServeOptions

    plan = _plan(args)
    host = _USUAL_HOST if args.host is None else args.host
    options = ServeOptions(
        host=host,
        port=args.port or _free_port(host),
        served_model_name=POCKET if args.model == POCKET else None,
        api_key_file=args.api_key_file,
    )
    command = engine_command(plan, options)
    if args.dry_run:
        print(render(command, python=_known_python(args, plan)))
        if plan.starts == "no":
            print("By plan this does not fit. See why, and what would: agent plan", file=sys.stderr)
        return 0
    from serving import Engine
    from serving.directories import state_dir
    from serving.readiness.machine import look
    from serving.readiness.preflight import preflight, refuse
    from serving.running.death import EngineDied

    with progress_view(Live()) as view:
        python = _python(args, plan, view.show)
        machine = look(plan.request, command, options, python=python, environ=os.environ, state=state_dir())
        findings = preflight(plan, machine, options)
        refuse(findings, plan.request.model.title)
        for one in findings:
            view.note("\n".join(filter(None, (one.what, one.do))))
        engine = Engine(plan, options=options, python=machine.python)
        begin = _keep if args.keep else _stay
        try:
            return begin(engine, view, fit=args.fit)
        except EngineDied as error:
            raise _with_nearest_fit(engine, error, _where(args)) from error


def _plan(args: argparse.Namespace) -> Plan:
    from serving import EngineError
    from serving.capacity.calibration import lookup
    from serving.capacity.planner import decide
    from serving.directories import state_dir
    from serving.engine import POCKET_REQUESTS
    from serving.readiness.gpu_state import ask_driver
    from serving.readiness.preflight import NO_GPU

    if args.model == POCKET:
        # As pocket_engine has it: compiling takes a minute at each start and gains nothing at this size.
        args.enforce_eager, args.max_num_seqs = True, args.max_num_seqs or str(POCKET_REQUESTS)
    gpus = gpus_of(args, os.environ)
    if gpus is None:
        raise EngineError(
            f"Cannot serve {args.model or 'Mistral Medium 3.5 128B'} here: no NVIDIA GPU is found.",
            cause=ask_driver(os.environ).trouble,
            do=NO_GPU,
        )
    plan = plan_on(gpus, args, os.environ)
    if args.fit and plan.starts == "no" and plan.changes:
        change = plan.changes[0]
        print(f"By plan it does not fit. Instead: {change.what} ({change.option}).", file=sys.stderr)
        return decide(change.request, lambda request: lookup(request, state_dir()))
    return plan


def _free_port(host: str) -> int:
    from serving.readiness.machine import is_taken
    from serving.running.process_group import free_port

    if is_taken(host, _USUAL_PORT):
        with suppress(OSError):  # This machine has no such address: the preflight says so.
            return free_port(host)
    return _USUAL_PORT


def _python(args: argparse.Namespace, plan: Plan, show: OnProgress) -> Path | EngineError:
    """Find the interpreter that has the engine, or why there is none: that is told with all else that is wrong."""
    from serving import EngineError, Progress
    from serving.readiness.interpreter import cpu_python, gpu_python

    if args.python is not None:
        what = f"--python {str(args.python)!r} is no file."
        missing = EngineError(what, cause="", do="Name a Python that has the engine.")
        return args.python.absolute() if args.python.is_file() else missing
    try:
        if plan.request.gpus.gpu.name == "cpu":
            return cpu_python(
                os.environ, lambda detail: show(Progress(phase="installing", elapsed_s=0.0, detail=detail))
            )
        return gpu_python(plan.request.engine, os.environ)
    except EngineError as error:
        return error


def _known_python(args: argparse.Namespace, plan: Plan) -> Path | None:
    """Find the interpreter that a command has to name, because its engine is on no PATH; makes none."""
    from serving.directories import cache_dir
    from serving.readiness.install import installed_python

    on_cpu = plan.request.gpus.gpu.name == "cpu"
    return args.python or (installed_python(cache_dir(os.environ)) if on_cpu else None)


def _keep(engine: Engine, view: ProgressView, *, fit: bool) -> int:
    from serving.running.signals import ended_by_signals

    # Not by SIGHUP: when the terminal is closed the start goes on without us.
    with ended_by_signals(signal.SIGTERM):
        record = engine.start(view.show, keep=True, fit=fit)
    print(f"{record.model} answers at {record.base_url} (process {record.pid}, log {record.log}).")
    print("`agent run` finds it by itself. It is started again if it dies; end it with: agent serve stop")
    return 0


def _stay(engine: Engine, view: ProgressView, *, fit: bool) -> int:
    from serving.running.signals import ended_by_signals

    told: list[str] = []

    def hear(progress: Progress) -> None:
        told.append(progress.phase)
        view.show(progress)
        if progress.phase == "ready" and told.count("ready") == 1:
            view.note("`agent run` finds it by itself. Ctrl-C ends it. From another terminal: agent serve status")

    # Ctrl-C is how it is ended.
    with ended_by_signals(signal.SIGTERM, signal.SIGHUP), suppress(KeyboardInterrupt):
        engine.supervise(hear, fit=fit)
    return 0 if "ready" in told else 130


def _where(args: argparse.Namespace) -> tuple[str, ...]:
    """Repeat what was said of where and how it runs."""
    said = (
        ("--host", args.host),
        ("--port", args.port),
        ("--api-key-file", args.api_key_file),
        ("--python", args.python),
    )
    words = (word for flag, value in said if value for word in (flag, str(value)))
    return (*words, *(("--keep",) if args.keep else ()))


def _with_nearest_fit(engine: Engine, error: EngineDied, where: tuple[str, ...]) -> EngineError:
    """Add the command that would fit; `where`: its words that the plan does not know."""
    from serving import EngineError

    change = engine.nearest_fit(error)
    if change is None:
        return error
    command = shlex.join(("agent", "serve", *options_of(change.request), *where))
    return EngineError(
        error.what,
        cause=error.cause,
        do=f"{error.do}\nThe nearest that fits: {change.what}:\n{command}\nOr let it be tried at once: --fit",
        log=error.log,
    )

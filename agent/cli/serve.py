"""`agent serve`: start a model server that stays, say which one runs, stop it; the work is in the serving package."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of `agent serve`."""
    parser.add_argument(
        "what", choices=["pocket", "status", "stop"], help="pocket: start the shipped model on the CPU, and keep it."
    )
    parser.add_argument("--port", type=int, metavar="N", help="Where it listens on 127.0.0.1 (default: a free port).")


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    from serving import current_server, pocket_engine, stop_server

    from .progress import ProgressLines

    record = current_server()
    if args.what == "pocket":
        engine = pocket_engine(args.port)
        record = engine.start(ProgressLines().show, keep=True)
        print(f"{record.model} answers at {record.base_url} (process {record.pid}, log {record.log}).")
        print("`agent run` finds it by itself; end it with: agent serve stop")
        return 0
    if record is None:
        print("No server is recorded on this machine. Start one: agent serve pocket")
        return 0 if args.what == "stop" else 1
    if args.what == "stop":
        stop_server(record)
        print(f"Stopped {record.model} at {record.base_url}.")
    else:
        print(
            f"{record.model} at {record.base_url}, since {record.started_at}, process {record.pid}, log {record.log}."
        )
    return 0

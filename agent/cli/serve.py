"""Define and dispatch `agent serve`; serve_start.py starts servers, serve_status.py handles status, stop and logs."""

from __future__ import annotations

import argparse
from pathlib import Path

from .plan_options import add_plan_arguments

_EPILOG = """\
Instead of a model: `agent serve status`, `agent serve stop`, `agent serve logs`. For a folder of that name: ./status.

The server is restarted when it dies, until Ctrl-C; with --keep, until `agent serve stop`.
`agent run` finds it automatically. `agent serve pocket` needs no GPU.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `agent serve`."""
    add_plan_arguments(parser)
    where = parser.add_argument_group("where and how it runs")
    where.add_argument("--port", type=int, metavar="N", help="Port to listen on (default: 8000, or a free one).")
    where.add_argument("--host", help="Address to listen on (default: this machine only).")
    where.add_argument("--api-key-file", type=Path, metavar="FILE", help="File with the API key that requests need.")
    where.add_argument("--python", type=Path, metavar="PATH", help="Python interpreter with the engine installed.")
    where.add_argument("--keep", action="store_true", help="Leave it running after the terminal is closed.")
    where.add_argument(
        "--fit", action="store_true", help="If the plan does not fit, start the nearest one that does, and print it."
    )
    where.add_argument(
        "--dry-run",
        action="store_true",
        help="Print the engine's command; start nothing. Exit code 1 if it may not fit.",
    )
    logs = parser.add_argument_group("agent serve logs")
    logs.add_argument("-n", "--lines", type=int, default=40, metavar="N", help="Number of lines (default 40).")
    logs.add_argument("-f", "--follow", action="store_true", help="Keep printing new lines until Ctrl-C.")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    # Imported late so that `agent serve --help` is fast.
    if args.model == "status":
        from .serve_status import status

        return status()
    if args.model == "stop":
        from .serve_status import stop

        return stop()
    if args.model == "logs":
        from .serve_status import logs

        return logs(lines=args.lines, follow=args.follow)
    from .serve_start import start

    return start(args)

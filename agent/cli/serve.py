"""`agent serve`: its arguments; starting is in serve_start.py, looking after what runs in serve_status.py."""

from __future__ import annotations

import argparse
from pathlib import Path

from .plan_options import add_plan_arguments

_EPILOG = """\
Instead of a model: `agent serve status`, `agent serve stop`, `agent serve logs`. A folder of such a name is ./status.

The server is watched over and started again when it dies, until Ctrl-C; with --keep, until `agent serve stop`.
`agent run` finds it by itself. `agent serve pocket` needs no GPU.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of `agent serve`."""
    add_plan_arguments(parser)
    where = parser.add_argument_group("where and how it runs")
    where.add_argument("--port", type=int, metavar="N", help="Where it listens (default: 8000, or a free one).")
    where.add_argument("--host", help="Who can reach it (default: this machine only).")
    where.add_argument("--api-key-file", type=Path, metavar="FILE", help="Holds the key that requests need.")
    where.add_argument("--python", type=Path, metavar="PATH", help="The Python that has the engine.")
    where.add_argument("--keep", action="store_true", help="Leave it running, also after the terminal is closed.")
    where.add_argument(
        "--fit", action="store_true", help="If it does not fit, start the nearest plan that does, and say which."
    )
    where.add_argument("--dry-run", action="store_true", help="Print the command of the engine; start nothing.")
    logs = parser.add_argument_group("agent serve logs")
    logs.add_argument("-n", "--lines", type=int, default=40, metavar="N", help="How many (default 40).")
    logs.add_argument("-f", "--follow", action="store_true", help="Go on until Ctrl-C.")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    # `agent serve --help` must not wait for any of them.
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

"""`agent doctor`: diagnose a server from its log or by probing it; fixes nothing."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ..errors import ConfigError

_EPILOG = """\
Exit codes: 0 no problem found, 1 problem found, 2 nothing to examine, 3 a check got no answer in time.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `agent doctor`."""
    parser.epilog = _EPILOG
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--log", metavar="FILE", help="An engine's log, plain or gzipped; - reads standard input.")
    source.add_argument("--url", metavar="URL", help="A running server; 20 small checks probe what it can do.")
    parser.add_argument(
        "--engine", choices=["vllm", "sglang"], help="The engine that wrote the log (default: detected)."
    )
    parser.add_argument(
        "--api-key-env", metavar="NAME", help="The environment variable that contains the server's key."
    )
    parser.add_argument("--model", metavar="NAME", help="Which of the server's models to probe (default: the first).")
    parser.add_argument(
        "--check",
        action="append",
        default=[],
        metavar="NAME",
        help="Show only this check of the server, by its name in --json; repeatable. Exits with 3 if it is unknown.",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        metavar="S",
        help="Seconds for all checks of the server (default: 60). The slower the server, the more it needs.",
    )
    parser.add_argument("--fresh", action="store_true", help="Probe the server again, even if it was probed recently.")
    parser.add_argument("--json", action="store_true", help="Print JSON instead of text.")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 3600:
        msg = f"must be a number of seconds from 1 to 3600, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return seconds


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.url is not None:
        from .doctor_url import probe_url  # only when needed: the probe imports an HTTP client

        return probe_url(args)
    if args.log is not None:
        if args.check or args.timeout:
            msg = "--check and --timeout are for a running server, not for a log. Omit them, or pass --url URL."
            raise ConfigError(msg)
        from .doctor_log import examine_log

        return examine_log(args.log, engine=args.engine, as_json=args.json)
    return _examine_recorded(args)


def _examine_recorded(args: argparse.Namespace) -> int:
    """Examine the server that runs on this machine, or ran last: its log, and a probe of the server if it is up."""
    from serving import EngineError
    from serving.key_file import read_key
    from serving.running.record import is_present, read_record

    from .doctor_log import examine_log
    from .serve_status import headline

    record = read_record()
    if record is None:
        raise EngineError(
            "No server is recorded on this machine, so there is nothing to examine.",
            cause="",
            do="Pass a log or a server: agent doctor --log FILE, or agent doctor --url URL",
        )
    is_up = record.state == "ready" and is_present(record)
    if not is_up:
        print(headline(record), file=sys.stderr if args.json else sys.stdout)
    found = examine_log(record.log, engine=record.engine, as_json=args.json) if record.log else 0
    if not is_up:
        return max(found, 0 if record.state == "starting" and is_present(record) else 1)
    from .doctor_url import probe_url

    if record.api_key_file and args.api_key_env is None:
        # The probe takes a key only from the environment, so that no command line contains one.
        os.environ["AGENT_API_KEY"] = read_key(Path(record.api_key_file))
    args.url, args.model = record.base_url, args.model or record.model
    return max(found, probe_url(args))

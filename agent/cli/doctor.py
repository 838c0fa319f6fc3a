"""`agent doctor`: say what is wrong with a server, from its log or by asking it; mends nothing."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

_EPILOG = """\
Exit codes: 0 nothing wrong was found, 1 something was, 2 there was nothing to examine.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of `agent doctor`."""
    parser.epilog = _EPILOG
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--log", metavar="FILE", help="An engine's log, also gzipped; - reads standard input.")
    what.add_argument("--url", metavar="URL", help="A running server: 19 small checks of what it can do.")
    parser.add_argument("--engine", choices=["vllm", "sglang"], help="Whose log it is (default: it is recognised).")
    parser.add_argument("--api-key-env", metavar="NAME", help="The variable that holds the server's key.")
    parser.add_argument("--model", metavar="NAME", help="Which of the server's models to ask (default: its first).")
    parser.add_argument("--fresh", action="store_true", help="Ask the server again, even if it was asked lately.")
    parser.add_argument("--json", action="store_true", help="Print JSON instead of text.")


def main(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.url is not None:
        from .doctor_url import probe_url  # only when it is needed: the probe brings an HTTP client

        return probe_url(args)
    if args.log is not None:
        from .doctor_log import examine_log

        return examine_log(args.log, engine=args.engine, as_json=args.json)
    return _examine_recorded(args)


def _examine_recorded(args: argparse.Namespace) -> int:
    """Examine the server that runs here, or ran here last: its log, and itself if it lives."""
    from serving import EngineError
    from serving.key_file import read_key
    from serving.running.record import is_there, read_record

    from .doctor_log import examine_log
    from .serve_status import headline

    record = read_record()
    if record is None:
        raise EngineError(
            "No server is recorded on this machine, so there is nothing to examine.",
            cause="",
            do="Name a log or a server: agent doctor --log FILE, or agent doctor --url URL",
        )
    is_up = record.state == "ready" and is_there(record)
    if not is_up:
        print(headline(record), file=sys.stderr if args.json else sys.stdout)
    found = examine_log(record.log, engine=record.engine, as_json=args.json) if record.log else 0
    if not is_up:
        return max(found, 0 if record.state == "starting" and is_there(record) else 1)
    from .doctor_url import probe_url

    if record.api_key_file and args.api_key_env is None:
        # The probe takes a key from the environment only, so that none stands in a command line.
        os.environ["AGENT_API_KEY"] = read_key(Path(record.api_key_file))
    args.url, args.model = record.base_url, args.model or record.model
    return max(found, probe_url(args))

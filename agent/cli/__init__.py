"""The `agent` command: dispatches to the subcommand, and turns errors into one message and an exit code."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.machinery import PathFinder
from io import TextIOWrapper
from pathlib import Path
from typing import Protocol, TextIO, cast


class Command(Protocol):
    """The interface of a command's module."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments to its parser."""
        ...

    def main(self, args: argparse.Namespace) -> int:
        """Run the command and return the exit code."""
        ...


# The commands and their summaries in `agent --help`. Only the chosen command's module is imported, so help is fast.
COMMANDS = {
    "run": "Run a task, or every task in a folder, and report the outcome",
    "validate": "Check a task file without running it",
    "schema": "Print the JSON Schema of task files, for editors",
    "tools": "List the ready tools",
    "runs": "List the runs on this machine",
    "show": "Show what happened in a run",
    "diff": "Show what a run changed in its workspace",
    "undo": "Restore a run's workspace to its state before the run",
    "plan": "Show whether a model fits on GPUs, and what would make it fit",
    "serve": "Start, find or stop a model server on this machine",
    "doctor": "Diagnose a model server, from its log or by sending it requests",
    "deploy": "Write files that run several engines behind a router",
}

# They import a task's own tools, which may need the modules of their project; a run has a guard of its own.
_LOAD_TOOLS = frozenset({"run", "validate"})

_EPILOG = """\
Start here: agent run examples/first_task/task.yaml

Exit codes of `agent run`: 0 verified or finished, 1 verification failed, 2 wrong task, configuration or endpoint,
3 budget used up, 4 stuck, 130 interrupted. For a folder of tasks: 0 all verified or finished, 1 not all, 2 and 130 as
for one task.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; for `argv`, None means the process's own arguments.

    Everything printed meanwhile goes through `clean_output`: names of models and files, errors of servers and texts of
    runs were written by others.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    chosen = arguments[0] if arguments and arguments[0] in COMMANDS else None
    with ExitStack() as paths:
        paths.enter_context(_installed_only())
        from ..view.clean_output import clean_output

        _escape_unencodable(sys.stdout)
        with clean_output():
            parser = _parser(chosen)
            args = parser.parse_args(arguments, argparse.Namespace(ends_process=argv is None))
            if chosen is None:
                parser.print_help()
                return 2
            if chosen in _LOAD_TOOLS:
                paths.close()
            return _main(chosen, args)


def _main(command: str, args: argparse.Namespace) -> int:
    try:
        return _module(command).main(args)
    except KeyboardInterrupt as error:
        with suppress(OSError):  # the terminal may be closed
            print(f"\n{error or 'Interrupted.'}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader closed the pipe early, as `| head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - last resort: any error becomes one message
        return _report(error)


@contextmanager
def _installed_only() -> Generator[None]:
    """Import, inside the block, only what is installed: a run may have written what lies in a project on the path.

    Even `subprocess` looks there for modules of other systems, such as `msvcrt`, so this must come before such imports.
    """
    library = Path(os.__file__).resolve().parent
    places = {library, library / "lib-dynload", Path(__file__).resolve().parents[2]}
    # Packages may be installed elsewhere too, by a .pth file or on PYTHONPATH; these are where ours are found today.
    specs = [PathFinder.find_spec(name) for name in ("pydantic", "typing_extensions", "openai", "yaml", "jsonschema")]
    places |= {
        Path(spec.origin).parents[spec.submodule_search_locations is not None] for spec in specs if spec and spec.origin
    }
    before = list(sys.path)
    sys.path[:] = [
        entry
        for entry in before
        if entry.endswith((".zip", "site-packages", "dist-packages")) or {Path(entry), Path(entry).resolve()} & places
    ]
    try:
        yield
    finally:
        sys.path[:] = before


def _escape_unencodable(stream: TextIO) -> None:
    """Write characters that the terminal cannot encode, such as in a file's name, as escapes instead of failing."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="agent",
        description="Function-calling agents on a model you host.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=_Version("%(prog)s"), help="Print the version and exit.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=f"{summary}.")
        if name == chosen:
            _module(name).add_arguments(command)
    return parser


class _Version(str):
    """The version, looked up only when it is printed: importlib.metadata takes 20 ms."""

    __slots__ = ()

    def __mod__(self, _: object) -> str:
        from importlib.metadata import version

        return f"agent (tramontane) {version('tramontane')}"


def _module(name: str) -> Command:
    return cast("Command", importlib.import_module(f".{name}", __name__))


def _report(error: Exception) -> int:
    """Print what went wrong, and return the exit code; raises the error itself if AGENT_DEBUG is set."""
    from serving import EngineError

    from ..errors import AgentError

    if os.environ.get("AGENT_DEBUG"):
        raise error
    if isinstance(error, AgentError | EngineError):
        print(f"agent: {error}", file=sys.stderr)
    elif isinstance(error, OSError):
        print(f"agent: {error.strerror}: {error.filename}", file=sys.stderr)
    else:
        print(
            f"agent: internal error: {type(error).__name__}: {error}\nThis is a bug in Tramontane. Set "
            "AGENT_DEBUG=1 and run again for a traceback; please report it.",
            file=sys.stderr,
        )
    return 2

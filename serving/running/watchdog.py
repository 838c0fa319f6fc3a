"""Stop an engine when its owner exits, however it exits; runs as a separate, engine-independent process.

The owner holds the other end of a pipe. The kernel closes it when the owner exits, even by SIGKILL; the watchdog then
stops the engine: SIGTERM first, SIGKILL after the deadline. (A parent-death signal would not work: the kernel ties it
to the thread that forked, and vLLM ignores SIGTERM while it starts.)
"""

import subprocess
import sys
from pathlib import Path

from .marks import end_marked
from .process_group import ProcessId, stop_group

_ROOT = str(Path(__file__).resolve().parents[__name__.count(".")])
_START = f"import sys; sys.path.insert(0, sys.argv[1]); from {__name__} import watch; watch()"


class Watchdog:
    """Stops one engine if this process exits."""

    def __init__(self, process: ProcessId, mark: str) -> None:
        """Start watching; the engine is stopped if this process exits without calling `dismiss`.

        Args:
            process: the engine's first process.
            mark: set in the environment of all its processes.
        """
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, _ROOT, str(process.pid), str(process.start_ticks), mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """Stop watching; call it when the engine has exited."""
        self._child.kill()
        self._child.communicate()


def watch() -> None:
    """Wait until the pipe closes, then stop the engine given on the command line."""
    sys.stdin.buffer.read()
    stop_group(ProcessId(pid=int(sys.argv[2]), start_ticks=int(sys.argv[3])))
    end_marked(sys.argv[4])

"""End an engine whose owner is gone, however the owner went; a process of its own, that knows nothing of engines.

The owner holds the other end of a pipe. The kernel closes it when the owner ends, even by SIGKILL; then the engine is
ended like any other: asked first, forced after the deadline. (A parent-death signal would not do: the kernel binds it
to the thread that forked, and vLLM lets a SIGTERM pass unheard while it starts.)
"""

import subprocess
import sys
from pathlib import Path

from .marks import end_marked
from .process_group import ProcessId, stop_group

_ROOT = str(Path(__file__).resolve().parents[2])
_START = "import sys; sys.path.insert(0, sys.argv[1]); from serving.running.watchdog import watch; watch()"


class Watchdog:
    """Watches over one engine on behalf of this process."""

    def __init__(self, process: ProcessId, mark: str) -> None:
        """Start watching; the engine is ended when we end without having called `dismiss`.

        Args:
            process: the engine's first process.
            mark: what all of its processes have in their environment.
        """
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, _ROOT, str(process.pid), str(process.start_ticks), mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """Stop watching; call it when the process has ended."""
        self._child.kill()
        self._child.communicate()


def watch() -> None:
    """Wait for the end of the pipe, then end the process that the command line names."""
    sys.stdin.buffer.read()
    stop_group(ProcessId(pid=int(sys.argv[2]), start_ticks=int(sys.argv[3])))
    end_marked(sys.argv[4])

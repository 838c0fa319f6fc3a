"""Read an engine's log file: the progress of a start, the memory it took, and why it failed."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from ..capacity.sizing import EngineName
from ..doctor import Diagnosis, diagnose
from ..engines.log_summary import StartSummary
from ..engines.sglang import log as sglang_log
from ..engines.vllm import log as vllm_log
from ..progress import Phase

_LOGS = {"vllm": vllm_log, "sglang": sglang_log}


def read_start_line(engine: EngineName, line: str) -> tuple[Phase, str] | None:
    """Parse one log line into a phase and a line to show; None if it says nothing about the start."""
    fact = _LOGS[engine].read_start_line(line)
    return None if fact is None else (fact.phase, fact.detail)


def read_summary(engine: EngineName, log: Path) -> StartSummary | None:
    """Read the engine's own figures for the memory its start took; None if the log has none."""
    with _lines(log) as lines:
        return _LOGS[engine].start_summary(lines)


def diagnose_log(engine: EngineName, log: Path) -> Diagnosis | None:
    """Return the root cause that a log shows; None if it shows no failure."""
    with _lines(log) as lines:
        return next(iter(diagnose(lines, engine=engine)), None)


@contextmanager
def _lines(log: Path) -> Generator[Iterable[str]]:
    """Open a log for reading line by line, however long it is; a missing log has no lines."""
    try:
        # Progress bars end in a carriage return, which does not end a line.
        opened = log.open(encoding="utf-8", errors="replace", newline="\n")
    except OSError:
        yield ()
        return
    with opened:
        yield opened

"""Read an engine's log where it lies: how far a start is, what it took, why it ended."""

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
    """Read one line of an engine's log to a phase and a line for people; None: it says nothing of the start."""
    fact = _LOGS[engine].read_start_line(line)
    return None if fact is None else (fact.phase, fact.detail)


def read_summary(engine: EngineName, log: Path) -> StartSummary | None:
    """Read what an engine says of the memory that its start took; None: nothing."""
    with _lines(log) as lines:
        return _LOGS[engine].start_summary(lines)


def examine(engine: EngineName, log: Path) -> Diagnosis | None:
    """Name the root of what a log shows; None: it shows nothing."""
    with _lines(log) as lines:
        return next(iter(diagnose(lines, engine=engine)), None)


@contextmanager
def _lines(log: Path) -> Generator[Iterable[str]]:
    """Open a log to be read line by line, however long it is; one that is not there has none."""
    try:
        # Progress bars end in a carriage return, which is no end of a line.
        opened = log.open(encoding="utf-8", errors="replace", newline="\n")
    except OSError:
        yield ()
        return
    with opened:
        yield opened

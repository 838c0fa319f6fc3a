"""Read an engine's log where it lies: for how far a start is, and for why it ended."""

from pathlib import Path

from .doctor import Diagnosis, diagnose
from .engines import vllm
from .planning import EngineName
from .progress import Phase

# vLLM says why within the last hundred lines or so; a traceback of each of eight workers takes about a hundred each.
_LINES = 4000


def read_start_line(engine: EngineName, line: str) -> tuple[Phase, str] | None:
    """Read one line of an engine's log to a phase and a line for people; None: it says nothing of the start."""
    fact = vllm.read_start_line(line) if engine == "vllm" else None
    return None if fact is None else (fact.phase, fact.detail)


def log_lines(log: Path) -> list[str]:
    """Read the last lines of a log; none if it is not there."""
    try:
        return log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES:]
    except OSError:
        return []


def examine(engine: EngineName, log: Path) -> Diagnosis | None:
    """Name the root of what a log shows; None: it shows nothing."""
    return next(iter(diagnose(log_lines(log), engine=engine)), None)

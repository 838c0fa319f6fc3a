"""Read an engine's log where it lies: how far a start is, what it took, why it ended."""

from pathlib import Path

from .doctor import Diagnosis, diagnose
from .engines.sglang import log as sglang_log
from .engines.vllm import log as vllm_log
from .planning import EngineName
from .progress import Phase
from .startfacts import StartSummary

# vLLM says why within the last hundred lines or so; a traceback of each of eight workers takes about a hundred each.
_LINES = 4000
_LOGS = {"vllm": vllm_log, "sglang": sglang_log}


def read_start_line(engine: EngineName, line: str) -> tuple[Phase, str] | None:
    """Read one line of an engine's log to a phase and a line for people; None: it says nothing of the start."""
    fact = _LOGS[engine].read_start_line(line)
    return None if fact is None else (fact.phase, fact.detail)


def read_summary(engine: EngineName, log: Path) -> StartSummary | None:
    """Read what an engine says of the memory that its start took; None: nothing."""
    return _LOGS[engine].start_summary(log_lines(log))


def log_lines(log: Path) -> list[str]:
    """Read the last lines of a log; none if it is not there."""
    try:
        return log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES:]
    except OSError:
        return []


def examine(engine: EngineName, log: Path) -> Diagnosis | None:
    """Name the root of what a log shows; None: it shows nothing."""
    return next(iter(diagnose(log_lines(log), engine=engine)), None)

"""Find what is wrong in an engine's log, root cause first; pure over the lines, opens no file."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from ..capacity.sizing import EngineName
from ..engines.log_summary import LoadSummary, StartSummary
from .engine_reader import EngineReader
from .lines import read_lines
from .records import Diagnosis
from .symptom_index import detect_engine, symptom_index

_DETECTION_LINES = 2000
_MAX_SOURCES = 64
"""In a log of an unknown form each line may seem to come from a container of its own."""


@dataclass(frozen=True, kw_only=True)
class LogReading:
    """Everything read from a log."""

    engine: EngineName | None
    """None if no line shows which engine wrote the log."""
    diagnoses: tuple[Diagnosis, ...]
    """What is wrong, the root cause first."""
    notes: tuple[Diagnosis, ...]
    """What is not wrong, but useful when answers disappoint."""
    start: StartSummary | None
    """Of the last start. None if the log shows no start."""
    load: LoadSummary | None
    """None if the log shows no load."""
    lines: int
    """Number of lines read."""


def diagnose(text_or_lines: str | Iterable[str], *, engine: EngineName | None = None) -> tuple[Diagnosis, ...]:
    """Return everything that is wrong, the root cause first; empty if the log shows nothing wrong.

    If the log contains several starts, the last one that got far enough to show anything counts. Never raises.

    Args:
        text_or_lines: the log, whole or by lines; it may begin and end anywhere. The lines are read only once.
        engine: the engine that wrote the log. None means that it is detected from the first lines.
    """
    return read_log(text_or_lines, engine=engine).diagnoses


def read_log(text_or_lines: str | Iterable[str], *, engine: EngineName | None = None) -> LogReading:
    """Read a whole log: what is wrong, what is worth noting, and how the start and the load went.

    Args:
        text_or_lines: as for `diagnose`.
        engine: as for `diagnose`.
    """
    lines = iter(text_or_lines.split("\n") if isinstance(text_or_lines, str) else text_or_lines)
    if engine is None:
        first = list(itertools.islice(lines, _DETECTION_LINES))
        engine = detect_engine(first)
        lines = itertools.chain(first, lines)
    index, number = symptom_index(engine), 0
    readers: dict[str, EngineReader] = {}
    for line in read_lines(lines):
        number = line.number
        # Each container runs its own engine: an error that one survives may have ended another.
        source = line.source if line.source in readers or len(readers) < _MAX_SOURCES else ""
        if source not in readers:
            readers[source] = EngineReader(index)
        readers[source].read(line)
    readings = [reader.result() for reader in readers.values()]
    return LogReading(
        engine=engine,
        diagnoses=tuple(diagnosis for one in readings for diagnosis in one.diagnoses),
        notes=tuple({note.title: note for one in reversed(readings) for note in one.notes}.values()),
        start=next((one.start for one in readings if one.start is not None), None),
        load=next((one.load for one in readings if one.load is not None), None),
        lines=number,
    )

"""Score the doctor on logs of failed starts and of healthy ones, each with its source in tests/data/doctor_corpus.

    .venv/bin/python tests/bench/doctor_corpus.py [--wrong]

A log counts as right if its first diagnosis names the cause, at a line that shows it, with a fix that works. The logs
marked as held back were collected after the patterns were written; they were scored once before anything was mended.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from serving.doctor import Diagnosis, read_log

DATA = Path(__file__).parents[1] / "data"
CORPUS = DATA / "doctor_corpus"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One log of a failure, and what its diagnosis must be."""

    name: str
    source: str
    """The page with the log or its lines; what was rebuilt or added."""
    symptom: str
    lines: list[int]
    """The lines that show the cause; each counts."""
    mend: str
    """A regular expression that the fix must match."""
    held_back: bool

    @property
    def log(self) -> Path:
        """The file of the log."""
        return CORPUS / "failures" / f"{self.name}.log"


def cases() -> list[Case]:
    """Return the logs of failures."""
    index = json.loads((CORPUS / "failures" / "index.json").read_text(encoding="utf-8"))
    return [Case(name=name, **values) for name, values in index.items()]


def healthy_logs() -> list[Path]:
    """Return the logs without a failure: those of the corpus, and those of tests/data/engine_logs."""
    names: list[str] = json.loads((CORPUS / "healthy" / "engine_logs.json").read_text(encoding="utf-8"))
    return [*sorted((CORPUS / "healthy").glob("*.log")), *(DATA / "engine_logs" / name for name in names)]


def diagnoses(log: Path) -> tuple[Diagnosis, ...]:
    """Return what the doctor finds in a log."""
    with log.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        return read_log(lines).diagnoses


def is_right(case: Case) -> bool:
    """Return whether the first diagnosis has the right cause, line and fix."""
    first = next(iter(diagnoses(case.log)), None)
    return (
        first is not None
        and first.symptom == case.symptom
        and first.line in case.lines
        and re.search(case.mend, first.fix) is not None
    )


def main() -> int:
    """Print the score."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--wrong", action="store_true", help="print each wrong diagnosis")
    args = parser.parse_args()
    for title, held_back in (("written for", False), ("held back", True)):
        chosen = [case for case in cases() if case.held_back == held_back]
        right = [case for case in chosen if is_right(case)]
        print(f"{title:12} {len(right):3} of {len(chosen)} right ({len(right) / len(chosen):.0%})")
        if args.wrong:
            print("\n".join(_wrong(case) for case in chosen if case not in right))
    alarms = list(_alarms())
    print(f"healthy      {len(alarms):3} false alarms in {len(healthy_logs())} logs")
    print("\n".join(alarms))
    return 0


def _wrong(case: Case) -> str:
    found = [f"{one.symptom} at line {one.line}: {one.evidence[:100]}" for one in diagnoses(case.log)]
    return f"  {case.name}: {case.symptom} at {case.lines}, not {found or 'nothing'}"


def _alarms() -> Iterator[str]:
    for log in healthy_logs():
        for one in diagnoses(log):
            yield f"  {log.name}: {one.symptom} at line {one.line}: {one.evidence[:100]}"


if __name__ == "__main__":
    sys.exit(main())

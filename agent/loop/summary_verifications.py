"""Write the part of a summary about failed verifications: the last one whole, the earlier ones in a line each; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from ..journal.events import VerifyEnded
from .cutting import cut_end, cut_middle
from .reported_tests import reported_tests

_LAST_CHARS = 8_000
_LEAST_LAST_CHARS = 300
_MAX_EARLIER = 3
_EARLIER_CHARS = 400
_LINE_CHARS = 160
_OUTPUT = "\nOutput:\n"
_LINE_NUMBERS = {
    "changed": "Line numbers in this output are those of the files as you submitted them.",
    "restored": "Line numbers in this output are those of your changed files, not of the files as they are now.",
}
_HEADING = re.compile(r"Verification failed \(attempt \d+ of \d+\)")
_RESULT = re.compile(r"Result: |Failing tests: ")
_ENDING = re.compile(r"Exit code: |Stopped after |It did not start")
# pytest: the header of a failure, "____ Case.test_name ____", and its lines with the exception, "E   TypeError: no".
_FAILURE_HEADER = re.compile(r"^_{5,} .+ _{5,}$", re.MULTILINE)
_EXCEPTION = re.compile(r"(?:^E {2,}.*(?:\n|$))+", re.MULTILINE)


def show_failures(
    failures: Sequence[VerifyEnded], *, files: Literal["same", "changed", "restored"], attempts_left: int | None,
    max_chars: int,
) -> str:  # fmt: skip
    """Return what the model has to know of its failed attempts.

    Args:
        failures: every failed attempt, oldest first.
        files: what happened to the files since the last one.
        attempts_left: how often the work can still be submitted. None if unknown.
        max_chars: bound of the text, at least 500; the middle of the last output is cut first.
    """
    if not failures:
        return ""
    *before, last = failures
    digests = list(dict.fromkeys(_digest(ended) for ended in before if ended.say != last.say))
    earlier = digests[-_MAX_EARLIER:]
    if len(digests) > len(earlier):
        earlier.insert(0, f"Attempts before these that failed too: {len(digests) - len(earlier)}.")
    notes: list[str] = []
    if files != "same" and _OUTPUT in last.say:
        notes.append(_LINE_NUMBERS[files])
    if attempts_left is not None:
        notes.append(f"Attempts left: {attempts_left}.")
    left = max_chars - sum(len(note) + 1 for note in notes)
    room = left - sum(len(line) + 1 for line in earlier)
    if room < _LEAST_LAST_CHARS:
        earlier, room = [], left
    shown = "\n".join([cut_middle(last.say, min(_LAST_CHARS, room)), *notes])
    return "\n".join([*earlier, shown])


def _digest(ended: VerifyEnded) -> str:
    """Return one line of the feedback about an attempt: which tests failed, and the exception of the first."""
    heading = _HEADING.match(ended.say)
    # Without that line, the model may not read the output.
    output = ended.output if _OUTPUT in ended.say else ""
    lines = ended.say.partition(_OUTPUT)[0].splitlines()
    told = reported_tests(output).splitlines() or [line for line in lines if _RESULT.match(line)]
    if not told:
        told = [line for line in lines if _ENDING.match(line)]
        told += [cut_end(line.strip(), _LINE_CHARS) for line in output.splitlines()[-2:]]
    elif exception := _exception(output):
        told.append(cut_end(exception, _LINE_CHARS))
    return cut_end(
        f"Earlier: {heading.group().lower() if heading else 'verification failed'}. {' '.join(told)}", _EARLIER_CHARS
    )


def _exception(output: str) -> str:
    first_failure = _FAILURE_HEADER.split(output)[:2][-1]
    found = _EXCEPTION.findall(first_failure)
    return found[-1].splitlines()[0][1:].strip() if found else ""

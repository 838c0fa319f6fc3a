"""The record of a log pattern, which ties a line of text to a symptom; holds no patterns itself."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LogPattern:
    """One form in which a symptom appears in a line of text."""

    symptom: str
    """The name of the symptom, as in `Diagnosis.symptom`."""
    regex: re.Pattern[str]
    """Searched in a line without its log prefix; the named groups are the values of the finding."""
    in_info: bool = False
    """Whether to search lines of level INFO too, which are otherwise skipped because they may quote prompts."""


def pattern(symptom: str, regex: str, *, in_info: bool = False) -> LogPattern:
    """Build a LogPattern from its regular expression as text."""
    return LogPattern(symptom=symptom, regex=re.compile(regex), in_info=in_info)

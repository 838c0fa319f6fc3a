"""The form in which an engine's module hands over what its failures look like; knows no failure itself."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LogPattern:
    """One way in which a symptom shows in a line of text."""

    symptom: str
    """The name of the symptom, as in `Diagnosis.symptom`."""
    regex: re.Pattern[str]
    """Searched in a line without its log prefix; the named groups are what is known of the case."""
    in_info: bool = False
    """True: it stands in lines of level INFO, which are otherwise not searched: they may quote prompts."""


def pattern(symptom: str, regex: str, *, in_info: bool = False) -> LogPattern:
    """Build a LogPattern from the text of its regular expression."""
    return LogPattern(symptom=symptom, regex=re.compile(regex), in_info=in_info)

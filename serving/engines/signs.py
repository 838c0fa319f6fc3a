"""The form in which an engine's module hands over what its failures look like; knows no failure itself."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sign:
    """One way in which a symptom shows itself in a line of text."""

    symptom: str
    """The name of the symptom, as in `Diagnosis.symptom`."""
    pattern: re.Pattern[str]
    """Searched in a line without its log prefix; the named groups are what is known of the case."""
    in_info: bool = False
    """True: it stands in lines of level INFO, which are otherwise not searched: they may quote prompts."""


def sign(symptom: str, pattern: str, *, in_info: bool = False) -> Sign:
    """Build a sign from the text of its pattern."""
    return Sign(symptom=symptom, pattern=re.compile(pattern), in_info=in_info)

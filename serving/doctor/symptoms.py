"""The record of a symptom, and how its texts are filled with values; holds no symptoms itself."""

import difflib
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..capacity.sizing import EngineName

Severity = Literal["stops", "follows", "refuses", "degrades", "note"]
"""`stops`: it ends the start or the engine. `follows`: the engine ends too, but because of another symptom, if one is
found. `refuses`: single requests fail. `degrades`: the engine runs, but badly. `note`: not a problem, but useful when
answers disappoint. Diagnoses are reported in this order."""


@dataclass(frozen=True, kw_only=True)
class Symptom:
    """The texts and properties of one symptom.

    A `{group}` in a text is replaced with that group of the log pattern. Of several texts, the first whose groups all
    have a value is used.
    """

    title: tuple[str, ...]
    """Two findings with the same title are the same problem, so values that vary by request belong in `cause`."""
    cause: tuple[str, ...]
    fix: tuple[str, ...]
    severity: Severity
    recurs: bool = True
    """Whether it happens again with the same configuration; becomes `Diagnosis.fatal`."""
    sglang_fix: tuple[str, ...] = ()
    """As `fix`, for SGLang. Empty means that `fix` applies."""
    hides: tuple[str, ...] = ()
    """Symptoms with the same cause; they are not reported beside this one."""
    because: tuple[str, ...] = ()
    """Symptoms that are reported in place of this one if the log shows them, even as warnings only."""
    when_ready: str = ""
    """The symptom that replaces this one if the server was ready before. Empty means none does."""

    def fix_for(self, engine: EngineName | None) -> tuple[str, ...]:
        """Return the fix texts for an engine."""
        return self.sglang_fix if engine == "sglang" and self.sglang_fix else self.fix


def fill(texts: tuple[str, ...], values: Mapping[str, str]) -> str:
    """Fill the first text whose values are all known; if none is, fill the last, with `?` for a missing value."""
    complete = (text for text in texts if all(name in values for name in _fields(text)))
    return next(complete, texts[-1]).format_map(_QuestionMarks(values))


def match_values(match: re.Match[str], flags: tuple[str, ...]) -> dict[str, str]:
    """Return the groups of a match, and the known flag nearest to its `flag` group as `nearest`.

    Args:
        match: of a log pattern.
        flags: the engine's flags.
    """
    values = {name: text for name, text in match.groupdict().items() if text}
    flag = values.get("flag", "").split("=")[0].replace("_", "-")
    near = difflib.get_close_matches(flag, flags, n=1, cutoff=0.7) if flag else []
    return {**values, "nearest": near[0]} if near else values


class _QuestionMarks(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "?"


def _fields(text: str) -> tuple[str, ...]:
    return tuple(name for _, name, _, _ in string.Formatter().parse(text) if name)

"""The form of what is known about a symptom, and how its texts are filled; knows no symptom itself."""

import difflib
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..capacity.sizing import EngineName

Weight = Literal["ends", "follows", "refuses", "harms", "notes"]
"""`ends`: the start or the engine ends of it. `follows`: so does it, but something else is the reason, if anything else
is found. `refuses`: single requests fail. `harms`: it runs, but badly. `notes`: good to know when answers disappoint.
In this order they are told."""


@dataclass(frozen=True, kw_only=True)
class Symptom:
    """What is known about one symptom.

    Texts hold `{group}` where a group of the sign's pattern belongs. Of several texts the first counts whose groups all
    have a value.
    """

    title: tuple[str, ...]
    """Two findings with the same title are the same problem, so values that differ by the request stand elsewhere."""
    cause: tuple[str, ...]
    fix: tuple[str, ...]
    weight: Weight
    again: bool = True
    """With the same configuration it happens again."""
    sglang_fix: tuple[str, ...] = ()
    """As `fix`, for SGLang. Empty: the same."""
    hides: tuple[str, ...] = ()
    """Symptoms that are only another view of this one."""
    when_ready: str = ""
    """The symptom it is if the server had been ready before. Empty: the same."""

    def fix_for(self, engine: EngineName | None) -> tuple[str, ...]:
        """Choose the texts of what to do."""
        return self.sglang_fix if engine == "sglang" and self.sglang_fix else self.fix


def fill(texts: tuple[str, ...], values: Mapping[str, str]) -> str:
    """Fill the first text whose values are all known; the last text needs none that may be missing."""
    known = (text for text in texts if all(name in values for name in _fields(text)))
    return next(known, texts[-1]).format_map(_Shown(values))


def known_values(match: re.Match[str], flags: tuple[str, ...]) -> dict[str, str]:
    """Read what a match tells, and add what follows from it: the flag that was perhaps meant.

    Args:
        match: of a sign's pattern.
        flags: those of the engine.
    """
    values = {name: text for name, text in match.groupdict().items() if text is not None}
    flag = values.get("flag", "").split("=")[0].replace("_", "-")
    near = difflib.get_close_matches(flag, flags, n=1, cutoff=0.7) if flag else []
    return {**values, "nearest": near[0]} if near else values


class _Shown(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "?"


def _fields(text: str) -> tuple[str, ...]:
    return tuple(name for _, name, _, _ in string.Formatter().parse(text) if name)

"""Name everything in which two almost equal texts differ, such as indentation or quotes; pure."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

UNICODE_FORM = "Unicode form"
INVISIBLE = "invisible characters"

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
_QUOTES = str.maketrans(
    {**dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb", '"'), **dict.fromkeys("\u2018\u2019\u201a\u201b", "'")}
)
_SIGNS = str.maketrans({**dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"), "\u2026": "..."})

# In the order in which they are named.
_FOLDS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "straight and typographic quotes": lambda text: text.translate(_QUOTES),
        "hyphens and typographic signs": lambda text: text.translate(_SIGNS),
        UNICODE_FORM: lambda text: unicodedata.normalize("NFC", text),
        INVISIBLE: lambda text: _INVISIBLE.sub("", text),
        "upper and lower case": str.casefold,
    }
)
_WHITE_SPACE = ("line endings", "indentation", "white space at line ends", "white space")


def other_forms(text: str) -> list[str]:
    """Return a text in the Unicode forms, composed and decomposed, that it is not in."""
    forms = (unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))
    return [form for form in dict.fromkeys(forms) if form != text]


def folded(line: str) -> str:
    """Return a line without anything in which `differences` can name a difference."""
    for fold in _FOLDS.values():
        line = fold(line)
    return "".join(line.split())


def differences(there: Sequence[str], sought: Sequence[str]) -> str:
    """Return all kinds of difference between lines whose `folded` forms are equal, as `indentation and in quotes`.

    Args:
        there: lines of a file, with their ends.
        sought: as many lines that were looked for there; the first may begin within its line, and the last, if it has
            no end, may end within it.
    """
    found: set[str] = set()
    tabs: set[str] = set()
    for index, (theirs, ours) in enumerate(zip(there, sought, strict=True)):
        found |= _of_line(theirs, ours, is_first=index == 0, is_last=index == len(sought) - 1)
        if index or "indentation" in found:
            tabs |= _tabs(theirs, ours)
    if "white space" in found:  # covers the two others
        found -= {"indentation", "white space at line ends"}
    names = [name for name in (*_WHITE_SPACE, *_FOLDS) if name in found]
    shown = [f"{name} ({tabs.pop()})" if name == "indentation" and len(tabs) == 1 else name for name in names]
    return " and in ".join(shown)


def differing_lines(there: Sequence[str], sought: Sequence[str]) -> tuple[int, ...]:
    """Return the indices of the lines in which `differences` finds something; its arguments are the same."""
    last = len(sought) - 1
    pairs = enumerate(zip(there, sought, strict=True))
    return tuple(at for at, (theirs, ours) in pairs if _of_line(theirs, ours, is_first=at == 0, is_last=at == last))


def escaped(line: str) -> str:
    r"""Return a line with composed, combining and invisible characters as \u escapes, which JSON can hold."""
    return "".join(
        character.encode("ascii", "backslashreplace").decode().replace("\\x", "\\u00")
        if _INVISIBLE.match(character)
        or unicodedata.combining(character)
        or unicodedata.normalize("NFD", character) != character
        else character
        for character in line
    )


def _of_line(theirs: str, ours: str, *, is_first: bool, is_last: bool) -> set[str]:
    spacing = _spacing(theirs, ours, is_first=is_first, is_last=is_last)
    return spacing | set(_characters(theirs.split(), ours.split()))


def _spacing(theirs: str, ours: str, *, is_first: bool, is_last: bool) -> set[str]:
    their_body, our_body = theirs.rstrip("\r\n"), ours.rstrip("\r\n")
    their_end, our_end = theirs[len(their_body) :], ours[len(our_body) :]
    may_stop = is_last and not our_end
    found = {"line endings"} if their_end != our_end and not may_stop else set[str]()
    if not their_body.strip():
        is_equal = our_body == their_body or (may_stop and their_body.startswith(our_body))
        return found if is_equal else found | {"white space at line ends"}
    their_start, our_start = _leading(their_body), _leading(our_body)
    if their_start != our_start and not (is_first and their_start.endswith(our_start)):
        found.add("indentation")
    their_trail, our_trail = _leading(their_body[::-1])[::-1], _leading(our_body[::-1])[::-1]
    if their_trail != our_trail and not (may_stop and their_trail.startswith(our_trail)):
        found.add("white space at line ends")
    # `split` takes a no-break space for white space too, so that a difference between the two is one of white space.
    their_gaps, our_gaps = re.findall(r"\s+", their_body.strip()), re.findall(r"\s+", our_body.strip())
    return found | {"white space"} if their_gaps != our_gaps else found


def _characters(theirs: Sequence[str], ours: Sequence[str]) -> tuple[str, ...]:
    """Return the fewest kinds that explain how the characters differ, white space aside."""
    one, other = "".join(theirs), "".join(ours)
    for count in range(len(_FOLDS) + 1):
        for names in itertools.combinations(_FOLDS, count):
            left, right = one, other
            for name in names:
                left, right = _FOLDS[name](left), _FOLDS[name](right)
            if left == right:
                return names
    return tuple(_FOLDS)


def _tabs(theirs: str, ours: str) -> set[str]:
    their_start, our_start = _leading(theirs.rstrip("\r\n")), _leading(ours.rstrip("\r\n"))
    if "\t" in their_start and "\t" not in our_start and our_start:
        return {"the file has tabs"}
    if "\t" in our_start and "\t" not in their_start:
        return {"the file has spaces"} if their_start else set()
    return set()


def _leading(text: str) -> str:
    return text[: len(text) - len(text.lstrip())]

"""Find the known name closest to a misspelt one, and word the suggestion; string functions only."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name closest to this one, ignoring case. None if none is similar."""
    by_lower = {option.lower(): option for option in known}
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence with a leading space that suggests the nearest name or lists all; empty if none are known."""
    options = tuple(known)
    close = nearest(name, options)
    if close is not None:
        return f" Did you mean `{close}`?"
    return f" Known: {', '.join(options)}." if options else ""

"""Shorten texts and lists for a summary, and always say how much is left out; pure."""

from __future__ import annotations

from collections.abc import Sequence

from ..names import on_its_line

LEAST_CUT_CHARS = 200
"""A cut out of the middle takes at least as much: less would save nothing, since the note about it takes room too."""
_MAX_PATHS = 20
_LIST_CHARS = 600


def cut_end(text: str, max_chars: int) -> str:
    """Keep the beginning of a text."""
    if len(text) <= max_chars:
        return text
    kept = max(0, max_chars - len(f" [... {len(text):,} more characters]"))
    return f"{text[:kept].rstrip()} [... {len(text) - kept:,} more characters]"


def cut_middle(text: str, max_chars: int) -> str:
    """Keep the beginning of a text and twice as much of its end; cut between lines if they are short."""
    if len(text) <= max_chars:
        return text
    kept = max_chars - len(f"\n[... {len(text):,} characters omitted ...]\n")
    kept = max(0, min(kept, len(text) - LEAST_CUT_CHARS))
    head, tail = text[: kept // 3], text[len(text) - (kept - kept // 3) :]
    if len(head) // 2 < (end := head.rfind("\n")):
        head = head[:end]
    if 0 <= (start := tail.find("\n")) < len(tail) // 2:
        tail = tail[start + 1 :]
    head, tail = head.rstrip(), tail.strip("\n")
    return f"{head}\n[... {len(text) - len(head) - len(tail):,} characters omitted ...]\n{tail}".strip("\n")


def fair_shares(lengths: Sequence[int], room: int) -> list[int]:
    """Divide room among texts: the short ones get what they need, and the long ones share the rest equally."""
    shares = [0] * len(lengths)
    for place, index in enumerate(sorted(range(len(lengths)), key=lambda index: lengths[index])):
        shares[index] = max(0, min(lengths[index], room // (len(lengths) - place)))
        room -= shares[index]
    return shares


def listed(paths: Sequence[str], max_chars: int = _LIST_CHARS) -> str:
    """Join paths, and say how many are left out."""
    shown: list[str] = []
    for path in map(on_its_line, paths[:_MAX_PATHS]):
        if sum(map(len, shown)) + 2 * len(shown) + len(path) > max_chars:
            break
        shown.append(path)
    more = len(paths) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more and shown else f"{more} files" if more else "")

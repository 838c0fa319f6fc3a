"""Show the name of a file, or of anything else that others name, on one line; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

UNSEEN = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""For a character class: controls; what reorders text; what is not seen, such as zero-width characters, tags and blank
letters: a text could look like another one, or hide one. Tabs, newlines and the selectors of an emoji's form are left.
"""
_ODD = re.compile(rf'[{UNSEEN}\t\n"\\\ud800-\udfff]')
_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_ESCAPES = {0x22: '\\"', 0x5C: "\\\\", 0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r"}


def on_its_line(name: str) -> str:
    r"""Return a name that takes one line and looks like no other; like git, quotes an odd one: `"a\nb"`."""
    if not _ODD.search(name):
        return name
    data = _NO_BYTE.sub("\N{REPLACEMENT CHARACTER}", name).encode("utf-8", "surrogateescape")
    shown = (_ESCAPES.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}") for byte in data)
    return f'"{"".join(shown)}"'


def listed(names: Iterable[str], most: int = 10) -> str:
    """Return names for a sentence: the first ones, and how many more there are."""
    words = [on_its_line(name) for name in names]
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")

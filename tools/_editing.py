"""Replace one exact part of a text, and explain why it was not found; pure, touches no file."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from agent import ToolError

from . import _text as _texts
from ._differences import escaped, other_forms
from ._encodings import only_crlf


@dataclass(frozen=True, kw_only=True)
class Edited:
    """A text after an edit."""

    text: str
    start: int
    """Where the change begins, in characters, in the old and the new text."""
    removed: int
    """How many characters were removed there."""
    added: int
    """How many characters were added there."""

    @property
    def lines(self) -> str:
        """The lines that changed: `line 3` or `lines 3-5`, counted in the new text."""
        return line_range(self.text, self.start, self.added)


def replace_once(text: str, old: str, new: str, path: str, *, names_lines: bool = True) -> Edited:
    r"""Replace `old`, which must occur exactly once, with `new`.

    A byte-order mark is kept. If every line of the file ends in \r\n, so do the new lines.

    Args:
        text: the content of the file.
        old: the exact text to replace.
        new: the replacement.
        path: the file's path, for messages.
        names_lines: whether the message for an `old` that does not occur names the lines that differ.

    Raises:
        ToolError: `old` is empty, equals `new`, or does not occur exactly once.
    """
    if not old:
        msg = "old is empty. Give the exact text to replace, or use write_file to write a whole file."
        raise ToolError(msg)
    if old == new:
        msg = "old and new are the same, so nothing would change. Give the text that should stand there instead as new."
        raise ToolError(msg)
    bom = _texts.BOM if text.startswith(_texts.BOM) else ""
    text, old, new = text[len(bom) :], old.removeprefix(bom), new.removeprefix(bom)
    if only_crlf(text) and "\r" not in old:
        # Models write \n; in a file whose every line ends in \r\n that can only mean \r\n.
        old, new = old.replace("\n", "\r\n"), new.replace("\r\n", "\n").replace("\n", "\r\n")
    found = _texts.find_all(text, old)
    if len(found) != 1:
        raise ToolError(_mismatch(text, old, path, found, names_lines=names_lines))
    edited = text[: found[0]] + new + text[found[0] + len(old) :]
    return Edited(text=bom + edited, start=len(bom) + found[0], removed=len(old), added=len(new))


def line_range(text: str, start: int, length: int) -> str:
    """Return the lines of a part of a text as `line 3` or `lines 3-5`; `start` and `length` are in characters."""
    first = _texts.line_number(text, start)
    last = _texts.line_number(text, max(start, start + length - 1))
    return f"line {first}" if first == last else f"lines {first}-{last}"


def _mismatch(text: str, old: str, path: str, found: list[int], *, names_lines: bool) -> str:
    if found:
        numbers = [str(_texts.line_number(text, offset)) for offset in found[:20]]
        etc = ", ..." if len(found) > len(numbers) else ""
        return (
            f'old occurs {len(found)} times in "{path}", at lines {", ".join(numbers)}{etc}. '
            "Add surrounding lines to make it unique."
        )
    bare = re.sub(r"^ *\d+: ?", "", old, flags=re.MULTILINE)
    if bare.strip() and bare != old and _texts.find_all(text, bare):
        return f'old does not occur in "{path}", but would without the line numbers in it. Leave them out.'
    near = _texts.find_similar(text, old)
    if near is None or not near.looks_same:
        other = next((form for form in other_forms(old) if form in text), "")
        if other:
            return (
                f'old does not occur in "{path}", but does in another Unicode form. Send it with these escapes: '
                f"{escaped(json.dumps(other, ensure_ascii=False))}"
            )
    if near is None:
        return (
            f'old does not occur in "{path}", and nothing there resembles it. Read the file and copy the text exactly.'
        )
    where = near.differing_lines if names_lines else ""
    only = f"It differs only in {near.difference}{f', in {where}' if where else ''}. " if near.difference else ""
    if where and not near.difference and where != "every line":
        only = f"{where.capitalize()} {'differs' if len(near.differing) == 1 else 'differ'}. "
    how = "with the escapes shown" if near.looks_same else "exactly"
    how += ", without the line numbers" if names_lines else ""
    shown = near.shown(to_difference=bool(where))
    return f'old does not occur in "{path}". {only}Copy the text {how}. The most similar lines there:\n{shown}'

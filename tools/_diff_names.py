"""Read the file names of a diff: quoted, with or without the prefixes a/ and b/; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ESCAPED = re.compile(r"\\([0-7]{1,3}|.)")
_LETTERS = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13}


@dataclass(frozen=True, kw_only=True)
class FileNames:
    """The names of one file in a diff, as they are written there but without quotes."""

    old: str | None = None
    """The name in the --- line. None means /dev/null, or that there is no such line."""
    new: str | None = None
    """The name in the +++ line. None means /dev/null, or that there is no such line."""
    git_old: str | None = None
    """The first name in the `diff --git` line. None means that there is none, or that it is ambiguous."""
    git_new: str | None = None
    """The second name there."""
    moved_from: str | None = None
    """The name in a `rename from` or `copy from` line, which has no prefix."""
    moved_to: str | None = None
    """The name in a `rename to` or `copy to` line."""

    @property
    def moved(self) -> bool:
        return self.moved_from is not None and self.moved_to is not None

    def may_be(self, old: str | None, new: str | None) -> bool:
        """Return whether --- and +++ lines with these names can follow the `diff --git` line."""
        pairs = ((old, self.git_old), (new, self.git_new))
        return all(None in pair or pair[0] == pair[1] for pair in pairs)

    @property
    def shown(self) -> str:
        """The name for messages, without a prefix."""
        name = self.moved_to or self.new or self.old or self.git_new or "?"
        return name[2:] if name.startswith(("a/", "b/")) else name

    @property
    def before(self) -> tuple[str, ...]:
        """What the path before the change may be, likeliest first."""
        if self.moved_from is not None:
            return (self.moved_from,)
        return _candidates(self.old or self.git_old or self.new or "", self.new or self.git_new, "ab")

    @property
    def after(self) -> tuple[str, ...]:
        """What the path after the change may be, in the order of `before`."""
        if self.moved_to is not None:
            return (self.moved_to,)
        return _candidates(self.new or self.git_new or self.old or "", self.old or self.git_old, "ba")


def _candidates(name: str, other: str | None, prefixes: str) -> tuple[str, ...]:
    """Return a name without its prefix and as it stands, the likelier one first.

    Args:
        name: as written.
        other: the name on the other side. None means that there is none.
        prefixes: the usual prefix, then that of the other side.
    """
    if not name.startswith(("a/", "b/")):
        return (name,)
    usual = name.startswith(f"{prefixes[0]}/") and (other is None or other.startswith(f"{prefixes[1]}/"))
    return (name[2:], name) if usual else (name, name[2:])


def header_name(line: str) -> str | None:
    """Return the name in a --- or +++ line. None means /dev/null."""
    rest = line[4:]
    if rest.startswith('"'):
        name = unquoted(rest)
    else:
        # A tab ends the name: a time may follow, and git puts one after a name with blanks.
        name, tab, _ = rest.partition("\t")
        name = name if tab else name.rstrip()
    return None if name == "/dev/null" else name


def unquoted(text: str) -> str:
    """Return a name without the quotes that git puts around unusual ones; other text is returned unchanged."""
    quoted = re.match(r'"((?:[^"\\]|\\.)*)"', text)
    if quoted is None:
        return text
    data = bytearray()
    at = 0
    for found in _ESCAPED.finditer(quoted[1]):
        data += quoted[1][at : found.start()].encode("utf-8", "surrogatepass")
        code = found[1]
        data += bytes([int(code, 8) & 0xFF]) if code[0].isdigit() else bytes([_LETTERS.get(code, ord(code[0]) & 0xFF)])
        at = found.end()
    data += quoted[1][at:].encode("utf-8", "surrogatepass")
    return data.decode("utf-8", "replace")


def names_of_git_line(line: str) -> FileNames:
    """Return the names in a `diff --git` line, where blanks separate names that may hold blanks themselves."""
    rest = line.removeprefix("diff --git ").rstrip("\r")
    quoted = re.fullmatch(r'("(?:[^"\\]|\\.)*"|\S+) ("(?:[^"\\]|\\.)*"|\S+)', rest)
    if quoted is not None:
        return FileNames(git_old=unquoted(quoted[1]), git_new=unquoted(quoted[2]))
    # The names are equal except for the prefix, unless rename lines or --- and +++ follow, which are clearer.
    middle = len(rest) // 2
    old, new = rest[:middle], rest[middle + 1 :]
    if rest[middle : middle + 1] == " " and (old == new or old.partition("/")[2] == new.partition("/")[2] != ""):
        return FileNames(git_old=old, git_new=new)
    return FileNames()

"""Parse unified diffs as git and models write them: wrong line counts, blank lines, quoted names; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent import ToolError

from ._diff_names import FileNames, header_name, names_of_git_line, unquoted

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_NO_NEWLINE = "\\"
# Between hunks: the end of a mail from git format-patch, or a rule.
_SEPARATOR = re.compile(r"--+\s*")
_FORM = "Begin each file with --- a/path and +++ b/path, and each hunk with @@."


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a hunk."""

    mark: str
    """A blank for context, - for a removed line, + for an added one."""
    text: str
    ends: bool = True
    """False if the file ends with this line, without a newline."""


@dataclass(frozen=True, kw_only=True)
class Hunk:
    """One hunk of a diff."""

    line: int
    """The first line in the old text according to its header, from 1; 0 if the header has none."""
    rows: tuple[Row, ...]
    spare: int = 0
    """How many of the last rows are blank lines of the diff, which may only separate hunks."""
    inserts: bool = False
    """True if the header says that it has no old lines: `line` is then the line before it."""


@dataclass(frozen=True, kw_only=True)
class FileDiff:
    """The part of a diff that concerns one file."""

    names: FileNames
    hunks: tuple[Hunk, ...] = ()
    creates: bool = False
    removes: bool = False
    copies: bool = False
    """True if the old file stays as it is, beside the new one."""
    executable: bool | None = None
    """Whether the file is executable afterwards. None means that it stays as it is."""


def parse_diff(text: str) -> list[FileDiff]:
    """Parse a unified diff; where the line counts in a hunk's header are wrong, its lines count.

    Raises:
        ToolError: the text is not a unified diff, or holds a change that is not one of text.
    """
    return _Parser(text).files()


class _Parser:
    def __init__(self, text: str) -> None:
        lines = text.split("\n")
        heads = [line for line in lines if line.startswith(("--- ", "+++ ", "diff --git "))]
        if heads and all(line.endswith("\r") for line in heads):  # the diff itself was written with \r\n
            lines = [line.removesuffix("\r") for line in lines]
        if lines[-1] == "":
            lines.pop()
        self._lines = lines
        self._at = 0
        self._is_git = any(line.startswith("diff --git ") for line in lines)

    def files(self) -> list[FileDiff]:
        found: list[FileDiff] = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.startswith(("diff --cc ", "diff --combined ", "@@@ ")):
                msg = "The diff is a combined diff of a merge. Send a diff between two versions: git diff OLD NEW."
                raise ToolError(msg)
            if line.startswith("diff --git ") or self._begins_file(self._at):
                found.append(self._file())
            elif line.startswith("@@"):
                msg = "The diff has a hunk before its first file. Begin each file with its --- and +++ lines."
                raise ToolError(msg)
            else:
                self._at += 1  # prose around the diff
        if not found:
            msg = f"diff is not a unified diff. {_FORM}"
            raise ToolError(msg)
        return found

    def _file(self) -> FileDiff:
        diff = FileDiff(names=FileNames())
        explained = False
        if not self._begins_file(self._at):
            diff = self._git_header()
            explained = diff.creates or diff.removes or diff.executable is not None or diff.names.moved
        header = self._next_filled(self._at)
        if header < len(self._lines) and self._begins_file(header):
            old, new = header_name(self._lines[header]), header_name(self._lines[header + 1])
            if explained and not diff.names.may_be(old, new):
                return diff  # they are those of the next file, which has no `diff --git` line
            diff = replace(diff, names=replace(diff.names, old=old, new=new))
            diff = replace(diff, creates=diff.creates or old is None, removes=diff.removes or new is None)
            self._at = header + 2
        hunks = self._hunks(diff)
        if not hunks and not explained:
            msg = f'The diff of "{diff.names.shown}" has no hunks. Begin each with a line such as @@ -3,4 +3,5 @@.'
            raise ToolError(msg)
        return replace(diff, hunks=hunks)

    def _git_header(self) -> FileDiff:
        """Read the lines between `diff --git` and the first hunk or file header."""
        diff = FileDiff(names=names_of_git_line(self._lines[self._at]))
        self._at += 1
        while self._at < len(self._lines):
            line = self._lines[self._at]
            word, _, rest = line.partition(" ")
            if word in {"old", "similarity", "dissimilarity"}:
                pass
            elif word == "index":
                self._check_kind(rest.rpartition(" ")[2], diff)
            elif line.startswith("new file mode "):
                diff = replace(diff, creates=True, executable=self._check_kind(line, diff) or None)
            elif line.startswith("deleted file mode "):
                self._check_kind(line, diff)
                diff = replace(diff, removes=True)
            elif line.startswith("new mode "):
                diff = replace(diff, executable=self._check_kind(line, diff))
            elif line.startswith(("rename from ", "copy from ")):
                name = unquoted(line.partition(" from ")[2])
                diff = replace(diff, copies=word == "copy", names=replace(diff.names, moved_from=name))
            elif line.startswith(("rename to ", "copy to ")):
                diff = replace(diff, names=replace(diff.names, moved_to=unquoted(line.partition(" to ")[2])))
            elif line.startswith(("Binary files ", "GIT binary patch")):
                msg = f'The diff changes "{diff.names.shown}", a binary file, which apply_diff cannot do. Leave it out.'
                raise ToolError(msg)
            else:
                break
            self._at += 1
        return diff

    def _check_kind(self, mode: str, diff: FileDiff) -> bool:
        """Return whether a file with this mode is executable; refuse what is not a regular file."""
        if mode.endswith("120000"):
            msg = f'The diff makes or changes a symlink, "{diff.names.shown}", which apply_diff cannot do. Use ln -s.'
            raise ToolError(msg)
        if mode.endswith("160000"):
            msg = f'The diff changes the submodule "{diff.names.shown}", which apply_diff cannot do. Leave it out.'
            raise ToolError(msg)
        return mode.endswith("755")

    def _hunks(self, diff: FileDiff) -> tuple[Hunk, ...]:
        hunks: list[Hunk] = []
        while True:
            at = self._next_filled(self._at)
            if at == len(self._lines) or not self._lines[at].startswith("@@") or self._lines[at].startswith("@@@ "):
                return tuple(hunks)
            self._at = at + 1
            header = _HUNK.match(self._lines[at])
            line = int(header[1]) if header else 0
            hunk = None
            if header:
                hunk = self._counted_hunk(line, _count(header[2]), _count(header[3]))
            hunk = hunk or self._uncounted_hunk(line, f'hunk {len(hunks) + 1} of "{diff.names.shown}"')
            hunks.append(replace(hunk, inserts=header is not None and _count(header[2]) == 0))

    def _counted_hunk(self, line: int, old: int, new: int) -> Hunk | None:
        """Return a hunk of as many lines as its header says. None means that the header is wrong."""
        rows: list[Row] = []
        at = self._at
        while old > 0 or new > 0:
            if at == len(self._lines):
                return None
            mark, text = self._lines[at][:1] or " ", self._lines[at][1:]
            if mark == "\r":  # an empty line of a file with \r\n, without the blank for context
                mark, text = " ", "\r"
            if mark == _NO_NEWLINE and rows:
                rows[-1] = replace(rows[-1], ends=False)
            elif mark in " +-":
                old, new = old - (mark != "+"), new - (mark != "-")
                rows.append(Row(mark=mark, text=text))
            else:
                return None
            at += 1
        if old or new or self._ends_with_file_header(at):
            return None
        if at < len(self._lines) and self._lines[at].startswith(_NO_NEWLINE) and rows:
            rows[-1] = replace(rows[-1], ends=False)
            at += 1
        if not self._ends_at(at):
            return None
        spare = _blank_end(self._lines[self._at : at])
        self._at = at
        return Hunk(line=line, rows=tuple(rows), spare=spare)

    def _ends_at(self, at: int) -> bool:
        """Return whether no more lines of a hunk follow."""
        at = self._next_filled(at)
        if at == len(self._lines) or self._begins_file(at) or _SEPARATOR.fullmatch(self._lines[at]):
            return True
        return self._lines[at][0] not in " +-"

    def _ends_with_file_header(self, end: int) -> bool:
        """Return whether the last two lines before `end` are the header of another file, so that a count is wrong."""
        # In a diff by git, such lines are a removed `-- x` and an added `++ y`: there, `diff --git` begins each file.
        if self._is_git or end == len(self._lines) or end - 2 < self._at:
            return False
        return self._begins_file(end - 2) and self._lines[end].startswith("@@")

    def _uncounted_hunk(self, line: int, place: str) -> Hunk:
        """Return a hunk up to the next header, or to the prose after its last changed line."""
        end = self._at
        while end < len(self._lines) and not self._begins_section(end):
            end += 1
        changed = [at for at in range(self._at, end) if self._lines[at][:1] in {"+", "-"}]
        last = changed[-1] if changed else self._at - 1
        while last + 1 < end and self._lines[last + 1][:1] in {" ", "", "\r", _NO_NEWLINE}:
            last += 1
        rows: list[Row] = []
        for text in self._lines[self._at : last + 1]:
            if text.startswith(_NO_NEWLINE) and rows:
                rows[-1] = replace(rows[-1], ends=False)
            elif text[:1] in {" ", "+", "-"}:
                rows.append(Row(mark=text[0], text=text[1:]))
            else:
                rows.append(Row(mark=" ", text=text))  # context without its blank
        if not changed:
            msg = f"The diff's {place} changes nothing. Begin removed lines with - and added lines with +."
            raise ToolError(msg)
        spare = _blank_end(self._lines[self._at : last + 1])
        self._at = end
        return Hunk(line=line, rows=tuple(rows), spare=spare)

    def _next_filled(self, at: int) -> int:
        """Return the index of the next line that is not blank."""
        while at < len(self._lines) and not self._lines[at].strip():
            at += 1
        return at

    def _begins_section(self, at: int) -> bool:
        line = self._lines[at]
        return line.startswith(("@@", "diff --git ")) or self._begins_file(at)

    def _begins_file(self, at: int) -> bool:
        lines = self._lines
        return lines[at].startswith("--- ") and at + 1 < len(lines) and lines[at + 1].startswith("+++ ")


def _count(text: str | None) -> int:
    return 1 if text is None else int(text)


def _blank_end(lines: Sequence[str]) -> int:
    """Return how many of the last lines are blank."""
    blank = 0
    while blank < len(lines) and not lines[-1 - blank].strip("\r"):
        blank += 1
    return blank

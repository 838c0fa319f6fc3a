"""Search the workspace's text files for a regular expression; a pattern that never ends is stopped, not waited for."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from agent import ToolContext, ToolError, tool

from . import _matcher, _paths
from ._encodings import decoded, encoded, is_binary
from ._ignored import Ignored
from ._prefilter import files_with, required_text
from ._text import BOM

TIMEOUT_S = 10.0
MAX_ENTRIES = 50_000
MAX_FILE_BYTES = 2_000_000
MAX_TOTAL_BYTES = 64_000_000


@dataclass(kw_only=True)
class _Sent:
    """What was handed to the matcher, and what was not."""

    files: int = 0
    entries: int = 0
    """Files and folders looked at."""
    total_bytes: int = 0
    """Read from files."""
    skipped: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def full(self) -> bool:
        return self.entries >= MAX_ENTRIES or self.total_bytes >= MAX_TOTAL_BYTES

    @property
    def note(self) -> str:
        """What was left out, as a line; empty: nothing."""
        parts = [f"left out: {count:,} {reason}" for reason, count in self.skipped.items()]
        if self.full:
            parts.append(f"stopped after {self.files:,} files; search a smaller folder for the rest")
        return f"[{'; '.join(parts)}]" if parts else ""

    def skip(self, reason: str) -> None:
        self.skipped[reason] = self.skipped.get(reason, 0) + 1


@tool(read_only=True)
def search(context: ToolContext[Any], pattern: str, path: str = ".") -> str:
    """Search text files for a regular expression (Python syntax)."""
    if not pattern:
        msg = "The pattern is empty. Give a regular expression."
        raise ToolError(msg)
    with tempfile.TemporaryFile() as request, tempfile.TemporaryFile() as answer:
        _put(request, encoded(pattern, "utf-8", "The pattern"))
        sent, needed = _Sent(), required_text(pattern)
        top = _paths.inside(context.workspace, path)
        is_folder = _paths.is_folder(context.workspace, top)
        worth = files_with(needed, context.workspace, top) if is_folder else None
        for name in _files(context.workspace, top, sent) if is_folder else [top]:
            sent.files += 1
            if worth is None or name in worth:
                _send(context.workspace, name, needed, request, sent)
            if sent.full:
                break
        request.seek(0)
        code = _run(request, answer)
        answer.seek(0)
        lines = answer.read().decode("utf-8", "replace")
    return _worded(pattern, code, lines, sent)


def _put(request: BinaryIO, data: bytes) -> None:
    request.write(b"%d\n" % len(data))
    request.write(data)


def _files(workspace: Path, top: _paths.Inside, sent: _Sent) -> Iterator[_paths.Inside]:
    """Yield the files below a folder, sorted; links are not followed, except `top` itself."""
    waiting = [top]
    ignored = Ignored(workspace, top)
    while waiting and not sent.full:
        folder = waiting.pop()
        try:
            listing = _paths.list_folder(workspace, folder)
        except ToolError:
            if folder == top:
                raise
            sent.skip("unreadable folders")
            continue
        if not listing.complete:
            sent.skip("very large folders, in part")
        folders: list[_paths.Inside] = []
        for entry in listing.entries:
            sent.entries += 1
            relative = _paths.below(folder, entry.name)
            if ignored.leaves_out(relative, is_folder=entry.kind == "folder"):
                continue
            if entry.kind == "folder" and entry.name != ".git":
                folders.append(relative)
            elif entry.kind == "file":
                yield relative
        waiting.extend(reversed(folders))


def _send(workspace: Path, name: _paths.Inside, needed: str, request: BinaryIO, sent: _Sent) -> None:
    try:
        with _paths.open_file(workspace, name) as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except ToolError:
        sent.skip("unreadable files")
        return
    sent.total_bytes += len(data)
    if is_binary(data):
        return
    if len(data) > MAX_FILE_BYTES:
        sent.skip(f"files over {MAX_FILE_BYTES:,} bytes")
        return
    text = decoded(data, name).text.removeprefix(BOM)
    if needed in text:
        _put(request, _paths.readable(name).encode())
        _put(request, text.encode())


def _run(request: BinaryIO, answer: BinaryIO) -> int | None:
    """Run the matcher; its exit code, or None when it was killed for taking too long."""
    # -I -S: neither the user's environment nor site-packages may change what it does; -S also halves its start.
    argv = [sys.executable, "-I", "-S", _matcher.__file__]
    try:
        return subprocess.run(
            argv, stdin=request, stdout=answer, stderr=subprocess.DEVNULL, env={}, timeout=TIMEOUT_S, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        return None


def _worded(pattern: str, code: int | None, lines: str, sent: _Sent) -> str:
    lines = lines.removesuffix("\n")
    if code is None:
        so_far = f" Matches so far:\n{lines}" if lines else ""
        msg = (
            f'The search for "{pattern}" was stopped after {TIMEOUT_S:g} s. Simplify the pattern (no repeat inside a '
            f"repeat), or search a smaller folder.{so_far}"
        )
        raise ToolError(msg)
    if code == 2:
        msg = f'The pattern "{pattern}" is not a regular expression: {lines}. Escape special characters with \\.'
        raise ToolError(msg)
    if code not in {0, 3}:
        msg = f"The search ended early with code {code}. Try a simpler pattern or a smaller folder."
        raise ToolError(msg)
    if code == 3:
        more = f"[only the first {_matcher.MAX_MATCHES} matches; narrow the pattern or the path]"
    elif not lines:
        more = f'No match for "{pattern}" in {sent.files:,} {"file" if sent.files == 1 else "files"}.'
    else:
        more = ""
    return "\n".join(part for part in (lines, more, sent.note) if part)

"""Search the workspace's text files for a regular expression; a pattern that runs too long is stopped."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from agent import ToolContext, ToolError, tool

from . import _matcher, _paths
from ._declared import folder_path
from ._differences import escaped, other_forms
from ._encodings import decode, encode, is_binary
from ._ignored import Ignored
from ._listing import NEVER_WALKED
from ._prefilter import files_containing, required_text
from ._text import BOM

TIMEOUT_S = 10.0
MAX_ENTRIES = 50_000
MAX_FILE_BYTES = 2_000_000
MAX_TOTAL_BYTES = 64_000_000
_MAX_NAMED = 5


@dataclass(kw_only=True)
class _Progress:
    """What was sent to the matcher, and what was skipped."""

    files: int = 0
    entries: int = 0
    """Number of files and folders visited."""
    total_bytes: int = 0
    """Number of bytes read from files."""
    skipped: dict[str, int] = field(default_factory=dict[str, int])
    large: list[str] = field(default_factory=list[str])
    """Files that were skipped because of their size."""

    @property
    def full(self) -> bool:
        return self.entries >= MAX_ENTRIES or self.total_bytes >= MAX_TOTAL_BYTES

    @property
    def note(self) -> str:
        """What was left out, as one line; empty if nothing was."""
        parts = [f"left out: {count:,} {reason}" for reason, count in self.skipped.items()]
        if self.large:
            count = f"{len(self.large):,} {'file' if len(self.large) == 1 else 'files'} over {MAX_FILE_BYTES:,} bytes"
            etc = ", ..." if len(self.large) > _MAX_NAMED else ""
            parts.append(f"left out: {count}: {', '.join(self.large[:_MAX_NAMED])}{etc}; give one as path to search it")
        if self.full:
            parts.append(f"stopped after {self.files:,} files; search a smaller folder for the rest")
        return f"[{'; '.join(parts)}]" if parts else ""

    def skip(self, reason: str) -> None:
        self.skipped[reason] = self.skipped.get(reason, 0) + 1


@tool(read_only=True, paths=folder_path)
def search(context: ToolContext[Any], pattern: str, path: str = ".") -> str:
    """Search text files for a regular expression (Python syntax)."""
    if not pattern:
        msg = "The pattern is empty. Give a regular expression."
        raise ToolError(msg)
    found = _find(context, pattern, path)
    if found.exit_code == 0 and not found.lines:
        for other in other_forms(pattern):
            same = _find(context, other, path)
            if same.lines:
                note = f'No match for "{pattern}", but for "{escaped(other)}", the same text in another Unicode form:'
                return f"{note}\n{_format_result(other, same)}"
    return _format_result(pattern, found)


@dataclass(frozen=True, kw_only=True)
class _Found:
    exit_code: int | None
    lines: str
    progress: _Progress


def _find(context: ToolContext[Any], pattern: str, path: str) -> _Found:
    with tempfile.TemporaryFile() as request, tempfile.TemporaryFile() as answer:
        _write_frame(request, encode(pattern, "utf-8", "The pattern"))
        progress, required = _Progress(), required_text(pattern)
        top = _paths.inside(context.workspace, path)
        is_folder = _paths.is_folder(context.workspace, top)
        candidates = files_containing(required, context, top) if is_folder else None
        # A file that is named is searched even if it is large: read_file sends the model here.
        most_bytes = MAX_FILE_BYTES if is_folder else MAX_TOTAL_BYTES
        for name in _walk(context.workspace, top, progress) if is_folder else [top]:
            progress.files += 1
            if candidates is None or name in candidates:
                _send(context, name, required, request, progress, most_bytes)
            if progress.full:
                break
        request.seek(0)
        exit_code = _run_matcher(_python(context), request, answer)
        answer.seek(0)
        lines = answer.read().decode("utf-8", "replace")
    return _Found(exit_code=exit_code, lines=lines.removesuffix("\n"), progress=progress)


def _write_frame(request: BinaryIO, data: bytes) -> None:
    request.write(b"%d\n" % len(data))
    request.write(data)


def _walk(workspace: Path, top: _paths.Inside, progress: _Progress) -> Iterator[_paths.Inside]:
    """Yield the files below a folder, sorted; symlinks are not followed, except `top` itself."""
    pending = [top]
    ignored = Ignored(workspace, top)
    while pending and not progress.full:
        folder = pending.pop()
        try:
            listing = _paths.list_folder(workspace, folder)
        except ToolError:
            if folder == top:
                raise
            progress.skip("unreadable folders")
            continue
        if not listing.complete:
            progress.skip("very large folders, in part")
        folders: list[_paths.Inside] = []
        for entry in listing.entries:
            progress.entries += 1
            relative = _paths.below(folder, entry.name)
            if ignored.skips(relative, is_folder=entry.kind == "folder"):
                continue
            if entry.kind == "folder" and entry.name not in NEVER_WALKED:
                folders.append(relative)
            elif entry.kind == "file":
                yield relative
        pending.extend(reversed(folders))


def _send(
    context: ToolContext[Any],
    name: _paths.Inside,
    required: str,
    request: BinaryIO,
    progress: _Progress,
    most_bytes: int,
) -> None:
    try:
        with _paths.open_file(context.workspace, name) as file:
            data = file.read(most_bytes + 1)
    except ToolError:
        progress.skip("unreadable files")
        return
    progress.total_bytes += len(data)
    if is_binary(data):
        return
    if len(data) > most_bytes:
        if most_bytes == MAX_FILE_BYTES:
            progress.large.append(_paths.printable(name))
        else:
            progress.skip(f"files over {most_bytes:,} bytes; use run_shell with grep")
        return
    text = decode(data, name).text.removeprefix(BOM)
    if required in text:
        _write_frame(request, _paths.printable(name).encode())
        _write_frame(request, context.redacted(text).encode())  # whole: a line of a private key tells nothing of it


def _python(context: ToolContext[Any]) -> str:
    try:
        return context.interpreter()
    except OSError as error:
        msg = f"search cannot run: {error.strerror}. Use run_shell with grep."
        raise ToolError(msg) from error


def _run_matcher(python: str, request: BinaryIO, answer: BinaryIO) -> int | None:
    """Run the matcher and return its exit code. None means that it was killed after `TIMEOUT_S`."""
    # -I -S: neither the user's environment nor site-packages may affect it; -S also halves its start-up time.
    argv = [python, "-I", "-S", _matcher.__file__]
    try:
        return subprocess.run(
            argv, stdin=request, stdout=answer, stderr=subprocess.DEVNULL, env={}, timeout=TIMEOUT_S, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        return None


def _format_result(pattern: str, found: _Found) -> str:
    exit_code, lines, progress = found.exit_code, found.lines, found.progress
    if exit_code is None:
        so_far = f" Matches so far:\n{lines}" if lines else ""
        msg = (
            f'The search for "{pattern}" was stopped after {TIMEOUT_S:g} s. Simplify the pattern (no repeat inside a '
            f"repeat), or search a smaller folder.{so_far}"
        )
        raise ToolError(msg)
    if exit_code == 2:
        msg = f'The pattern "{pattern}" is not a regular expression: {lines}. Escape special characters with \\.'
        raise ToolError(msg)
    if exit_code not in {0, 3}:
        msg = f"The search ended early with code {exit_code}. Try a simpler pattern or a smaller folder."
        raise ToolError(msg)
    if exit_code == 3:
        more = f"[only the first {_matcher.MAX_MATCHES} matches; narrow the pattern or the path]"
    elif not lines:
        more = f'No match for "{pattern}" in {progress.files:,} {"file" if progress.files == 1 else "files"}.'
    else:
        more = ""
    return "\n".join(part for part in (lines, more, progress.note) if part)

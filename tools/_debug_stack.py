"""The frames of a stopped program: number them, fold those of libraries, and format them; asks no debugger."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, groupby
from pathlib import Path

from agent import ToolError

_LIBRARY_STEP = 100
_MAX_INNER, _MAX_OUTER = 12, 3
_MAX_NAMED = 4


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A stack frame."""

    id: int
    name: str
    path: str
    """Absolute, as the program sees it; empty for code without a file."""
    line: int
    is_library: bool = False


class Stack:
    """The frames of a stopped thread, innermost first.

    The program's own frames are numbered from 0, so a number means the same whether or not library frames are shown;
    those are numbered from 100, or from the next multiple of it that is free.
    """

    def __init__(self, frames: Sequence[Frame] = ()) -> None:
        """Number the frames."""
        has_own = any(not frame.is_library for frame in frames)
        self._own_count = sum(1 for frame in frames if not (frame.is_library and has_own))
        self._first_library = _LIBRARY_STEP * (self._own_count // _LIBRARY_STEP + 1)
        # By position: after an exception, a frame that still runs occurs twice.
        own, library = count(), count(self._first_library)
        self._frames = [(next(library if frame.is_library and has_own else own), frame) for frame in frames]
        self._by_number = dict(self._frames)

    def __bool__(self) -> bool:
        """Return whether the program is stopped."""
        return bool(self._frames)

    def frame(self, number: int) -> Frame:
        """Return the frame with this number.

        Raises:
            ToolError: there is none.
        """
        if not self._frames:
            msg = "The program is not stopped. Call debug_start with a breakpoint, or debug_resume to wait for a stop."
            raise ToolError(msg)
        if number not in self._by_number:
            msg = f"There is no frame {number}. Set frame to a number from 0, the innermost, to {self._own_count - 1}"
            if libraries := len(self._by_number) - self._own_count:
                last = self._first_library + libraries - 1
                msg += f", or from {self._first_library} to {last} for the library frames"
            raise ToolError(f"{msg}.")
        return self._by_number[number]

    def lines(self, workspace: Path, *, libraries: bool) -> list[str]:
        """Return the stack as lines; library frames are counted, or shown with their numbers."""
        rows: list[str] = []
        for is_folded, frames in groupby(self._frames, lambda one: self._is_extra(one[0]) and not libraries):
            if is_folded:
                rows.append(_fold([frame for _, frame in frames]))
            else:
                rows += [self._row(number, frame, workspace) for number, frame in frames]
        if len(rows) > _MAX_INNER + _MAX_OUTER + 1 and not libraries:
            left_out = len(rows) - _MAX_INNER - _MAX_OUTER
            rows = [
                *rows[:_MAX_INNER],
                f"... {left_out} more lines; debug_look with library_frames=true lists all",
                *rows[-_MAX_OUTER:],
            ]
        return rows

    def _is_extra(self, number: int) -> bool:
        return number >= self._first_library

    def _row(self, number: int, frame: Frame, workspace: Path) -> str:
        indent = "  " if self._is_extra(number) else ""
        return f"{indent}#{number} {place(frame, workspace)}"


def place(frame: Frame, workspace: Path) -> str:
    """Return where a frame is, as `function at file.py:12`."""
    path = Path(frame.path)
    shown = path.relative_to(workspace) if path.is_relative_to(workspace) else frame.path
    return f"{frame.name} at {shown}:{frame.line}"


def _fold(frames: Sequence[Frame]) -> str:
    names = list(dict.fromkeys(_library(frame.path) for frame in frames))
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    what = "1 library frame" if len(frames) == 1 else f"{len(frames)} library frames"
    return f"  ... {what}: {', '.join(names[:_MAX_NAMED])}{more}"


def _library(path: str) -> str:
    """Return the package or the module of a library's file, such as `json/` or `copy.py`."""
    found = re.search(r".*/(?:site-packages|dist-packages|python3\.\d+)/(.+)", path)  # the last of these folders
    if found is None:
        return Path(path).name or "built-in code"
    package, slash, _ = found[1].partition("/")
    return package + slash

"""Hold a decision about a path for what is opened under it: a process may put a symlink there in between."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_check: ContextVar[Callable[[str], None] | None] = ContextVar("_check", default=None)
_DELETED = " (deleted)"
"""What Linux adds to the path of an open file that has lost its name."""


@contextmanager
def checking_opened(check: Callable[[str], None] | None) -> Generator[None]:
    """Have `beneath` ask about everything that it opens, creates or changes in this context.

    Args:
        check: called with the absolute path, which has no symlinks; raises an OSError to refuse it. None asks nothing.
    """
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def check_opened(descriptor: int, name: str = "") -> None:
    """Ask about what a descriptor is of, or about a name in this folder.

    Raises:
        OSError: it is refused, or its path cannot be found out.
    """
    check = _check.get()
    if check is not None:
        check(os.path.normpath(f"{_path_of(descriptor)}/{name}"))


def _path_of(descriptor: int) -> str:
    if sys.platform == "darwin":
        import fcntl

        found = fcntl.fcntl(descriptor, fcntl.F_GETPATH, b"\0" * 1024)
        return os.fsdecode(found.rstrip(b"\0"))
    path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
    if path.endswith(_DELETED) and (not os.fstat(descriptor).st_nlink or not os.path.lexists(path)):
        return path.removesuffix(_DELETED)
    return path

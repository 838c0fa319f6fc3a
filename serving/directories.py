"""Name the folders of this user where serving keeps its files; creates none of them."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from os import environ as _environ
from pathlib import Path

from .errors import EngineError

_OURS = "tramontane"


def state_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Name the folder of the record file and of the engines' logs.

    Args:
        environ: None: this process's own environment.
    """
    return _base("XDG_STATE_HOME", ".local/state", environ) / _OURS


def cache_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Name the folder of what can be made again: engine environments and engine caches.

    Args:
        environ: None: this process's own environment.
    """
    return _base("XDG_CACHE_HOME", ".cache", environ) / _OURS


@contextmanager
def writing_to(state: Path) -> Generator[None]:
    """Say it clearly if the block cannot write to the state dir.

    Raises:
        EngineError: the disk is full, or the folder may not be written.
    """
    try:
        yield
    except OSError as error:
        raise EngineError(
            f"Cannot write to {str(state)!r}, where the server is recorded and its log is kept.",
            cause=error.strerror or str(error),
            do="Free some space there, or let XDG_STATE_HOME name a folder that you may write to.",
        ) from error


def _base(variable: str, below_home: str, environ: Mapping[str, str] | None) -> Path:
    values = _environ if environ is None else environ
    named = Path(values.get(variable, ""))
    # The XDG base directory rules: a relative path is to be ignored.
    return named if named.is_absolute() else _home(values, variable) / below_home


def _home(values: Mapping[str, str], variable: str) -> Path:
    try:
        return Path(values.get("HOME") or Path.home())
    except RuntimeError as error:  # A container may run as a number that no user has.
        raise EngineError(
            "There is no home folder: HOME is not set, and this user has none.",
            cause="",
            do=f"Set HOME, or let {variable} name a folder that you may write to.",
        ) from error

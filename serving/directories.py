"""Return the user's folders for the files of serving; creates none of them."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from os import environ as _environ
from pathlib import Path

from .errors import EngineError

_APP_FOLDER = "tramontane"


def state_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder of the server record and the engine logs.

    Args:
        environ: None means this process's environment.
    """
    return _base("XDG_STATE_HOME", ".local/state", environ) / _APP_FOLDER


def cache_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder of data that can be recreated: engine environments and engine caches.

    Args:
        environ: None means this process's environment.
    """
    return _base("XDG_CACHE_HOME", ".cache", environ) / _APP_FOLDER


@contextmanager
def writing_to(state: Path) -> Generator[None]:
    """Convert an OSError in the block to an EngineError about the state folder.

    Raises:
        EngineError: the disk is full, or the folder is not writable.
    """
    try:
        yield
    except OSError as error:
        raise EngineError(
            f"Cannot write to {str(state)!r}, the folder for the server's record and logs.",
            cause=error.strerror or str(error),
            do="Free some disk space, or set XDG_STATE_HOME to a folder that you can write to.",
        ) from error


def _base(variable: str, below_home: str, environ: Mapping[str, str] | None) -> Path:
    values = _environ if environ is None else environ
    folder = Path(values.get(variable, ""))
    # The XDG base directory specification requires relative paths to be ignored.
    return folder if folder.is_absolute() else _home(values, variable) / below_home


def _home(values: Mapping[str, str], variable: str) -> Path:
    try:
        return Path(values.get("HOME") or Path.home())
    except RuntimeError as error:  # A container may run under a UID that has no user.
        raise EngineError(
            "Cannot find a home folder: HOME is not set, and this user has none.",
            cause="",
            do=f"Set HOME, or set {variable} to a folder that you can write to.",
        ) from error

"""Name the folders of this user where serving keeps its files; creates none of them."""

from collections.abc import Mapping
from os import environ as _environ
from pathlib import Path

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


def _base(variable: str, below_home: str, environ: Mapping[str, str] | None) -> Path:
    values = _environ if environ is None else environ
    named = Path(values.get(variable, ""))
    # The XDG base directory rules: a relative path is to be ignored.
    return named if named.is_absolute() else Path(values.get("HOME") or Path.home()) / below_home

"""Name the folder where serving leaves its records: which server runs here, what a probe found; imports no serving."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def state_folder(environ: Mapping[str, str]) -> Path:
    """Return `$XDG_STATE_HOME/tramontane`, or the same below ~/.local/state; it need not exist."""
    # As serving/places.py has it, which costs the import of all of serving: 0.14 s for each `agent run`.
    named = Path(environ.get("XDG_STATE_HOME", ""))
    state = named if named.is_absolute() else Path(environ.get("HOME") or Path.home()) / ".local" / "state"
    return state / "tramontane"

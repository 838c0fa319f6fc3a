"""Keep which tools a server cannot compile a grammar of in a file; one that cannot be used counts as empty."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from ..model.refused_grammars import RefusedGrammars

_KEPT = timedelta(days=30)
"""After that a tool is tried strict again: the server may have been updated."""


def stored_grammars(environ: Mapping[str, str]) -> RefusedGrammars:
    """Return what is stored in the user's state folder."""
    from serving.directories import state_dir

    return StoredRefusedGrammars(state_dir(environ) / "refused_grammars.json")


class StoredRefusedGrammars(RefusedGrammars):
    """The same in a file, for the runs of other processes: `{server: {fingerprint: date}}`."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def known(self, server: str) -> frozenset[str]:
        """Return the fingerprints of the tools that this server refused, in this process or in the last 30 days."""
        return super().known(server) | self._read().get(server, {}).keys()

    def add(self, server: str, fingerprints: Iterable[str]) -> None:
        """Remember tools that a server refused, in the file too if it can be written. Never raises."""
        from serving.atomic import write_atomically

        new = list(fingerprints)
        super().add(server, new)
        today = datetime.now(UTC).date().isoformat()
        stored = self._read()
        stored[server] = {**stored.get(server, {}), **dict.fromkeys(new, today)}
        with suppress(OSError):  # then the next process searches again
            write_atomically(self._path, json.dumps(stored, indent=1) + "\n")

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            found: Any = json.loads(self._path.read_text(encoding="utf-8"))
            servers = cast("dict[str, dict[str, str]]", found)
            oldest = datetime.now(UTC).date() - _KEPT
            return {
                server: {key: day for key, day in tools.items() if date.fromisoformat(day) >= oldest}
                for server, tools in servers.items()
            }
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

"""Remember what a server turned out to support, for all runs that share an Endpoint; kept in memory."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue


class ServerMemory:
    """What the servers of an endpoint refused, and what to tell the user about them; by server."""

    def __init__(self) -> None:
        self._surfaces: dict[str, dict[str, JsonValue]] = {}
        self._windows: dict[str, int] = {}
        self._notes: list[str] = []

    def surface(self, server: str) -> Mapping[str, JsonValue]:
        """Return the fields of `Surface` that differ from what a run begins with. `server`: base URL and model."""
        return self._surfaces.get(server, {})

    def window_tokens(self, server: str) -> int | None:
        """Return the window that the server named in a refusal. None if it named none."""
        return self._windows.get(server)

    def learn(self, server: str, surface: Mapping[str, JsonValue], window_tokens: int | None = None) -> None:
        """Remember fields of `Surface`, and the window unless it is None."""
        self._surfaces.setdefault(server, {}).update(surface)
        if window_tokens is not None:
            self._windows[server] = window_tokens

    @property
    def notes(self) -> tuple[str, ...]:
        """What every run says once: found before it began, such as an incomplete list of models."""
        return tuple(self._notes)

    def note(self, text: str) -> None:
        """Add a note, unless it is there already."""
        if text not in self._notes:
            self._notes.append(text)


def memory_of(connection: object) -> ServerMemory:
    """Return the memory of an Endpoint's connection; an empty one for any other connection, such as a script's."""
    found = getattr(connection, "memory", None)
    return found if isinstance(found, ServerMemory) else ServerMemory()

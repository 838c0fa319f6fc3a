"""Collect what tools say about the parts of their schemas that are not checked, for people; decides nothing."""

from __future__ import annotations

from collections.abc import Iterable

from ..names import listed
from .tool import Tool

_MAX_NAMES = 3


def notes_of(tools: Iterable[Tool]) -> tuple[str, ...]:
    """Return the notes of the tools with the tools' names, each text once. Those about a whole server come first."""
    names: dict[str, list[str]] = {}
    for tool in tools:
        for note in tool.notes:
            names.setdefault(note, []).append(tool.name)
    about_servers = [note for note in names if note.startswith("mcp.")]
    about_tools = [f"{listed(names[note], _MAX_NAMES)}: {note}" for note in names if note not in about_servers]
    return (*about_servers, *about_tools)

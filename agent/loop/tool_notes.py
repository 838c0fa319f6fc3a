"""Record, once at the start of a run, what its user should know about its tools; decides nothing."""

from __future__ import annotations

from ..journal.events import Noticed
from ..tooling.notes import notes_of
from .dependencies import RunDependencies
from .state import RunState
from .window import LIKELY_BYTES_PER_TOKEN

_MAX_SHOWN = 4
_LARGE_SHARE = 0.2


def record_tool_notes(state: RunState, deps: RunDependencies) -> None:
    """Record the notes of the tools as notices, the first few in full; a resumed run has them already."""
    notes = notes_of(deps.toolbox)
    texts = list(notes) if len(notes) <= _MAX_SHOWN else list(notes[: _MAX_SHOWN - 1])
    if len(texts) < len(notes):
        texts.append(f"{len(notes) - len(texts)} more notes about the tools: `agent run --dry-run` prints all of them")
    for text in [*texts, *_large_definitions(state, deps)]:
        if text not in state.notices:
            deps.record(Noticed(text=text))


def _large_definitions(state: RunState, deps: RunDependencies) -> list[str]:
    """Return a notice if the definitions of the tools take much of the window."""
    window = state.started.window_tokens
    tokens = round(len(deps.toolbox.definitions) / LIKELY_BYTES_PER_TOKEN)
    if window is None or tokens < window * _LARGE_SHARE:
        return []
    return [
        f"The tool definitions take about {tokens:,} of the window's {window:,} tokens in every request. To send "
        "fewer, list the tools that the task needs: `tools`, or `mcp.NAME.tools` for an MCP server."
    ]

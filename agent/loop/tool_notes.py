"""Record, once at the start of a run, what is not checked about its tools; decides nothing."""

from __future__ import annotations

from ..journal.events import Noticed
from ..tooling.notes import notes_of
from .dependencies import RunDependencies
from .state import RunState

_MAX_SHOWN = 4


def record_tool_notes(state: RunState, deps: RunDependencies) -> None:
    """Record the notes of the tools as notices, the first few in full; a resumed run has them already."""
    notes = notes_of(deps.toolbox)
    texts = list(notes) if len(notes) <= _MAX_SHOWN else list(notes[: _MAX_SHOWN - 1])
    if len(texts) < len(notes):
        texts.append(f"{len(notes) - len(texts)} more notes about the tools: `agent run --dry-run` prints all of them")
    for text in texts:
        if text not in state.notices:
            deps.record(Noticed(text=text))

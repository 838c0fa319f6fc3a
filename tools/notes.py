"""Let the model keep notes that no shortening of its conversation loses."""

from __future__ import annotations

from agent import ToolError, tool

MAX_CHARS = 4_000


@tool(read_only=True)
def write_notes(notes: str) -> str:
    """Keep notes for yourself. They stay when old results are left out or the conversation restarts.

    Each call replaces the notes before, so write all of them: what you found out, with files and lines; what you
    decided; what is left to do.

    Args:
        notes: all of your notes, at most 4,000 characters.
    """
    if len(notes) > MAX_CHARS:
        msg = f"Notes may have at most {MAX_CHARS:,} characters; these have {len(notes):,}. Keep what you still need."
        raise ToolError(msg)
    return f"Kept {len(notes):,} of {MAX_CHARS:,} characters." if notes.strip() else "The notes are empty now."

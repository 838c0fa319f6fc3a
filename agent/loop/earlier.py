"""Quote the conversation that a run continues, for a renewed context that no longer holds it; pure."""

from __future__ import annotations

from collections.abc import Sequence

from ..messages import AssistantMessage, Message, UserMessage
from .cutting import cut_middle

_SHARE_OF_NEWEST = 0.5


def quote_earlier(history: Sequence[Message], *, max_chars: int) -> str:
    """Return what user and model said to each other before the run, oldest first, the newest at most length.

    Args:
        history: the conversation, without its system message.
        max_chars: bound of the text; older parts are left out first.
    """
    said = [
        (speaker, text)
        for message in history
        if isinstance(message, UserMessage | AssistantMessage) and (text := message.content.strip())
        for speaker in ("The user" if isinstance(message, UserMessage) else "You",)
    ]
    shown: list[str] = []
    left = max_chars
    for speaker, text in reversed(said):
        line = f"{speaker}: {cut_middle(text, max(1, int(max_chars * _SHARE_OF_NEWEST)))}"
        if len(line) > left:
            break
        shown.insert(0, line)
        left -= len(line) + 1
    if not shown:
        return ""
    omitted = len(said) - len(shown)
    more = f" ({omitted} messages left out)" if omitted else ""
    return "\n".join([f"Earlier in this conversation{more}:", *shown])

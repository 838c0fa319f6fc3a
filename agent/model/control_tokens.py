"""Make the model's own markers in text into plain text on the way in, and restore them on the way out."""

from __future__ import annotations

import re
from dataclasses import replace

from ..messages import Reply

# The control tokens of Mistral's tokenizers (tekken v15, SentencePiece), and the form that other families share.
_NAMES = (
    "INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CALLS|TOOL_CONTENT|CALL_ID|ARGS|THINK|MODEL_SETTINGS|PREFIX|"
    "MIDDLE|SUFFIX|IMG|IMG_BREAK|IMG_END|AUDIO|BEGIN_AUDIO|TRANSCRIBE"
)
_JOINER = "\u2060"
"""WORD JOINER: it takes no room where it is shown."""
_REST = rf"/?(?:{_NAMES})\]|/?(?:s|unk|pad)>|\|[a-z_]+\|>"
_MARKER = re.compile(rf"[\[<](?={_REST})")
_HIDDEN = re.compile(rf"(?<=[\[<]){_JOINER}(?={_REST})")


def escape_control_tokens(text: str) -> str:
    """Take the markers in text that a model reads apart: a file must not be able to end the turn, or call a tool."""
    return _MARKER.sub(rf"\g<0>{_JOINER}", text)


def unescape_control_tokens(reply: Reply) -> Reply:
    """Put the markers that a reply copied together again, so that files get what is meant."""
    if _JOINER not in reply.content and not any(_JOINER in call.arguments for call in reply.tool_calls):
        return reply
    calls = tuple(replace(call, arguments=_show(call.arguments)) for call in reply.tool_calls)
    return replace(reply, content=_show(reply.content), tool_calls=calls)


def _show(text: str) -> str:
    return _HIDDEN.sub("", text)

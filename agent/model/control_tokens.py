"""Escape control tokens in text sent to the model, and unescape them in its replies."""

from __future__ import annotations

import re
from dataclasses import replace

from ..messages import Reply

# Control tokens of Mistral's tokenizers (mistral_common 1.12, tekken v15, SentencePiece; the test reads them from
# there), names that older and newer ones use, and the forms of other families.
_NAMES = (
    "INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CALLS|TOOL_CONTENT|CALL_ID|ARGS|THINK|MODEL_SETTINGS|PREFIX|"
    "MIDDLE|SUFFIX|IMG|IMG_BREAK|IMG_END|AUDIO|BEGIN_AUDIO|OUTPUT_AUDIO|TRANSCRIBE|STREAMING_PAD|STREAMING_WORD|"
    r"NEXT_AUDIO_TEXT|REPEAT_AUDIO_TEXT|REF|TEXT|CONTROL_\d+"
)
_TAGS = r"s|unk|pad|bos|eos|start_of_turn|end_of_turn|tool_call|tool_response|SPECIAL_\d+"
_JOINER = "\u2060"
"""WORD JOINER, a character of zero width."""
_REST = rf"/?(?:{_NAMES})\]|/?(?:{_TAGS})>|</?SYS>>|[|｜][^|｜<>\n]{{1,60}}[|｜]>"
_MARKER = re.compile(rf"[\[<](?={_REST})")
_ESCAPED = re.compile(rf"(?<=[\[<]){_JOINER}(?={_REST})")


def escape_control_tokens(text: str) -> str:
    """Insert a joiner into each control token, so that file contents cannot end the turn or call a tool."""
    return _MARKER.sub(rf"\g<0>{_JOINER}", text)


def unescape_control_tokens(reply: Reply) -> Reply:
    """Remove the joiners from a reply, so that files get the original control tokens."""
    if _JOINER not in reply.content and not any(_JOINER in call.arguments for call in reply.tool_calls):
        return reply
    calls = tuple(replace(call, arguments=_unescape(call.arguments)) for call in reply.tool_calls)
    return replace(reply, content=_unescape(reply.content), tool_calls=calls)


def _unescape(text: str) -> str:
    return _ESCAPED.sub("", text)

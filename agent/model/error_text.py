"""Find a server's own sentence in the body of an error, in whatever form it sends one; pure."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from typing import cast

_MAX_CHARS = 500
_TEXT_KEYS = ("message", "detail", "error", "msg", "error_message", "errors", "title", "reason")
_CODE_KEYS = ("code", "type")
_NUMBER_KEYS = ("n_prompt_tokens", "n_ctx")
_TITLE = re.compile(r"<title[^>]*>\s*([^<]+?)\s*</title>", re.IGNORECASE)
_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


def server_sentence(body: str) -> str:
    """Return what the server says in the body of an error, on one line. Empty if it says nothing.

    Known forms: `error` as an object or a text (OpenAI, Ollama), `detail` as a text or a list with places (FastAPI),
    `message`, the upstream's text in `metadata.raw` (OpenRouter), the numbers of llama.cpp, and web pages.
    """
    try:
        found: object = json.loads(body)
    except ValueError:
        found = None
    text = _of_page(body) if found is None else _of_value(found)
    line = " ".join(text.split())
    return line if len(line) <= _MAX_CHARS else f"{line[:_MAX_CHARS]}..."


def error_code(body: str) -> str:
    """Return `code` and `type` of an error object, such as `context_length_exceeded`. Empty if there are none."""
    try:
        found: object = json.loads(body)
    except ValueError:
        return ""
    outer = _mapping(found)
    error = _mapping(outer.get("error", outer))
    return " ".join(str(error[key]) for key in _CODE_KEYS if error.get(key))


def _mapping(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}


def _of_value(value: object) -> str:
    match value:
        case str():
            return value
        case list():
            return "; ".join(filter(None, map(_of_value, cast("list[object]", value)[:3])))
        case dict():
            return _of_object(cast("dict[str, object]", value))
        case _:
            return ""


def _of_object(value: dict[str, object]) -> str:
    text = next((text for key in _TEXT_KEYS if (text := _of_value(value.get(key)))), "")
    place = value.get("loc")
    if isinstance(place, list) and text:
        text = f"{'.'.join(map(str, cast('list[object]', place)))}: {text}"
    metadata = value.get("metadata")
    upstream = _of_value(cast("dict[str, object]", metadata).get("raw")) if isinstance(metadata, dict) else ""
    if upstream and upstream not in text:
        text = f"{text}: {upstream}" if text else upstream
    numbers = [f"{key} {value[key]}" for key in _NUMBER_KEYS if isinstance(value.get(key), int)]
    return f"{text} ({', '.join(numbers)})" if numbers and text else text


def _of_page(body: str) -> str:
    if (title := _TITLE.search(body[:10_000])) is not None:
        return html.unescape(title[1])
    # The start and the end: a page may be long, and a traceback ends with its error.
    return html.unescape(_TAGS.sub(" ", body if len(body) <= 100_000 else body[:50_000]))

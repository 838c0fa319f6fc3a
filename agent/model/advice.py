"""Format the advice that follows a refusal, by its kind; pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

# LiteLLM's proxy without a database answers a missing key with HTTP 400 or 500 "No connected db." (1.108.7).
_KEY_WORDS = re.compile(r"api[ _-]?key|unauthori[sz]ed|authenticat|No connected db|invalid token", re.IGNORECASE)
_MODEL_WORDS = re.compile(r"\bmodel\b", re.IGNORECASE)
_TOOL_WORDS = re.compile(r"(?:not|n't) support (?:tools|tool|function)|support tool use", re.IGNORECASE)
_HAS_VERSION = re.compile(r"/v\d")


def is_about_the_key(status: int, reason: str) -> bool:
    """Return whether a server refused a request because of its API key."""
    return status in {401, 403} or (status in {400, 407, 500} and _KEY_WORDS.search(reason) is not None)


def advice_for(status: int, reason: str, *, url: str, has_key: bool, proxy: str) -> str:
    """Return what the user can do about a refusal. Empty if the server's own sentence has to do.

    Args:
        status: of HTTP.
        reason: the server's sentence.
        url: of the request.
        has_key: whether the request had an API key.
        proxy: that the request went through. Empty if it went directly.
    """
    through = f"The request went through the proxy {proxy}; no_proxy={urlsplit(url).hostname} avoids it."
    if proxy and status in {407, 502, 503, 504}:
        return through
    if is_about_the_key(status, reason):
        what = "The server did not accept the API key" if has_key else "The request had no API key"
        return (
            f"{what}: export AGENT_API_KEY, or name the key's variable with `model: {{api_key_env: NAME}}`; in Python, "
            "Endpoint(api_key=...)."
        )
    if status in {404, 405}:
        return _advice_for_404(reason, url)
    if _TOOL_WORDS.search(reason):
        return "Use a model that can call tools, or a server whose chat template has them."
    return ""


def _advice_for_404(reason: str, url: str) -> str:
    base = url.removesuffix("/chat/completions").removesuffix("/models")
    if not _HAS_VERSION.search(urlsplit(base).path):
        return f"Most servers have their routes below /v1: try {base}/v1."
    if _TOOL_WORDS.search(reason):
        return "Use a model that can call tools."
    if _MODEL_WORDS.search(reason):
        return "Check the model's name: `agent run --model NAME`, `model: {name: NAME}` or Endpoint(url, model=NAME)."
    return "Check the address of the server."

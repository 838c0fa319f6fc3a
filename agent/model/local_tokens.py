"""Count the tokens of a prompt without a server, by mistral-common and the tekken.json of the model's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from .wire import Request

_TOKENIZER = "tekken.json"


def count_locally(request: Request, files: str, environ: Mapping[str, str]) -> int | None:
    """Return the exact number of prompt tokens. None if mistral-common or the model's tokenizer is not on this machine.

    Nothing is downloaded. Loading a tokenizer takes some seconds.

    Args:
        request: with the prompt.
        files: a folder with the model's files, or the model's name on the Hub, in whose cache they are.
        environ: says where the cache is.
    """
    file = _tokenizer_file(files, environ)
    if file is None:
        return None
    try:
        # As Any: the package is an extra, and a type checker may not have it.
        requests: Any = import_module("mistral_common.protocol.instruct.request")
        tokenizers: Any = import_module("mistral_common.tokens.tokenizers.mistral")
        errors: Any = import_module("mistral_common.exceptions")
    except ImportError:
        return None
    try:
        chat = requests.ChatCompletionRequest.from_openai(
            messages=[json.loads(message) for message in request.messages],
            tools=json.loads(request.escaped_tools) or None,
            reasoning_effort=request.effort,
        )
        return len(tokenizers.MistralTokenizer.from_file(str(file)).encode_chat_completion(chat).tokens)
    except (errors.MistralCommonException, ImportError, ValueError):
        return None  # such as an effort or an image that this tokenizer does not take


def _tokenizer_file(files: str, environ: Mapping[str, str]) -> Path | None:
    if not files:
        return None
    if (Path(files) / _TOKENIZER).is_file():
        return Path(files) / _TOKENIZER
    home = Path(environ.get("HF_HOME") or Path(environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    cache = Path(environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    snapshots = (cache / f"models--{files.replace('/', '--')}" / "snapshots").glob(f"*/{_TOKENIZER}")
    return max(snapshots, key=lambda path: path.stat().st_mtime, default=None)

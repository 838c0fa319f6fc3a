"""Build the pocket model's vocabulary: the tekken ranks that fit its own pre-tokenizer pattern; reads no file."""

import base64
from collections.abc import Callable, Sequence
from typing import Any

OWN_TOKENS = 1984
SPECIAL_TOKENS = 64
# A word never includes the space or quote before it, so it has the same tokens everywhere: in a sentence, in JSON, in a
# tool's result. Copying is then the same operation everywhere, which a model of this size can learn.
PATTERN = r"\p{L}+|\p{N}|[./]|[^\s\p{L}\p{N}./]+| +|\s"
NAMED = (
    "<unk> <s> </s> [INST] [/INST] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_RESULTS] [/TOOL_RESULTS] [TOOL_CALLS] "
    "[IMG] <pad> [IMG_BREAK] [IMG_END] [PREFIX] [MIDDLE] [SUFFIX] [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [TOOL_CONTENT]"
)


def tekken_file(ranks: Sequence[dict[str, Any]], matches: Callable[[str], bool]) -> dict[str, Any]:
    """Build the content of tekken.json.

    Args:
        ranks: the entries of a full tekken vocabulary, in order.
        matches: whether a text is a single match of `PATTERN`, whose syntax the standard library does not support.
    """

    def fits(entry: dict[str, Any]) -> bool:
        raw = base64.b64decode(entry["token_bytes"])
        return len(raw) == 1 or (raw.isascii() and len(raw) <= 16 and matches(raw.decode()))

    names = NAMED.split()
    names += [f"<SPECIAL_{rank}>" for rank in range(20, 32)]
    names += ["[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]", "[MODEL_SETTINGS]", "[/MODEL_SETTINGS]"]
    effort = {"type": "enum", "accepts_none": True, "default": "none", "values": ["none", "high"]}
    return {
        "config": {
            "pattern": PATTERN,
            "num_vocab_tokens": OWN_TOKENS,
            "default_vocab_size": OWN_TOKENS + SPECIAL_TOKENS,
            "default_num_special_tokens": SPECIAL_TOKENS,
            "version": "v15",
        },
        "vocab": [{**entry, "rank": rank} for rank, entry in enumerate([e for e in ranks if fits(e)][:OWN_TOKENS])],
        "special_tokens": [{"rank": rank, "token_str": name, "is_control": True} for rank, name in enumerate(names)],
        "model_settings_builder": {"reasoning_effort": effort},
    }

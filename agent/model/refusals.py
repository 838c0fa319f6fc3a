"""Read from a server's refusal what it does not accept: a conversation, a reply length, a field, a picture; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import EndpointError, EndpointRejected, EndpointUnreadable


@dataclass(frozen=True, kw_only=True, slots=True)
class Overflow:
    """A request that does not fit, with the numbers that the server names. None means that it does not name one."""

    prompt_tokens: int | None = None
    window_tokens: int | None = None
    """The most tokens of prompt and reply together."""
    reply_tokens: int | None = None
    """The most tokens of one reply."""
    names_reply: bool = False
    """True if the refusal speaks of the tokens asked for; the prompt alone may fit."""


def overflow(error: EndpointError, *, max_tokens: int) -> Overflow | None:
    """Return what a refusal says about lengths. None if it is about something else.

    Args:
        error: of a request.
        max_tokens: the tokens that were asked for.
    """
    # 429 speaks of tokens per minute; 413 is a size, of Groq's tokens per minute or of a proxy's bodies.
    if not isinstance(error, EndpointRejected) or error.status in {401, 403, 429} or error.status > 500:
        return None
    text = f"{error.reason} {error.code}"
    if error.status != 413 and (not _LENGTH.search(text) or refused_field(error) == "reply_field"):
        return None
    prompt_tokens = _sum(_PROMPT_PARTS, text) or _first(_PROMPT, text)
    total = _first(_TOTAL, text)
    if prompt_tokens is None and total is not None and total > max_tokens:
        prompt_tokens = total - max_tokens
    return Overflow(
        prompt_tokens=prompt_tokens,
        window_tokens=_first(_WINDOW, text),
        reply_tokens=_first(_REPLY, text),
        names_reply=total is not None or _REPLY_WORDS.search(text) is not None,
    )


def refused_field(error: EndpointError) -> str | None:
    """Return the field of `Surface` whose use the refusal names. None if it names none that can be left out."""
    if isinstance(error, EndpointUnreadable):
        return "stream" if error.empty_stream else None
    if not isinstance(error, EndpointRejected) or error.status not in _FIELD_STATUSES:
        return None
    if not _REFUSED.search(error.reason):
        return None
    return next((field for field, words in _FIELDS if words.search(error.reason)), None)


def may_be_a_field(error: EndpointError) -> bool:
    """Return whether a refusal may be about a field that it does not name, such as "Extra inputs are not permitted"."""
    return (
        isinstance(error, EndpointRejected)
        and error.status in {400, 422}
        and _REFUSED.search(error.reason) is not None
        and not _OTHER_CAUSE.search(error.reason)
    )


def names_images(error: EndpointError) -> bool:
    """Return whether the refusal of a request with images says that they are the reason."""
    return (
        isinstance(error, EndpointRejected)
        and error.status not in {401, 403, 408, 429}
        and _IMAGE.search(error.reason) is not None
    )


_FIELD_STATUSES = frozenset({400, 404, 405, 415, 422, 500, 501})
_REFUSED = re.compile(
    r"unsupported|not (?:yet |currently )?(?:be )?(?:support|permit|allow|accept|recogni[sz]|implement|available|enabl)"
    r"|n't (?:support|permit|allow|accept)|unrecogni[sz]ed|unknown|unexpected|extra (?:input|field|param|propert)"
    r"|additional propert|forbidden|invalid|no such|only (?:the )?default|must be|should be|not a valid|does not exist",
    re.IGNORECASE,
)
_OTHER_CAUSE = re.compile(
    r"api[ _]?key|credential|authenti|unauthori[sz]ed|billing|model .{0,80}(?:not exist|not found)"
    r"|does not support tools|support tool use",
    re.IGNORECASE,
)
# In this order: a refusal of `stream_options` speaks of streams too.
_FIELDS = (
    ("stream_usage", re.compile(r"stream_options|include_usage", re.IGNORECASE)),
    ("strict", re.compile(r"\bstrict\b", re.IGNORECASE)),
    ("reply_field", re.compile(r"max_completion_tokens|parameter\W+max_tokens|max_tokens\W+is not supported"
                               r"|unrecogni[sz]ed[^.]*\bmax_tokens|unknown[^.]*\bmax_tokens", re.IGNORECASE)),
    ("effort", re.compile(r"reasoning_effort|\breasoning effort", re.IGNORECASE)),
    ("sampling", re.compile(r"temperature|\btop_p\b", re.IGNORECASE)),
    ("tool_choice", re.compile(r"tool_choice|forced tool", re.IGNORECASE)),
    ("schema_field", re.compile(r"structured_outputs|guided_json|response_format|json_schema", re.IGNORECASE)),
    ("system", re.compile(r"system (?:role|message|prompt|instruction)|role\W+system|developer instruction",
                          re.IGNORECASE)),
    ("stream", re.compile(r"\bstream(?:ing|ed|s)?\b", re.IGNORECASE)),
)  # fmt: skip

# Words of refused pictures: "... is not a multimodal model", "At most 0 image(s)" (vLLM 0.32), "image input is not
# supported ... mmproj" (llama.cpp), "unknown variant `image_url`" (DeepSeek), "content must be a string" (Groq),
# "Model does not support images" (LM Studio), "No endpoints found that support image input" (OpenRouter),
# "missing data required for image input" (Ollama), "invalid content type" (OpenAI).
_IMAGE = re.compile(
    r"\bimages?\b|image_url|multi-?modal|vision|visual|mmproj|picture|content type|content(?:`|'|\")? must be a string"
    r"|input_modalit",
    re.IGNORECASE,
)

_N = r"(\d+(?:[,_]\d{3})*)"
_LENGTH = re.compile(
    r"context[ _-]?(?:length|size|window|limit)|exceed_context|max_model_len|max_seq_len|max_position_embeddings|n_ctx"
    r"|(?:maximum|max|model) (?:model |prompt |input |sequence )?length"
    r"|(?:prompt|input|request|messages?)\b[^.]{0,40}\btoo (?:long|large|many)|too many (?:input )?tokens|token limit"
    r"|tokens? .{0,40}(?:exceed|too large)|exceed.{0,60}token|max_(?:completion_|new_|output_)?tokens|output tokens"
    r"|reduce (?:the|your) (?:length|message|prompt)|tokens to keep|keep the first \d+ tokens|range of input"
    r"|maximum tokens|less than \d+ tokens",
    re.IGNORECASE,
)
_REPLY_WORDS = re.compile(
    r"max_(?:completion_|new_|output_)?tokens|completion tokens|output tokens|in the (?:completion|output)"
    r"|for the completion|maximum tokens you requested",
    re.IGNORECASE,
)


def _patterns(*texts: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(text.replace("#", _N), re.IGNORECASE) for text in texts)


# The words of vLLM 0.6 to 0.32, SGLang, llama.cpp, llama-cpp-python, TGI, TensorRT-LLM, LM Studio, Ollama, LiteLLM,
# OpenAI, Azure, Anthropic, Gemini, Mistral, Groq, xAI, DeepSeek, DashScope, OpenRouter, Cohere, Fireworks and Bedrock,
# from their sources or as users quote them (read 2026-11); each is a line of tests/model/test_refusals.py.
_WINDOW = _patterns(
    r"n_ctx\W{1,5}#",
    r"\d+ \+ \d+ > #",
    r"max_model_len\W{1,5}#",
    r"max_(?:seq_len|num_tokens)\W{1,5}#",
    r"context (?:length|size|window|limit)(?: of| is|:|=| only| at most|\W)*#",
    r"(?:maximum|max|model) (?:model |prompt |input |sequence )?length(?: of| is|\W)*#",
    r"model with # maximum context",
    r"> # maximum",
    r"must be <= #",
    r"less than # tokens",
    r"tokens allowed \(#\)",
    r"(?:token |configured |context )limit(?: of| is|\W)+#",
    r"cannot exceed #",
    r"max(?:imum)? is #",
    r"range of input length\D{0,20}\[\d+, ?#\]",
    r"\blimit #, requested",
)
_PROMPT_PARTS = _patterns(
    r"# (?:in the (?:messages|functions|prompt|input)|in your prompt|of (?:text|tool|image) input)"
)
_PROMPT = _patterns(
    r"n_prompt_tokens\W{1,5}#",
    r"n_keep\W{1,3}#",
    r"first # tokens",
    r"# (?:`)?inputs?(?:`)? tokens",
    r"resulted in # tokens",
    r"(?:request|input|prompt) \(# tokens\)",
    r"input token count \(#\)",
    r"too long:? # tokens",
    r"(?:prompt|request) (?:contains|has) #",
    r"# tokens from the input",
    r"length,? \(?#\)? (?:is longer|exceeds)",
    r"prompt length \(#\)",
    r"requested tokens \(#\)",
    r"limit: # \+ \d+ >",
    r"received #",
    r"given: #",
    r"limit \d+, requested #",
)
_TOTAL = _patterns(r"requested (?:a total of |about )?# tokens")
_REPLY = _patterns(
    r"at most # completion tokens",
    r"(?<!\+ )(?<!\+ `)\bmax_(?:completion_|new_|output_)?tokens\b[^.]{0,60}(?:less than or equal to|<=|at most|"
    r"cannot exceed|must not exceed|maximum of|up to|no more than)\W{0,3}#(?!\d* tokens? in)",
    r"range of (?:`|')?max_(?:completion_)?tokens\D{0,20}\[\d+, ?#\]",
    r"max_tokens: \d+ > #",
    r"model limit of #",
    r"(?:supports|allows) (?:at most|up to|a maximum of|only) # (?:output|completion)",
    r"output tokens?(?: is| of|\W)+#",
)


def _first(patterns: tuple[re.Pattern[str], ...], text: str) -> int | None:
    for pattern in patterns:
        if found := pattern.search(text):
            return _number(found[1])
    return None


def _sum(patterns: tuple[re.Pattern[str], ...], text: str) -> int | None:
    numbers = [_number(found) for pattern in patterns for found in pattern.findall(text)]
    return sum(numbers) or None


def _number(text: str) -> int:
    return int(text.replace(",", "").replace("_", ""))

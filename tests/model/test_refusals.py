"""Refusals in the words of many servers: which conversation, length, field or picture they are about."""

from __future__ import annotations

import pytest

from agent.errors import EndpointRejected
from agent.model.refusals import Overflow, may_be_a_field, names_images, overflow, refused_field


def rejected(reason: str, *, status: int = 400, code: str = "") -> EndpointRejected:
    return EndpointRejected(reason, url="http://engine.test/v1/chat/completions", status=status, code=code)


# Each line: the server, its words, then prompt, window and most reply tokens as they are in it.
LENGTHS: list[tuple[str, str, int | None, int | None, int | None]] = [
    ("vLLM 0.32", "'max_tokens' or 'max_completion_tokens' is too large: 8192. This model's maximum context length is "
     "4096 tokens and your request has 900 input tokens (8192 > 4096 - 900).", 900, 4096, None),
    ("vLLM 0.10", "This model's maximum context length is 4096 tokens. However, your request has 9000 input tokens. "
     "Please reduce the length of the input messages.", 9000, 4096, None),
    ("vLLM 0.6", "This model's maximum context length is 4096 tokens. However, you requested 9092 tokens (900 in the "
     "messages, 8192 in the completion). Please reduce the length of the messages or completion.", 900, 4096, None),
    ("vLLM, engine", "The decoder prompt (length 9000) is longer than the maximum model length of 4096. Make sure that "
     "`max_model_len` is no smaller than the number of text tokens.", 9000, 4096, None),
    ("vLLM, max_tokens", "max_tokens=8192 cannot be greater than max_model_len=4096", None, 4096, None),
    ("OpenAI", "This model's maximum context length is 8192 tokens. However, your messages resulted in 8545 tokens "
     "(8000 in the messages, 545 in the functions). Please reduce the length of the messages or functions.",
     8545, 8192, None),
    ("OpenAI, newer", "Input tokens exceed the configured limit of 4096 tokens. Your messages resulted in 5000 tokens. "
     "Please reduce the length of the messages.", 5000, 4096, None),
    ("OpenAI, reply", "max_tokens is too large: 8192. This model supports at most 4096 completion tokens, whereas you "
     "provided 8192.", None, None, 4096),
    ("Anthropic", "prompt is too long: 210000 tokens > 200000 maximum", 210000, 200000, None),
    ("Anthropic, both", "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input "
     "length or `max_tokens` and try again", 188240, 200000, None),
    ("Anthropic, reply", "max_tokens: 8192 > 4096, which is the maximum allowed number of output tokens for the model",
     None, None, 4096),
    ("LiteLLM", "litellm.ContextWindowExceededError: prompt is too long: 5000 tokens > 4096 maximum", 5000, 4096, None),
    ("llama.cpp", "request (27360 tokens) exceeds the available context size (4096 tokens), try increasing it",
     27360, 4096, None),
    ("llama.cpp, older", "the request exceeds the available context size. try increasing the context size or enable "
     "context shift (n_prompt_tokens 5000, n_ctx 4096)", 5000, 4096, None),
    ("llama-cpp-python", "Requested tokens (5000) exceed context window of 4096", 5000, 4096, None),
    ("SGLang", "The input (270000 tokens) is longer than the model's context length (262144 tokens).",
     270000, 262144, None),
    ("SGLang, both", "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested "
     "a total of 9092 tokens: 900 tokens from the input messages and 8192 tokens for the completion.", 900, 4096, None),
    ("TGI", "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 900 `inputs` tokens "
     "and 8192 `max_new_tokens`", 900, 4096, None),
    ("TGI, input", "Input validation error: `inputs` must have less than 3072 tokens. Given: 5000", 5000, 3072, None),
    ("LM Studio", "The number of tokens to keep from the initial prompt is greater than the context length (n_keep: "
     "23678>= n_ctx: 9472). Try to load the model with a larger context length, or provide a shorter input.",
     23678, 9472, None),
    ("LM Studio, older", "Trying to keep the first 5021 tokens when context the overflows. However, the model is "
     "loaded with context length of only 4096 tokens, which is not enough.", 5021, 4096, None),
    ("Ollama", "the input length exceeds the context length", None, None, None),
    ("Gemini", "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).",
     1196265, 1048575, None),
    ("Mistral", "Prompt contains 33250 tokens and 0 draft tokens, too large for model with 32768 maximum context "
     "length",
     33250, 32768, None),
    ("xAI", "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
     537812, 131072, None),
    ("Groq", "Please reduce the length of the messages or completion.", None, None, None),
    ("Groq, reply", "`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens` is less "
     "than the `context_window` for this model", None, None, 8192),
    ("DeepSeek", "This model's maximum context length is 1048576 tokens. However, you requested 1276733 tokens (892733 "
     "in the messages, 384000 in the completion).", 892733, 1048576, None),
    ("DeepSeek, reply", "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", None, None, 8192),
    ("DashScope", "Range of input length should be [1, 30720]", None, 30720, None),
    ("OpenRouter", "This endpoint's maximum context length is 131072 tokens. However, you requested about 140000 "
     "tokens (130000 of text input, 1000 of tool input, 9000 in the output). Please reduce the length of either one.",
     131000, 131072, None),
    ("Cohere", "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000.",
     5000, 4081, None),
    ("Fireworks", "The prompt is too long: 5000, model maximum context length: 4096", None, 4096, None),
    ("Bedrock", "The maximum tokens you requested exceeds the model limit of 4096. Try again with a maximum tokens "
     "value that is lower than 4096.", None, None, 4096),
    ("TensorRT-LLM", "Prompt length (5000) exceeds maximum input length (4096). Set log level to info and check.",
     5000, 4096, None),
    ("Moonshot", "Invalid request: Your request exceeded model token limit: 8192", None, 8192, None),
    ("with separators", "context length is 131,072 tokens, but your request has 140,000 input tokens", 140000, 131072,
     None),
]  # fmt: skip


@pytest.mark.parametrize("line", LENGTHS, ids=[line[0] for line in LENGTHS])
def test_a_request_that_does_not_fit_is_known_in_every_servers_words(
    line: tuple[str, str, int | None, int | None, int | None],
) -> None:
    found = overflow(rejected(line[1]), max_tokens=8192)
    assert found is not None
    assert (found.prompt_tokens, found.window_tokens, found.reply_tokens) == line[2:]


def test_a_refusal_by_its_code_alone_is_an_overflow() -> None:
    assert overflow(rejected("Bad request", code="context_length_exceeded"), max_tokens=9) == Overflow()
    assert overflow(rejected("Request Entity Too Large", status=413), max_tokens=9) == Overflow()


def test_a_request_over_groqs_tokens_per_minute_never_fits() -> None:
    text = "Request too large for model in organization on tokens per minute (TPM): Limit 6000, Requested 10000"
    assert overflow(rejected(text, status=413), max_tokens=9) == Overflow(prompt_tokens=10_000, window_tokens=6_000)


def test_the_prompt_is_the_total_without_the_tokens_asked_for() -> None:
    text = "This model's maximum context length is 4096 tokens. However, you requested 9092 tokens."
    found = overflow(rejected(text), max_tokens=8192)
    assert found == Overflow(prompt_tokens=900, window_tokens=4096, names_reply=True)


OTHER = [
    "Rate limit reached for requests",
    "The model `x` does not exist",
    "tool_choice must be one of 'auto', 'none'",
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    "System role not supported",
    "registry.ollama.ai/library/gemma:2b does not support tools",
    "failed to compile JSON schema",
]


@pytest.mark.parametrize("text", OTHER)
def test_other_refusals_are_no_overflow(text: str) -> None:
    assert overflow(rejected(text), max_tokens=9) is None
    assert overflow(rejected("Rate limit reached: 6000 tokens per minute", status=429), max_tokens=9) is None


FIELDS = {
    "Unknown parameter: 'tools[0].function.strict'.": "strict",
    "Unexpected fields in the request: {'strict'}": "strict",
    "body.tools.0.function.strict: Extra inputs are not permitted": "strict",
    "Unrecognized request argument supplied: stream_options": "stream_usage",
    "body.stream_options: Extra inputs are not permitted": "stream_usage",
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.":
        "reply_field",
    "Unrecognized request argument supplied: max_completion_tokens": "reply_field",
    "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) value is supported.":
        "sampling",
    "`temperature` and `top_p` cannot both be specified for this model; top_p is not allowed": "sampling",
    "tool_choice must be one of 'auto', 'none'": "tool_choice",
    "Unrecognized request argument supplied: tool_choice": "tool_choice",
    "body.tool_choice: Input should be 'auto' or 'none'": "tool_choice",
    "Unrecognized request argument supplied: reasoning_effort": "effort",
    "Unexpected fields in the request: {'structured_outputs'}": "schema_field",
    "response_format json_schema is not supported": "schema_field",
    "System role not supported": "system",
    "Developer instruction is not enabled for models/gemma-3": "system",
    "Streaming is not supported": "stream",
    "Streaming is not supported with tools": "stream",
    "stream=True is not yet implemented": "stream",
    "Extra inputs are not permitted": None,
    "Invalid API key": None,
    "messages.1.content: text content blocks must be non-empty": None,
}  # fmt: skip


@pytest.mark.parametrize("text", FIELDS)
def test_the_field_that_a_server_refuses_is_known(text: str) -> None:
    assert refused_field(rejected(text)) == FIELDS[text]


def test_a_refusal_without_a_name_may_be_about_a_field() -> None:
    assert may_be_a_field(rejected("Extra inputs are not permitted", status=422))
    assert not may_be_a_field(rejected("Invalid API key"))
    assert not may_be_a_field(rejected("The model `x` does not exist"))
    assert not may_be_a_field(rejected("Extra inputs are not permitted", status=500))


IMAGES = [
    ("tiny is not a multimodal model", 400),
    ("At most 0 image(s) may be provided in one prompt.", 400),
    ("image input is not supported - hint: if this is unexpected, you may need to provide the mmproj", 500),
    ("this model is missing data required for image input", 500),
    ("Invalid content type. image_url is only supported by certain models.", 400),
    ("Failed to deserialize the JSON body: messages[1]: unknown variant `image_url`, expected `text`", 422),
    ("messages[0].content must be a string", 400),
    ("Model does not support images. Please use a model that does.", 400),
    ("No endpoints found that support image input", 404),
    ("this model does not support vision", 400),
]


@pytest.mark.parametrize(("text", "status"), IMAGES)
def test_a_refused_picture_is_known_in_every_servers_words(text: str, status: int) -> None:
    assert names_images(rejected(text, status=status))


def test_other_failures_are_not_about_pictures() -> None:
    assert not names_images(rejected("the engine died", status=500))
    assert not names_images(rejected("too many images per minute", status=429))

"""Log patterns of the errors with which mistral_common refuses a conversation; explains none of them.

Source: mistral_common 1.11.7 to 1.13.1, and the templates of the model's Hugging Face layout, read and run 2026-11.
"""

from .log_patterns import LogPattern, pattern

LOG_PATTERNS: tuple[LogPattern, ...] = (
    pattern("call_id", r"Tool call id was (?P<id>.*?) but must be a-z, A-Z, 0-9, with a length of 9"),
    pattern("call_id", r"Tool call IDs should be alphanumeric strings with length 9"),
    pattern("call_id", r"[Ii]nvalid (?:format of )?tool_call_id"),
    pattern("call_id_null", r"Tool call id must be a non-empty string other than 'null'"),
    pattern("role_order", r"Unexpected role '(?P<a>\w+)' after role '(?P<b>\w+)'"),
    pattern("role_order", r"[Cc]onversation roles must alternate"),
    pattern("last_role", r"Expected last role User or Tool .* for serving but got (?P<role>\w+)"),
    pattern("last_role", r"Cannot set `add_generation_prompt` to True when the last message is from the (?P<role>\w+)"),
    pattern("call_pairs", r"Not the same number of function calls and responses"),
    pattern("result_id", r"(?P<which>Duplicate|Unexpected) tool call id (?P<id>\S+) in tool results"),
    pattern("empty_assistant", r"Invalid assistant message"),
    pattern("empty_assistant", r"Assistant message must have either content or tool_calls"),
    pattern("function_name", r"Function name was (?P<name>.*?) but must be a-z, A-Z, 0-9"),
    pattern("unknown_role", r"Unknown message role: (?P<role>\w+)"),
    pattern("two_reasonings", r"`reasoning_content` and `reasoning` should be equal"),
    pattern("chat_template", r"chat_template is not supported for Mistral tokenizers"),
    pattern("effort", r"reasoning_effort=(?P<value>\S+) is not supported by Mistral models"),
    pattern("effort", r"reasoning_effort should be one of (?P<allowed>\[.*?\]), got (?P<value>\w+)"),
    pattern("extra_field", r"extra_forbidden.*?\b(?P<field>index|refusal|reasoning(?:_content)?)\b"),
    pattern("extra_field", r"\b(?P<field>index|refusal|reasoning(?:_content)?)\b.*?extra_forbidden"),
)

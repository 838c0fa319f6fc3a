"""Catalogue of symptoms of requests that a server refuses because of their contents; data only."""

from ..symptoms import Symptom

REQUESTS: dict[str, Symptom] = {
    "context_too_long": Symptom(
        title=("A request is longer than the context of {max} tokens",),
        cause=("It comes to {n} {unit}.",),
        fix=("Send less, or start the engine with a larger `--max-model-len`. To see what fits, run: agent plan",),
        sglang_fix=(
            "Send less, or start the engine with a larger `--context-length`. To see what fits, run: agent plan",
        ),
        severity="refuses",
        recurs=False,
    ),
    "answer_too_long": Symptom(
        title=("A request asks for more tokens than the context holds",),
        cause=("Its max_tokens is {n}, but the context holds {max}.", "Its max_tokens is {n}."),
        fix=("Lower `max_tokens`: prompt and answer together must fit in the context.",),
        severity="refuses",
        recurs=False,
    ),
    "call_id": Symptom(
        title=("A tool-call id does not consist of nine letters and digits",),
        cause=(
            "The request contains the id {id}; mistral_common before 1.12 requires exactly nine characters of a-z, "
            "A-Z, 0-9.",
            "The template of the Hugging Face layout requires exactly nine characters of a-z, A-Z, 0-9.",
        ),
        fix=("Give calls ids of nine letters and digits, and give each result the id of its call.",),
        severity="refuses",
        recurs=False,
    ),
    "call_id_null": Symptom(
        title=("A tool-call id is empty",),
        cause=("The id of a call or of a result is empty or the word null.",),
        fix=("Give calls ids of nine letters and digits, and give each result the id of its call.",),
        severity="refuses",
        recurs=False,
    ),
    "call_id_cut": Symptom(
        title=("Tool-call ids are truncated to nine characters",),
        cause=(
            "vLLM keeps the last nine characters of a longer id: {a} became {b}. Two ids with the same ending become "
            "one.",
        ),
        fix=("Give calls ids of nine letters and digits from the start.",),
        severity="note",
        recurs=False,
    ),
    "role_order": Symptom(
        title=("A message of role {a} follows one of role {b}", "The roles of the messages do not alternate"),
        cause=(
            "Mistral's format does not allow {a} after {b}.",
            "The template requires alternating user and assistant messages, with tool messages only after a call.",
        ),
        fix=(
            "Reorder the messages: system first, a tool result only after its call, an answer before the next user "
            "message.",
        ),
        severity="refuses",
        recurs=False,
    ),
    "last_role": Symptom(
        title=("The last message is of role {role}",),
        cause=("The model answers a user or tool message; after {role} there is nothing to answer.",),
        fix=("End the messages with role user or tool; to continue a text, send `continue_final_message`.",),
        severity="refuses",
        recurs=False,
    ),
    "call_pairs": Symptom(
        title=("The number of tool results differs from the number of calls",),
        cause=("Each call of a turn needs exactly one result before the next turn.",),
        fix=("Send one result per call, an error text if necessary, each with the `tool_call_id` of its call.",),
        severity="refuses",
        recurs=False,
    ),
    "result_id": Symptom(
        title=("A tool result has the wrong id",),
        cause=("{which} id {id}: each result must name the one call that it answers.",),
        fix=("Give every result the `tool_call_id` of its own call.",),
        severity="refuses",
        recurs=False,
    ),
    "empty_assistant": Symptom(
        title=("An assistant message is empty",),
        cause=(
            "A turn without text, reasoning or calls is refused; often it is an answer that ran out of max_tokens.",
        ),
        fix=("Omit such a turn from the history, and raise `max_tokens`.",),
        severity="refuses",
        recurs=False,
    ),
    "function_name": Symptom(
        title=("A tool has an invalid name: {name}",),
        cause=("A name consists of at most 64 letters, digits, underscores and dashes.",),
        fix=("Rename the tool.",),
        severity="refuses",
        recurs=False,
    ),
    "unknown_role": Symptom(
        title=("A message has the unknown role {role}",),
        cause=("The roles are system, user, assistant and tool; developer only from mistral_common 1.13 on.",),
        fix=("Send it as role system.",),
        severity="refuses",
        recurs=False,
    ),
    "two_reasonings": Symptom(
        title=("A message contains two different reasoning texts",),
        cause=("`reasoning` and `reasoning_content` are the same field under two names, but their values differ.",),
        fix=("Send `reasoning` only.",),
        severity="refuses",
        recurs=False,
    ),
    "chat_template": Symptom(
        title=("A request contains a chat template",),
        cause=("The Mistral tokenizer has no chat template: `chat_template` and `chat_template_kwargs` are refused.",),
        fix=("Send `reasoning_effort` as a field of its own, and omit `chat_template` and `chat_template_kwargs`.",),
        severity="refuses",
        recurs=False,
    ),
    "effort": Symptom(
        title=("The model does not support the reasoning effort {value}",),
        cause=("It supports {allowed}.", "It supports none and high."),
        fix=(
            "Send `reasoning_effort` none or high; or map it, from vLLM 0.33 on: `--reasoning-effort-map "
            '\'{{"{value}": "high"}}\'`',
        ),
        sglang_fix=("Send `reasoning_effort` none or high.",),
        severity="refuses",
        recurs=False,
    ),
    "extra_field": Symptom(
        title=("A message contains a field that the server does not allow: {field}",),
        cause=("The server's schema is strict; it may refuse a field that it sent itself.",),
        fix=("Remove the field from messages before sending them again.",),
        severity="refuses",
        recurs=False,
    ),
    "result_without_id": Symptom(
        title=("A tool result does not name the call it answers",),
        cause=("A message of role tool has no `tool_call_id`.",),
        fix=("Give every result the `tool_call_id` of its own call.",),
        severity="refuses",
        recurs=False,
    ),
    "arguments_broken": Symptom(
        title=("The arguments of a call in the conversation are not valid JSON",),
        cause=("The engine used an empty object instead, so the model sees a call of {name} that it did not make.",),
        fix=("Repair or omit calls whose arguments do not parse before sending them again.",),
        severity="degrades",
        recurs=False,
    ),
    "bad_schema": Symptom(
        title=("The schema of a tool is invalid",),
        cause=("The engine reports: {why}",),
        fix=("Correct the tool's `parameters`: they must be a JSON Schema.",),
        severity="refuses",
        recurs=False,
    ),
    "choice_unknown": Symptom(
        title=("The engine does not support the tool_choice {value}",),
        cause=("vLLM supports none, auto, required and a named function.",),
        fix=("If {value} was meant to force a call, send `tool_choice` required.",),
        severity="refuses",
        recurs=False,
    ),
    "bad_field": Symptom(
        title=("A field of a request is invalid: {field}",),
        cause=("The engine reports: {why}",),
        fix=("Correct this field, or omit it.",),
        severity="refuses",
        recurs=False,
    ),
    "model_unknown": Symptom(
        title=("The server does not serve the model {name}",),
        cause=("The name in the request is not the served one.",),
        fix=("Use a name that /v1/models lists, or start with `--served-model-name {name}`.",),
        severity="refuses",
        recurs=False,
    ),
    "choice_without_tools": Symptom(
        title=("A request sets tool_choice without tools",),
        cause=("There is nothing to choose from.",),
        fix=("Send `tools`, or omit `tool_choice`.",),
        severity="refuses",
        recurs=False,
    ),
    "choice_of_no_tool": Symptom(
        title=("A request's tool_choice names a tool that the request does not contain",),
        cause=("The named tool {name} is not in `tools`.", "The named tool is not in `tools`."),
        fix=("Name one of the tools in `tools`.",),
        severity="refuses",
        recurs=False,
    ),
    "no_images": Symptom(
        title=("A request contains an image, but this server accepts none",),
        cause=("The model has no vision tower, or was started with `--language-model-only`.",),
        fix=("Omit the images, or start without `--language-model-only`. To see what that costs, run: agent plan",),
        severity="refuses",
        recurs=False,
    ),
}

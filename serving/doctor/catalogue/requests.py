"""Know the symptoms of single requests, refused or answered badly; finds none."""

from serving.doctor.symptoms import Symptom

REQUESTS: dict[str, Symptom] = {
    "version_pair": Symptom(
        title=("This vLLM and this mistral_common do not fit together",),
        cause=(
            "mistral_common 1.13 requires an argument that vLLM up to 0.33 does not pass: every chat request fails, "
            "though /health is green.",
        ),
        fix=("In the engine's environment: pip install 'mistral_common>=1.11.6,<1.13'",),
        weight="refuses",
    ),
    "auto_choice_off": Symptom(
        title=("The server does not take tools",),
        cause=("It was started without a tool-call parser.",),
        fix=("Start it with `--enable-auto-tool-choice --tool-call-parser mistral`.",),
        weight="refuses",
    ),
    "not_mistral_mode": Symptom(
        title=("A Mistral model is served without the Mistral tokenizer",),
        cause=("The tokenizer of the Hugging Face layout is used; tool calls then fail or arrive garbled.",),
        fix=("Start with `--tokenizer-mode mistral --config-format mistral --load-format mistral`.",),
        weight="refuses",
    ),
    "tool_parsing": Symptom(
        title=("A tool call in an answer could not be read",),
        cause=(
            "The parser did not recognise what the model wrote: the wrong parser or tokenizer mode, or cut output.",
        ),
        fix=(
            "Start with `--tokenizer-mode mistral --tool-call-parser mistral`, raise `max_tokens`, and if it was "
            "rare ask again; then check the server: agent doctor --url URL",
        ),
        weight="refuses",
        again=False,
    ),
    "context_too_long": Symptom(
        title=("A request is longer than the context of {max} tokens",),
        cause=("It came to {n} {unit}.",),
        fix=("Send less, or start the engine with a greater `--max-model-len`, as far as it fits: agent plan",),
        sglang_fix=("Send less, or start the engine with a greater `--context-length`, as far as it fits: agent plan",),
        weight="refuses",
        again=False,
    ),
    "answer_too_long": Symptom(
        title=("A request asks for more tokens than the context holds",),
        cause=("Its max_tokens is {n}, and the context holds {max}.", "Its max_tokens is {n}."),
        fix=("Lower `max_tokens`: prompt and answer together must fit.",),
        weight="refuses",
        again=False,
    ),
    "call_id": Symptom(
        title=("A tool-call id is not of nine letters and digits",),
        cause=(
            "The request carried the id {id}; mistral_common before 1.12 wants exactly nine of a-z, A-Z, 0-9.",
            "The template of the Hugging Face layout wants exactly nine of a-z, A-Z, 0-9.",
        ),
        fix=("Give calls ids of nine letters and digits, and their results the same.",),
        weight="refuses",
        again=False,
    ),
    "call_id_null": Symptom(
        title=("A tool-call id is empty",),
        cause=("The id of a call or of a result is empty or the word null.",),
        fix=("Give calls ids of nine letters and digits, and their results the same.",),
        weight="refuses",
        again=False,
    ),
    "call_id_cut": Symptom(
        title=("Tool-call ids are cut to nine characters",),
        cause=("vLLM keeps the last nine of a longer id, {a} became {b}; two ids that end alike become one.",),
        fix=("Give calls ids of nine letters and digits from the start.",),
        weight="notes",
        again=False,
    ),
    "role_order": Symptom(
        title=("A message of role {a} follows one of role {b}", "The roles of the messages do not alternate"),
        cause=(
            "Mistral's format does not allow {a} after {b}.",
            "The template wants user and assistant in turn, with tools only after a call.",
        ),
        fix=("Reorder the messages: system first, a tool's result only after its call, an answer before the next.",),
        weight="refuses",
        again=False,
    ),
    "last_role": Symptom(
        title=("The last message is of role {role}",),
        cause=("The model continues after a user or a tool; after {role} there is nothing to answer.",),
        fix=("End the messages with role user or tool; to continue a text, send `continue_final_message`.",),
        weight="refuses",
        again=False,
    ),
    "call_pairs": Symptom(
        title=("There are not as many tool results as calls",),
        cause=("Each call of a turn needs exactly one result before the next turn.",),
        fix=("Answer every call, if need be with an error text, each with its own `tool_call_id`.",),
        weight="refuses",
        again=False,
    ),
    "result_id": Symptom(
        title=("A tool result has the wrong id",),
        cause=("{which} id {id}: each result names the one call it answers.",),
        fix=("Give every result the `tool_call_id` of its own call.",),
        weight="refuses",
        again=False,
    ),
    "empty_assistant": Symptom(
        title=("An assistant message is empty",),
        cause=(
            "A turn without text, reasoning and calls is refused; often it is an answer that ran out of max_tokens.",
        ),
        fix=("Leave such a turn out of the history, and raise `max_tokens`.",),
        weight="refuses",
        again=False,
    ),
    "function_name": Symptom(
        title=("A tool has a name that is not allowed: {name}",),
        cause=("Names are of letters, digits, underscores and dashes, 64 at most.",),
        fix=("Rename the tool.",),
        weight="refuses",
        again=False,
    ),
    "unknown_role": Symptom(
        title=("A message has the role {role}, which is not known",),
        cause=("Roles are system, user, assistant and tool; developer only from mistral_common 1.13 on.",),
        fix=("Send it as role system.",),
        weight="refuses",
        again=False,
    ),
    "two_reasonings": Symptom(
        title=("A message carries two different reasonings",),
        cause=("`reasoning` and `reasoning_content` name the same thing and differ.",),
        fix=("Send `reasoning` only.",),
        weight="refuses",
        again=False,
    ),
    "chat_template": Symptom(
        title=("A request carries a chat template",),
        cause=("With the Mistral tokenizer there is no chat template: `chat_template` and its kwargs are refused.",),
        fix=(
            "Send `reasoning_effort` as a field of its own, and leave `chat_template` and `chat_template_kwargs` out.",
        ),
        weight="refuses",
        again=False,
    ),
    "effort": Symptom(
        title=("The reasoning effort {value} is not one of this model",),
        cause=("It knows {allowed}.", "This model knows none and high."),
        fix=('Send `reasoning_effort` none or high; or map it: `--reasoning-effort-map \'{{"{value}": "high"}}\'`',),
        weight="refuses",
        again=False,
    ),
    "extra_field": Symptom(
        title=("A message carries a field that the server does not allow: {field}",),
        cause=("The server's schema is strict; a field that it sent itself may be refused when it comes back.",),
        fix=("Strip it from the messages before they are sent again.",),
        weight="refuses",
        again=False,
    ),
    "result_without_id": Symptom(
        title=("A tool result does not say which call it answers",),
        cause=("A message of role tool has no `tool_call_id`.",),
        fix=("Give every result the `tool_call_id` of its own call.",),
        weight="refuses",
        again=False,
    ),
    "arguments_broken": Symptom(
        title=("A call in a conversation has arguments that are no JSON",),
        cause=("The engine took an empty object instead, so the model sees a call of {name} that it did not make.",),
        fix=("Repair or leave out calls whose arguments do not parse, before they are sent again.",),
        weight="harms",
        again=False,
    ),
    "bad_schema": Symptom(
        title=("The schema of a tool is wrong",),
        cause=("The engine says: {why}",),
        fix=("Correct the tool's `parameters`: they must be a JSON Schema.",),
        weight="refuses",
        again=False,
    ),
    "choice_unknown": Symptom(
        title=("A request's tool_choice is {value}, which the engine does not know",),
        cause=("vLLM knows none, auto, required and a named function.",),
        fix=("Send `tool_choice` required where {value} was meant to force a call.",),
        weight="refuses",
        again=False,
    ),
    "bad_field": Symptom(
        title=("A field of a request is wrong: {field}",),
        cause=("The engine says: {why}",),
        fix=("Correct this field, or leave it out.",),
        weight="refuses",
        again=False,
    ),
    "all_refused": Symptom(
        title=("Every chat request was refused ({status})",),
        cause=("None of {n} was answered, and the log does not say why: vLLM tells it only in the answer.",),
        fix=("Ask the server itself: agent doctor --url URL",),
        weight="refuses",
        again=False,
    ),
    "model_unknown": Symptom(
        title=("The server serves no model {name}",),
        cause=("The name in the request is not the served one.",),
        fix=("Ask for a name that /v1/models lists, or start with `--served-model-name {name}`.",),
        weight="refuses",
        again=False,
    ),
    "choice_without_tools": Symptom(
        title=("A request sets tool_choice without tools",),
        cause=("There is nothing to choose from.",),
        fix=("Send `tools`, or leave `tool_choice` out.",),
        weight="refuses",
        again=False,
    ),
    "choice_of_no_tool": Symptom(
        title=("A request's tool_choice names a tool that it does not carry",),
        cause=("The named tool {name} is not in `tools`.", "The named tool is not in `tools`."),
        fix=("Name one of the tools that are sent.",),
        weight="refuses",
        again=False,
    ),
    "no_images": Symptom(
        title=("A request carries an image, and this server sees none",),
        cause=("The model has no vision tower, or was started with `--language-model-only`.",),
        fix=("Leave the images out, or start without `--language-model-only` (and see what it costs: agent plan).",),
        weight="refuses",
        again=False,
    ),
    "slow_first_request": Symptom(
        title=("A request waited for a kernel to be compiled",),
        cause=("The first request of a new shape compiles {kernel}; those after it do not wait.",),
        fix=("Send a request of the usual length after each start, before users come.",),
        weight="harms",
        again=False,
    ),
    "sampling_overridden": Symptom(
        title=("The server's own sampling settings apply where a request sets none",),
        cause=("They come from the model's generation_config.json; two servers may so answer differently.",),
        fix=(
            "Send temperature and top_p with each request (0.0 for exact jobs; 0.7 and top_p 0.95 for reasoning high), "
            "or start with `--generation-config vllm`.",
        ),
        weight="notes",
    ),
    "kv_fp8": Symptom(
        title=("The KV cache is kept in FP8",),
        cause=("It takes half the memory; without scaling factors in the checkpoint answers may become less exact.",),
        fix=("If answers are worse than expected, compare with `--kv-cache-dtype auto`.",),
        weight="notes",
    ),
}

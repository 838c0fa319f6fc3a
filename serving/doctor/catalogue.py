"""Know the symptoms: what each is called, why it happens and what mends it; finds none."""

from .symptoms import Symptom

_HALF_START = (
    "Lower `--max-model-len` or `--max-num-batched-tokens`, give more GPUs (`--tensor-parallel-size`), or plan first: "
    "agent plan"
)

_START: dict[str, Symptom] = {
    "kv_too_small": Symptom(
        title=("The KV cache is too small for one request of {len} tokens",),
        cause=(
            "One request of {len} tokens needs {need} GiB of KV cache, and {have} GiB are left beside the weights and "
            "the activation.",
        ),
        fix=(
            "Start with `--max-model-len {est}` or less; or store the cache in half the bytes with "
            "`--kv-cache-dtype fp8`; or give more GPUs (`--tensor-parallel-size`).",
            "Not even the shortest context fits: give more memory (`--gpu-memory-utilization`, at most 0.92), more "
            "GPUs (`--tensor-parallel-size`), or serve a smaller model.",
        ),
        weight="ends",
        hides=("no_fit",),
    ),
    "no_kv": Symptom(
        title=("No memory is left for the KV cache",),
        cause=(
            "The weights and the activation of one pass take all that the engine may use of a GPU; nothing remains for "
            "the KV cache.",
        ),
        fix=(
            "Give more GPUs (`--tensor-parallel-size`), or more of each (`--gpu-memory-utilization 0.9`), or lower "
            "`--max-num-batched-tokens`; `--language-model-only` leaves the vision tower out.",
        ),
        weight="ends",
    ),
    "no_fit": Symptom(
        title=("No context length fits beside the weights",),
        cause=("`--max-model-len auto` found no length for which the KV cache has room, not even one token.",),
        fix=(
            "Give more GPUs (`--tensor-parallel-size`), or more of each (`--gpu-memory-utilization 0.9`), or lower "
            "`--max-num-batched-tokens`.",
        ),
        weight="ends",
    ),
    "busy_gpu": Symptom(
        title=("GPU {dev} is not free: {free} of {total} GiB",),
        cause=(
            "The engine is to take {req} GiB ({util} of the GPU), but only {free} GiB were free when it started: "
            "something else holds memory there, often an engine that was not ended.",
        ),
        fix=("See who holds it with `nvidia-smi`, end it, and start again; or lower `--gpu-memory-utilization`.",),
        weight="ends",
    ),
    "cpu_memory_short": Symptom(
        title=("This machine has too little free memory: {free} of {total} GiB",),
        cause=(
            "The engine on the CPU wants {kv} GiB for its KV cache alone.",
            "The engine wants {req} GiB ({util} of it).",
        ),
        fix=("Free memory, or ask for less: `VLLM_CPU_KVCACHE_SPACE=1` (GiB) in the environment.",),
        weight="ends",
    ),
    "load_oom": Symptom(
        title=("The weights do not fit on the GPU",),
        cause=("The GPU's memory was full before the whole checkpoint was loaded.",),
        fix=(
            "Give more GPUs (`--tensor-parallel-size`), or free the GPU (`nvidia-smi` shows who holds memory); "
            "`--language-model-only` leaves the vision tower out.",
        ),
        weight="ends",
        hides=("torch_oom",),
    ),
    "warm_oom": Symptom(
        title=("The GPU's memory was full in the warm-up with {n} requests",),
        cause=(
            "The last step of the start computes {n} requests at once, and found too little memory beside the cache.",
        ),
        fix=("Lower `--max-num-seqs` (it was {n}), or `--gpu-memory-utilization`.",),
        weight="ends",
        hides=("torch_oom",),
    ),
    "torch_oom": Symptom(
        title=("The GPU's memory was full during the start",),
        cause=(
            "torch asked for {asked} on GPU {gpu}, which had {free} free of {total}.",
            "torch asked for {asked}, and the GPU had less.",
            "torch asked the GPU for more than it had free.",
        ),
        fix=(_HALF_START,),
        sglang_fix=("Lower `--mem-fraction-static` or `--chunked-prefill-size`, or give more GPUs (`--tp`).",),
        weight="ends",
        when_ready="oom_under_load",
    ),
    "oom_under_load": Symptom(
        title=("The GPU's memory was full under load",),
        cause=(
            "torch asked for {asked} on GPU {gpu}, which had {free} free of {total}. A full KV cache never does this; "
            "the activation of one pass was greater than what is left beside the cache.",
            "The activation of one pass was greater than what is left beside the cache.",
        ),
        fix=(
            "Lower `--gpu-memory-utilization` (0.85, then 0.8) or `--max-num-batched-tokens`: both leave more room for "
            "the activation.",
        ),
        sglang_fix=("Lower `--mem-fraction-static` or `--chunked-prefill-size`.",),
        weight="ends",
        again=False,
    ),
    "world_size": Symptom(
        title=("{ws} GPUs are asked for, {n} are here",),
        cause=("`--tensor-parallel-size` times `--pipeline-parallel-size` is {ws}; this machine shows {n} GPUs.",),
        fix=("Start with `--tensor-parallel-size {n}`, or let the process see more: check `CUDA_VISIBLE_DEVICES`.",),
        weight="ends",
    ),
    "len_too_great": Symptom(
        title=("--max-model-len {len} is more than the model is made for",),
        cause=("The model's own files say {key}={max}.",),
        fix=("Start with `--max-model-len {max}` or less.",),
        weight="ends",
    ),
    "unknown_tool_parser": Symptom(
        title=("vLLM knows no tool-call parser {name!r}",),
        cause=("`--tool-call-parser {name}` is not in its list.",),
        fix=("For a Mistral model: `--tool-call-parser mistral`",),
        weight="ends",
    ),
    "unknown_reasoning_parser": Symptom(
        title=("vLLM knows no reasoning parser {name!r}",),
        cause=("`--reasoning-parser {name}` is not in its list.",),
        fix=("For a Mistral model: `--reasoning-parser mistral`",),
        weight="ends",
    ),
    "no_tool_parser": Symptom(
        title=("Automatic tool choice was asked for without a parser",),
        cause=("`--enable-auto-tool-choice` needs to know in which form this model writes its calls.",),
        fix=("For a Mistral model add: `--tool-call-parser mistral`",),
        weight="ends",
    ),
    "bad_flag": Symptom(
        title=("The engine knows no flag {flag}",),
        cause=("It read the command line as far as {arguments!r} and does not know that.",),
        fix=("Perhaps `{nearest}` was meant.", "Leave it out; `vllm serve --help=all` lists all flags."),
        weight="ends",
    ),
    "bad_value": Symptom(
        title=("The value of {flag} is wrong",),
        cause=("{why}",),
        fix=("Correct the value; `vllm serve --help={flag}` describes it.",),
        weight="ends",
    ),
    "external_dp": Symptom(
        title=("A dense model cannot be served with external data parallelism",),
        cause=("vLLM keeps `--data-parallel-rank` and its kin for mixture-of-experts models.",),
        fix=("Start independent servers without `--data-parallel-…` behind a router: agent deploy router",),
        weight="ends",
    ),
    "port_in_use": Symptom(
        title=("The port is in use",),
        cause=("Another process listens where this server should.",),
        fix=("Give another one with `--port`, or find who has it: `ss -ltnp`",),
        weight="ends",
    ),
    "killed": Symptom(
        title=("{who} was killed",),
        cause=("It ended by signal 9. Unless somebody sent it, that is the kernel, which had no memory left.",),
        fix=(
            "Look with `dmesg -T | grep -i 'out of memory'`, and give the machine or the container more memory (RAM).",
        ),
        weight="ends",
        again=False,
    ),
    "disk_full": Symptom(
        title=("The disk is full",),
        cause=("The system refused to write: no space left on device.",),
        fix=("Free space (`df -h`), or let weights and caches lie elsewhere: `HF_HOME`, `VLLM_CACHE_ROOT`, `TMPDIR`.",),
        weight="ends",
    ),
}

_REQUEST: dict[str, Symptom] = {
    "version_pair": Symptom(
        title=("This vLLM and this mistral_common do not fit together",),
        cause=(
            "mistral_common 1.13 requires an argument that vLLM 0.33 and earlier do not pass: every chat request fails, "
            "though /health is green.",
        ),
        fix=("In the engine's environment: pip install 'mistral_common>=1.11.6,<1.13'",),
        weight="refuses",
    ),
    "context_too_long": Symptom(
        title=("A request is longer than the context of {max} tokens",),
        cause=("It held {n} {unit}.",),
        fix=("Send less, or start the engine with a greater `--max-model-len`, as far as the plan allows: agent plan",),
        weight="refuses",
        again=False,
    ),
    "call_id": Symptom(
        title=("A tool-call id is not of nine letters and digits",),
        cause=("The request carried the id {id!r}; mistral_common before 1.12 wants exactly nine of a-z, A-Z, 0-9.",),
        fix=("Make the ids of calls and results nine letters and digits, the same in both.",),
        weight="refuses",
        again=False,
    ),
    "call_id_null": Symptom(
        title=("A tool-call id is empty",),
        cause=("The id of a call or of a result is empty or the word null.",),
        fix=("Give every call an id of nine letters and digits, and its result the same.",),
        weight="refuses",
        again=False,
    ),
    "role_order": Symptom(
        title=("A message of role {a} follows one of role {b}",),
        cause=("Mistral's format does not allow {a} after {b}.",),
        fix=("Reorder the messages: system first, a tool's result only after its call, an answer before the next.",),
        weight="refuses",
        again=False,
    ),
    "last_role": Symptom(
        title=("The last message is of role {role}",),
        cause=("The model continues after a user or a tool; after {role} there is nothing to answer.",),
        fix=("End the messages with role user or tool; to continue a text, send `continue_final_message: true`.",),
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
    "empty_assistant": Symptom(
        title=("An assistant message is empty",),
        cause=(
            "A turn without text, reasoning and calls is refused; it often is an answer that ran out of max_tokens.",
        ),
        fix=("Leave such a turn out of the history, and raise `max_tokens`.",),
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
}

_LOAD: dict[str, Symptom] = {
    "preemption": Symptom(
        title=("Requests were preempted: the KV cache is too small for the load",),
        cause=(
            "With {r} requests at once the cache was full; {n} in ten seconds were set back and computed again later. "
            "Nothing is lost but time.",
        ),
        fix=(
            "Cap the context (`--max-model-len`) or the requests at once (`--max-num-seqs`), store the cache in half "
            "the bytes (`--kv-cache-dtype fp8`), or give more GPUs.",
        ),
        weight="harms",
        again=False,
    ),
}

CATALOGUE: dict[str, Symptom] = {**_START, **_REQUEST, **_LOAD}

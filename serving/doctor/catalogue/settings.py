"""Know the symptoms of a command line that the engine does not take; finds none."""

from ..symptoms import Symptom

SETTINGS: dict[str, Symptom] = {
    "bad_flag": Symptom(
        title=("The engine knows no flag {flag}",),
        cause=("It understood the command line up to `{arguments}`.",),
        fix=("Perhaps `{nearest}` was meant.", "Leave it out; `vllm serve --help=all` lists all flags."),
        sglang_fix=(
            "Perhaps `{nearest}` was meant.",
            "Leave it out; `python -m sglang.launch_server --help` lists all flags.",
        ),
        weight="ends",
    ),
    "bad_value": Symptom(
        title=("The value of {flag} is wrong",),
        cause=("The engine says: {why}",),
        fix=("Correct it.",),
        weight="ends",
    ),
    "bad_setting": Symptom(
        title=("A setting has the wrong value {value}",),
        cause=("The engine says: {why}",),
        fix=("Correct the flag that gave it; the line above in the log names the setting.",),
        weight="ends",
    ),
    "unknown_tool_parser": Symptom(
        title=("vLLM knows no tool-call parser {name}",),
        cause=("`--tool-call-parser {name}` is not in its list.",),
        fix=("For a Mistral model: `--tool-call-parser mistral`",),
        weight="ends",
    ),
    "unknown_reasoning_parser": Symptom(
        title=("vLLM knows no reasoning parser {name}",),
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
    "len_too_great": Symptom(
        title=("A context of {len} tokens is more than the model is made for",),
        cause=("The model's own files say {max}.",),
        fix=("Start with `--max-model-len {max}` or less.",),
        sglang_fix=("Start with `--context-length {max}` or less.",),
        weight="ends",
    ),
    "world_size": Symptom(
        title=("{ws} GPUs are asked for, {n} are here",),
        cause=("`--tensor-parallel-size` times `--pipeline-parallel-size` is {ws}; this machine shows {n} GPUs.",),
        fix=("Start with `--tensor-parallel-size {n}`, or let the process see more: check `CUDA_VISIBLE_DEVICES`.",),
        weight="ends",
    ),
    "heads_not_divisible": Symptom(
        title=("{heads} attention heads cannot be split over {tp} GPUs",),
        cause=("Each GPU takes the same number of heads, and {heads} is not divisible by {tp}.",),
        fix=("Start with a `--tensor-parallel-size` that divides {heads}: 1, 2, 4 or 8.",),
        weight="ends",
    ),
    "batched_tokens_too_few": Symptom(
        title=("--max-num-batched-tokens {tokens} is too small",),
        cause=("It must not be less than {other}, which is {least}.",),
        fix=("Start with `--max-num-batched-tokens {least}` or more (8192 or 16384 are usual).",),
        weight="ends",
    ),
    "external_dp": Symptom(
        title=("A dense model cannot be served with external data parallelism",),
        cause=("vLLM keeps `--data-parallel-rank` and its kin for mixture-of-experts models.",),
        fix=("Start independent servers without `--data-parallel-…` behind a router: agent deploy router",),
        weight="ends",
    ),
    "quantization_unsupported": Symptom(
        title=("This GPU cannot compute in the format of the weights",),
        cause=("The weights need compute capability {least} (89 is 8.9), and the GPU has {have}.",),
        fix=("Take GPUs of the Hopper or Blackwell generation (H100, H200, B200), or other weights.",),
        weight="ends",
    ),
    "bfloat16_unsupported": Symptom(
        title=("This GPU does not know bfloat16",),
        cause=("It is a {gpu}; bfloat16 came with compute capability 8.0.",),
        fix=("Take newer GPUs (A100 and later), or for a small model: `--dtype half`",),
        weight="ends",
    ),
    "template_file": Symptom(
        title=("The chat template's file does not exist",),
        cause=("`--chat-template` names {file}.",),
        fix=("Leave `--chat-template` out: with `--tokenizer-mode mistral` there is none.",),
        weight="ends",
    ),
    "sglang_draft_dtype": Symptom(
        title=("This SGLang cannot load the draft model",),
        cause=("Early images fail so on the EAGLE draft of this model.",),
        fix=("Take a newer SGLang (0.5.23 is known), and start with `--dtype bfloat16`.",),
        weight="ends",
    ),
    "port_in_use": Symptom(
        title=("The port {port} is in use", "The port is in use"),
        cause=("Another process listens where this server should.",),
        fix=(
            "Find who has it with `ss -ltnp | grep {port}`, or give another one: `--port`",
            "Find who has it with `ss -ltnp`, or give another one: `--port`",
        ),
        weight="ends",
        again=False,
    ),
    "host_not_ours": Symptom(
        title=("The address to listen on is not one of this machine",),
        cause=("`--host` must be an address of this machine.",),
        fix=("Start with `--host 127.0.0.1`; `ip addr` lists the others.",),
        weight="ends",
    ),
}

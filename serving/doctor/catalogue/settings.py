"""Catalogue of symptoms of a command line that the engine rejects; data only."""

from ..symptoms import Symptom

SETTINGS: dict[str, Symptom] = {
    "bad_flag": Symptom(
        title=("The engine has no flag {flag}",),
        cause=("It parsed the command line up to `{arguments}`.",),
        fix=("Did you mean `{nearest}`?", "Remove it; `vllm serve --help=all` lists all flags."),
        sglang_fix=(
            "Did you mean `{nearest}`?",
            "Remove it; `python -m sglang.launch_server --help` lists all flags.",
        ),
        severity="stops",
    ),
    "bad_value": Symptom(
        title=("The value of {flag} is invalid",),
        cause=("The engine reports: {why}",),
        fix=("Correct the value.",),
        severity="stops",
    ),
    "bad_setting": Symptom(
        title=("A setting has the invalid value {value}",),
        cause=("The engine reports: {why}",),
        fix=("Correct the flag that set it; the line above in the log names the setting.",),
        severity="stops",
    ),
    "unknown_tool_parser": Symptom(
        title=("vLLM has no tool-call parser {name}",),
        cause=("`--tool-call-parser {name}` is not in its list.",),
        fix=("For a Mistral model: `--tool-call-parser mistral`",),
        severity="stops",
    ),
    "unknown_reasoning_parser": Symptom(
        title=("vLLM has no reasoning parser {name}",),
        cause=("`--reasoning-parser {name}` is not in its list.",),
        fix=("For a Mistral model: `--reasoning-parser mistral`",),
        severity="stops",
    ),
    "no_tool_parser": Symptom(
        title=("Automatic tool choice was requested without a parser",),
        cause=("`--enable-auto-tool-choice` needs a parser for the format in which this model writes its calls.",),
        fix=("For a Mistral model add: `--tool-call-parser mistral`",),
        severity="stops",
    ),
    "len_too_great": Symptom(
        title=("A context of {len} tokens is longer than the model supports",),
        cause=("The model's own files allow {max}.",),
        fix=("Start with `--max-model-len {max}` or less.",),
        sglang_fix=("Start with `--context-length {max}` or less.",),
        severity="stops",
    ),
    "world_size": Symptom(
        title=("{ws} GPUs are requested, but {n} are available", "More GPUs are requested than are available"),
        cause=(
            "`--tensor-parallel-size` times `--pipeline-parallel-size` is {ws}; this machine shows {n} GPUs.",
            "`--tensor-parallel-size` times `--pipeline-parallel-size` is more than the GPUs that this machine shows.",
        ),
        fix=(
            "Start with `--tensor-parallel-size {n}`, or make more GPUs visible to the process: check "
            "`CUDA_VISIBLE_DEVICES`.",
            "Compare `nvidia-smi -L` with `--tensor-parallel-size`, and check `CUDA_VISIBLE_DEVICES`.",
        ),
        severity="stops",
    ),
    "heads_not_divisible": Symptom(
        title=("{heads} attention heads cannot be split over {tp} GPUs",),
        cause=("Each GPU takes the same number of heads, but {heads} is not divisible by {tp}.",),
        fix=("Start with a `--tensor-parallel-size` that divides {heads}: 1, 2, 4 or 8.",),
        severity="stops",
    ),
    "not_divisible": Symptom(
        title=("A dimension of the model ({size}) cannot be split over {tp} GPUs",),
        cause=("Each GPU takes the same share, but {size} is not divisible by {tp}.",),
        fix=("Start with another `--tensor-parallel-size`: 1, 2, 4 or 8 divide most models.",),
        sglang_fix=("Start with another `--tp-size`: 1, 2, 4 or 8 divide most models.",),
        severity="stops",
    ),
    "quantised_shape": Symptom(
        title=("The quantized weights cannot be split over so many GPUs",),
        cause=(
            "Each GPU would get {size} rows or columns, which is no multiple of the format's block size.",
            "Each GPU's share must be a multiple of the format's block size.",
        ),
        fix=(
            "Lower `--tensor-parallel-size` (to 1 or 2), and use `--pipeline-parallel-size` for the other GPUs; or "
            "choose another `--quantization` kernel or checkpoint.",
        ),
        sglang_fix=("Lower `--tp-size` (to 1 or 2), or choose a checkpoint with another `--quantization`.",),
        severity="stops",
    ),
    "quantization_mismatch": Symptom(
        title=("The weights are quantized with {config}, not with {given}",),
        cause=("`--quantization {given}` was given, but the model's own files say {config}.",),
        fix=("Omit `--quantization`: the engine reads it from the model's files.",),
        severity="stops",
    ),
    "attention_backend": Symptom(
        title=("The attention kernel {name} does not support this model or GPU",),
        cause=("The engine reports: {why}",),
        fix=("Omit `--attention-backend` (and `VLLM_ATTENTION_BACKEND` in the environment): the engine chooses one.",),
        severity="stops",
    ),
    "pipeline_unsupported": Symptom(
        title=("This model cannot be split by layers over GPUs",),
        cause=("The engine's implementation of the model does not support pipeline parallelism.",),
        fix=("Omit `--pipeline-parallel-size`, and use `--tensor-parallel-size` only.",),
        severity="stops",
    ),
    "batched_tokens_too_few": Symptom(
        title=("--max-num-batched-tokens {tokens} is too small",),
        cause=("It must be at least {other}, which is {least}.",),
        fix=("Start with `--max-num-batched-tokens {least}` or more (8192 or 16384 are usual).",),
        severity="stops",
    ),
    "external_dp": Symptom(
        title=("A dense model cannot be served with external data parallelism",),
        cause=("vLLM supports `--data-parallel-rank` and related flags only for mixture-of-experts models.",),
        fix=("Start independent servers without `--data-parallel-…` behind a router: agent deploy router",),
        severity="stops",
    ),
    "quantization_unsupported": Symptom(
        title=("This GPU does not support the format of the weights",),
        cause=("The weights need compute capability {least} (89 means 8.9), but the GPU has {have}.",),
        fix=("Use GPUs of the Hopper or Blackwell generation (H100, H200, B200), or other weights.",),
        severity="stops",
    ),
    "bfloat16_unsupported": Symptom(
        title=("This GPU does not support bfloat16",),
        cause=("It is a {gpu}; bfloat16 came with compute capability 8.0.",),
        fix=("Use newer GPUs (A100 and later), or for a small model: `--dtype half`",),
        severity="stops",
    ),
    "template_file": Symptom(
        title=("The chat template file does not exist",),
        cause=("`--chat-template` names {file}.",),
        fix=("Omit `--chat-template`: `--tokenizer-mode mistral` uses no template.",),
        severity="stops",
    ),
    "sglang_draft_dtype": Symptom(
        title=("This SGLang cannot load the draft model",),
        cause=("Early images fail this way on this model's EAGLE draft.",),
        fix=("Use a newer SGLang, such as 0.5.23, and start with `--dtype bfloat16`.",),
        severity="stops",
    ),
    "port_in_use": Symptom(
        title=("The port {port} is in use", "The port is in use"),
        cause=("Another process listens on it.",),
        fix=(
            "Find that process with `ss -ltnp | grep {port}`, or choose another port: `--port`",
            "Find that process with `ss -ltnp`, or choose another port: `--port`",
        ),
        severity="stops",
        recurs=False,
    ),
    "host_not_ours": Symptom(
        title=("The address to listen on does not belong to this machine",),
        cause=("`--host` must be an address of this machine.",),
        fix=("Start with `--host 127.0.0.1`; `ip addr` lists the others.",),
        severity="stops",
    ),
}

"""Make the command that starts SGLang, each flag with its reason; start nothing, read no weights.

Source of the flags: `python -m sglang.launch_server --help`, SGLang 0.5.23, read 2026-11-23; that set is kept in
`tests/data/sglang_flags.json`. The values for Mistral Medium 3.5: the SGLang cookbook's page on it, read 2026-11.
"""

import math
from collections.abc import Sequence

from ...capacity.sizing import Plan, PlanRequest
from ...errors import EngineError
from ..command import EngineCommand, Flag, ServeOptions, is_loopback
from ..shared import (
    VARIABLES,
    address_flags,
    features,
    parser_flags,
    split_flag,
    weight_flags,
)


def command(plan: Plan, options: ServeOptions) -> EngineCommand:
    """Make the command for a planned model on GPUs.

    Raises:
        EngineError: it is to be reached from elsewhere or with a key, or SGLang cannot serve what is planned.
    """
    request = plan.request
    _refuse_reach(options)
    _refuse_cpu(request)
    _refuse_text_only(request)
    model = request.model.name
    start = ("-m", "sglang.launch_server", "--model-path", model)
    return EngineCommand(
        engine="sglang",
        program=("python", *start),
        module=("-P", *start),
        flags=(
            *address_flags(options),
            *_size_flags(request),
            *_memory_flags(plan),
            *weight_flags(request),
            *_draft_flags(request),
            *parser_flags(model),
            Flag(words=("--enable-metrics",), reason="offers /metrics, where load and caches are read"),
            Flag(words=("--enable-cache-report",), reason="usage tells how much of a prompt was cached"),
        ),
        environment=VARIABLES,
        model=options.served_model_name or model,
        base_url=f"{options.root_url}/v1",
        health_url=f"{options.root_url}/health",
        uses=features(model, drafts=request.draft is not None),
    )


def _refuse_reach(options: ServeOptions) -> None:
    if options.api_key_file is None and is_loopback(options.host):
        return
    # The key may come from the YAML file of --config, but the line `server_args={...}` of SGLang's log shows it
    # all the same: 0.5.23, entrypoints/engine.py:1185, where only the watermark's secrets are taken out.
    raise EngineError(
        "Cannot guard SGLang with a key, so it is served to this machine alone.",
        cause="SGLang 0.5.23 takes a key as an argument or from a configuration file, reads no variable for it, and "
        "writes all its settings, the key included, to its log.",
        do="Leave --host and --api-key-file away, and put a proxy before it that asks for a key; or plan with "
        "--engine vllm, which reads the key from its environment.",
    )


def _refuse_cpu(request: PlanRequest) -> None:
    if request.gpus.gpu.name == "cpu":
        raise EngineError(
            f"SGLang serves {request.model.title} on GPUs only; here it is planned for the CPU.",
            cause="",
            do="Plan with --engine vllm, or name GPUs: --gpus h100:4.",
        )


def _refuse_text_only(request: PlanRequest) -> None:
    if request.language_model_only and request.model.sees_images:
        # Source: SGLang 0.5.23, server_args.py:335 and arg_groups/model_hook.py:1106.
        raise EngineError(
            f"SGLang cannot leave out the vision tower of {request.model.title}: its --language-model-only is for "
            "other models.",
            cause="",
            do="Plan without --language-model-only, or with --engine vllm.",
        )


def _size_flags(request: PlanRequest) -> tuple[Flag, ...]:
    flags = [
        split_flag(request),
        Flag(words=("--context-length", str(request.max_model_len)), reason="tokens of prompt and answer together"),
        Flag(words=("--max-running-requests", str(request.max_num_seqs)), reason="requests at once; more of them wait"),
        Flag(
            words=("--chunked-prefill-size", str(request.max_num_batched_tokens)),
            reason="prompt tokens computed in one pass; the activation peak grows with it",
        ),
    ]
    if request.enforce_eager:
        for phase in ("decode", "prefill"):
            words = (f"--cuda-graph-backend-{phase}", "disabled")
            flags.append(Flag(words=words, reason="no CUDA graphs: less memory, slower answers"))
    return tuple(flags)


def _memory_flags(plan: Plan) -> tuple[Flag, ...]:
    request = plan.request
    flags = [
        Flag(
            words=("--mem-fraction-static", f"{_static_share(plan):g}"),
            reason="share of each GPU for weights and KV cache alone; SGLang's own is low beside a vision tower",
        )
    ]
    if request.kv_cache_memory_bytes is not None:
        flags.append(Flag(words=("--max-total-tokens", str(plan.kv_tokens)), reason="the KV cache, given in tokens"))
    if request.block_size != 1:
        # Source of the default: SGLang 0.5.23, where nothing but some attention backends sets another.
        flags.append(Flag(words=("--page-size", str(request.block_size)), reason="tokens of one KV cache page"))
    if request.kv_cache_dtype == "fp8":
        flags.append(
            Flag(
                words=("--kv-cache-dtype", "fp8_e4m3"),
                reason="a KV cache of half the size; without scales in the checkpoint answers may lose accuracy",
            )
        )
    return tuple(flags)


def _static_share(plan: Plan) -> float:
    """Say the plan's memory as SGLang counts it.

    `mem_fraction_static = (model weights + KV cache pool) / GPU memory capacity` (SGLang 0.5.23,
    arg_groups/memory_hook.py:60), while vLLM's utilisation has activations and graphs in it too.
    """
    static = plan.weights_bytes + max(0, plan.kv_bytes)
    share = static / plan.request.gpus.gpu.memory_bytes
    # Rounded down: a byte too much is an error, a byte too little one token less.
    return min(plan.request.gpu_memory_utilization, math.floor(share * 1000) / 1000)


def _draft_flags(request: PlanRequest) -> Sequence[Flag]:
    draft = request.draft
    if draft is None:
        return ()
    steps = draft.num_speculative_tokens
    return (
        Flag(words=("--dtype", "bfloat16"), reason="the draft names no dtype, and FP16 would be taken for it"),
        Flag(words=("--speculative-algorithm", "EAGLE"), reason="pays off when few requests run"),
        Flag(words=("--speculative-draft-model-path", draft.name), reason="the draft that proposes tokens"),
        Flag(words=("--speculative-num-steps", str(steps)), reason="tokens proposed one after another"),
        Flag(words=("--speculative-eagle-topk", "1"), reason="one chain of proposals, no tree"),
        Flag(words=("--speculative-num-draft-tokens", str(steps + 1)), reason="the proposals and one token beyond"),
    )

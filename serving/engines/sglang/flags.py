"""Build the command that starts SGLang, each flag with its reason; starts nothing and reads no weights.

Source of the flags: `python -m sglang.launch_server --help`, SGLang 0.5.23, read 2026-11-23; the set is in
`tests/data/sglang_flags.json`. Source of the values for Mistral Medium 3.5: its page in the SGLang cookbook, read
2026-11.
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
    tensor_parallel_flag,
    weight_flags,
)


def command(plan: Plan, options: ServeOptions) -> EngineCommand:
    """Build the command for a planned model on GPUs.

    Raises:
        EngineError: other machines can reach the host, or there is a key, or SGLang cannot serve the plan.
    """
    request = plan.request
    _refuse_remote_clients(options)
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
            Flag(words=("--enable-metrics",), reason="serves /metrics, which reports load and caches"),
            Flag(words=("--enable-cache-report",), reason="usage reports how much of a prompt was cached"),
        ),
        environment=VARIABLES,
        model=options.served_model_name or model,
        base_url=f"{options.root_url}/v1",
        health_url=f"{options.root_url}/health",
        uses=features(model, drafts=request.draft is not None),
    )


def _refuse_remote_clients(options: ServeOptions) -> None:
    if options.api_key_file is None and is_loopback(options.host):
        return
    # The key may come from the YAML file of --config, but SGLang's log line `server_args={...}` shows it even then:
    # 0.5.23, entrypoints/engine.py:1185, which removes only the watermark's secrets.
    raise EngineError(
        "Cannot protect SGLang with a key, so it can be served to this machine only.",
        cause="SGLang 0.5.23 takes a key as an argument or from a configuration file, not from a variable, and "
        "writes all its settings, including the key, to its log.",
        do="Omit --host and --api-key-file, and put a proxy that checks a key in front of it; or plan with "
        "--engine vllm, which reads the key from its environment.",
    )


def _refuse_cpu(request: PlanRequest) -> None:
    if request.on_cpu:
        raise EngineError(
            f"SGLang serves {request.model.title} on GPUs only, but this plan is for the CPU.",
            cause="",
            do="Plan with --engine vllm, or for GPUs: --gpus h100:4.",
        )


def _refuse_text_only(request: PlanRequest) -> None:
    if request.language_model_only and request.model.sees_images:
        # Source: SGLang 0.5.23, server_args.py:335 and arg_groups/model_hook.py:1106.
        raise EngineError(
            f"SGLang cannot omit the vision tower of {request.model.title}: its --language-model-only supports only "
            "other models.",
            cause="",
            do="Plan without --language-model-only, or with --engine vllm.",
        )


def _size_flags(request: PlanRequest) -> tuple[Flag, ...]:
    flags = [
        tensor_parallel_flag(request),
        Flag(words=("--context-length", str(request.max_model_len)), reason="tokens of prompt and answer together"),
        Flag(
            words=("--max-running-requests", str(request.max_num_seqs)), reason="concurrent requests; further ones wait"
        ),
        Flag(
            words=("--chunked-prefill-size", str(request.max_num_batched_tokens)),
            reason="prompt tokens computed in one forward pass; the activation peak grows with it",
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
            words=("--mem-fraction-static", f"{_static_fraction(plan):g}"),
            reason="share of each GPU for weights and KV cache only; SGLang's default is low beside a vision tower",
        )
    ]
    if request.kv_cache_memory_bytes is not None:
        flags.append(
            Flag(words=("--max-total-tokens", str(plan.kv_tokens)), reason="the size of the KV cache, in tokens")
        )
    if request.block_size != 1:
        # Source of the default: SGLang 0.5.23, where only some attention backends set another.
        flags.append(Flag(words=("--page-size", str(request.block_size)), reason="tokens per KV cache page"))
    if request.kv_cache_dtype == "fp8":
        flags.append(
            Flag(
                words=("--kv-cache-dtype", "fp8_e4m3"),
                reason="halves the bytes per cached token; without scales in the checkpoint answers may lose accuracy",
            )
        )
    return tuple(flags)


def _static_fraction(plan: Plan) -> float:
    """Convert the plan's memory to SGLang's `mem_fraction_static`.

    `mem_fraction_static = (model weights + KV cache pool) / GPU memory capacity` (SGLang 0.5.23,
    arg_groups/memory_hook.py:60), while vLLM's utilisation also includes activations and graphs.
    """
    static = plan.weights_bytes + max(0, plan.kv_bytes)
    share = static / plan.request.gpus.gpu.memory_bytes
    # Rounded down: one byte too many is an error, one byte too few costs one token.
    return min(plan.request.gpu_memory_utilization, math.floor(share * 1000) / 1000)


def _draft_flags(request: PlanRequest) -> Sequence[Flag]:
    draft = request.draft
    if draft is None:
        return ()
    steps = draft.num_speculative_tokens
    return (
        Flag(words=("--dtype", "bfloat16"), reason="the draft sets no dtype, and FP16 would be used"),
        Flag(words=("--speculative-algorithm", "EAGLE"), reason="pays off when few requests run"),
        Flag(words=("--speculative-draft-model-path", draft.name), reason="the draft that proposes tokens"),
        Flag(words=("--speculative-num-steps", str(steps)), reason="tokens proposed one after another"),
        Flag(words=("--speculative-eagle-topk", "1"), reason="one chain of proposals, not a tree"),
        Flag(words=("--speculative-num-draft-tokens", str(steps + 1)), reason="the proposed tokens and one more"),
    )

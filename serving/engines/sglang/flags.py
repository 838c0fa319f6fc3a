"""Make the command that starts SGLang, each flag with its reason; start nothing, read no weights.

Source of the flags: `python -m sglang.launch_server --help`, SGLang 0.5.23, read 2026-11-23; that set is kept in
`tests/data/sglang_flags.json`. The values for Mistral Medium 3.5: the SGLang cookbook's page on it, read 2026-11.
"""

import math
from collections.abc import Sequence

from serving.engines.command import EngineCommand, Flag, ServeOptions, Variable, refuse_open_host
from serving.errors import EngineError
from serving.planning import Plan, PlanRequest


def command(plan: Plan, options: ServeOptions) -> EngineCommand:
    """Make the command for a planned model on GPUs.

    Raises:
        EngineError: the host is open, a key is wanted, or SGLang cannot serve what is planned.
    """
    request = plan.request
    _refuse_key(options)
    refuse_open_host(options)
    _refuse_unserved(request)
    model = request.model.name
    start = ("-m", "sglang.launch_server", "--model-path", model)
    return EngineCommand(
        engine="sglang",
        program=("python", *start),
        module=("-P", *start),
        flags=(
            *_address_flags(options),
            *_size_flags(request),
            *_memory_flags(plan),
            *_weight_flags(request),
            *_draft_flags(request),
            *_CHAT_FLAGS,
        ),
        environment=_VARIABLES,
        model=options.served_model_name or model,
        base_url=f"{options.root_url}/v1",
        health_url=f"{options.root_url}/health",
        uses=frozenset(["mistral_parser"] if request.draft is None else ["mistral_parser", "draft"]),
    )


def _refuse_key(options: ServeOptions) -> None:
    if options.api_key_file is None:
        return
    # The key may come from the YAML file of --config, but the line `server_args={...}` of SGLang's log shows it
    # all the same: 0.5.23, entrypoints/engine.py:1185, where only the watermark's secrets are taken out.
    raise EngineError(
        "Cannot give SGLang a key: it would stand in its list of processes or in its log.",
        cause="SGLang 0.5.23 takes the key as an argument or from a configuration file, reads no variable for it, and "
        "writes all its settings, the key included, to its log.",
        do="Leave --api-key-file away and serve on 127.0.0.1, behind a proxy that asks for a key; or plan with "
        "--engine vllm, which reads the key from its environment.",
    )


def _refuse_unserved(request: PlanRequest) -> None:
    title = request.model.title
    shipped = next(iter(request.model.weights))
    if request.language_model_only and request.model.sees_images:
        # Source: SGLang 0.5.23, server_args.py:335 and arg_groups/model_hook.py:1106.
        raise EngineError(
            f"SGLang cannot leave the vision tower of {title} out: its --language-model-only knows other families.",
            cause="",
            do="Plan without --language-model-only, or with --engine vllm.",
        )
    if request.weights == "bf16" and shipped != "bf16":
        raise EngineError(
            f"{title} cannot be served in BF16: it is published in {shipped.upper()} only.",
            cause="",
            do=f"Leave --weights away, or give --weights {shipped}.",
        )


def _address_flags(options: ServeOptions) -> tuple[Flag, ...]:
    flags = [
        Flag(words=("--host", options.host), reason="who can reach the server"),
        Flag(words=("--port", str(options.port)), reason="where it listens"),
    ]
    if options.served_model_name is not None:
        flags.append(Flag(words=("--served-model-name", options.served_model_name), reason="what requests call it"))
    if options.download_dir is not None:
        flags.append(Flag(words=("--download-dir", str(options.download_dir)), reason="where weights are kept"))
    return tuple(flags)


def _size_flags(request: PlanRequest) -> tuple[Flag, ...]:
    size = request.tensor_parallel_size
    flags = [
        Flag(words=("--tensor-parallel-size", str(size)), reason=f"one copy of the model on {size} GPU(s)"),
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


def _weight_flags(request: PlanRequest) -> tuple[Flag, ...]:
    flags: list[Flag] = []
    if request.weights != next(iter(request.model.weights)):
        flags.append(
            Flag(words=("--quantization", "fp8"), reason="the BF16 weights are made FP8 while they are loaded")
        )
    if request.draft is not None:
        flags.append(
            Flag(words=("--dtype", "bfloat16"), reason="the draft names no dtype, and FP16 would be taken for it")
        )
    return tuple(flags)


def _draft_flags(request: PlanRequest) -> Sequence[Flag]:
    draft = request.draft
    if draft is None:
        return ()
    steps = draft.num_speculative_tokens
    return (
        Flag(words=("--speculative-algorithm", "EAGLE"), reason="pays off when few requests run"),
        Flag(words=("--speculative-draft-model-path", draft.name), reason="the draft that proposes tokens"),
        Flag(words=("--speculative-num-steps", str(steps)), reason="tokens proposed one after another"),
        Flag(words=("--speculative-eagle-topk", "1"), reason="one chain of proposals, no tree"),
        Flag(words=("--speculative-num-draft-tokens", str(steps + 1)), reason="the proposals and one token beyond"),
    )


_CHAT_FLAGS = (
    Flag(words=("--tool-call-parser", "mistral"), reason="reads calls as this model writes them"),
    Flag(words=("--reasoning-parser", "mistral"), reason="splits the reasoning from the answer"),
    Flag(words=("--enable-metrics",), reason="offers /metrics, where load and caches are read"),
    Flag(words=("--enable-cache-report",), reason="usage tells how much of a prompt was cached"),
)

_VARIABLES = (
    Variable(name="DO_NOT_TRACK", value="1", reason="the Hugging Face client reports nothing of you"),
    Variable(name="PYTHONSAFEPATH", value="1", reason="no module is taken from the current folder"),
    Variable(name="PYTHONUNBUFFERED", value="1", reason="the log is written as it is said"),
)

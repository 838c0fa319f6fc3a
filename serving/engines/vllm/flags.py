"""Build the command that starts vLLM, each flag with its reason; starts nothing and reads no weights.

Source of the flags: `vllm serve --help`, vLLM 0.32.0, read 2026-11-23; the parsers of 0.26.0 and 0.33.0 accept them
too. `tests/engine/test_flags.py` checks each against the parser of the installed vLLM.
"""

import json
from pathlib import Path

from ...capacity.sizing import Plan, PlanRequest
from ..command import EngineCommand, Flag, ServeOptions, Variable
from ..shared import (
    VARIABLES,
    address_flags,
    features,
    model_has,
    parser_flags,
    refuse_open_host,
    tensor_parallel_flag,
    weight_flags,
)

_DEFAULT_BLOCK_SIZE = 16
"""Tokens per KV cache block in vLLM. Source: vLLM 0.32.0, config/cache.py:72."""


def command(plan: Plan, options: ServeOptions) -> EngineCommand:
    """Build the command for a planned model.

    Raises:
        EngineError: other machines can reach the host and there is no key, or the weights do not exist in the planned
            format.
    """
    refuse_open_host(options)
    request = plan.request
    model = request.model.name
    return EngineCommand(
        engine="vllm",
        program=("vllm", "serve", model),
        # Not the `vllm` script: its first line contains the path of the environment it was installed in.
        # -P: the current folder may contain a file with the name of one of vLLM's imports.
        module=("-P", "-m", "vllm.entrypoints.cli.main", "serve", model),
        flags=(
            *address_flags(options),
            *_size_flags(request),
            *_memory_flags(request),
            *weight_flags(request),
            *_draft_flags(request),
            *_layout_flags(model),
            *_chat_flags(model),
        ),
        environment=(*_key_variables(options), *_variables(request)),
        model=options.served_model_name or model,
        base_url=f"{options.root_url}/v1",
        health_url=f"{options.root_url}/health",
        uses=features(model, drafts=request.draft is not None),
    )


def _size_flags(request: PlanRequest) -> tuple[Flag, ...]:
    flags = [
        *(() if request.on_cpu else (tensor_parallel_flag(request),)),
        Flag(
            words=("--max-model-len", str(request.max_model_len)),
            reason="tokens of prompt and answer together; one request of this length must fit in the KV cache",
        ),
        Flag(words=("--max-num-seqs", str(request.max_num_seqs)), reason="concurrent requests; further ones wait"),
        Flag(
            words=("--max-num-batched-tokens", str(request.max_num_batched_tokens)),
            reason="tokens computed in one forward pass; the activation peak grows with it",
        ),
    ]
    if request.enforce_eager:
        reason = (
            "compiling takes a minute at each start and gains nothing on a CPU"
            if request.on_cpu
            else "no CUDA graphs: less memory, but one request got a third of the speed on two H200s"
        )
        flags.append(Flag(words=("--enforce-eager",), reason=reason))
    return tuple(flags)


def _memory_flags(request: PlanRequest) -> tuple[Flag, ...]:
    flags: list[Flag] = []
    if not request.on_cpu:
        flags.append(
            Flag(
                words=("--gpu-memory-utilization", f"{request.gpu_memory_utilization:g}"),
                reason="share of each GPU that vLLM may use; its default is 0.92, the model card's is 0.8",
            )
        )
    if request.kv_cache_memory_bytes is not None:
        words = ("--kv-cache-memory-bytes", str(request.kv_cache_memory_bytes))
        flags.append(Flag(words=words, reason="the size of the KV cache, set instead of profiled"))
    if request.kv_cache_dtype != "auto":
        flags.append(
            Flag(
                words=("--kv-cache-dtype", request.kv_cache_dtype),
                reason="halves the bytes per cached token; without scales in the checkpoint answers may lose accuracy",
            )
        )
    if request.kv_offloading_size is not None:
        words = ("--kv-offloading-size", f"{request.kv_offloading_size:g}")
        flags.append(Flag(words=words, reason="GiB of CPU memory for cached tokens that leave the GPUs"))
    if request.block_size != _DEFAULT_BLOCK_SIZE:
        flags.append(Flag(words=("--block-size", str(request.block_size)), reason="tokens per KV cache block"))
    if request.language_model_only:
        flags.append(Flag(words=("--language-model-only",), reason="no vision tower: more KV cache, no images"))
    return tuple(flags)


def _draft_flags(request: PlanRequest) -> tuple[Flag, ...]:
    draft = request.draft
    if draft is None:
        return ()
    config = {
        "method": "eagle",
        "model": draft.name,
        "num_speculative_tokens": draft.num_speculative_tokens,
        # vLLM refuses a draft with a longer context than its target (0.32.0, config/speculative.py:1656).
        "max_model_len": min(draft.max_model_len, request.max_model_len),
    }
    return (
        Flag(
            words=("--speculative-config", json.dumps(config)),
            reason=f"EAGLE proposes {draft.num_speculative_tokens} tokens per step; pays off when few requests run",
        ),
    )


def _layout_flags(model: str) -> tuple[Flag, ...]:
    """Return the flags for Mistral's own layout; for a folder without it, vLLM detects the layout."""
    flags: list[Flag] = []
    if model_has(model, "tekken.json"):
        flags.append(
            Flag(words=("--tokenizer-mode", "mistral"), reason="Mistral's own tokenizer, on which tool calls depend")
        )
    if model_has(model, "params.json"):
        flags += [
            Flag(words=("--config-format", "mistral"), reason="reads params.json; the other layout has other call ids"),
            Flag(words=("--load-format", "mistral"), reason="reads consolidated*.safetensors, one of the two layouts"),
        ]
    return tuple(flags)


def _chat_flags(model: str) -> tuple[Flag, ...]:
    flags: list[Flag] = []
    if model_has(model, "tekken.json"):
        flags += [
            *parser_flags(model),
            Flag(words=("--enable-auto-tool-choice",), reason="the model decides when to call a tool"),
            Flag(
                words=("--structured-outputs-config", json.dumps({"enable_in_reasoning": True})),
                reason="enforces choice and regex at effort none too, where no end of reasoning enables them",
            ),
        ]
    return (
        *flags,
        Flag(words=("--enable-prefix-caching",), reason="the earlier steps of a conversation are not recomputed"),
        Flag(words=("--enable-prompt-tokens-details",), reason="usage reports how much of a prompt was cached"),
        Flag(
            words=("--disable-access-log-for-endpoints", "/health,/metrics"),
            reason="monitoring requests these every few seconds and would fill the log",
        ),
    )


def _key_variables(options: ServeOptions) -> tuple[Variable, ...]:
    if options.api_key_file is None:
        return ()
    return (
        Variable(
            # Arguments are visible to everyone who can list processes. Source: vLLM 0.32.0, envs.py:820.
            name="VLLM_API_KEY",
            value="",
            reason="required for /v1 only; other routes, including /invocations, do not check it",
            # The path may be read in another working directory.
            secret_file=options.api_key_file.absolute(),
        ),
    )


def _variables(request: PlanRequest) -> tuple[Variable, ...]:
    variables = list(VARIABLES)
    if request.on_cpu:
        # This vLLM has an environment of its own; one for GPUs may be in the user's site-packages.
        reason = "no package is imported from outside the engine's environment"
        variables.append(Variable(name="PYTHONNOUSERSITE", value="1", reason=reason))
    models = [request.model.name] if request.draft is None else [request.model.name, request.draft.name]
    if all(Path(model).is_dir() for model in models):
        variables += [
            Variable(name="HF_HUB_OFFLINE", value="1", reason="all files are local: nothing is downloaded"),
            Variable(name="TRANSFORMERS_OFFLINE", value="1", reason="the same, for transformers"),
        ]
    return tuple(variables)

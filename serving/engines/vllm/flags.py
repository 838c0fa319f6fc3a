"""Make the command that starts vLLM, each flag with its reason; start nothing, read no weights.

Source of the flags: `vllm serve --help`, vLLM 0.32.0, read 2026-11-23; the parsers of 0.26.0 and 0.33.0 take them too.
`tests/engine_flags.py` holds each of them against the parser of the vLLM that is installed.
"""

import json
from pathlib import Path

from ...capacity.sizing import Plan, PlanRequest
from ..command import EngineCommand, Flag, ServeOptions, Variable
from ..shared import (
    VARIABLES,
    address_flags,
    features,
    holds,
    parser_flags,
    refuse_open_host,
    split_flag,
    weight_flags,
)

_USUAL_BLOCK = 16
"""Tokens of a block where vLLM is told nothing. Source: vLLM 0.32.0, config/cache.py:72."""


def command(plan: Plan, options: ServeOptions) -> EngineCommand:
    """Make the command for a planned model.

    Raises:
        EngineError: the host is open and there is no key, or the weights are not to be had in the planned format.
    """
    refuse_open_host(options)
    request = plan.request
    model = request.model.name
    return EngineCommand(
        engine="vllm",
        program=("vllm", "serve", model),
        # By module and not by the `vllm` script, whose first line names the folder it was installed in.
        # -P: the folder we stand in may hold a file named like one of vLLM's imports.
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
        *(() if _on_cpu(request) else (split_flag(request),)),
        Flag(
            words=("--max-model-len", str(request.max_model_len)),
            reason="tokens of prompt and answer together; one request of it has to fit the KV cache",
        ),
        Flag(words=("--max-num-seqs", str(request.max_num_seqs)), reason="requests at once; more of them wait"),
        Flag(
            words=("--max-num-batched-tokens", str(request.max_num_batched_tokens)),
            reason="tokens computed in one pass; the activation peak grows with it",
        ),
    ]
    if request.enforce_eager:
        why = (
            "compiling takes a minute at each start and gains nothing here"
            if _on_cpu(request)
            else "no CUDA graphs: less memory, slower answers"
        )
        flags.append(Flag(words=("--enforce-eager",), reason=why))
    return tuple(flags)


def _memory_flags(request: PlanRequest) -> tuple[Flag, ...]:
    flags: list[Flag] = []
    if not _on_cpu(request):
        flags.append(
            Flag(
                words=("--gpu-memory-utilization", f"{request.gpu_memory_utilization:g}"),
                reason="share of each GPU that vLLM may take; its own default is 0.92, the model card's is 0.8",
            )
        )
    if request.kv_cache_memory_bytes is not None:
        words = ("--kv-cache-memory-bytes", str(request.kv_cache_memory_bytes))
        flags.append(Flag(words=words, reason="the KV cache, given instead of profiled"))
    if request.kv_cache_dtype != "auto":
        flags.append(
            Flag(
                words=("--kv-cache-dtype", request.kv_cache_dtype),
                reason="a KV cache of half the size; without scales in the checkpoint answers may lose accuracy",
            )
        )
    if request.block_size != _USUAL_BLOCK:
        flags.append(Flag(words=("--block-size", str(request.block_size)), reason="tokens of one KV cache block"))
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
        # vLLM refuses a draft that reaches further than its target (0.32.0, config/speculative.py:1656).
        "max_model_len": min(draft.max_model_len, request.max_model_len),
    }
    return (
        Flag(
            words=("--speculative-config", json.dumps(config)),
            reason=f"EAGLE proposes {draft.num_speculative_tokens} tokens a step; pays off when few requests run",
        ),
    )


def _layout_flags(model: str) -> tuple[Flag, ...]:
    """Name Mistral's own layout; a folder that lacks it is left to what vLLM finds there."""
    flags: list[Flag] = []
    if holds(model, "tekken.json"):
        flags.append(
            Flag(words=("--tokenizer-mode", "mistral"), reason="Mistral's own tokenizer, on which tool calls depend")
        )
    if holds(model, "params.json"):
        flags += [
            Flag(words=("--config-format", "mistral"), reason="params.json; the other layout has other call ids"),
            Flag(words=("--load-format", "mistral"), reason="consolidated*.safetensors: one of the two layouts"),
        ]
    return tuple(flags)


def _chat_flags(model: str) -> tuple[Flag, ...]:
    flags: list[Flag] = []
    if holds(model, "tekken.json"):
        flags += [
            *parser_flags(model),
            Flag(words=("--enable-auto-tool-choice",), reason="lets the model decide when to call"),
            Flag(
                words=("--structured-outputs-config", json.dumps({"enable_in_reasoning": True})),
                reason="choice and regex hold at effort none too, where no reasoning ends",
            ),
        ]
    return (
        *flags,
        Flag(words=("--enable-prefix-caching",), reason="a conversation's earlier steps are not computed again"),
        Flag(words=("--enable-prompt-tokens-details",), reason="usage tells how much of a prompt was cached"),
        Flag(
            words=("--disable-access-log-for-endpoints", "/health,/metrics"),
            reason="who watches asks these every few seconds, and would fill the log",
        ),
    )


def _key_variables(options: ServeOptions) -> tuple[Variable, ...]:
    if options.api_key_file is None:
        return ()
    return (
        Variable(
            # An argument would be seen by everyone who lists processes. Source: vLLM 0.32.0, envs.py:820.
            name="VLLM_API_KEY",
            value="",
            reason="requests below /v1 need it; the others, /invocations too, do not",
            # Whoever reads it may stand in another folder.
            secret_file=options.api_key_file.absolute(),
        ),
    )


def _variables(request: PlanRequest) -> tuple[Variable, ...]:
    variables = list(VARIABLES)
    if _on_cpu(request):
        # It runs in an environment made for it; a GPU's vLLM may well lie in the user's own site-packages.
        reason = "no package from outside the engine's environment"
        variables.append(Variable(name="PYTHONNOUSERSITE", value="1", reason=reason))
    models = [request.model.name] if request.draft is None else [request.model.name, request.draft.name]
    if all(Path(model).is_dir() for model in models):
        variables += [
            Variable(name="HF_HUB_OFFLINE", value="1", reason="all files are here: nothing is fetched"),
            Variable(name="TRANSFORMERS_OFFLINE", value="1", reason="the same, for transformers"),
        ]
    return tuple(variables)


def _on_cpu(request: PlanRequest) -> bool:
    return request.gpus.gpu.name == "cpu"

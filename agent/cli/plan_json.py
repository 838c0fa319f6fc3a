"""Convert a plan to one JSON object with stable names; calculates nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .speed_view import speeds_object

if TYPE_CHECKING:
    from serving.capacity.models import DraftShape
    from serving.capacity.sizing import Plan, PlanRequest, StartMeasurement

JsonValue = str | int | float | bool | None | list["JsonValue"] | dict[str, "JsonValue"]


def plan_object(plan: Plan) -> dict[str, JsonValue]:
    """Return the object that `agent plan --json` prints; amounts are per GPU."""
    other = plan.activation_bytes
    return {
        "version": 1,
        "starts": plan.starts,
        "missing_bytes": plan.missing_bytes,
        "request": _request(plan.request),
        "requested_bytes": plan.requested_bytes,
        "weights_bytes": plan.weights_bytes,
        "activation_bytes": {"low": other.low, "likely": other.likely, "high": other.high},
        "measured": plan.measured,
        "measured_start": _measured_start(plan.measurement),
        "first_start": plan.first_start,
        "kv_bytes": plan.kv_bytes,
        "kv_bytes_per_token": plan.kv_bytes_per_token,
        "num_blocks": plan.num_blocks,
        "kv_tokens": plan.kv_tokens,
        "kv_tokens_low": plan.kv_tokens_low,
        "kv_tokens_high": plan.kv_tokens_high,
        "later_kv_tokens": plan.later_kv_tokens,
        "offloaded_tokens": plan.offloaded_tokens,
        "concurrency": round(plan.concurrency, 4),
        "longest_max_model_len": plan.longest_max_model_len,
        "speeds": speeds_object(plan.speeds),
        "decode_tokens_s_bound": _rounded(plan.decode_tokens_s_bound),
        "decode_tokens_s_bound_full": _rounded(plan.decode_tokens_s_bound_full),
        "changes": [
            {"what": change.what, "option": change.option, "command": command_of(change.request)}
            for change in plan.changes
        ],
        "notes": list(plan.notes),
    }


def command_of(request: PlanRequest) -> str:
    """Return the command line that plans this request."""
    import shlex

    from .plan_options import options_of

    version = () if request.engine_version is None else ("--engine-version", request.engine_version)
    return shlex.join(("agent", "plan", *options_of(request), *version))


def _request(request: PlanRequest) -> dict[str, JsonValue]:
    gpu, model = request.gpus.gpu, request.model
    return {
        "model": model.name,
        "model_bytes": model.weights[request.weights].total(language_model_only=request.language_model_only),
        "model_source": model.source,
        "gpu": gpu.name,
        "gpu_title": gpu.title,
        "gpu_memory_bytes": gpu.memory_bytes,
        "gpu_count": request.gpus.count,
        "gpu_measured": request.gpus.measured,
        "engine": request.engine,
        "engine_version": request.engine_version,
        "tensor_parallel_size": request.tensor_parallel_size,
        "max_model_len": request.max_model_len,
        "max_num_seqs": request.max_num_seqs,
        "max_num_batched_tokens": request.max_num_batched_tokens,
        "concurrency": request.concurrency,
        "weights": request.weights,
        "kv_cache_dtype": request.kv_cache_dtype,
        "gpu_memory_utilization": request.gpu_memory_utilization,
        "language_model_only": request.language_model_only,
        "enforce_eager": request.enforce_eager,
        "block_size": request.block_size,
        "kv_cache_memory_bytes": request.kv_cache_memory_bytes,
        "kv_offloading_size": request.kv_offloading_size,
        "other_bytes": request.other_bytes,
        "draft": _draft(request.draft),
    }


def _measured_start(start: StartMeasurement | None) -> JsonValue:
    if start is None:
        return None
    return {"engine_version": start.engine_version, "compiled": start.compiled, "other_bytes": start.other_bytes}


def _draft(draft: DraftShape | None) -> JsonValue:
    if draft is None:
        return None
    return {"model": draft.name, "num_speculative_tokens": draft.num_speculative_tokens}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)

"""Record what real starts needed besides weights and KV cache, and look it up for the same configuration.

The file is `<state dir>/calibration.json`, replaced as a whole after each measured start. Version 1:

    {"version": 1, "starts": [{"configuration": {"model": "…", "gpu": "h200", …}, "engine_version": "0.33.0",
     "other_bytes": 4294967296, "compiled": true, "first_model_runner": false}]}

A configuration is everything that shapes a pass. It excludes the context, the utilisation and the concurrency, which
change what is left, not what is needed. Nothing is interpolated between configurations. Starts recorded before the last
two keys existed have neither: whether they compiled is not known, and they count for either model runner.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from ..atomic import write_atomically
from .arithmetic import size_up
from .sizing import ByteRange, Overhead, PlanRequest, StartMeasurement

_VERSION = 1
_MAX_STARTS = 200


@dataclass(frozen=True, kw_only=True)
class MeasuredStart:
    """What an engine printed about its memory at the start."""

    engine_version: str
    kv_cache_tokens: int
    """From `GPU KV cache size: N tokens`, which is exact; the lines in GiB are rounded to ten million bytes."""
    compiled: bool | None = None
    """As in `StartMeasurement`."""


@dataclass(frozen=True, kw_only=True)
class _Start:
    configuration: dict[str, str | int | bool | None]
    engine_version: str
    other_bytes: int
    compiled: bool | None = None
    first_model_runner: bool | None = None


def record_start(facts: MeasuredStart, request: PlanRequest, state: Path) -> None:
    """Record what a vLLM start needed; skip a start whose KV cache size was given, because it measured nothing.

    Args:
        facts: what the engine printed.
        request: what it was started with.
        state: the state dir; created if needed.
    """
    if request.kv_cache_memory_bytes is not None or request.engine != "vllm":
        return
    start = _Start(
        configuration=_configuration(request),
        engine_version=facts.engine_version,
        other_bytes=_other_bytes(facts, request),
        compiled=facts.compiled,
        first_model_runner=request.first_model_runner,
    )
    others = [known for known in _read(state) if _key(known) != _key(start)]
    _write([*others, start][-_MAX_STARTS:], state)


def lookup(request: PlanRequest, state: Path) -> StartMeasurement | None:
    """Return what a start of exactly this configuration needed besides weights and KV cache.

    A start of the request's engine version counts, or the last of any version if the request has none; of these, one
    that found its compiled graphs is preferred, because the next start will find them too.

    Returns:
        None if there was no such start.
    """
    wanted = _configuration(request)
    found = [
        StartMeasurement(other_bytes=start.other_bytes, engine_version=start.engine_version, compiled=start.compiled)
        for start in _read(state)
        if start.configuration == wanted
        and request.engine_version in (None, start.engine_version)
        and start.first_model_runner in (None, request.first_model_runner)
    ]
    if not found:
        return None
    same_version = [start for start in found if start.engine_version == found[-1].engine_version]
    return next((start for start in reversed(same_version) if start.compiled is not False), found[-1])


def calibration_path(state: Path) -> Path:
    """Return the path of the file in a state dir."""
    return state / "calibration.json"


def _configuration(request: PlanRequest) -> dict[str, str | int | bool | None]:
    return {
        "model": request.model.name,
        "gpu": request.gpus.gpu.name,
        "tensor_parallel_size": request.tensor_parallel_size,
        "weights": request.weights,
        "kv_cache_dtype": request.kv_cache_dtype,
        "max_num_batched_tokens": request.max_num_batched_tokens,
        "max_num_seqs": request.max_num_seqs,
        "language_model_only": request.language_model_only,
        "draft": request.draft.name if request.draft else None,
        "enforce_eager": request.enforce_eager,
        "block_size": request.block_size,
        "engine": request.engine,
    }


def _key(start: _Start) -> tuple[object, ...]:
    return start.configuration, start.engine_version, start.compiled, start.first_model_runner


def _other_bytes(facts: MeasuredStart, request: PlanRequest) -> int:
    """Calculate from the printed tokens what was used; a plan with this value yields the same tokens."""
    bare = size_up(request, Overhead(share=ByteRange(low=0, likely=0, high=0)))
    page = bare.kv_bytes_per_token * request.block_size
    # Printed is int(num_blocks / blocks per request * max_model_len); this is the smallest num_blocks that yields it.
    per_request = -(-request.max_model_len // request.block_size)
    num_blocks = -(-facts.kv_cache_tokens * per_request // request.max_model_len)
    return bare.kv_bytes - num_blocks * page


def _read(state: Path) -> list[_Start]:
    """Read the starts, oldest first; an unreadable file counts as empty, and the next start overwrites it."""
    try:
        found: Any = json.loads(calibration_path(state).read_text(encoding="utf-8"))
        if found["version"] != _VERSION:
            return []
        starts = [_Start(**start) for start in cast("list[dict[str, Any]]", found["starts"])]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []
    return [start for start in starts if type(start.other_bytes) is int]  # the file may have been edited by hand


def _write(starts: list[_Start], state: Path) -> None:
    text = json.dumps({"version": _VERSION, "starts": [asdict(start) for start in starts]}, indent=1)
    write_atomically(calibration_path(state), text + "\n")

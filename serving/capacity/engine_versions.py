"""Differences between versions of an engine that change a plan; finds no installed version."""

import re
from typing import Literal

from .sizing import EngineName

GraphReserve = Literal["reserved", "outside", "unknown"]
"""Whether the memory of CUDA graphs is part of the engine's share of a GPU, or is taken in addition to it."""


def graph_reserve(engine: EngineName, version: str | None, *, first_runner: bool) -> GraphReserve:
    """Return whether a version sets memory aside for CUDA graphs before it sizes the KV cache.

    Source: the log of vLLM 0.26.0 ("default since v0.21.0", with the first model runner only) and the code of 0.20.2
    and 0.32.0, v1/worker/gpu_worker.py, `determine_available_memory`; what 0.27 to 0.31 do was not read.

    Args:
        engine: the engine; SGLang's share has no room for graphs, so the command that is built leaves it.
        version: as the engine prints it. None means that it is not known.
        first_runner: whether vLLM is told to use its first model runner (VLLM_USE_V2_MODEL_RUNNER=0).
    """
    if engine == "sglang":
        return "reserved"
    found = _NUMBERS.match(version or "")
    if found is None:
        return "unknown"
    number = (int(found[1]), int(found[2]))
    if number < (0, 20):
        return "outside"
    if first_runner or number < (0, 26) or number >= (0, 32):
        return "reserved"
    return "outside" if number == (0, 26) else "unknown"


def compiles_by_default(engine: EngineName, version: str | None) -> bool | None:
    """Return whether a version compiles a model unless told not to: vLLM since its first engine was replaced, in 0.8.

    Returns:
        None if the version is not known, so that it may.
    """
    if engine == "sglang":
        return False
    found = _NUMBERS.match(version or "")
    return None if found is None else (int(found[1]), int(found[2])) >= (0, 8)


_NUMBERS = re.compile(r"(\d{1,4})\.(\d{1,4})")

"""Ask the driver how the GPUs are at this moment: what is free on them, and who holds the rest."""

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any


@dataclass(frozen=True, kw_only=True)
class GpuHolder:
    """A process that holds memory of a GPU."""

    pid: int
    name: str
    """As the kernel calls it; empty: it cannot be seen from here, as from inside a container."""
    used_bytes: int
    """0: the driver does not say."""


@dataclass(frozen=True, kw_only=True)
class GpuState:
    """One GPU at this moment."""

    title: str
    total_bytes: int
    """What an engine sees."""
    free_bytes: int
    holders: tuple[GpuHolder, ...]


@dataclass(frozen=True, kw_only=True)
class Driver:
    """What the driver says."""

    gpus: tuple[GpuState, ...] = ()
    """In the order in which an engine takes them."""
    version: str = ""
    """Empty: there is no driver."""
    trouble: str = ""
    """Why it does not answer. Empty: it does, or it was not asked."""


def ask_driver(environ: Mapping[str, str]) -> Driver:
    """Ask the driver of NVIDIA GPUs; never raises.

    Args:
        environ: `CUDA_VISIBLE_DEVICES` limits the GPUs, as it does for the engine.
    """
    # Late, since only a start on GPUs asks for it; by its name, since it has no types.
    nvml = importlib.import_module("pynvml")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return Driver(trouble=str(error))
    try:
        return Driver(
            gpus=tuple(_state(nvml, handle) for handle in _visible(nvml, environ.get("CUDA_VISIBLE_DEVICES"))),
            version=str(nvml.nvmlSystemGetDriverVersion()),
        )
    except nvml.NVMLError as error:
        return Driver(trouble=str(error))
    finally:
        with contextlib.suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def _visible(nvml: ModuleType, limit: str | None) -> Iterator[object]:
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    if limit is None:
        yield from handles
        return
    # CUDA's rule: numbers or beginnings of UUIDs, and the first that is neither ends the list.
    # Source: CUDA C++ Programming Guide, "CUDA Environment Variables", read 2026-11.
    for word in (part.strip() for part in limit.split(",")):
        named = (
            [handles[int(word)]]
            if word.isdecimal() and int(word) < len(handles)
            else [handle for handle in handles if word and str(nvml.nvmlDeviceGetUUID(handle)).startswith(word)]
        )
        if not named:
            return
        yield named[0]


def _state(nvml: ModuleType, handle: object) -> GpuState:
    memory: Any = nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
    return GpuState(
        title=str(nvml.nvmlDeviceGetName(handle)),
        total_bytes=memory.total - memory.reserved,
        free_bytes=memory.free,
        holders=_holders(nvml, handle),
    )


def _holders(nvml: ModuleType, handle: object) -> tuple[GpuHolder, ...]:
    try:
        found: list[Any] = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except nvml.NVMLError:
        return ()  # Not every driver lets every user ask; it is no reason not to start.
    return tuple(GpuHolder(pid=one.pid, name=_name(one.pid), used_bytes=one.usedGpuMemory or 0) for one in found)


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return ""

"""Read from the driver how much GPU memory is free at this moment, and which processes use the rest."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ..nvml import NoDriver, open_driver


@dataclass(frozen=True, kw_only=True)
class GpuProcess:
    """A process that uses memory of a GPU."""

    pid: int
    name: str
    """The kernel's name for it. Empty if the process is not visible from here, such as from inside a container."""
    used_bytes: int
    """0 if the driver does not report it."""


@dataclass(frozen=True, kw_only=True)
class GpuState:
    """One GPU at this moment."""

    title: str
    total_bytes: int
    """As an engine sees it."""
    free_bytes: int
    processes: tuple[GpuProcess, ...]


@dataclass(frozen=True, kw_only=True)
class Driver:
    """What the driver reports."""

    gpus: tuple[GpuState, ...] = ()
    """In the order in which an engine takes them."""
    version: str = ""
    """Empty if there is no driver."""
    error: str = ""
    """Why the driver does not answer. Empty if it does, or if it was not queried."""


def query_driver(environ: Mapping[str, str]) -> Driver:
    """Query the NVIDIA driver; never raises.

    Args:
        environ: `CUDA_VISIBLE_DEVICES` limits the GPUs, as it does for the engine.
    """
    try:
        with open_driver(environ) as driver:
            return Driver(
                gpus=tuple(_state(driver.nvml, handle) for handle in driver.handles),
                version=str(driver.nvml.nvmlSystemGetDriverVersion()),
            )
    except NoDriver as error:
        return Driver(error=str(error))


def _state(nvml: ModuleType, handle: object) -> GpuState:
    memory: Any = nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
    return GpuState(
        title=str(nvml.nvmlDeviceGetName(handle)),
        total_bytes=memory.total - memory.reserved,
        free_bytes=memory.free,
        processes=_processes(nvml, handle),
    )


def _processes(nvml: ModuleType, handle: object) -> tuple[GpuProcess, ...]:
    try:
        found: list[Any] = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except nvml.NVMLError:
        return ()  # Not every driver allows this for every user; the start can proceed without it.
    return tuple(GpuProcess(pid=one.pid, name=_name(one.pid), used_bytes=one.usedGpuMemory or 0) for one in found)


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return ""

"""Ask the driver how the GPUs are at this moment: what is free on them, and who holds the rest."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ..nvml import NoDriver, open_driver


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
    try:
        with open_driver(environ) as driver:
            return Driver(
                gpus=tuple(_state(driver.nvml, handle) for handle in driver.handles),
                version=str(driver.nvml.nvmlSystemGetDriverVersion()),
            )
    except NoDriver as error:
        return Driver(trouble=str(error))


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

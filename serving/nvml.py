"""Open the driver of NVIDIA GPUs and list those that an engine may use; judges nothing."""

import contextlib
import importlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType


class NoDriver(Exception):
    """There is no driver, or it does not answer; the text is the driver's."""


@dataclass(frozen=True, kw_only=True)
class OpenDriver:
    """The driver while it is open."""

    nvml: ModuleType
    """pynvml, which has no types."""
    handles: tuple[object, ...]
    """The GPUs, in the order in which an engine takes them."""


@contextmanager
def open_driver(environ: Mapping[str, str]) -> Generator[OpenDriver]:
    """Open the driver for the time of a block.

    Args:
        environ: `CUDA_VISIBLE_DEVICES` limits the GPUs, as it does for the engine.

    Raises:
        NoDriver: there is none, or it fails inside the block.
    """
    # Late, since only what is about the GPUs of this machine asks for it; by its name, since it has no types.
    nvml = importlib.import_module("pynvml")
    try:
        nvml.nvmlInit()
        try:
            yield OpenDriver(nvml=nvml, handles=tuple(_visible(nvml, environ.get("CUDA_VISIBLE_DEVICES"))))
        finally:
            with contextlib.suppress(nvml.NVMLError):
                nvml.nvmlShutdown()
    except nvml.NVMLError as error:
        raise NoDriver(str(error)) from error


def _visible(nvml: ModuleType, limit: str | None) -> Iterator[object]:
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    if limit is None:
        yield from handles
        return
    # CUDA's rule: numbers or beginnings of UUIDs, and the first that is neither ends the list.
    # Source: CUDA C++ Programming Guide, "CUDA Environment Variables", read 2026-11.
    for word in (part.strip() for part in limit.split(",")):
        if word.isdecimal() and int(word) < len(handles):
            yield handles[int(word)]
            continue
        named = [handle for handle in handles if word and str(nvml.nvmlDeviceGetUUID(handle)).startswith(word)]
        if not named:
            return
        yield named[0]

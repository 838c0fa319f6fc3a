"""Open the NVIDIA driver and list the GPUs that an engine may use; does not evaluate them."""

import contextlib
import importlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType


class NoDriver(Exception):
    """The driver is missing or does not respond; the text is the driver's."""


@dataclass(frozen=True, kw_only=True)
class OpenDriver:
    """An open driver."""

    nvml: ModuleType
    """pynvml, which is untyped."""
    handles: tuple[object, ...]
    """The GPUs, in the order in which an engine uses them."""


@contextmanager
def open_driver(environ: Mapping[str, str]) -> Generator[OpenDriver]:
    """Open the driver for the duration of a block.

    Args:
        environ: `CUDA_VISIBLE_DEVICES` limits the GPUs, as it does for the engine.

    Raises:
        NoDriver: the driver is missing, or it fails inside the block.
    """
    # Imported late because only code about this machine's GPUs needs it, and by name because it is untyped.
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
    # CUDA's rule: indices or UUID prefixes; the first invalid entry ends the list.
    # Source: CUDA C++ Programming Guide, "CUDA Environment Variables", read 2026-11.
    for word in (part.strip() for part in limit.split(",")):
        if word.isdecimal() and int(word) < len(handles):
            yield handles[int(word)]
            continue
        matches = [handle for handle in handles if word and str(nvml.nvmlDeviceGetUUID(handle)).startswith(word)]
        if not matches:
            return
        yield matches[0]

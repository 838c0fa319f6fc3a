"""Records and a catalogue of GPUs; asks no driver."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One kind of GPU."""

    name: str
    """As on the command line: `h100`."""
    title: str
    memory_bytes: int
    """What the engine sees as the card's total memory; bytes."""
    bandwidth_bytes_s: float
    """Memory bandwidth, bytes per second, by its data sheet. 0: not known."""
    compute_capability: tuple[int, int]
    """(8, 9) and later multiply in FP8. (0, 0): not known."""


@dataclass(frozen=True, kw_only=True)
class GpuSet:
    """The GPUs of one machine, all of one kind."""

    gpu: Gpu
    count: int
    measured: bool
    """True: the driver said so; False: from the catalogue."""

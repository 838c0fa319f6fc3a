"""Records and a catalogue of GPUs; asks no driver."""

import re
from dataclasses import dataclass

from .errors import EngineError

GIB = 2**30


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


def known_gpus() -> tuple[Gpu, ...]:
    """List the GPUs that have a name here."""
    return tuple(
        Gpu(
            name=name,
            title=title,
            memory_bytes=int(gib * GIB),
            bandwidth_bytes_s=terabytes_s * 1e12,
            compute_capability=capability,
        )
        for name, title, gib, terabytes_s, capability in _CATALOGUE
    )


# (name, title, what the engine sees in GiB, bandwidth in TB/s, compute capability). A card's data sheet counts in GB
# and before the driver has taken its share, so the totals are what a driver reports.
_CATALOGUE: tuple[tuple[str, str, float, float, tuple[int, int]], ...] = (
    ("h100", "NVIDIA H100 80GB SXM", 79.11, 3.35, (9, 0)),
    ("h200", "NVIDIA H200 141GB SXM", 139.81, 4.8, (9, 0)),
    ("b200", "NVIDIA B200", 178.35, 8.0, (10, 0)),
)


def parse_gpus(text: str) -> GpuSet:
    """Read `h100:4`, or `h100` for one.

    Raises:
        EngineError: no such GPU, or no such number.
    """
    found = re.fullmatch(r"([\w-]+)(?::(\d+))?", text.strip().lower())
    gpus = {gpu.name: gpu for gpu in known_gpus()}
    if found is None or found[1] not in gpus or int(found[2] or 1) == 0:
        raise EngineError(f"--gpus {text!r} is not known.", cause="", do=f"Give one of: {', '.join(gpus)}.")
    return GpuSet(gpu=gpus[found[1]], count=int(found[2] or 1), measured=False)

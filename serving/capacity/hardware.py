"""Records and a catalogue of GPUs; does not query the driver."""

import re
from dataclasses import dataclass
from difflib import get_close_matches

from ..errors import EngineError

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One kind of GPU."""

    name: str
    """As on the command line, such as `h100`."""
    title: str
    memory_bytes: int
    """Total memory of the card as the engine sees it."""
    bandwidth_bytes_s: float
    """Memory bandwidth in bytes per second. 0 means not known."""
    compute_capability: tuple[int, int]
    """(8, 9) and later have FP8 arithmetic. (0, 0) means not known."""


@dataclass(frozen=True, kw_only=True)
class GpuSet:
    """The GPUs of one machine, all of one kind."""

    gpu: Gpu
    count: int
    measured: bool
    """True if the driver reported them, False if they come from the catalogue."""


def known_gpus() -> tuple[Gpu, ...]:
    """Return the GPUs of the catalogue."""
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


def parse_gpus(text: str) -> GpuSet:
    """Parse `h100:4`; `h100` means one. `cpu` is the CPU, whose memory is not counted.

    Raises:
        EngineError: the kind is not known, or the number is out of range.
    """
    kind, colon, number = text.strip().lower().partition(":")
    known = {gpu.name: gpu for gpu in (*known_gpus(), _CPU)}
    if kind not in known:
        close = get_close_matches(kind, known, n=1)
        hint = f"Did you mean `{close[0]}`? " if close else ""
        raise EngineError(
            f"--gpus {text!r}: unknown GPU {kind!r}.",
            cause="",
            do=f"{hint}Give a kind and a number, such as h100:4. Known: {', '.join(known)}.",
        )
    if colon and not _NUMBER.fullmatch(number):
        raise EngineError(
            f"--gpus {text!r}: {number!r} is not a number of GPUs.", cause="", do=f"Give 1 to 999, such as {kind}:4."
        )
    count = int(number) if colon else 1
    if kind == _CPU.name and count > 1:
        raise EngineError(f"--gpus {text!r}: only one CPU can be planned for.", cause="", do="Give --gpus cpu.")
    return GpuSet(gpu=known[kind], count=count, measured=False)


_CPU = Gpu(name="cpu", title="CPU", memory_bytes=0, bandwidth_bytes_s=0, compute_capability=(0, 0))

_NUMBER = re.compile(r"[1-9]\d{0,2}")

# (name, title, total memory in GiB, bandwidth in TB/s, compute capability)
# The total is what PyTorch reports and vLLM multiplies by the utilisation; it is less than the data sheet's GB. For
# h100, h200 and b200 it is the input of the project's table of predictions; for the others it is from PyTorch's
# out-of-memory messages in public reports ("GPU 0 has a total capacity of 94.97 GiB", read 2026-11; the smallest value
# if cards differ). The driver's own figure is more accurate: serving/capacity/gpus.py.
# Bandwidths are from makers' data sheets: nvidia.com/data-center, nvidia.com/geforce, amd.com/instinct, read 2026-11.
_CATALOGUE: tuple[tuple[str, str, float, float, tuple[int, int]], ...] = (
    ("h100", "NVIDIA H100 80GB SXM", 79.11, 3.35, (9, 0)),
    ("h200", "NVIDIA H200 141GB SXM", 139.81, 4.8, (9, 0)),
    ("b200", "NVIDIA B200 180GB", 178.35, 8.0, (10, 0)),
    ("b300", "NVIDIA B300 288GB", 267.69, 8.0, (10, 3)),
    ("a100-80", "NVIDIA A100 80GB SXM", 79.15, 2.039, (8, 0)),
    ("a100-40", "NVIDIA A100 40GB SXM", 39.38, 1.555, (8, 0)),
    ("l40s", "NVIDIA L40S 48GB", 44.43, 0.864, (8, 9)),
    ("rtx-pro-6000", "NVIDIA RTX PRO 6000 Blackwell 96GB", 94.97, 1.792, (12, 0)),
    ("rtx5090", "NVIDIA GeForce RTX 5090 32GB", 31.34, 1.792, (12, 0)),
    ("rtx4090", "NVIDIA GeForce RTX 4090 24GB", 23.52, 1.008, (8, 9)),
    ("mi300x", "AMD Instinct MI300X 192GB", 191.69, 5.3, (9, 4)),
)

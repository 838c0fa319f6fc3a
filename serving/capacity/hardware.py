"""Records of GPUs and the parser of `--gpus`; does not query the driver."""

import re
from dataclasses import dataclass
from difflib import get_close_matches

from ..errors import EngineError
from .cards import CARDS, REFUSED, Card

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One kind of GPU."""

    name: str
    """As on the command line, such as `h100`, or `48GiB@864GB/s` for one that is not in the catalogue."""
    title: str
    memory_bytes: int
    """Total memory of the card as the engine sees it."""
    bandwidth_bytes_s: float
    """Memory bandwidth in bytes per second. 0 means not known."""
    compute_capability: tuple[int, int]
    """(8, 9) and later have FP8 arithmetic. (0, 0) means not known."""
    bf16_flops_s: float = 0.0
    """Dense matrix arithmetic in BF16, operations per second, as in the data sheet. 0 means not known."""
    fp8_flops_s: float = 0.0
    """The same in FP8. 0 means not known, or that there is none."""
    nvlink: bool = False
    """Whether cards of this kind are usually linked by NVLink or the like, rather than by PCIe."""


@dataclass(frozen=True, kw_only=True)
class GpuSet:
    """The GPUs of one machine, all of one kind."""

    gpu: Gpu
    count: int
    measured: bool
    """True if the driver reported them, False if they come from the catalogue or from the command line."""


def known_gpus() -> tuple[Gpu, ...]:
    """Return the GPUs of the catalogue."""
    return tuple(_gpu(card) for card in CARDS)


def parse_gpus(text: str) -> GpuSet:
    """Parse `h100:4`, or `2x48GiB@864GB/s` for a card that is not in the catalogue; `h100` means one.

    `cpu` is the CPU, whose memory is not counted.

    Raises:
        EngineError: the kind is not known or no engine supports it, or a number is out of range.
    """
    given = text.strip().lower()
    other = _OTHER.fullmatch(given)
    if other is not None:
        return _other_card(text, other)
    kind, colon, number = given.partition(":")
    _refuse_unsupported(text, kind)
    known = {gpu.name: gpu for gpu in (*known_gpus(), _CPU)}
    kind = next((name for name in known if _plain(name) == _plain(kind)), kind)
    if kind not in known:
        raise EngineError(f"--gpus {text!r}: unknown GPU {kind!r}.", cause="", do=_suggestion(kind))
    if colon and not _NUMBER.fullmatch(number):
        raise EngineError(
            f"--gpus {text!r}: {number!r} is not a number of GPUs.", cause="", do=f"Give 1 to 999, such as {kind}:4."
        )
    count = int(number) if colon else 1
    if kind == _CPU.name and count > 1:
        raise EngineError(f"--gpus {text!r}: only one CPU can be planned for.", cause="", do="Give --gpus cpu.")
    return GpuSet(gpu=known[kind], count=count, measured=False)


def gpus_text(gpus: GpuSet) -> str:
    """Format GPUs as `parse_gpus` takes them."""
    if _OTHER.fullmatch(gpus.gpu.name.lower()):
        return f"{gpus.count}x{gpus.gpu.name}"
    return f"{gpus.gpu.name}:{gpus.count}"


_CPU = Gpu(name="cpu", title="CPU", memory_bytes=0, bandwidth_bytes_s=0, compute_capability=(0, 0))

_NUMBER = re.compile(r"[1-9]\d{0,2}")
_OTHER = re.compile(
    r"(?:(?P<count>\d{1,4})\s*[x×*]\s*)?(?P<memory>\d{1,4}(?:\.\d{1,3})?)\s*g(?P<binary>i?)b?"
    r"(?:\s*@\s*(?P<speed>\d{1,5}(?:\.\d{1,3})?)\s*(?P<unit>[gt])b(?:/s|ps))?"
)


def _gpu(card: Card) -> Gpu:
    return Gpu(
        name=card.name,
        title=card.title,
        memory_bytes=int(card.memory_gib * GIB),
        bandwidth_bytes_s=card.terabytes_s * 1e12,
        compute_capability=card.capability,
        bf16_flops_s=card.bf16_teraflops * 1e12,
        fp8_flops_s=card.fp8_teraflops * 1e12,
        nvlink=card.nvlink,
    )


def _other_card(text: str, found: re.Match[str]) -> GpuSet:
    count, amount = int(found["count"] or 1), float(found["memory"])
    memory = int(amount * (GIB if found["binary"] else 1e9))
    if not 1 <= count <= 999 or memory < GIB:
        raise EngineError(
            f"--gpus {text!r}: a set has 1 to 999 GPUs with at least 1 GiB each.",
            cause="",
            do="Write it as NUMBERxMEMORY@BANDWIDTH, such as 2x48GiB@864GB/s.",
        )
    speed = 0.0 if found["speed"] is None else float(found["speed"]) * (1e9 if found["unit"] == "g" else 1e12)
    size = f"{found['memory']}G{'iB' if found['binary'] else 'B'}"
    name = size if not speed else f"{size}@{found['speed']}{found['unit'].upper()}B/s"
    gpu = Gpu(
        name=name,
        title=f"GPU with {size}",
        memory_bytes=memory,
        bandwidth_bytes_s=speed,
        compute_capability=(0, 0),
    )
    return GpuSet(gpu=gpu, count=count, measured=False)


def _refuse_unsupported(text: str, kind: str) -> None:
    for pattern, title, reason in REFUSED:
        if re.fullmatch(pattern, _plain(kind)):
            raise EngineError(
                f"--gpus {text!r}: {title} cannot serve these models.",
                cause=reason,
                do="Use a GPU with compute capability 8.0 or later, such as a100-40, rtx3090 or l4.",
            )


def _suggestion(kind: str) -> str:
    """Format what to do about an unknown kind; near names carry their memory, which is what a plan is about."""
    names = {gpu.name: gpu for gpu in known_gpus()}
    longer = [name for name in names if kind and name.startswith(kind)]
    near = [name for name in longer if len(name) == min(map(len, longer))] or get_close_matches(kind, names, n=1)
    hint = " or ".join(f"`{name}` ({names[name].memory_bytes / GIB:.0f} GiB)" for name in near)
    return (
        f"{f'Did you mean {hint}? ' if hint else ''}Give a kind and a number, such as h100:4, or a card by its memory "
        f"and bandwidth: 2x48GiB@864GB/s. Known: {', '.join([*names, _CPU.name])}."
    )


def _plain(name: str) -> str:
    """Drop what people add to a card's name or leave out: makers, series, `GB`, hyphens."""
    bare = re.sub(r"[-_ ]|nvidia|amd|instinct|tesla|geforce|quadro|blackwell|generation|sxm\d?|gen$", "", name.lower())
    return re.sub(r"^rtx|gb$", "", bare)

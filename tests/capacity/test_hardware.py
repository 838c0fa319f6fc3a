"""GPUs by name and number, and those that a driver reports."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import pytest

from serving import EngineError
from serving.capacity.gpus import gpus_here
from serving.capacity.hardware import GIB, Gpu, GpuSet, gpus_text, known_gpus, parse_gpus

H100 = Gpu(
    name="h100",
    title="NVIDIA H100 80GB SXM",
    memory_bytes=int(79.11 * GIB),
    bandwidth_bytes_s=3.35e12,
    compute_capability=(9, 0),
    bf16_flops_s=989e12,
    fp8_flops_s=1979e12,
    nvlink=True,
)
KNOWN = (
    "h100, h200, h20, gh200, b200, b300, a100-80, a100-40, l40s, l40, l4, a10g, a40, a6000, rtx6000-ada, rtx-pro-6000, "
    "rtx5090, rtx4090, rtx3090, mi300x, cpu"
)
HOW = "Give a kind and a number, such as h100:4, or a card by its memory and bandwidth: 2x48GiB@864GB/s. Known: "


@pytest.mark.parametrize(("text", "count"), [("h100:4", 4), ("H100", 1), (" h100:8 ", 8)])
def test_gpus_are_parsed_from_kind_and_number(text: str, count: int):
    assert parse_gpus(text) == GpuSet(gpu=H100, count=count, measured=False)


def test_the_memory_of_the_cpu_is_not_counted():
    assert parse_gpus("cpu").gpu.memory_bytes == 0


def test_a_misspelt_kind_is_an_error_that_names_the_nearest():
    with pytest.raises(EngineError) as caught:
        parse_gpus("h10O:4")
    assert str(caught.value) == (
        f"--gpus 'h10O:4': unknown GPU 'h10o'.\nNow:   Did you mean `h100` (79 GiB)? {HOW}{KNOWN}."
    )


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("a100:2", "`a100-80` (79 GiB) or `a100-40` (39 GiB)"),
        ("a10:2", "`a10g` (22 GiB)"),
        ("rtx-pro-5000", "`rtx-pro-6000` (95 GiB)"),
    ],
)
def test_a_near_name_was_suggested_without_its_memory(text: str, near: str):
    """For two cards of 48 GB, one of 96 GB was suggested, and the plan with it would have been wrong."""
    with pytest.raises(EngineError) as caught:
        parse_gpus(text)
    assert f"Did you mean {near}? " in str(caught.value)


@pytest.mark.parametrize(
    ("text", "name", "gib"),
    [
        ("RTX 3090:2", "rtx3090", 23.58),
        ("rtx-3090", "rtx3090", 23.58),
        ("rtx6000ada:2", "rtx6000-ada", 47.4),
        ("RTX 6000 Ada Generation", "rtx6000-ada", 47.4),
        ("rtx_pro_6000", "rtx-pro-6000", 94.97),
        ("nvidia h20", "h20", 95.0),
        ("l4", "l4", 22.03),
        ("a10g:4", "a10g", 22.06),
        ("4090:2", "rtx4090", 23.52),
        ("RTX A6000", "a6000", 47.4),
        ("a100-80gb:8", "a100-80", 79.15),
        ("A100 SXM 40GB", "a100-40", 39.38),
        ("H100-SXM5", "h100", 79.11),
        ("RTX PRO 6000 Blackwell", "rtx-pro-6000", 94.97),
        ("AMD Instinct MI300X", "mi300x", 191.69),
    ],
)
def test_a_card_is_known_by_the_ways_to_write_its_name(text: str, name: str, gib: float):
    found = parse_gpus(text).gpu
    assert (found.name, round(found.memory_bytes / GIB, 2)) == (name, gib)


@pytest.mark.parametrize(
    ("text", "count", "memory", "speed", "name"),
    [
        ("2x48GiB@864GB/s", 2, 48 * GIB, 864e9, "48GiB@864GB/s"),
        ("48gib", 1, 48 * GIB, 0, "48GiB"),
        ("4 x 80GB @ 2TB/s", 4, 80_000_000_000, 2e12, "80GB@2TB/s"),
        ("8*24.5GiB@1.5TB/s", 8, int(24.5 * GIB), 1.5e12, "24.5GiB@1.5TB/s"),
    ],
)
def test_a_card_outside_the_catalogue_is_given_by_memory_and_bandwidth(
    text: str, count: int, memory: int, speed: float, name: str
):
    found = parse_gpus(text)
    assert (found.count, found.gpu.memory_bytes, found.gpu.bandwidth_bytes_s) == (count, memory, speed)
    assert (found.gpu.name, found.gpu.compute_capability, found.measured) == (name, (0, 0), False)
    assert parse_gpus(gpus_text(found)) == found


def test_gpus_of_the_catalogue_are_written_as_they_are_given():
    assert gpus_text(parse_gpus("h100:4")) == "h100:4"


@pytest.mark.parametrize("text", ["0x48GiB", "2x0GiB", "1000x48GiB"])
def test_a_set_that_cannot_be_is_an_error(text: str):
    with pytest.raises(EngineError) as caught:
        parse_gpus(text)
    assert str(caught.value) == (
        f"--gpus {text!r}: a set has 1 to 999 GPUs with at least 1 GiB each.\n"
        "Now:   Write it as NUMBERxMEMORY@BANDWIDTH, such as 2x48GiB@864GB/s."
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("v100:2", "Its compute capability is 7.0"),
        ("Tesla V100-32GB", "Its compute capability is 7.0"),
        ("t4", "Its compute capability is 7.5"),
        ("rtx2080ti:4", "Its compute capability is 7.5"),
        ("Quadro RTX 8000", "Its compute capability is 7.5"),
        ("gtx1080ti", "Its compute capability is below 7.0"),
    ],
)
def test_a_card_that_no_engine_supports_is_refused_with_the_reason(text: str, reason: str):
    with pytest.raises(EngineError) as caught:
        parse_gpus(text)
    assert reason in caught.value.cause
    assert caught.value.do == "Use a GPU with compute capability 8.0 or later, such as a100-40, rtx3090 or l4."


@pytest.mark.parametrize("number", ["0", "-1", "four", "", "4.5", "1000"])
def test_an_invalid_number_is_an_error(number: str):
    with pytest.raises(EngineError) as caught:
        parse_gpus(f"h200:{number}")
    assert str(caught.value) == (
        f"--gpus 'h200:{number}': {number!r} is not a number of GPUs.\nNow:   Give 1 to 999, such as h200:4."
    )


def test_every_kind_has_a_unique_name_and_plausible_values():
    gpus = known_gpus()
    assert len({gpu.name for gpu in gpus}) == len(gpus)
    assert all(gpu.memory_bytes > 22 * GIB and gpu.bandwidth_bytes_s >= 3e11 for gpu in gpus)
    assert all(gpu.bf16_flops_s >= 70e12 for gpu in gpus)
    assert all((gpu.fp8_flops_s > 0) == (gpu.compute_capability >= (8, 9)) for gpu in gpus)


@dataclass(frozen=True)
class Card:
    """One GPU as the driver reports it; memory in MiB."""

    title: str
    total: int
    reserved: int
    uuid: str
    capability: tuple[int, int] = (9, 0)
    megahertz: int | None = 3201
    bits: int = 6144


H200_CARD = Card("NVIDIA H200", 143771, 615, "GPU-aaaa")
H100_CARD = Card("NVIDIA H100 80GB HBM3", 81559, 551, "GPU-bbbb", megahertz=2619, bits=5120)
OLD_CARD = Card("Quadro X", 8192, 192, "GPU-cccc", capability=(7, 0), megahertz=None)


class DriverError(Exception):
    """What pynvml raises."""


@dataclass
class Memory:
    total: int
    reserved: int


class Driver(ModuleType):
    """A pynvml that reports these cards; None means that no driver is installed."""

    NVMLError = DriverError
    NVML_CLOCK_MEM = 2
    nvmlMemory_v2 = 2

    def __init__(self, cards: list[Card] | None) -> None:
        super().__init__("pynvml")
        self.cards = cards

    def nvmlInit(self) -> None:
        if self.cards is None:
            raise DriverError

    def nvmlShutdown(self) -> None: ...

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards or [])

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:
        return (self.cards or [])[index]

    def nvmlDeviceGetUUID(self, card: Card) -> str:
        return card.uuid

    def nvmlDeviceGetName(self, card: Card) -> str:
        return card.title

    def nvmlDeviceGetMemoryInfo(self, card: Card, version: int) -> Memory:
        assert version == self.nvmlMemory_v2
        return Memory(card.total * 2**20, card.reserved * 2**20)

    def nvmlDeviceGetCudaComputeCapability(self, card: Card) -> tuple[int, int]:
        return card.capability

    def nvmlDeviceGetMaxClockInfo(self, card: Card, kind: int) -> int:
        assert kind == self.NVML_CLOCK_MEM
        if card.megahertz is None:
            raise DriverError
        return card.megahertz

    def nvmlDeviceGetMemoryBusWidth(self, card: Card) -> int:
        return card.bits


Reports = Callable[[list[Card] | None], None]


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> Reports:
    def install(cards: list[Card] | None) -> None:
        monkeypatch.setitem(sys.modules, "pynvml", Driver(cards))

    return install


def test_without_a_driver_there_are_no_gpus(reports: Reports):
    reports(None)
    assert gpus_here({}) is None


def test_memory_reserved_by_the_driver_is_not_counted(reports: Reports):
    reports([H100_CARD])
    found = gpus_here({})
    assert found is not None
    assert (found.gpu.name, found.gpu.title, found.count, found.measured) == ("h100", "NVIDIA H100 80GB HBM3", 1, True)
    assert found.gpu.compute_capability == (9, 0)
    # As in the catalogue: the total that PyTorch reports, and the data sheet's 3.35 TB/s.
    assert round(found.gpu.memory_bytes / GIB, 2) == 79.11
    assert round(found.gpu.bandwidth_bytes_s / 1e12, 2) == 3.35


def test_the_memory_of_an_h200_is_what_pytorch_reported(reports: Reports):
    reports([H200_CARD])
    found = gpus_here({})
    assert found is not None
    # torch.cuda.mem_get_info: 150,109,880,320 bytes; the driver, in whole MiB: 143771 with 616 reserved.
    assert abs(found.gpu.memory_bytes - 150_109_880_320) < 2**20


def test_gpus_of_several_kinds_count_as_the_smallest(reports: Reports):
    reports([H200_CARD, H100_CARD])
    found = gpus_here({})
    assert found is not None
    assert (found.gpu.name, found.count) == ("h100", 2)


@pytest.mark.parametrize(
    ("limit", "count"),
    [("0", 1), ("1,0", 2), ("GPU-bb", 1), ("0,7,1", 1), ("", None), ("-1", None), ("0,GPU-b", 2)],
)
def test_cuda_visible_devices_limits_the_gpus_by_cudas_own_rule(reports: Reports, limit: str, count: int | None):
    reports([H200_CARD, H100_CARD])
    found = gpus_here({"CUDA_VISIBLE_DEVICES": limit})
    assert (found and found.count) == count


def test_a_card_outside_the_catalogue_is_named_after_the_drivers_title(reports: Reports):
    reports([OLD_CARD])
    assert gpus_here({}) == GpuSet(
        gpu=Gpu(
            name="quadro-x",
            title="Quadro X",
            memory_bytes=8000 * 2**20,
            bandwidth_bytes_s=0.0,
            compute_capability=(7, 0),
        ),
        count=1,
        measured=True,
    )

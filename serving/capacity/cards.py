"""Catalogue of GPUs, data only; the driver's own figures are more accurate: gpus.py."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Card:
    """One kind of GPU, in the units of its data sheet."""

    name: str
    title: str
    memory_gib: float
    """As PyTorch reports it and vLLM multiplies by the utilisation; less than the data sheet's GB."""
    terabytes_s: float
    capability: tuple[int, int]
    bf16_teraflops: float
    """Dense, with FP32 accumulation."""
    fp8_teraflops: float
    nvlink: bool = False


def _card(
    name: str, title: str, memory_gib: float, terabytes_s: float, capability: tuple[int, int], *flops: float
) -> Card:
    return Card(
        name=name,
        title=title,
        memory_gib=memory_gib,
        terabytes_s=terabytes_s,
        capability=capability,
        bf16_teraflops=flops[0],
        fp8_teraflops=flops[1],
        nvlink=name in _LINKED,
    )


_LINKED = ("h100", "h200", "h20", "gh200", "b200", "b300", "a100-80", "a100-40", "mi300x")

# The memory of h100, h200 and b200 is the input of the project's table of predictions; for the others it is from
# PyTorch's out-of-memory messages in public reports ("GPU 0 has a total capacity of 94.97 GiB", read 2026-11), the
# smallest common value if cards differ: 23.58 for the RTX 3090 (vLLM pull request 14447), 22.03 for the L4, 22.06 for
# the A10, 44.40 for the L40, 47.40 for other cards of 48 GB without ECC and 44.43 with it (46,068 MiB by the driver),
# 94.50 for the GH200, 95.00 for the H20.
# Bandwidth and arithmetic are from the makers' data sheets (nvidia.com/data-center, nvidia.com/geforce, the whitepapers
# of Ampere GA102, Ada AD102 and Blackwell GB202, amd.com/instinct; read 2026-11): dense, that is, half of what is
# printed "with sparsity". NVIDIA gives no FP8 figure for the RTX PRO 6000: a quarter of its 4,000 FP4 with sparsity.
CARDS: tuple[Card, ...] = (
    _card("h100", "NVIDIA H100 80GB SXM", 79.11, 3.35, (9, 0), 989, 1979),
    _card("h200", "NVIDIA H200 141GB SXM", 139.81, 4.8, (9, 0), 989, 1979),
    _card("h20", "NVIDIA H20 96GB", 95.0, 4.0, (9, 0), 148, 296),
    _card("gh200", "NVIDIA GH200 96GB", 94.5, 4.0, (9, 0), 990, 1979),
    _card("b200", "NVIDIA B200 180GB", 178.35, 8.0, (10, 0), 2250, 4500),
    _card("b300", "NVIDIA B300 288GB", 267.69, 8.0, (10, 3), 2250, 4500),
    _card("a100-80", "NVIDIA A100 80GB SXM", 79.15, 2.039, (8, 0), 312, 0),
    _card("a100-40", "NVIDIA A100 40GB SXM", 39.38, 1.555, (8, 0), 312, 0),
    _card("l40s", "NVIDIA L40S 48GB", 44.43, 0.864, (8, 9), 362, 733),
    _card("l40", "NVIDIA L40 48GB", 44.4, 0.864, (8, 9), 181, 362),
    _card("l4", "NVIDIA L4 24GB", 22.03, 0.3, (8, 9), 121, 242),
    _card("a10g", "NVIDIA A10G 24GB", 22.06, 0.6, (8, 6), 70, 0),
    _card("a40", "NVIDIA A40 48GB", 44.43, 0.696, (8, 6), 150, 0),
    _card("a6000", "NVIDIA RTX A6000 48GB", 47.4, 0.768, (8, 6), 155, 0),
    _card("rtx6000-ada", "NVIDIA RTX 6000 Ada 48GB", 47.4, 0.96, (8, 9), 364, 728),
    _card("rtx-pro-6000", "NVIDIA RTX PRO 6000 Blackwell 96GB", 94.97, 1.792, (12, 0), 500, 1000),
    _card("rtx5090", "NVIDIA GeForce RTX 5090 32GB", 31.34, 1.792, (12, 0), 210, 419),
    _card("rtx4090", "NVIDIA GeForce RTX 4090 24GB", 23.52, 1.008, (8, 9), 165, 330),
    _card("rtx3090", "NVIDIA GeForce RTX 3090 24GB", 23.58, 0.936, (8, 6), 71, 0),
    _card("mi300x", "AMD Instinct MI300X 192GB", 191.69, 5.3, (9, 4), 1307, 2615),
)

# (pattern of the name without makers, series and hyphens, title, why no engine serves these models on it)
REFUSED: tuple[tuple[str, str, str], ...] = (
    (
        r"v100.*",
        "A V100",
        "Its compute capability is 7.0: it has no BF16, in which these models are released, and PyTorch for CUDA 13, "
        "with which vLLM is built since 0.26, has no code for it.",
    ),
    (
        r"t4|20\d\d(?:ti|super)?|[5-8]000",
        "A GPU of the Turing generation",
        "Its compute capability is 7.5: it has no BF16, in which these models are released.",
    ),
    (
        r"p100.*|p40|p4|gtx\d+.*",
        "A GPU of the Pascal generation",
        "Its compute capability is below 7.0, which vLLM does not support.",
    ),
)

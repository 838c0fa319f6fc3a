"""Read from the driver which GPUs this machine has; starts nothing on them."""

import re
from collections.abc import Mapping
from types import ModuleType

from ..nvml import NoDriver, open_driver
from .hardware import Gpu, GpuSet, known_gpus


def gpus_here(environ: Mapping[str, str]) -> GpuSet | None:
    """Return the NVIDIA GPUs of this machine that an engine may use, or None if there are none.

    GPUs of several kinds count as that many of the smallest, because a tensor-parallel engine can use no more of each.

    Args:
        environ: `CUDA_VISIBLE_DEVICES` limits the GPUs, as it does for the engine.
    """
    try:
        with open_driver(environ) as driver:
            found = [_gpu(driver.nvml, handle) for handle in driver.handles]
    except NoDriver:
        return None
    if not found:
        return None
    return GpuSet(gpu=min(found, key=lambda gpu: gpu.memory_bytes), count=len(found), measured=True)


def _gpu(nvml: ModuleType, handle: object) -> Gpu:
    title = str(nvml.nvmlDeviceGetName(handle))
    # The driver's total includes memory that it reserves for itself: on an H200 (driver 580.159) 616 of 143771 MiB.
    # PyTorch, whose total vLLM multiplies, saw the rest, 139.80 GiB.
    memory = nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    name = _kind(title)
    listed = next((gpu for gpu in known_gpus() if gpu.name == name), None)
    return Gpu(
        name=name,
        title=title,
        memory_bytes=memory.total - memory.reserved,
        bandwidth_bytes_s=_bandwidth(nvml, handle),
        compute_capability=(major, minor),
        bf16_flops_s=listed.bf16_flops_s if listed else 0.0,
        fp8_flops_s=listed.fp8_flops_s if listed else 0.0,
        nvlink=bool(listed and listed.nvlink),
    )


def _bandwidth(nvml: ModuleType, handle: object) -> float:
    """Assume two transfers per clock: 10501 MHz and 384 bits give the 1.008 TB/s of the RTX 4090's data sheet."""
    try:
        megahertz = nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_MEM)
        return 2 * megahertz * 1e6 * nvml.nvmlDeviceGetMemoryBusWidth(handle) / 8
    except nvml.NVMLError:
        return 0.0


def _kind(title: str) -> str:
    """Return the catalogue's name for a GPU, or one made from the driver's title."""
    for pattern, name in _KINDS:
        if re.search(pattern, title):
            return name
    return "-".join(word for word in title.lower().split() if word != "nvidia")


_KINDS = (
    (r"\bH100 80GB HBM3\b", "h100"),
    (r"\bGH200\b.*\b(?:96|120|480)GB\b", "gh200"),
    (r"\bH200\b", "h200"),
    (r"\bH20\b", "h20"),
    (r"\bB200\b", "b200"),
    (r"\bB300\b", "b300"),
    (r"\bA100\b.*\b80GB\b", "a100-80"),
    (r"\bA100\b.*\b40GB\b", "a100-40"),
    (r"\bL40S\b", "l40s"),
    (r"\bL40\b", "l40"),
    (r"\bL4\b", "l4"),
    (r"\bA40\b", "a40"),
    (r"\bA10G\b", "a10g"),
    (r"\bRTX A6000\b", "a6000"),
    (r"\bRTX 6000 Ada\b", "rtx6000-ada"),
    (r"\bRTX PRO 6000\b", "rtx-pro-6000"),
    (r"\bRTX 5090\b", "rtx5090"),
    (r"\bRTX 4090\b", "rtx4090"),
    (r"\bRTX 3090\b", "rtx3090"),
)

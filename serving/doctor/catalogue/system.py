"""Catalogue of symptoms of drivers, GPUs, disks and the limits of the system; data only."""

from ..symptoms import Symptom

SYSTEM: dict[str, Symptom] = {
    "no_device": Symptom(
        title=("vLLM found no device to run on",),
        cause=("It was built for GPUs but sees none, or its package is not completely installed.",),
        fix=("Check that `nvidia-smi` lists the GPUs. With docker, start with `--gpus all`.",),
        severity="stops",
        hides=("no_driver",),
        because=("library_missing", "torch_mismatch", "driver_old", "module_missing"),
    ),
    "no_driver": Symptom(
        title=("No GPU is visible",),
        cause=("There is no NVIDIA driver here, or this process or container has no access to a GPU.",),
        fix=(
            "Check that `nvidia-smi` lists the GPUs. With docker, start with `--gpus all`; check "
            "`CUDA_VISIBLE_DEVICES`.",
        ),
        severity="stops",
    ),
    "driver_old": Symptom(
        title=("The NVIDIA driver is too old for this engine",),
        cause=(
            "The driver supports CUDA up to {version} (12080 means 12.8), but the engine was built for a later one.",
            "The engine was built for a later CUDA than the driver supports.",
        ),
        fix=("Upgrade the driver; or install an engine built for the CUDA that `nvidia-smi` shows.",),
        severity="stops",
    ),
    "driver_changed": Symptom(
        title=("The NVIDIA driver was upgraded without a restart",),
        cause=("The kernel module and the libraries have different versions.",),
        fix=("Restart the machine.",),
        severity="stops",
    ),
    "fabric_manager": Symptom(
        title=("The GPUs are not ready: the fabric manager is not running",),
        cause=("Machines with NVSwitch (H100, H200, B200 on one board) need it before CUDA starts.",),
        fix=("sudo systemctl start nvidia-fabricmanager (its version must match the driver's)",),
        severity="stops",
    ),
    "device_ordinal": Symptom(
        title=("A GPU was requested that does not exist here",),
        cause=("There are fewer GPUs than ranks, or `CUDA_VISIBLE_DEVICES` hides some.",),
        fix=("Compare `nvidia-smi -L` with `--tensor-parallel-size` and `CUDA_VISIBLE_DEVICES`.",),
        severity="stops",
    ),
    "gpu_too_old": Symptom(
        title=("The engine contains no code for this GPU",),
        cause=("It was built for other generations of GPUs.",),
        fix=("Use GPUs of the Ampere generation or later, and an engine release that supports yours.",),
        severity="stops",
    ),
    "fp8_unsupported": Symptom(
        title=("This GPU does not support FP8",),
        cause=("FP8 came with compute capability 8.9 (Ada, Hopper).",),
        fix=("Use H100, H200, B200 or L40S; if only the cache is FP8, omit `--kv-cache-dtype`.",),
        severity="stops",
    ),
    "gpu_broken": Symptom(
        title=("A GPU failed",),
        cause=("The driver reports error Xid {xid}.", "The driver reports a failure of the GPU itself."),
        fix=("Check `nvidia-smi -q -d ECC` and `dmesg -T | grep Xid`; restart the machine or exclude this GPU.",),
        severity="stops",
        recurs=False,
    ),
    "cuda_error": Symptom(
        title=("A computation on the GPU failed",),
        cause=("CUDA reports: {what}. It reports errors late, so the line that raised it is not where it happened.",),
        fix=("Start again. If it comes back, `CUDA_LAUNCH_BLOCKING=1` shows where; try `--enforce-eager`.",),
        sglang_fix=(
            "Start again. If it comes back, `CUDA_LAUNCH_BLOCKING=1` shows where; try `--disable-cuda-graph`.",
        ),
        severity="stops",
        recurs=False,
    ),
    "disk_full": Symptom(
        title=("The disk is full",),
        cause=("The system refused a write: no space left.",),
        fix=("Free space (`df -h`), or move weights and caches: `HF_HOME`, `VLLM_CACHE_ROOT`, `TMPDIR`.",),
        sglang_fix=("Free space (`df -h`), or move weights and caches: `HF_HOME`, `TMPDIR`.",),
        severity="stops",
    ),
    "too_many_files": Symptom(
        title=("Too many files and connections are open",),
        cause=("The system limits them per process; each client holds one.",),
        fix=("Raise the limit before the start: `ulimit -n 65536` (systemd: `LimitNOFILE=65536`).",),
        severity="stops",
    ),
    "too_many_threads": Symptom(
        title=("No more processes or threads can be started",),
        cause=("The limit of the user or of the container is reached.",),
        fix=("Raise it (`ulimit -u`, docker: `--pids-limit`), or set `OMP_NUM_THREADS=1`.",),
        severity="stops",
    ),
    "no_permission": Symptom(
        title=(
            "No permission to read or write {file}",
            "No permission to read or write a file",
        ),
        cause=("The user that runs the engine does not have it.",),
        fix=("Grant it, or move the caches: `HF_HOME`, `VLLM_CACHE_ROOT`.",),
        sglang_fix=("Grant it, or move the caches: `HF_HOME`.",),
        severity="stops",
    ),
    "container_gpu": Symptom(
        title=("The container runtime cannot pass the GPU to a container",),
        cause=("It reports: {what}", "The NVIDIA Container Toolkit is not installed, or docker does not use it."),
        fix=(
            "Install the NVIDIA Container Toolkit and set it up: sudo nvidia-ctk runtime configure --runtime=docker && "
            "sudo systemctl restart docker. Then check: docker run --rm --gpus all ubuntu nvidia-smi",
        ),
        severity="stops",
    ),
    "wrong_platform": Symptom(
        title=("The container image is for another kind of processor",),
        cause=("It was built for {image}.", "Its programs cannot run on this processor (x86-64 or ARM)."),
        fix=("Pull the image for this machine: `uname -m` shows x86_64 (linux/amd64) or aarch64 (linux/arm64).",),
        severity="stops",
    ),
    "illegal_instruction": Symptom(
        title=("The processor lacks an instruction that the engine uses",),
        cause=("The engine was built for newer processors; most builds for the CPU require AVX-512.",),
        fix=("Run it on a processor with AVX-512 (`lscpu | grep avx512`), or build the engine on this machine.",),
        severity="stops",
    ),
}

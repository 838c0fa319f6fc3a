"""Catalogue of symptoms of drivers, GPUs, the connections between them, and installed software; data only."""

from ..symptoms import Symptom

SYSTEM: dict[str, Symptom] = {
    "no_device": Symptom(
        title=("vLLM found no device to run on",),
        cause=("It was built for GPUs but sees none, or its package is not completely installed.",),
        fix=("Check that `nvidia-smi` lists the GPUs. With docker, start with `--gpus all`.",),
        severity="stops",
        hides=("no_driver",),
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
    "nccl": Symptom(
        title=("The GPUs could not be connected (NCCL)",),
        cause=("NCCL reports: {what}.",),
        fix=("Start with `NCCL_DEBUG=INFO` and read its first WARN; with docker, add `--ipc=host`.",),
        severity="stops",
        recurs=False,
    ),
    "nccl_timeout": Symptom(
        title=("A rank timed out waiting for the others",),
        cause=("One of them hung or ended; its own log lines show what happened.",),
        fix=("Read the lines of the rank that went silent; `NCCL_DEBUG=INFO` shows more.",),
        severity="follows",
        recurs=False,
    ),
    "nccl_peer": Symptom(
        title=("A rank lost the connection to another",),
        cause=("The other rank ended.",),
        fix=("Find the first error of the rank that ended.",),
        severity="follows",
        recurs=False,
    ),
    "crashed": Symptom(
        title=("An engine process crashed in native code",),
        cause=(
            "{who} ended with exit code {code} (-11 is a segmentation fault).",
            "Python reports: {what}.",
            "It ended with a segmentation fault or an abort.",
        ),
        fix=(
            "Check that driver, torch and engine are compatible. Start once with `PYTHONFAULTHANDLER=1` to see where "
            "it crashes.",
        ),
        severity="stops",
        recurs=False,
    ),
    "worker_lost": Symptom(
        title=("An engine worker ended without an error",),
        cause=(
            "{who} ended and logged no error: most often the kernel killed it because the memory (RAM) was full, or a "
            "driver failed.",
        ),
        fix=("Check whether the kernel did it: `dmesg -T | grep -iE 'out of memory|Xid'`. If so, add memory (RAM).",),
        severity="follows",
        recurs=False,
    ),
    "core_lost": Symptom(
        title=("The engine's core process ended without an error",),
        cause=(
            "It logged no error: most often the kernel killed it because the memory (RAM) was full, or someone else "
            "killed it.",
        ),
        fix=("Check whether the kernel did it: `dmesg -T | grep -i 'out of memory'`. If so, add memory (RAM).",),
        severity="follows",
        recurs=False,
    ),
    "start_timeout": Symptom(
        title=("The engine was not ready in time",),
        cause=("It waited {s} s for its processes; large weights on a slow disk take longer.",),
        fix=("Set `VLLM_ENGINE_READY_TIMEOUT_S=3600` in the environment, or move the weights to a faster disk.",),
        severity="stops",
    ),
    "worker_hangs": Symptom(
        title=("A worker did not respond for a long time",),
        cause=("The step {what} did not finish in time.", "For {s} s a worker computed, compiled or hung."),
        fix=("If it continues afterwards, it was compiling. If not, find the rank that stopped logging.",),
        severity="degrades",
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
    "no_compiler": Symptom(
        title=("There is no C compiler",),
        cause=("Kernels are compiled at the start.",),
        fix=("Install one: apt-get install -y build-essential",),
        severity="stops",
    ),
    "no_python_headers": Symptom(
        title=("Python's header files are missing",),
        cause=("Kernels are compiled at the start, against Python.h.",),
        fix=("Install them: apt-get install -y python3-dev",),
        severity="stops",
    ),
    "no_nvcc": Symptom(
        title=("The CUDA toolkit is missing",),
        cause=("Some kernels are compiled at the start with nvcc, which is not part of the driver.",),
        fix=("Install the toolkit and set `CUDA_HOME` to it, or use the engine's container image.",),
        severity="stops",
    ),
    "compile_failed": Symptom(
        title=("Compiling the model failed",),
        cause=("torch.compile or the build of a kernel failed; the error follows in the log.",),
        fix=(
            "Delete the cached results (`rm -r ~/.cache/vllm/torch_compile_cache`); if that does not help, start with "
            "`--enforce-eager`.",
        ),
        sglang_fix=("Start without `--enable-torch-compile`, or with `--disable-cuda-graph`.",),
        severity="stops",
        recurs=False,
    ),
    "torch_mismatch": Symptom(
        title=("The installed packages are incompatible",),
        cause=(
            "A library needs {what}, which this torch does not have.",
            "torchvision was built for another torch: {operator} is missing.",
        ),
        fix=("Install the engine into a fresh environment, with the torch that it requires.",),
        severity="stops",
    ),
    "library_missing": Symptom(
        title=("A shared library is missing: {what}",),
        cause=("The engine was built for a CUDA that is not installed, or the library's folder is not searched.",),
        fix=("Install the engine into a fresh environment, built for the CUDA that `nvidia-smi` shows.",),
        severity="stops",
    ),
    "module_missing": Symptom(
        title=("A Python package is missing: {what}",),
        cause=("The engine's environment is incomplete, or another Python was started.",),
        fix=("Install it into the engine's environment: pip install {what}",),
        severity="stops",
    ),
}

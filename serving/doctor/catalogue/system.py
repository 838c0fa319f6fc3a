"""Know the symptoms of drivers, GPUs, networks between them, and of what is installed; finds none."""

from ..symptoms import Symptom

SYSTEM: dict[str, Symptom] = {
    "no_device": Symptom(
        title=("vLLM found no device to run on",),
        cause=("It was built for GPUs, and sees none; or its package is not installed whole.",),
        fix=("Does `nvidia-smi` list the GPUs? In docker start with `--gpus all`.",),
        weight="ends",
        hides=("no_driver",),
    ),
    "no_driver": Symptom(
        title=("No GPU can be seen",),
        cause=("There is no NVIDIA driver here, or this process or container is not given a GPU.",),
        fix=("Does `nvidia-smi` list the GPUs? In docker start with `--gpus all`; check `CUDA_VISIBLE_DEVICES`.",),
        weight="ends",
    ),
    "driver_old": Symptom(
        title=("The NVIDIA driver is too old for this engine",),
        cause=(
            "The driver knows CUDA as of {version} (12080 is 12.8), and the engine was built for a later one.",
            "The engine was built for a later CUDA than the driver knows.",
        ),
        fix=("Upgrade the driver; or install an engine built for the CUDA that `nvidia-smi` shows.",),
        weight="ends",
    ),
    "driver_changed": Symptom(
        title=("The NVIDIA driver was upgraded without a restart",),
        cause=("The kernel's part and the libraries are of different versions.",),
        fix=("Restart the machine.",),
        weight="ends",
    ),
    "fabric_manager": Symptom(
        title=("The GPUs are not ready: the fabric manager does not run",),
        cause=("Machines with NVSwitch (H100, H200, B200 of one board) need it before CUDA starts.",),
        fix=("sudo systemctl start nvidia-fabricmanager (of the driver's own version)",),
        weight="ends",
    ),
    "device_ordinal": Symptom(
        title=("A GPU was asked for that is not here",),
        cause=("There are fewer GPUs than ranks, or `CUDA_VISIBLE_DEVICES` hides some.",),
        fix=("Compare `nvidia-smi -L` with `--tensor-parallel-size` and `CUDA_VISIBLE_DEVICES`.",),
        weight="ends",
    ),
    "gpu_too_old": Symptom(
        title=("The engine holds no code for this GPU",),
        cause=("It was built for other generations of GPUs.",),
        fix=("Take GPUs of the Ampere generation or later, and a release of the engine that names yours.",),
        weight="ends",
    ),
    "fp8_unsupported": Symptom(
        title=("This GPU cannot compute in FP8",),
        cause=("FP8 came with compute capability 8.9 (Ada, Hopper).",),
        fix=("Take H100, H200, B200 or L40S; for the cache alone: leave `--kv-cache-dtype` out.",),
        weight="ends",
    ),
    "gpu_broken": Symptom(
        title=("A GPU failed",),
        cause=("The driver reports error Xid {xid}.", "The driver reports a failure of the GPU itself."),
        fix=("See `nvidia-smi -q -d ECC` and `dmesg -T | grep Xid`; restart the machine or leave this GPU out.",),
        weight="ends",
        again=False,
    ),
    "cuda_error": Symptom(
        title=("A computation on the GPU failed",),
        cause=("CUDA says: {what}. It is told late, so the line that raised it is not where it happened.",),
        fix=("Start again. If it comes back, `CUDA_LAUNCH_BLOCKING=1` shows where; try `--enforce-eager`.",),
        sglang_fix=(
            "Start again. If it comes back, `CUDA_LAUNCH_BLOCKING=1` shows where; try `--disable-cuda-graph`.",
        ),
        weight="ends",
        again=False,
    ),
    "nccl": Symptom(
        title=("The GPUs could not be connected (NCCL)",),
        cause=("NCCL says: {what}.",),
        fix=("Start with `NCCL_DEBUG=INFO` and read its first WARN; in docker give `--ipc=host`.",),
        weight="ends",
        again=False,
    ),
    "nccl_timeout": Symptom(
        title=("A rank waited for the others in vain",),
        cause=("One of them hung or ended; what happened to it stands elsewhere in its lines.",),
        fix=("Look at the lines of the rank that is silent; `NCCL_DEBUG=INFO` tells more.",),
        weight="follows",
        again=False,
    ),
    "nccl_peer": Symptom(
        title=("A rank lost the connection to another",),
        cause=("The other rank ended.",),
        fix=("Look for the first error of the rank that ended.",),
        weight="follows",
        again=False,
    ),
    "crashed": Symptom(
        title=("A process of the engine crashed in native code",),
        cause=(
            "{who} ended by signal {code} (-11 is a segmentation fault).",
            "Python ended with: {what}.",
            "It ended by a segmentation fault or an abort.",
        ),
        fix=("Do driver, torch and engine fit together? Start once with `PYTHONFAULTHANDLER=1` to see where.",),
        weight="ends",
        again=False,
    ),
    "worker_lost": Symptom(
        title=("A worker of the engine ended without a word",),
        cause=(
            "{who} is gone and left no error of its own: most often the kernel killed it because the memory (RAM) was "
            "full, or a driver failed.",
        ),
        fix=(
            "See whether it was the kernel: `dmesg -T | grep -iE 'out of memory|Xid'`. If so, give more memory (RAM).",
        ),
        weight="follows",
        again=False,
    ),
    "core_lost": Symptom(
        title=("The engine's core process ended without a word",),
        cause=(
            "It left no error of its own: most often the kernel killed it because the memory (RAM) was full, or "
            "somebody did.",
        ),
        fix=("See whether it was the kernel: `dmesg -T | grep -i 'out of memory'`. If so, give more memory (RAM).",),
        weight="follows",
        again=False,
    ),
    "start_timeout": Symptom(
        title=("The engine was not ready in time",),
        cause=("It waited {s} s for its processes; great weights from a slow disk take longer.",),
        fix=("Set `VLLM_ENGINE_READY_TIMEOUT_S=3600` in the environment, or put the weights on a faster disk.",),
        weight="ends",
    ),
    "worker_hangs": Symptom(
        title=("A worker did not answer for long",),
        cause=("The step {what} did not end in time.", "For {s} s a worker computed, compiled or hung."),
        fix=("If it goes on afterwards, it compiled. If not, look for the rank that says nothing any more.",),
        weight="harms",
        again=False,
    ),
    "disk_full": Symptom(
        title=("The disk is full",),
        cause=("The system refused to write: no space left.",),
        fix=("Free space (`df -h`), or let weights and caches lie elsewhere: `HF_HOME`, `VLLM_CACHE_ROOT`, `TMPDIR`.",),
        sglang_fix=("Free space (`df -h`), or let weights and caches lie elsewhere: `HF_HOME`, `TMPDIR`.",),
        weight="ends",
    ),
    "too_many_files": Symptom(
        title=("Too many files and connections are open",),
        cause=("The system allows a process only so many; each client holds one.",),
        fix=("Raise the limit before the start: `ulimit -n 65536` (systemd: `LimitNOFILE=65536`).",),
        weight="ends",
    ),
    "too_many_threads": Symptom(
        title=("No more processes or threads may be started",),
        cause=("The limit of the user or of the container is reached.",),
        fix=("Raise it (`ulimit -u`, docker: `--pids-limit`), or set `OMP_NUM_THREADS=1`.",),
        weight="ends",
    ),
    "no_permission": Symptom(
        title=("A file may not be read or written: {file}", "A file may not be read or written"),
        cause=("The engine's user has not the right.",),
        fix=("Give it the right, or let the caches lie elsewhere: `HF_HOME`, `VLLM_CACHE_ROOT`.",),
        sglang_fix=("Give it the right, or let the caches lie elsewhere: `HF_HOME`.",),
        weight="ends",
    ),
    "no_compiler": Symptom(
        title=("There is no C compiler",),
        cause=("Kernels are compiled at the start.",),
        fix=("Install one: apt-get install -y build-essential",),
        weight="ends",
    ),
    "no_python_headers": Symptom(
        title=("Python's header files are missing",),
        cause=("Kernels are compiled at the start, against Python.h.",),
        fix=("Install them: apt-get install -y python3-dev",),
        weight="ends",
    ),
    "no_nvcc": Symptom(
        title=("The CUDA toolkit is missing",),
        cause=("Some kernels are compiled at the start with nvcc, which the driver does not bring.",),
        fix=("Install the toolkit and let `CUDA_HOME` name it, or use the engine's container image.",),
        weight="ends",
    ),
    "compile_failed": Symptom(
        title=("Compiling the model failed",),
        cause=("torch.compile or a kernel's build ended with an error; what it says stands below in the log.",),
        fix=("Remove the old results (`rm -r ~/.cache/vllm/torch_compile_cache`); else start with `--enforce-eager`.",),
        sglang_fix=("Start without `--enable-torch-compile`, or with `--disable-cuda-graph`.",),
        weight="ends",
        again=False,
    ),
    "torch_mismatch": Symptom(
        title=("The installed packages do not fit together",),
        cause=(
            "A library looks for {what}, which this torch does not have.",
            "torchvision was built for another torch: {operator} is missing.",
        ),
        fix=("Install the engine into a fresh environment, with the torch that it brings.",),
        weight="ends",
    ),
    "library_missing": Symptom(
        title=("A library is missing: {what}",),
        cause=("The engine was built for a CUDA that is not here, or the library's folder is not searched.",),
        fix=("Install the engine into a fresh environment, built for the CUDA that `nvidia-smi` shows.",),
        weight="ends",
    ),
    "module_missing": Symptom(
        title=("A Python package is missing: {what}",),
        cause=("The engine's environment is not whole, or another Python was started.",),
        fix=("Install it into the engine's environment: pip install {what}",),
        weight="ends",
    ),
}

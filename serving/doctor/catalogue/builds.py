"""Catalogue of symptoms of kernels that could not be compiled or linked at a start; data only."""

from ..symptoms import Symptom

_WITHOUT = "Or do without the kernel: `VLLM_USE_FLASHINFER_SAMPLER=0` in the environment skips FlashInfer's sampler."
_WITHOUT_SGLANG = "Or do without the kernel: `--attention-backend triton --sampling-backend pytorch`."

BUILDS: dict[str, Symptom] = {
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
        hides=("compile_failed",),
    ),
    "nvcc_old": Symptom(
        title=("The installed CUDA toolkit cannot build a kernel for this engine or GPU",),
        cause=(
            "The compiler reports: {what}. The toolkit is older than the kernel's sources require, or than the GPU.",
        ),
        fix=(
            "Install the CUDA toolkit that the engine's torch was built with (`python -c 'import torch; "
            "print(torch.version.cuda)'`) and set `CUDA_HOME` to it. " + _WITHOUT,
        ),
        sglang_fix=(
            "Install the CUDA toolkit that the engine's torch was built with (`python -c 'import torch; "
            "print(torch.version.cuda)'`) and set `CUDA_HOME` to it. " + _WITHOUT_SGLANG,
        ),
        severity="stops",
        hides=("compile_failed", "build_failed"),
    ),
    "ptxas_old": Symptom(
        title=("The assembler for GPU code does not know this GPU",),
        cause=("It reports: {what}. Triton brings its own ptxas, which may be older than the GPU.",),
        fix=("Use the one of the CUDA toolkit: `TRITON_PTXAS_PATH=/usr/local/cuda/bin/ptxas` in the environment.",),
        severity="stops",
        hides=("compile_failed", "build_failed"),
    ),
    "host_compiler": Symptom(
        title=("The C++ compiler is too new for the CUDA toolkit",),
        cause=("nvcc reports: {what}.",),
        fix=("Install an older compiler and name it: `NVCC_PREPEND_FLAGS='-ccbin g++-12'` in the environment.",),
        severity="stops",
        hides=("compile_failed", "build_failed"),
    ),
    "header_missing": Symptom(
        title=("A header file for building a kernel is missing: {file}",),
        cause=("The compiler does not find it: the CUDA toolkit or a development package is incomplete.",),
        fix=(
            "Install the complete CUDA toolkit (not only nvcc) and set `CUDA_HOME` to it, or use the engine's "
            "container image.",
        ),
        severity="stops",
        hides=("compile_failed", "build_failed"),
    ),
    "library_not_linked": Symptom(
        title=("A kernel could not be linked: {lib} was not found",),
        cause=("The linker searches the driver's and the toolkit's folders, and the library is in neither.",),
        fix=(
            "Add the folder that holds it: `LIBRARY_PATH=/usr/local/cuda/lib64/stubs:/usr/local/cuda/lib64` in the "
            "environment. " + _WITHOUT,
        ),
        sglang_fix=(
            "Add the folder that holds it: `LIBRARY_PATH=/usr/local/cuda/lib64/stubs:/usr/local/cuda/lib64` in the "
            "environment. " + _WITHOUT_SGLANG,
        ),
        severity="stops",
        hides=("compile_failed", "build_failed"),
    ),
    "ninja_missing": Symptom(
        title=("ninja is missing, which builds kernels at the start",),
        cause=("The program is not installed, or its folder is not in `PATH`.",),
        fix=("Install it into the engine's environment: pip install ninja (or: apt-get install -y ninja-build)",),
        severity="stops",
        hides=("compile_failed", "file_missing"),
    ),
    "build_killed": Symptom(
        title=("The machine ran out of memory (RAM) while it built a kernel",),
        cause=("The kernel killed {who}; each compiler process takes several GiB.",),
        fix=("Build with fewer processes: `MAX_JOBS=2` in the environment; or give the machine more memory.",),
        severity="stops",
        hides=("compile_failed", "build_failed", "killed"),
    ),
    "build_failed": Symptom(
        title=("A kernel could not be compiled",),
        cause=("The compiler reports: {what}",),
        fix=(
            "Check that the CUDA toolkit (`nvcc --version`) is the one that the engine's torch was built with, and "
            "that `CUDA_HOME` names it. " + _WITHOUT,
        ),
        sglang_fix=(
            "Check that the CUDA toolkit (`nvcc --version`) is the one that the engine's torch was built with, and "
            "that `CUDA_HOME` names it. " + _WITHOUT_SGLANG,
        ),
        severity="stops",
        hides=("compile_failed",),
    ),
    "compile_failed": Symptom(
        title=("Compiling the model failed",),
        cause=("The build reports: {what}",),
        fix=(
            "Delete the cached results (`rm -r ~/.cache/vllm/torch_compile_cache`); if that does not help, start with "
            "`--enforce-eager`.",
        ),
        sglang_fix=("Start without `--enable-torch-compile`, or with `--disable-cuda-graph`.",),
        severity="stops",
        recurs=False,
    ),
    "triton_resources": Symptom(
        title=("A kernel needs more {what} than this GPU has",),
        cause=("It needs {asked} bytes, and the GPU has {limit}: the kernel was tuned for larger GPUs.",),
        fix=("Choose another attention kernel (`--attention-backend FLASHINFER`), or upgrade the engine.",),
        sglang_fix=("Choose another attention kernel (`--attention-backend flashinfer`), or upgrade the engine.",),
        severity="stops",
        hides=("compile_failed",),
    ),
}

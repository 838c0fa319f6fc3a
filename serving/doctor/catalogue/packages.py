"""Catalogue of symptoms of installed software: missing, incompatible or too old packages; data only."""

from ..symptoms import Symptom

PACKAGES: dict[str, Symptom] = {
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
        fix=(
            "Install the engine into a fresh environment, built for the CUDA that `nvidia-smi` shows. On an AMD GPU, "
            "install the build for ROCm: the one from PyPI is for CUDA.",
        ),
        severity="stops",
    ),
    "system_library_missing": Symptom(
        title=("A library of the system is missing: {what}",),
        cause=("A Python package needs it, and the system or the container image does not have it.",),
        fix=(
            "Install the package that contains it: `apt-get install -y libgl1 libglib2.0-0` for OpenCV; `apt-file "
            "search {what}` finds others.",
        ),
        severity="stops",
    ),
    "engine_incomplete": Symptom(
        title=("The engine's compiled part is missing: {what}",),
        cause=(
            "It was not installed completely, or Python finds the source code of the engine instead of the package.",
        ),
        fix=("Start it in another folder than the engine's source code; if that does not help, install it again.",),
        severity="stops",
        hides=("no_device",),
    ),
    "not_installed": Symptom(
        title=("The program {what} is not installed here", "The program {program} is not in the container image"),
        cause=("The shell does not find it: another environment is active, or it was never installed.",),
        fix=("Activate the engine's environment, or install the engine: pip install vllm",),
        sglang_fix=("Activate the engine's environment, or install the engine: pip install sglang",),
        severity="stops",
    ),
    "module_missing": Symptom(
        title=("A Python package is missing: {what}",),
        cause=("The engine's environment is incomplete, or another Python was started.",),
        fix=("Install it into the engine's environment: pip install {what}",),
        severity="stops",
    ),
    "packages_mismatch": Symptom(
        title=("The installed packages are incompatible: {package} has no {name}",),
        cause=("The engine was made for another release of {package}, which was upgraded or downgraded since.",),
        fix=("Install the engine into a fresh environment, so that it gets the releases it requires.",),
        severity="stops",
    ),
    "transformers_new": Symptom(
        title=("The installed transformers is too new for this engine",),
        cause=("transformers 5 has removed what this vLLM (up to 0.11) uses of a tokenizer.",),
        fix=("In the engine's environment: pip install 'transformers<5'; or upgrade the engine: pip install -U vllm",),
        sglang_fix=(
            "In the engine's environment: pip install 'transformers<5'; or upgrade the engine: pip install -U sglang",
        ),
        severity="stops",
    ),
    "numpy_mismatch": Symptom(
        title=("The installed NumPy does not fit the other packages",),
        cause=(
            "{who} works with NumPy up to {least}.",
            "A package was compiled for another major release of NumPy.",
        ),
        fix=(
            "In the engine's environment: pip install 'numpy<={least}'",
            "In the engine's environment: pip install 'numpy<2', or a fresh environment with the engine alone.",
        ),
        severity="stops",
    ),
    "package_too_old": Symptom(
        title=("{package} is too old for this engine",),
        cause=("Installed is {have}, but the engine requires {least}.", "The engine requires {least}."),
        fix=("In the engine's environment: pip install -U '{package}>={least}'",),
        severity="stops",
    ),
}

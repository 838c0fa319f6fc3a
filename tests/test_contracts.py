"""Each import contract catches a violation that is planted in a copy of the sources."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
SETTINGS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS = {contract["name"]: contract for contract in SETTINGS["contracts"]}

# Contract, the file that gets the line, the line. An import inside a function counts as much as one at the top.
VIOLATIONS = [
    ("agent imports neither tools nor serving, nor an engine", "agent/loop/run.py", "import tools.files"),
    ("agent imports neither tools nor serving, nor an engine", "agent/agent.py", "import serving"),
    ("serving imports neither agent nor tools, nor an engine", "serving/pocket/__init__.py", "import agent.messages"),
    ("serving imports neither agent nor tools, nor an engine", "serving/engine.py", "import vllm"),
    ("agent: a room imports only from rooms below it", "agent/policy/ladder.py", "import agent.loop.run"),
    ("agent: a room imports only from rooms below it", "agent/task/load.py", "import agent.loop.run"),
    ("agent: a room imports only from rooms below it", "agent/newcomer.py", ""),
    ("serving: a room imports only from rooms below it", "serving/capacity/gpus.py", "import serving.doctor"),
    ("serving: a room imports only from rooms below it", "serving/newcomer.py", ""),
    ("tools import only the front door of agent", "tools/shell.py", "import agent.tooling.tool"),
    ("tools import only the front door of agent", "tools/_text.py", "import agent.messages"),
    ("tools import only the front door of agent", "tools/__init__.py", "import serving"),
    ("only the HTTP modules of agent.model import openai and httpx2", "agent/model/retry.py", "import httpx2"),
    ("only the HTTP modules of agent.model import openai and httpx2", "agent/model/http.py", "import openai"),
    ("no import cycles, between rooms or inside one", "agent/policy/limits.py", "import agent.policy.budget"),
    ("no import cycles, between rooms or inside one", "serving/capacity/models.py", "import serving.capacity.sizing"),
    ("no import cycles, between rooms or inside one", "tools/_text.py", "import tools.files"),
    ("the tool modules are independent of each other", "tools/shell.py", "import tools.files"),
]  # fmt: skip


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    for package in SETTINGS["root_packages"]:
        shutil.copytree(
            ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "model", "draft")
        )
    shutil.copytree(ROOT / "agent" / "model", folder / "agent" / "model", dirs_exist_ok=True)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def verdicts(folder: Path) -> dict[str, str]:
    """Return KEPT or BROKEN by the name of each contract."""
    # Not `python -m`: it would put the folder of the tests before the copy.
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache"],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(folder)},
    )
    found = {name: word for name in CONTRACTS for word in ("KEPT", "BROKEN") if f"{name} {word}" in done.stdout}
    assert set(found) == set(CONTRACTS), done.stdout + done.stderr
    return found


def test_the_copy_is_clean_before_anything_is_planted(copy: Path):
    assert set(verdicts(copy).values()) == {"KEPT"}


@pytest.mark.parametrize(("contract", "file", "line"), VIOLATIONS)
def test_a_planted_violation_breaks_its_contract(copy: Path, contract: str, file: str, line: str):
    path = copy / file
    before = path.read_text() if path.exists() else None
    path.write_text((before or '"""New."""\n') + (f"\n\ndef planted():\n    {line}\n" if line else ""))
    try:
        assert verdicts(copy)[contract] == "BROKEN"
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_text(before)


def test_every_contract_has_a_planted_violation():
    assert {contract for contract, _, _ in VIOLATIONS} == set(CONTRACTS)


def test_the_contract_of_the_tools_lists_every_tool_module():
    modules = {f"tools.{path.stem}" for path in (ROOT / "tools").glob("[!_]*.py")}
    assert set(CONTRACTS["the tool modules are independent of each other"]["modules"]) == modules

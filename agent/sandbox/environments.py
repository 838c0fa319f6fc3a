"""Find the virtual environments that commands of a project use; looks into none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

_MAX_LEVELS = 12
RUNNERS = frozenset({"uv", "poetry", "pdm", "hatch", "pipenv", "rye"})
"""They start a command in the environment of a project, which they find by its files."""
PROJECT_FILES = (
    "pyproject.toml", "uv.lock", "uv.toml", ".python-version", "poetry.lock", "poetry.toml", "pdm.lock", "pdm.toml",
    ".pdm-python", "Pipfile", "Pipfile.lock", "hatch.toml", "setup.py", "setup.cfg", ".env",
)  # fmt: skip


def implied_environments(words: Iterable[str], folder: Path, env: Mapping[str, str]) -> Sequence[Path]:
    """Return where a runner of projects, such as uv, looks for the environment of one. Empty if no word is a runner.

    Args:
        words: of a command.
        folder: absolute; where the runner looks for the project, as it does in those above.
        env: environment variables that it has.
    """
    if not any(Path(word).name in RUNNERS for word in words):
        return ()
    named = [folder / value for name in ("UV_PROJECT_ENVIRONMENT", "VIRTUAL_ENV") if (value := env.get(name))]
    return [*named, *(place / ".venv" for place in [folder, *folder.parents][:_MAX_LEVELS])]


def start_files(packages: Path) -> Sequence[Path]:
    """Return what an interpreter reads at its start from the site-packages of an environment."""
    names = ("*.pth", "sitecustomize.*", "usercustomize.*")
    return [path for name in names for path in sorted(packages.glob(name))]

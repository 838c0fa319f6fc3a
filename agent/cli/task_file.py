"""Read the task that a command is given: a file, or a folder with one; old names in it become notes."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

from ..task.load import load_task
from ..task.renamed import RenamedKey
from ..task.task import Task

TASK_FILE = "task.yaml"
"""Name of the task file in a task's folder."""


def read_task(given: str | Path, overrides: Mapping[str, str]) -> Task:
    """Return the task in a file, or in the task file of a folder, and print a note for each old name in it.

    Raises:
        ConfigError: as for `load_task`.
    """
    path = Path(given)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RenamedKey)
        task = load_task(path / TASK_FILE if path.is_dir() else path, overrides)
    for one in caught:
        print(f"note: {one.message}", file=sys.stderr)
    return task

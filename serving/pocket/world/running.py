"""Really run pytest over a project, in a fork that has it loaded already, and keep what it prints."""

import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self


class Runner:
    """A folder to run projects in. Call it from a process without threads, since it forks."""

    def __init__(self) -> None:
        # In memory where the system has such a folder: thousands of projects are written and removed.
        memory = "/dev/shm"  # noqa: S108 - its own folder in there is made below
        self.folder = Path(tempfile.mkdtemp(prefix="world-", dir=memory if Path(memory).is_dir() else None))
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        os.environ["COLUMNS"] = "80"
        self._first()
        gc.freeze()  # the forks need not copy what a collection would touch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def put(self, files: Mapping[str, str]) -> Path:
        """Write a project in the place of the last one."""
        project = self.folder / "project"
        shutil.rmtree(project, ignore_errors=True)
        for path, text in files.items():
            file = project / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        return project

    def pytest(self, folder: Path, *, beside: Path | None = None) -> tuple[str, int]:
        """Run `python -m pytest -q` in a folder; what it prints, and its exit code.

        Args:
            folder: where the tests are.
            beside: where the modules are. None: in the same folder.
        """
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read_end)
            _run(folder, beside or folder, write_end)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as output:
            printed = output.read().decode()
        _, status = os.waitpid(child, 0)
        return printed, os.waitstatus_to_exitcode(status)

    def _first(self) -> None:
        import pytest  # noqa: F401 - loaded before the forks

        project = self.put({"test_one.py": "def test_one():\n    assert 1 == 2\n"})
        assert self.pytest(project)[1] == 1, "a failing test fails"


def _run(folder: Path, modules: Path, write_end: int) -> None:
    import pytest

    code = 3
    try:
        os.dup2(write_end, 1)
        os.dup2(write_end, 2)
        os.chdir(folder)
        sys.path.insert(0, str(modules))
        sys.dont_write_bytecode = True
        code = int(pytest.main(["-q", "-p", "no:cacheprovider"]))
        sys.stdout.flush()
    finally:
        os._exit(code)

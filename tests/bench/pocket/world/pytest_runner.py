"""Run pytest on a project, inside this process, and return its real output."""

import contextlib
import gc
import io
import linecache
import os
import shutil
import sys
import tempfile
from collections.abc import Generator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

# Plugins of pytest that these tests do not need: without them a run takes 14 ms, not 70 (pytest 9.2, 2026-11-25).
_UNUSED = (
    "cacheprovider", "junitxml", "doctest", "pastebin", "debugging", "unittest", "faulthandler", "recwarn", "tmpdir",
    "monkeypatch", "setuponly", "setupplan", "stepwise", "legacypath", "logging", "unraisableexception",
    "threadexception", "warnings", "subtests",
)  # fmt: skip


class PytestRunner:
    """Runs pytest on projects in a temporary folder."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="world-"))
        self._passed: dict[str, str] = {}
        assert self.pytest(self.put({"test_one.py": "def test_one():\n    assert 1 == 2\n"}))[1] == 1, "the test fails"
        gc.collect()
        gc.freeze()  # exclude pytest's own objects from later garbage collections

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def put(self, files: Mapping[str, str]) -> Path:
        """Write a project, replacing the previous one."""
        project = self.folder / "project"
        shutil.rmtree(project, ignore_errors=True)
        for path, text in files.items():
            file = project / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        return project

    def pytest(self, folder: Path, *, modules: Path | None = None, known: str = "") -> tuple[str, int]:
        """Run `python -m pytest -q` in a folder; return its output and exit code.

        Args:
            folder: the folder of the tests.
            modules: the folder of the modules. None means the same folder.
            known: a key for runs that are known to pass with the same output; only the first run with this key is made.
                Empty means the run is always made.
        """
        if known in self._passed:
            return self._passed[known], 0
        printed, code = _run(folder, modules or folder)
        if known:
            assert code == 0, "the tests are known to pass"
            self._passed[known] = printed
        return printed, code


def _run(folder: Path, modules: Path) -> tuple[str, int]:
    import pytest

    options = [f"-pno:{name}" for name in _UNUSED]
    with _inside(folder, modules), contextlib.redirect_stdout(io.StringIO()) as printed:
        code = int(pytest.main(["-q", "--capture=sys", *options]))
    return printed.getvalue(), code


@contextlib.contextmanager
def _inside(folder: Path, modules: Path) -> Generator[None]:
    """Change to a folder; afterwards restore the process and unload the modules imported from it."""
    before, path, environ, writes = Path.cwd(), list(sys.path), dict(os.environ), sys.dont_write_bytecode
    os.chdir(folder)
    os.environ.update({"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "80"})
    # With one of the first two set, pytest prints longer summaries; the third may make it print anything.
    for name in ("CI", "BUILD_NUMBER", "PYTEST_ADDOPTS"):
        os.environ.pop(name, None)
    sys.path.insert(0, str(modules))
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        os.chdir(before)
        sys.path[:] = path
        os.environ.clear()
        os.environ.update(environ)
        sys.dont_write_bytecode = writes
        roots = (str(folder), str(modules))
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), "")
            if str(file).startswith(roots):
                del sys.modules[name]
        sys.path_importer_cache.clear()
        linecache.clearcache()

"""Really run pytest over a project, inside this process, and keep what it prints."""

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

# Parts of pytest that such tests do not use: without them a run takes 14 ms, not 70 (pytest 9.2, measured 2026-11-25).
_UNUSED = (
    "cacheprovider", "junitxml", "doctest", "pastebin", "debugging", "unittest", "faulthandler", "recwarn", "tmpdir",
    "monkeypatch", "setuponly", "setupplan", "stepwise", "legacypath", "logging", "unraisableexception",
    "threadexception", "warnings", "subtests",
)  # fmt: skip


class Runner:
    """A folder to run projects in."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="world-"))
        self._passed: dict[str, str] = {}
        assert self.pytest(self.put({"test_one.py": "def test_one():\n    assert 1 == 2\n"}))[1] == 1, "it fails"
        gc.collect()
        gc.freeze()  # what pytest has loaded stays: a collection need not look at it each time

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

    def pytest(self, folder: Path, *, beside: Path | None = None, known: str = "") -> tuple[str, int]:
        """Run `python -m pytest -q` in a folder; what it prints, and its exit code.

        Args:
            folder: where the tests are.
            beside: where the modules are. None: in the same folder.
            known: names a run that is known to pass, and that prints the same as the last one of that name, which is
                then not run again. Empty: it is run.
        """
        if known in self._passed:
            return self._passed[known], 0
        printed, code = _run(folder, beside or folder)
        if known:
            assert code == 0, "it was known to pass"
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
    """Work in a folder, and forget afterwards what was imported from it."""
    before, path, environ, writes = Path.cwd(), list(sys.path), dict(os.environ), sys.dont_write_bytecode
    os.chdir(folder)
    os.environ.update({"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "80"})
    for name in ("CI", "BUILD_NUMBER"):  # with one of them set, pytest prints longer summaries
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

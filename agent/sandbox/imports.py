"""Refuse imports of what a run may have written, in this process; refuses nothing once the run has ended."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from .file_facts import changed_ns
from .own_code import own_code
from .programs import is_inside


@contextmanager
def guarded_imports(untrusted: Sequence[Path], *, since_ns: int | None = None) -> Generator[None]:
    """Refuse, inside the block, to import a module from one of the folders.

    Python looks for modules in a project too: if the program that it runs lies there, if the project is installed as
    editable, or is on PYTHONPATH. What is imported before the block stays; what agent itself runs from is read-only in
    a run, and so is not refused.

    Args:
        untrusted: the folders.
        since_ns: refuse only files that were made or changed since this time, in nanoseconds as of `time.time_ns`, for
            programs that go on importing their own modules. None means that all files are refused.
    """
    guard = _Guard(untrusted, since_ns)
    sys.meta_path.insert(0, guard)
    try:
        yield
    finally:
        sys.meta_path.remove(guard)


@contextmanager
def watched_imports(untrusted: Sequence[Path], check: Callable[[Path], None]) -> Generator[set[Path]]:
    """Collect, inside the block, the files of modules that are imported from the folders, without cached bytecode.

    Args:
        untrusted: the folders.
        check: called with each file before it runs; what it raises ends the import.
    """
    watch = _Watch(untrusted, check)
    sys.meta_path.insert(0, watch)
    try:
        yield watch.found
    finally:
        sys.meta_path.remove(watch)


class _Finder(ABC):
    """Finds what the others find, and has modules from some folders loaded from their source."""

    def __init__(self, untrusted: Sequence[Path]) -> None:
        self._untrusted = untrusted

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        finders = list(sys.meta_path)
        if self in finders:  # another thread may be in here when the run ends
            finders = finders[finders.index(self) + 1 :]  # with those of other runs
        found = (finder.find_spec(name, path, target) for finder in finders)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is None:
            return None
        if type(spec.loader) is SourceFileLoader and spec.origin and is_inside(Path(spec.origin), self._untrusted):
            spec.loader = _FromSource(name, spec.origin)
        self.judge(name, spec)
        return spec

    @abstractmethod
    def judge(self, name: str, spec: ModuleSpec) -> None:
        """Raise an error if the module must not be imported."""


class _Watch(_Finder):
    def __init__(self, untrusted: Sequence[Path], check: Callable[[Path], None]) -> None:
        super().__init__(untrusted)
        self.found: set[Path] = set()
        self._check = check

    def judge(self, name: str, spec: ModuleSpec) -> None:
        path = Path(spec.origin) if spec.has_location and spec.origin else None
        if path is not None and is_inside(path, self._untrusted):
            self._check(path)
            self.found.add(path)


class _Guard(_Finder):
    def __init__(self, untrusted: Sequence[Path], since_ns: int | None) -> None:
        super().__init__(untrusted)
        self._since_ns = since_ns

    def judge(self, name: str, spec: ModuleSpec) -> None:
        place = next((place for place in self._places(spec) if self._refuses(Path(place))), None)
        if place is not None:
            how = "commands of this run may change it" if self._since_ns is None else "it was changed during this run"
            msg = (
                f"{name!r} is not imported from {place!r}: {how}. Import it before the run starts, at the top of the "
                "file of your tool, or install it outside of the workspace"
            )
            raise ImportError(msg, name=name, path=place)

    def _places(self, spec: ModuleSpec) -> Sequence[str]:
        if spec.has_location and spec.origin:
            bytecode = None if isinstance(spec.loader, _FromSource) else spec.cached
            return [spec.origin] if bytecode is None else [spec.origin, bytecode]
        # A folder without a file runs nothing by itself.
        return spec.submodule_search_locations or [] if self._since_ns is None else []

    def _refuses(self, place: Path) -> bool:
        if not is_inside(place, self._untrusted) or any(place.resolve().is_relative_to(own) for own in own_code()):
            return False
        return self._since_ns is None or changed_ns(place) >= self._since_ns


class _FromSource(SourceFileLoader):
    """A loader that does not use cached bytecode: a command may have written it, for a source that is as it was."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)

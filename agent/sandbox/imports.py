"""Refuse imports from folders that commands of a run may change; for the process of `agent run`, not for a library."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from .own_code import own_code
from .programs import is_inside


@contextmanager
def guarded_imports(untrusted: Sequence[Path]) -> Generator[None]:
    """Refuse, inside the block, to import a module from one of the folders.

    Python looks for modules in a project too, if it is installed as editable or is on PYTHONPATH. What is imported
    before the block stays; what agent itself runs from is read-only in a run, and so is not refused.
    """
    guard = _Guard(untrusted)
    sys.meta_path.insert(0, guard)
    try:
        yield
    finally:
        sys.meta_path.remove(guard)


class _Guard:
    def __init__(self, untrusted: Sequence[Path]) -> None:
        self._untrusted = untrusted

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        for finder in [finder for finder in sys.meta_path if not isinstance(finder, _Guard)]:
            spec = finder.find_spec(name, path, target)
            if spec is None:
                continue
            places = [spec.origin] if spec.has_location and spec.origin else spec.submodule_search_locations or []
            if place := next((place for place in places if self._refuses(Path(place))), None):
                msg = (
                    f"{name!r} is not imported from {place!r}: commands of this run may change it. Import it before "
                    "the run starts, at the top of the file of your tool, or install it outside of the workspace"
                )
                raise ImportError(msg, name=name, path=place)
            return spec
        return None

    def _refuses(self, place: Path) -> bool:
        return is_inside(place, self._untrusted) and not any(place.resolve().is_relative_to(own) for own in own_code())

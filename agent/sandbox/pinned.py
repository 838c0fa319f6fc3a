"""Remember the contents of files that run outside the sandbox, to notice when one changes; runs none of them."""

from __future__ import annotations

import ast
import hashlib
import itertools
import os
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.machinery import all_suffixes
from pathlib import Path

_MAX_BYTES = 64 * 1024 * 1024
_MAX_SOURCE_BYTES = 1024 * 1024
_MAX_MODULES = 500


class Pinned:
    """Files with their contents at one moment."""

    def __init__(self, files: Iterable[Path]) -> None:
        """Read the files; one that is not there is remembered as missing."""
        self._known = checksums_with_beside(files)

    def changed(self) -> Sequence[Path]:
        """Return the files whose contents are different now, and those that were put beside them."""
        now = checksums_with_beside(map(Path, self._known))
        return [Path(path) for path, found in now.items() if self._known.get(path) != found]


def checksums(files: Iterable[Path]) -> Mapping[str, str]:
    """Return the checksum of each file; empty for one that is not there, or not a regular file."""
    found: dict[str, str] = {}
    for path in files:
        content = _content(path, _MAX_BYTES)
        found[str(path)] = "" if content is None else hashlib.sha256(content).hexdigest()
    return found


def checksums_with_beside(files: Iterable[Path]) -> Mapping[str, str]:
    """Return the checksums of files and of what is `beside` them."""
    paths = tuple(files)
    return checksums([*paths, *beside(paths)])


def command_files(command: Sequence[str], directory: Path) -> tuple[Path, ...]:
    """Return the files that the words of a command name, and what its Python files import from their own folder.

    Modules that are found elsewhere, such as installed ones, and what is imported by a computed name are not returned.

    Args:
        command: the program and its arguments.
        directory: absolute; where the command runs.
    """
    files = [path for word in command if (path := directory / word).is_file()]
    if command and (program := shutil.which(command[0])) is not None and "/" not in command[0]:
        files.append(Path(program))
    files += [config for path in files if (config := path.parent.parent / "pyvenv.cfg").is_file()]
    scripts = [(path, path.parent) for path in files if path.suffix == ".py"]
    for option, module in itertools.pairwise(command):
        if option == "-m":
            scripts += [(path, directory) for path in _module_files(directory, f"{module}.__main__")]
    found = dict.fromkeys(files)
    while scripts and len(found) < _MAX_MODULES:
        path, top = scripts.pop()
        found[path] = None
        scripts += [(one, top) for one in _imported(path, top) if one not in found]
    return tuple(found)


def beside(files: Iterable[Path]) -> tuple[Path, ...]:
    """Return the files that Python runs without being told to, when it runs one of these files.

    Modules beside it that are imported instead of Python's own or installed ones; and what an interpreter reads at its
    start from the environment that its `pyvenv.cfg` stands for.
    """
    paths = tuple(files)
    folders = dict.fromkeys(folder for path in paths if path.suffix == ".py" for folder in _tops(path))
    names = _importable() if folders else set[str]()
    found: dict[Path, None] = {}
    for folder in folders:
        with suppress(OSError):
            there = {entry.name.partition(".")[0] for entry in os.scandir(folder)} & names
            places = [Path(f"{folder / name}{end}") for name in sorted(there) for end in _MODULE_ENDS]
            found |= dict.fromkeys(path for path in places if path.is_file())
    for path in paths:
        if path.name == "pyvenv.cfg":
            for pattern in ("*.pth", "sitecustomize.py", "usercustomize.py"):
                found |= dict.fromkeys(sorted(path.parent.glob(f"lib/python*/site-packages/{pattern}")))
    return tuple(found)


_MODULE_ENDS = tuple(f"{start}{suffix}" for start in ("", "/__init__") for suffix in all_suffixes())


def _tops(path: Path) -> Iterator[Path]:
    """Yield the folders in which a program with this file may look for modules: its own, and that of its package."""
    yield path.parent
    if (path.parent / "__init__.py").is_file():
        yield path.parent.parent


def _importable() -> set[str]:
    """Return the names of Python's own modules and of those that are installed for this process."""
    installed = [Path(entry) for entry in sys.path if Path(entry).name == "site-packages" and Path(entry).is_dir()]
    names = sys.stdlib_module_names | {path.stem for entry in installed for path in entry.iterdir()}
    return {name for name in names if name.isidentifier()}


def _imported(path: Path, top: Path) -> Iterator[Path]:
    """Yield the files that a Python file imports from the folder `top`, in which its program looks for modules."""
    try:
        tree = ast.parse(_content(path, _MAX_SOURCE_BYTES) or b"")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield from _module_files(top, name.name)
        elif isinstance(node, ast.ImportFrom):
            start = path.parents[node.level - 1] if 0 < node.level <= len(path.parents) else top
            base = [node.module] if node.module else []
            for name in node.names:
                yield from _module_files(start, ".".join([*base, name.name]))


def _module_files(top: Path, module: str) -> Iterator[Path]:
    """Yield the files of a module and of the packages that it is in; what does not exist is left out."""
    parts = [part for part in module.split(".") if part.isidentifier()]
    for count in range(1, len(parts) + 1):
        place = top.joinpath(*parts[:count])
        yield from (path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file())


def _content(path: Path, most_bytes: int) -> bytes | None:
    """Return the beginning of a regular file, with its size if it is longer. None for anything else."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(opened, "rb") as file:
        facts = os.fstat(opened)
        if not stat.S_ISREG(facts.st_mode):
            return None
        content = file.read(most_bytes)
    return content if facts.st_size <= most_bytes else content + str(facts.st_size).encode()

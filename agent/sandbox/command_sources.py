"""Find what a command that runs outside the sandbox loads, and what it would load if it were there; runs none of it."""

from __future__ import annotations

import ast
import itertools
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from .environments import PROJECT_FILES, RUNNERS, implied_environments
from .file_facts import content_of
from .programs import is_inside
from .python_words import interpreter_words, named_by, python_words
from .sources import MODULE_ENDS, Sources, modules_in

_MAX_SOURCE_BYTES = 1024 * 1024
_MAX_PARSED_BYTES = 2 * 1024 * 1024
"""Of all that one command imports: 1 MiB can take 6 s."""
_MAX_MODULES = 500
_MAX_UNREAD = 10_000
_CODE = frozenset({
    ".py", ".pyz", ".js", ".mjs", ".cjs", ".ts", ".mts", ".sh", ".rb", ".pl", ".php", ".lua", ".jar", ".so", ".wasm",
})  # fmt: skip
_DATA = frozenset({
    ".db", ".sqlite", ".sqlite3", ".duckdb", ".csv", ".parquet", ".jsonl", ".log", ".txt", ".md", ".pdf",
})  # fmt: skip
"""Files that servers work on."""
_COMPUTES_IMPORTS = re.compile(rb"import_module|__import__|runpy|find_spec|spec_from_file|exec\(")
_EDITABLE = re.compile(r"'(/[^'\n]+)'")
"""A folder of an editable install, in the module of setuptools that finds it."""


def command_sources(
    command: Sequence[str], directory: Path, writable: Sequence[Path], env: Mapping[str, str] | None = None
) -> Sources:
    """Return what a command loads in some folders, as far as its words, environments and the imports of its files say.

    What is imported by a computed name is found only if the name stands in the file.

    Args:
        command: the program and its arguments.
        directory: absolute; where the command runs.
        writable: absolute; the folders.
        env: environment variables that it gets in addition.
    """
    return _Search(command, directory, writable, env or {}).found().inside(writable)


class _Search:
    def __init__(
        self, command: Sequence[str], directory: Path, writable: Sequence[Path], env: Mapping[str, str]
    ) -> None:
        self._command, self._directory, self._writable, self._env = command, directory, writable, env
        self._files: set[Path] = set()
        self._arguments: set[Path] = set()
        self._modules: dict[Path, set[str]] = {}
        self._environments: set[Path] = set()
        self._libraries: set[Path] = set()
        self._parsed_bytes, self._is_partial = 0, False

    def found(self) -> Sources:
        words = self._existing(value for word in self._command for value in named_by(word))
        values = self._existing(part for value in self._env.values() for part in value.split(os.pathsep))
        self._files.update(path for path in words | values if path.is_file() and _is_code(path))
        self._arguments.update(path for path in words if path.is_file() and path.suffix not in _DATA)
        for folder in [self._directory, *(path for path in words if path.is_dir())]:
            for environment in implied_environments(self._command, folder, self._env):
                self._add_environment(environment, may_appear=True)
                self._arguments.update(environment.parent / name for name in PROJECT_FILES)
        self._add_programs()
        interpreters = (word for path in self._files for word in interpreter_words(content_of(path, 256) or b""))
        self._files.update(filter(Path.is_file, self._existing(interpreters)))
        for path in self._files | self._arguments:
            self._add_environment(path.parent.parent)
            if path.name.startswith("python"):
                self._libraries.update(Path(os.path.realpath(path)).parent.parent.glob("lib/python3*"))
        self._add_scripts()
        return Sources(
            files=frozenset(self._files),
            arguments=frozenset(self._arguments - self._files),
            modules={folder: frozenset(names) for folder, names in self._modules.items()},
            environments=frozenset(self._environments),
            libraries=frozenset(self._libraries),
            parsed_bytes=self._parsed_bytes,
            is_partial=self._is_partial,
        )

    def _existing(self, names: Iterable[str]) -> set[Path]:
        return {path for name in names if name and exists(path := self._directory / name)}

    def _add_programs(self) -> None:
        """Add the programs that the PATH leads to, and the places before, where another one would be found."""
        starts_other = any(Path(word).name in {*RUNNERS, "env"} for word in self._command)
        path = self._env.get("PATH", os.environ.get("PATH", os.defpath))
        folders = [self._directory / name for name in path.split(os.pathsep)]
        if starts_other:
            folders = [*(place / "bin" for place in self._environments), *folders]
        for word in self._command if starts_other else self._command[:1]:
            if "/" in word or word.startswith("-") or not word:
                continue
            for folder in folders:
                self._files.add(folder / word)
                if shutil.which(word, path=str(folder)):
                    break

    def _add_environment(self, folder: Path, *, may_appear: bool = False) -> None:
        if may_appear or (folder / "pyvenv.cfg").is_file() or (folder / "conda-meta").is_dir():
            self._environments.add(folder)
            self._files.add(folder / "pyvenv.cfg")
            self._libraries.update(folder.glob("lib/python*/site-packages"))

    def _add_scripts(self) -> None:
        """Add what Python files import, of that which lies in their folder or in a project that is installed there."""
        installed = [*filter(None, self._env.get("PYTHONPATH", "").split(os.pathsep)), *self._editable()]
        places = self._tops(self._directory / name for name in installed)
        files = filter(_is_python, self._files)
        scripts = [*self._started_scripts(places), *((path, [*self._tops([path.parent]), *places]) for path in files)]
        hidden = _importable(self._libraries) if scripts else frozenset[str]()
        for folder in {top for _, tops in scripts for top in tops}:
            self._modules.setdefault(folder, set()).update(hidden)
        seen, unread = set[Path](), set[Path]()
        while scripts and len(seen) < _MAX_MODULES:
            path, tops = scripts.pop()
            if path not in seen:
                seen.add(path)
                content = content_of(path, _MAX_SOURCE_BYTES) or b""
                self._parsed_bytes += len(content)
                if self._parsed_bytes > _MAX_PARSED_BYTES:
                    unread.update(tops)  # it may import any module there
                    continue
                scripts += [(one, tops) for one in self._imported(content, path, tops)]
        self._is_partial = bool(unread or scripts)
        self._files.update(seen, *(itertools.islice(modules_in(folder, bool), _MAX_UNREAD) for folder in unread))

    def _started_scripts(self, places: Sequence[Path]) -> Iterator[tuple[Path, Sequence[Path]]]:
        """Yield the files that Python starts with, each with the folders in which it looks for modules."""
        words = python_words(self._command)
        named = self._existing(value for word in self._command for value in (*named_by(word), *words.strings))
        tops = (*self._tops([self._directory, *filter(Path.is_dir, named)]), *places)
        found = [path for module in words.modules for path in self._module_files(tops, f"{module}.__main__")]
        for text in words.texts:
            found += self._imported(text.encode(errors="replace"), self._directory / "-c", tops)
        if not words.is_understood:
            found += itertools.islice(self._directory.glob("*.py"), _MAX_MODULES)
        yield from ((path, tops) for path in found)
        for script in self._existing(words.scripts):
            start = [script] if script.is_dir() else [script.parent]
            own = (*self._tops(start), *places)
            files = self._module_files(own, "__main__") if script.is_dir() else [script]
            yield from ((path, own) for path in files)

    def _tops(self, folders: Iterable[Path]) -> Sequence[Path]:
        """Return the folders in which a module may be one of those looked for: they are in one of them, or hold one."""
        return [
            folder
            for folder in dict.fromkeys(folders)
            if is_inside(folder, self._writable) or any(root.is_relative_to(folder) for root in self._writable)
        ]

    def _editable(self) -> Iterator[str]:
        """Yield the folders that an environment's site-packages lead to."""
        for library in self._libraries:
            for path in library.glob("*.pth"):
                lines = (content_of(path, _MAX_SOURCE_BYTES) or b"").decode(errors="replace").splitlines()
                yield from (str(library / line) for line in lines if line and not line.startswith(("import", "#")))
            for path in library.glob("__editable__*.py"):
                text = (content_of(path, _MAX_SOURCE_BYTES) or b"").decode(errors="replace")
                yield from (str(Path(found).parent) for found in _EDITABLE.findall(text))

    def _imported(self, content: bytes, path: Path, tops: Sequence[Path]) -> Iterator[Path]:
        """Yield the files that a Python file imports from the folders in which its program looks for modules."""
        try:
            tree = ast.parse(content)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return
        computes = _COMPUTES_IMPORTS.search(content) is not None
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for name in node.names:
                    yield from self._module_files(tops, name.name)
            elif isinstance(node, ast.ImportFrom):
                is_relative = 0 < node.level <= len(path.parents)
                start = [path.parents[node.level - 1]] if is_relative else tops
                base = [node.module] if node.module else []
                for name in node.names:
                    yield from self._module_files(start, ".".join([*base, name.name]))
            elif computes and isinstance(node, ast.Constant) and isinstance(node.value, str):
                name = node.value.removesuffix(".py").replace("/", ".").strip(".")
                if name and all(part.isidentifier() for part in name.split(".")):
                    yield from self._module_files((path.parent, *tops), name)

    def _module_files(self, tops: Iterable[Path], module: str) -> Iterator[Path]:
        """Yield the files of a module and of the packages that it is in, and remember where they were looked for."""
        parts = [part for part in module.split(".") if part and "/" not in part]  # `-m` takes `my-server` too
        for top in tops:
            for count, name in enumerate(parts):
                folder = top.joinpath(*parts[:count])
                if not folder.is_dir():
                    break
                self._modules.setdefault(folder, set()).add(name)
                yield from _forms(folder, name)


def _forms(folder: Path, name: str) -> Iterator[Path]:
    """Yield the files that Python may take for a module."""
    yield from (path for end in MODULE_ENDS if (path := Path(f"{folder / name}{end}")).is_file())


def _importable(libraries: Iterable[Path]) -> frozenset[str]:
    """Return the names of Python's own modules and of those that are installed for this process or in libraries."""
    names = {*sys.stdlib_module_names, "sitecustomize", "usercustomize"}
    for entry in {*libraries, *(Path(entry) for entry in sys.path if Path(entry).name == "site-packages")}:
        with suppress(OSError):
            names.update(path.name.partition(".")[0] for path in entry.iterdir())
    return frozenset(name for name in names if name.isidentifier())


def _is_python(path: Path) -> bool:
    return path.suffix == ".py" or re.match(rb"#![^\n]*python", content_of(path, 128) or b"") is not None


def _is_code(path: Path) -> bool:
    return path.suffix in _CODE or os.access(path, os.X_OK) or _is_python(path)


def exists(path: Path) -> bool:
    """Return whether there is something by this name; a word that cannot be one names nothing."""
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for a name
        return False

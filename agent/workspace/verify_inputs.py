"""Notice that a run changed what its verification loads, so that a pass proves less; a courtesy, and refuses nothing.

The verification runs in the sandbox, so this is no escape; but code that it loads can make it pass. What is looked at:

- The programs, scripts and settings that the command names in the workspace; of a virtual environment there, what
  Python reads at its start (`sandbox.environments`), the code of pytest and coverage, and each plugin of pytest.
- What runners load without being told to: pytest its settings and each conftest.py (docs.pytest.org, "Configuration"
  and "conftest.py", of 9.0), tox and nox their files, Python sitecustomize.py (docs.python.org, "site"), make its
  makefile (GNU make manual, 3.2), npm the "scripts" of package.json and .npmrc (docs.npmjs.com), jest, vitest and
  mocha their settings. Read 2026-11.
- New modules at the top of the workspace that Python imports instead of its own or of pytest's.

Tests and the code under test are what a run is asked to change, so they give no notice.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import translate
from importlib.machinery import all_suffixes
from itertools import pairwise
from pathlib import Path
from typing import cast

from ..journal.events import Event, Noticed, VerifyEnded
from ..policy.command_words import commands_in
from ..sandbox.beneath import open_regular
from ..sandbox.environments import implied_environments
from ..sandbox.inside import LeadsOut
from .tree import folders_below
from .verify_environments import MAX_BYTES, RUNNERS, files_of_environments
from .verify_settings import loaded_part

RECORD = "verify.json"
"""In the folder of a run: checksums of what its verification loaded before the run."""
_NOTICE = (
    "The verification passed, but the run changed what it loads: {files}. Read these changes before you trust the "
    "result: they can make it pass whatever the work is."
)
_PYTHON = re.compile(r"python[\d.]*|py\.?test|tox|nox|coverage|uvx?|poetry|pdm|hatch|pipenv")
_NODE = re.compile(r"node|npm|npx|yarn|pnpm|bun|jest|vitest|mocha")
_STARTS_SCRIPT = re.compile(r"python[\d.]*|node|bun|(?:ba|da|z|k|a)?sh|ruby|perl")
_MAKE = re.compile(r"g?make")
_START_FILES = ("sitecustomize.py", "usercustomize.py")
_PYTHON_FILES = (
    *_START_FILES, "conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", "tox.toml",
    "setup.cfg", "pyproject.toml", "noxfile.py",
)  # fmt: skip
_NODE_FILES = ("package.json", ".npmrc", "jest.config.*", "vitest.config.*", "vite.config.*", ".mocharc.*")
_MAKE_FILES = ("GNUmakefile", "makefile", "Makefile")
_SETTINGS_OPTIONS = frozenset({"-c", "-f", "--config", "--config-file", "--file", "--makefile"})
_TEST_FILE = re.compile(r"(?:test_[^/]*|[^/]*[_.](?:test|spec))\.\w+")
_MODULES = (sys.stdlib_module_names - {"test"}) | RUNNERS
_MODULE_ENDS = tuple(all_suffixes())
_MAX_ENTRIES = 100_000
_MAX_NAMED = 10
_LIMIT = "(limit)"
"""In the checksums, in the place of a path, if there is more than is looked at."""
_MORE = (
    "The verification passed, but not all that it loads was looked at: the workspace, or an environment in it, has "
    "more files than the limit of this check. The run may have changed what is not looked at."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Inputs:
    """What a verification loads from the workspace; paths are relative to it."""

    workspace: Path
    programs: frozenset[str]
    """Where its programs would be found by the PATH; they need not exist."""
    scripts: frozenset[str]
    """Programs, scripts and settings that it names by their paths, and that exist."""
    patterns: frozenset[str]
    """Names of the files that its runners load by themselves."""

    def checksums(self) -> dict[str, str]:
        """Return the checksum of each file that is loaded, by its path; missing ones are left out. Never raises."""
        named = self.programs | self.scripts
        installed, is_all = files_of_environments(self.workspace, named)
        found = {path: _checksum(self.workspace, path) for path in {*named, *installed}}
        found |= {} if is_all else {_LIMIT: "reached"}
        if self.patterns:
            found |= _loaded_unasked(self.workspace, self.patterns)
        return {path: checksum for path, checksum in sorted(found.items()) if checksum}


def noticing_verify_inputs(
    workspace: Path, command: str, env: Mapping[str, str], record: Callable[[Event], None], folder: Path | None
) -> Callable[[Event], None]:
    """Return a `record` that, after a verification passed, also records a notice of what the run changed of its inputs.

    Args:
        workspace: the folder that the run works in.
        command: the verification.
        env: its environment.
        record: records an event.
        folder: the run's own, where a resumed run finds the checksums from before the run. None means it is not kept.
    """
    inputs = _inputs(workspace, command, env)
    before = _before(inputs, folder)
    told: set[str] = set()

    def record_and_look(event: Event) -> None:
        record(event)
        if not isinstance(event, VerifyEnded) or not event.ok:
            return
        now = inputs.checksums()
        if _LIMIT in now and _LIMIT not in told:
            record(Noticed(text=_MORE))
            told.add(_LIMIT)
        changed = {path for path in before.keys() | now.keys() if before.get(path) != now.get(path)} - told - {_LIMIT}
        changed -= {path for path in before.keys() ^ now.keys() if "/__pycache__/" in path}  # any start of Python
        changed -= inputs.scripts - before.keys()  # of a resumed run: what the task had it write
        if changed:
            told.update(changed)
            record(Noticed(text=_NOTICE.format(files=_listed(changed, before, now))))

    return record_and_look


def _before(inputs: _Inputs, folder: Path | None) -> Mapping[str, str]:
    place = None if folder is None else folder / RECORD
    if place is not None:
        with suppress(OSError, ValueError):
            return cast("dict[str, str]", json.loads(place.read_text(encoding="utf-8")))
    found = inputs.checksums()
    if place is not None:
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps(found), encoding="utf-8")
    return found


def _listed(paths: Iterable[str], before: Mapping[str, str], now: Mapping[str, str]) -> str:
    words: list[str] = []
    for path in sorted(paths):
        how = "" if path in before and path in now else " (removed)" if path in before else " (new)"
        words.append((path if path.isprintable() else ascii(path)) + how)
    return ", ".join(words[:_MAX_NAMED]) + (f" and {len(words) - _MAX_NAMED} more" if len(words) > _MAX_NAMED else "")


def _inputs(workspace: Path, command: str, env: Mapping[str, str]) -> _Inputs:
    """Return what a command names; words that only the shell knows, such as variables, name nothing."""
    here, folders = workspace, [workspace]
    found: dict[bool, set[str]] = {True: set(), False: set()}
    patterns: set[str] = set()
    on_path = [workspace / entry for entry in env.get("PATH", os.defpath).split(os.pathsep) if entry]
    for forms in filter(None, commands_in(command)):
        name, *words = forms[-1].split()
        if name == "cd" and words:
            here = here / words[0]
            folders.append(here)
        programs = {form.split()[0] for form in forms}
        on_paths = {place / program for program in programs if "/" not in program for place in on_path}
        on_paths |= {place / "bin/python" for place in implied_environments(programs, here, env)}
        given = {word for word in (*programs, *_scripts(name, words)) if "/" in word or word not in programs}
        scripts = {path for folder in folders for word in given if (path := folder / word).is_file()}
        found[False] |= {_inside(workspace, path) for path in on_paths}
        named = {_inside(workspace, path) for path in scripts if not _TEST_FILE.fullmatch(path.name)} - {""}
        found[True] |= named
        patterns.update(_patterns(name, starts_own=bool(named), is_inside="$" not in str(here) and here.is_dir()))
    return _Inputs(workspace=workspace, programs=frozenset(found[False] - {""}), scripts=frozenset(found[True]),
                   patterns=frozenset(patterns))  # fmt: skip


def _scripts(name: str, words: Sequence[str]) -> Iterator[str]:
    """Yield the words of a command that may be files which it runs, or reads settings from."""
    if _STARTS_SCRIPT.fullmatch(name) and "-m" not in words:
        yield from [word for word in words if not word.startswith("-")][:1]
    for option, word in pairwise(words):
        if option in _SETTINGS_OPTIONS:
            yield word
    for word in words:
        option, equals, value = word.partition("=")
        if equals and option in _SETTINGS_OPTIONS:
            yield value


def _patterns(name: str, *, starts_own: bool, is_inside: bool) -> Sequence[str]:
    if not is_inside:  # as with hidden tests, which find only modules here, by PYTHONPATH
        return _START_FILES if _PYTHON.fullmatch(name) else ()
    if _PYTHON.fullmatch(name):
        return _PYTHON_FILES
    if _NODE.fullmatch(name):
        return _NODE_FILES
    return (*_PYTHON_FILES, *_NODE_FILES, *_MAKE_FILES) if starts_own or _MAKE.fullmatch(name) else ()


def _inside(workspace: Path, path: Path) -> str:
    """Return a path relative to the workspace, its symlinks not followed. Empty if it is not in it, or is it."""
    normal = Path(os.path.normpath(path))
    return str(normal.relative_to(workspace)) if workspace in normal.parents else ""


def _loaded_unasked(workspace: Path, patterns: Iterable[str]) -> dict[str, str]:
    """Return the checksums of files that runners load by themselves; in hidden folders, only by a link to them."""
    found: dict[str, str] = {}
    matches = re.compile("|".join(map(translate, patterns))).fullmatch
    listed = 0
    real, links = {os.path.realpath(workspace)}, list[Path]()
    trees = itertools.chain([workspace], links)  # links are added meanwhile, and come last
    for place, below, files in itertools.chain.from_iterable(map(folders_below, trees)):
        listed += len(files) + len(below)
        if listed > _MAX_ENTRIES:
            found[_LIMIT] = "reached"
            break
        if place == workspace and _START_FILES[0] in patterns:
            packages = (name for name in below if name in _MODULES)
            modules = [*(name for name in files if name.endswith(_MODULE_ENDS) and name.partition(".")[0] in _MODULES),
                       *(f"{name}/__init__{end}" for name in packages for end in _MODULE_ENDS)]  # fmt: skip
            found |= {name: "there" for name in modules if (workspace / name).is_file()}
        below[:] = [name for name in below if name[0] != "." and name not in {"node_modules", "__pycache__"}]
        if "pyvenv.cfg" in files:  # pytest loads what is in it if its name begins with `test`
            below.clear()
        top = place.relative_to(workspace)
        paths = [str(top / name) for name in files if matches(name)]
        found |= {path: _checksum(workspace, path) for path in paths}
        real.update(os.path.realpath(place / name) for name in below)
        links += [place / name for name in files if name[0] != "." and _is_new_folder(place / name, workspace, real)]
    return found


def _is_new_folder(path: Path, workspace: Path, known: set[str]) -> bool:
    """Return whether a link leads to a folder in the workspace that is not among the known ones, and add it to them."""
    if not path.is_symlink() or not path.is_dir():
        return False
    real = os.path.realpath(path)
    is_new = real not in known and Path(real).is_relative_to(workspace.resolve())
    known.add(real)
    return is_new


def _checksum(workspace: Path, path: str) -> str:
    """Return the checksum of what is loaded of a file. Empty if it is missing, or nothing of it is loaded."""
    try:
        with open_regular(workspace, path, follow=True) as file:
            content = file.read(MAX_BYTES)
            size_bytes = os.fstat(file.fileno()).st_size
    except LeadsOut:  # such as the Python of an environment: a run cannot change what is there
        return f"leads to {os.path.realpath(workspace / path)}"
    except OSError:
        return ""
    if size_bytes > MAX_BYTES:
        content += str(size_bytes).encode()
    else:
        content = loaded_part(Path(path).name, content)
    return hashlib.sha256(content).hexdigest() if content is not None else ""

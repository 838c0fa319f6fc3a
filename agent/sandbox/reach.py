"""Decide whether a command would run code from folders, by what it is and names; runs and parses none of it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .command_sources import command_sources, exists
from .environments import RUNNERS
from .file_facts import content_of
from .programs import is_inside
from .python_words import is_interpreter, python_words
from .sources import Sources

_FETCHERS = frozenset({"npx", "pnpx", "bunx", "uvx", "pipx"})
"""They run a package, whose name is their first argument, and prefer one of the project that they are started in."""
_BY_FOLDER = _FETCHERS | RUNNERS | {
    "ant", "ash", "asdf", "bash", "bun", "bundle", "cargo", "conda", "csh", "dash", "deno", "direnv", "docker-compose",
    "dotnet", "env", "find", "fish", "go", "gradle", "java", "julia", "just", "ksh", "lua", "make", "mamba",
    "micromamba", "mise", "mvn", "nice", "ionice", "nix", "nix-shell", "node", "nodejs", "nohup", "npm", "perl", "php",
    "pixi", "pnpm", "rake", "Rscript", "ruby", "script", "setsid", "sh", "stdbuf", "sudo", "task", "tcsh", "timeout",
    "ts-node", "tsx", "xargs", "yarn", "zsh",
}  # fmt: skip
"""What they run depends on the folder that they are started in, and on folders that they are given."""
_BY_FOLDER_WITH = frozenset({"compose"})
"""Words that make any program one of these, such as `docker compose`."""
_FIXED_SCRIPT = re.compile(rb"#![^\n]*(?:python|pypy|node)[^\n]*")
"""Such a script looks for modules beside its own file."""
_NODE = frozenset({"node", "nodejs"})


def runs_code_in(
    folders: Sequence[Path], command: Sequence[str], directory: Path, env: Mapping[str, str] | None = None
) -> bool:
    """Return whether something that lies in one of the folders decides what code a command runs; true if in doubt.

    Data that the command is given there does not: a folder, for a program that does not look for code in it.

    Args:
        folders: absolute.
        command: the program and its arguments.
        directory: absolute; where the command runs.
        env: environment variables that it gets in addition.
    """
    variables = env or {}
    if any(is_inside(path, folders) for path in _paths_in(variables, directory)):
        return True
    found = command_sources(command, directory, folders, variables, follow=False)
    if found != Sources(libraries=found.libraries):
        return True
    if any(is_inside(directory / script, folders) for script in python_words(command).scripts):
        return True
    if any(is_inside(folder, folders) for folder in _code_folders(command, directory)):
        return True
    return is_inside(directory, folders) and not _is_fixed(command, directory, variables)


def _paths_in(env: Mapping[str, str], directory: Path) -> Iterator[Path]:
    """Yield the paths that variables hold, such as `NODE_PATH`, also within options; and the folders of the PATH."""
    for name, value in {"PATH": os.environ.get("PATH", os.defpath), **env}.items():
        for part in re.split(r"[\s:;,=]+", value):
            path = directory / part
            if part and (part.startswith(("/", ".")) or name.endswith("PATH") or exists(path)):
                yield path


def _code_folders(command: Sequence[str], directory: Path) -> Iterator[Path]:
    """Yield the folders that a program is given and looks for code in, and what texts for a shell name."""
    kinds = {Path(word).name for word in command}
    if not kinds & (_BY_FOLDER | _BY_FOLDER_WITH):
        return
    takes_data = kinds & (_FETCHERS | _NODE) and not kinds & (_BY_FOLDER - _FETCHERS - _NODE)
    for word in command[1:]:
        for part in _words_in(word):
            for value in (part, part.partition("=")[2]):
                path = directory / value
                if value and ("/" in value or value in {".", ".."} or exists(path)):
                    yield path
        if takes_data and not word.startswith("-"):
            return  # what follows are arguments of what it starts


def _words_in(word: str) -> Sequence[str]:
    if not re.search(r"\s", word):
        return [word]
    try:
        return shlex.split(word)
    except ValueError:
        return word.split()


def _is_fixed(command: Sequence[str], directory: Path, env: Mapping[str, str]) -> bool:
    """Return whether a program outside of the folders runs the same code whatever folder it is started in."""
    program = command[0]
    if is_interpreter(program):
        words = python_words(command)
        return words.is_understood and bool(words.scripts) and not words.modules and not words.texts
    kinds = {Path(word).name for word in command}
    if Path(program).name in _NODE:
        return len(command) > 1 and "/" in command[1] and not command[1].startswith("-")
    if Path(program).name in _BY_FOLDER or kinds & _BY_FOLDER_WITH:
        return False
    path = env.get("PATH", os.environ.get("PATH", os.defpath))
    found = program if "/" in program else shutil.which(program, path=path)
    if found is None:
        return False
    start = content_of(directory / found, 256) or b""
    return start.startswith(b"\x7fELF") or _FIXED_SCRIPT.match(start) is not None

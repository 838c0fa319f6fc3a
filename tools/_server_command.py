"""Change the command of a server so that Python reads no compiled modules that a run left; starts nothing."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

NO_CACHE = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": "/dev/null"}
"""Environment variables of servers. Below /dev/null there is no compiled module."""
_OPTIONS = ("-X", "pycache_prefix=/dev/null")  # with -I or -E Python does not read its variables
_PYTHON = re.compile(r"(?:python|pypy)[\d.]*")
_NO_VARIABLES = re.compile(r"-[^-cmWX]*[EI].*", re.DOTALL)
_LAUNCHERS = frozenset({
    "env", "uv", "poetry", "pdm", "hatch", "pipenv", "rye", "nice", "ionice", "nohup", "setsid", "stdbuf", "timeout",
})  # fmt: skip
_SHEBANG_BYTES = 256  # the kernel reads no more


def without_compiled(command: Sequence[str], directory: Path, env: Mapping[str, str]) -> Sequence[str]:
    """Return the command with options that keep Python from `__pycache__`, where its variables may not reach it.

    These are a Python that is started by the command, or by a program such as `env` or `uv run`, and one with -I or -E
    in the first line of a script.

    Args:
        command: the program and its arguments.
        directory: absolute; where it runs.
        env: environment variables that it gets in addition.
    """
    return _changed(command) or _changed(_interpreted(command, directory, env)) or command


def _changed(command: Sequence[str]) -> Sequence[str]:
    if command and _is_python(command[0]):
        return [command[0], *_OPTIONS, *command[1:]]
    return _launched(command)


def _launched(command: Sequence[str]) -> Sequence[str]:
    if not command or Path(command[0]).name not in _LAUNCHERS:
        return ()
    for index, word in enumerate(command):
        if not _is_python(word) or command[index - 1] in {"-p", "--python"}:
            continue
        clears = any(Path(before).name == "env" for before in command[:index])
        if clears or any(map(_NO_VARIABLES.fullmatch, command[index + 1 :])):
            return [*command[: index + 1], *_OPTIONS, *command[index + 1 :]]
    return ()


def _interpreted(command: Sequence[str], directory: Path, env: Mapping[str, str]) -> Sequence[str]:
    """Return the command by which the kernel runs a script, if its Python may not read its variables; else nothing."""
    path = env.get("PATH", os.environ.get("PATH", os.defpath))
    found = command[0] if "/" in command[0] else shutil.which(command[0], path=path)
    if found is None or not (script := directory / found).is_file():
        return ()
    try:
        with script.open("rb") as file:
            line = file.read(_SHEBANG_BYTES).partition(b"\n")[0].decode()
    except (OSError, ValueError):
        return ()
    program, _, argument = line.removeprefix("#!").strip().partition(" ")
    argument = argument.strip()
    if not line.startswith("#!") or not argument:
        return ()
    if Path(program).name == "env" and argument.startswith("-S"):
        return [program, *argument.removeprefix("-S").split(), found, *command[1:]]
    return [program, argument, found, *command[1:]] if _NO_VARIABLES.fullmatch(argument) else ()


def _is_python(word: str) -> bool:
    return _PYTHON.fullmatch(Path(word).name) is not None

"""Decide whether a command would run code from folders, by what it is and names; runs and parses none of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .command_sources import command_sources
from .environments import RUNNERS
from .file_facts import content_of
from .programs import is_inside
from .python_words import is_interpreter
from .sources import Sources

_SEPARATORS = re.compile(r"""[\s:;,=@&|<>()'"`{}\[\]]+""")
"""What stands before and after paths in options, lists of paths, and texts for a shell."""
_ABSOLUTE = re.compile(r"""(?<![\w.~$}])/[^\s:;,=@&|<>()'"`{}\[\]]*""")
_IN_DOUBT = re.compile(r"[*?$`~]")
"""In a text for a shell, these may stand for any path."""
_MAX_TEXT_BYTES = 1024 * 1024
"""Of a script that is searched for the names of folders."""
_DATA_SERVER = re.compile(
    r"(?:@modelcontextprotocol/server-[a-z-]+|mcp-server-(?:fetch|git|sqlite|time))(?:(?:@|==)[\w.^~-]+)?"
)
"""The reference servers (github.com/modelcontextprotocol/servers, read 2026-11) only work on what they are given."""
_DATA_IMAGE = re.compile(r"mcp/[a-z-]+(?::[\w.-]+)?")
"""The same in containers, and others of Docker's catalogue (hub.docker.com/u/mcp, read 2026-11)."""
_STARTERS = frozenset({"bunx", "npx", "pipx", "pnpx", "uvx"})
_RUNS_OTHERS = RUNNERS | {
    "bash", "bun", "cargo", "dash", "deno", "fish", "go", "java", "just", "ksh", "lua", "make", "node", "nodejs", "npm",
    "perl", "php", "pnpm", "ruby", "sh", "ts-node", "tsx", "yarn", "zsh",
}  # fmt: skip


def runs_code_in(
    folders: Sequence[Path], command: Sequence[str], directory: Path, env: Mapping[str, str] | None = None
) -> bool:
    """Return whether something that lies in one of the folders may decide what code a command runs; true if in doubt.

    It is false only if the command does not start in one of the folders, nothing in its words, its variables and the
    script that it starts names one, and the Python files that it starts import nothing from there. The reference
    servers, started by their package's name, may be given a folder: they only work on it.

    Args:
        folders: absolute; need not exist.
        command: the program and its arguments.
        directory: absolute; where the command runs.
        env: environment variables that it gets in addition.
    """
    variables = env or {}
    if is_inside(directory, folders):
        return True
    places = [directory / part for part in {"PATH": _path(), **variables}.get("PATH", "").split(os.pathsep) if part]
    if any(is_inside(place, folders) for place in places):
        return True
    names = _Names(folders, directory)
    if any(names.are_in(value) for name, value in variables.items() if name != "PATH"):
        return True
    words = list(_code_words(command))
    if any(names.are_in(word) or _may_be_any(word) for word in words):
        return True
    if any(names.are_in(text) for text in _scripts(words, directory)):
        return True
    found = command_sources(words, directory, folders, variables)
    return found != Sources(libraries=found.libraries, parsed_bytes=found.parsed_bytes, is_partial=found.is_partial)


class _Names:
    """By what texts name some folders."""

    def __init__(self, folders: Sequence[Path], directory: Path) -> None:
        self._folders, self._directory = folders, directory
        names = {path.name for folder in folders for path in (folder, folder.resolve())} - {""}
        # Also behind short options that are not separated from it: -Cwork, -sfwork/Makefile.
        either = "|".join(map(re.escape, sorted(names)))
        self._name = re.compile(rf"(?:^|[^\w-]|^-\w*?|\s-\w*?)(?:{either})(?![\w-])", re.IGNORECASE) if names else None

    def are_in(self, text: str) -> bool:
        """Return whether a text may lead into one of the folders."""
        # An absolute path leads into one or it does not, whatever the folders on the way are called.
        if self._name is not None and self._name.search(_ABSOLUTE.sub(" ", text)):
            return True
        paths = [self._directory / part for part in _parts(text) if _is_path(part)]
        return any(is_inside(path, self._folders) for found in paths for path in (found, Path(os.path.normpath(found))))


def _parts(text: str) -> Iterator[str]:
    yield text
    for part in _SEPARATORS.split(text):
        yield part
        if part.startswith("-"):
            yield part.lstrip("-")[1:]  # the value of a short option


def _is_path(text: str) -> bool:
    return 0 < len(text) < 4096 and "\0" not in text


def _path() -> str:
    return os.environ.get("PATH", os.defpath)


def _may_be_any(word: str) -> bool:
    """Return whether a text for a shell computes what it names."""
    return re.search(r"\s", word) is not None and _IN_DOUBT.search(word) is not None


def _code_words(command: Sequence[str]) -> Sequence[str]:
    """Return the words that may name code: all, but for what is given to a server that only works on it."""
    starter = Path(command[0]).name
    if starter in {"docker", "podman"}:
        at = next((at for at, word in enumerate(command) if at and _DATA_IMAGE.fullmatch(word)), None)
    elif starter in _STARTERS:
        at = next((at for at, word in enumerate(command) if at and not word.startswith("-") and word != "run"), None)
        at = at if at is not None and _DATA_SERVER.fullmatch(command[at]) else None
    else:
        at = 0 if _DATA_SERVER.fullmatch(command[0]) else None
    if at is None or _starts_others(command[at + 1 :]):
        return command
    return command[:1] if starter in {"docker", "podman"} else command[: at + 1]


def _starts_others(words: Sequence[str]) -> bool:
    parts = {Path(part).name for word in words for part in _parts(word) if part}
    return bool(parts & _RUNS_OTHERS) or any(map(is_interpreter, parts))


def _scripts(words: Sequence[str], directory: Path) -> Iterator[str]:
    """Yield the texts of the files that words name, but of Python's, whose imports are looked at instead."""
    for path in dict.fromkeys(directory / part for word in words for part in _parts(word) if _is_path(part)):
        content = content_of(path, _MAX_TEXT_BYTES) or b""
        if path.suffix != ".py" and b"python" not in content[:64] and b"\0" not in content[:8_000]:
            yield content.decode(errors="replace")

"""Parse the words of a command as Python parses those that it is started with; reads and runs nothing."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_INTERPRETER = re.compile(r"(?:python|pypy|graalpy)w?[\d.]*t?d?(?:-dbg)?")
# Python/getopt.c and Python/initconfig.c of CPython 3.15: `cmWXJ` take the rest of the word, or the next word.
_FLAGS, _WITH_VALUE = "bBdEhiIOPqRsStuvVx?", "cmWX"
_CLUSTER = re.compile(rf"-([{re.escape(_FLAGS)}]*)([{_WITH_VALUE}]?)(.*)", re.DOTALL)
_LONG_WITH_VALUE, _LONG = "--check-hash-based-pycs", re.compile(r"--(?:help(?:-\w+)?|version)")
_MODULE = re.compile(r"--module(?:=(.*))?", re.DOTALL)
_COMPUTES = re.compile(
    r"\b(?:exec|eval|compile|open|getattr|vars|globals|locals|runpy|find_spec)\b|import_module|__\w|load"
)
_OBJECT = re.compile(r"([\w.]+):[^\W\d][\w.]*(?:\(.*\))?", re.DOTALL)
"""Of a module, as runners of servers take it: `server:app`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PythonWords:
    """What Python runs for a command."""

    modules: Sequence[str]
    """Values of `-m`, with or without other letters before it, of `--module`, and modules named like `server:app`."""
    texts: Sequence[str]
    """Values of `-c`, of interpreters."""
    scripts: Sequence[str]
    """Files or folders that interpreters are given."""
    is_understood: bool
    """False if an interpreter has an option that is not known here, or a text may run what it does not import."""
    strings: Sequence[str]
    """String literals of the texts, which may be folders for `sys.path`."""


def python_words(command: Sequence[str]) -> PythonWords:
    """Return what Python runs for a command; its interpreter may stand anywhere, as after `env` or `uv run`."""
    modules = [*_named_anywhere(command)]
    texts: list[str] = []
    scripts: list[str] = []
    is_understood = True
    command = list(command)
    for index, word in enumerate(command):
        if is_interpreter(word) and command[index - 1 : index] not in (["-p"], ["--python"]):
            kind, value = _started(iter(command[index + 1 :]))
            if kind == "?":
                is_understood = False
            elif value:
                {"c": texts, "m": modules, "": scripts}[kind].append(value)
    trees = [_parsed(text) for text in texts]
    nodes = [node for tree in trees if tree for node in ast.walk(tree)]
    return PythonWords(
        modules=list(filter(None, modules)),
        texts=texts,
        scripts=scripts,
        is_understood=is_understood and None not in trees and not any(map(_COMPUTES.search, texts)),
        strings=[node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)],
    )


def named_by(word: str) -> Iterator[str]:
    """Yield what a word of a command may name: `--app=server.py:app` the file `server.py`."""
    for value in (word, word.partition("=")[2]):
        yield from (value, value.partition(":")[0])


def interpreter_words(start: bytes) -> Sequence[str]:
    """Return the words of the first line of a script that name its interpreter, from the beginning of its file."""
    line = start.partition(b"\n")[0].decode(errors="replace")
    return [word.removeprefix("-S") for word in line[2:].split()] if line.startswith("#!") else []


def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def is_interpreter(word: str) -> bool:
    """Return whether a word of a command is the name or path of a Python."""
    return _INTERPRETER.fullmatch(Path(word).name) is not None


def _started(words: Iterator[str]) -> tuple[str, str]:
    """Return what an interpreter runs, by the words after it: the letter of the option and its value.

    The letter is empty for a file, and `?` for an option that is not known.
    """
    for word in words:
        if word == "-" or not word.startswith("-"):
            return "", word
        if word == "--":
            return "", next(words, "")
        if word == _LONG_WITH_VALUE:
            next(words, "")
        elif not _LONG.fullmatch(word):
            cluster = _CLUSTER.fullmatch(word)
            if cluster is None or (not cluster[2] and cluster[3]):
                return "?", word
            value = cluster[2] and (cluster[3] or next(words, ""))
            if cluster[2] in {"c", "m"}:
                return cluster[2], value
    return "", ""


def _named_anywhere(command: Sequence[str]) -> Iterator[str]:
    """Yield what other programs than Python, such as `uv run` and `coverage run`, may take for a module."""
    for word, following in itertools.pairwise([*command, ""]):
        if (cluster := _CLUSTER.fullmatch(word)) and cluster[2] == "m":
            yield cluster[3] or following
        elif option := _MODULE.fullmatch(word):
            yield option[1] or following
        for value in {word, word.partition("=")[2]}:
            if named := _OBJECT.fullmatch(value):
                yield named[1]

"""Split a shell command into the commands it runs, for permission rules; a courtesy to people, not a wall."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

_OPERATORS = ";&|()\n"
_MOST_DEPTH = 4
_MOST_CHARS = 20_000
"""A longer command is matched as a whole only."""
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
# Words before the command that is really run. What takes an option with a value names it.
_WRAPPERS: dict[str, str] = {
    "env": "-u -C --unset --chdir", "exec": "-a", "time": "-o -f", "nice": "-n", "ionice": "-c -n -p",
    "stdbuf": "-i -o -e", "timeout": "-s -k --signal --kill-after", "sudo": "-u -g -C -D -h -p", "doas": "-u -C",
    "xargs": "-I -n -P -d -a -L -s -E",
    **dict.fromkeys(("command", "builtin", "nohup", "setsid", "busybox"), ""),
    **dict.fromkeys(("!", "{", "if", "then", "else", "elif", "do", "while", "until"), ""),
}  # fmt: skip
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash"})
_GIT_WITH_VALUE = frozenset({"-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--config-env"})


def commands_in(text: str) -> list[tuple[str, ...]]:
    """Return each command in a shell text, as the texts by which a rule may know it: as it stands, and as it is run.

    Quotes are removed, and so are what stands before a command (`env X=1`, `timeout 5`), the folder of its program and
    global options of git. What shells run from a text (`sh -c`, `eval`, `$(...)`) is included. A program has other
    ways to run a command, which are not seen here.
    """
    return [] if len(text) > _MOST_CHARS else list(dict.fromkeys(_commands(text, _MOST_DEPTH)))


def _commands(text: str, depth: int) -> Iterator[tuple[str, ...]]:
    if depth == 0:
        return
    for inner in re.findall(r"\$\(([^()]*)\)|`([^`]*)`|[<>]\(([^()]*)\)", text):
        yield from _commands("".join(inner), depth - 1)
    for words in _split(text):
        run = _unwrapped(words)
        forms = [" ".join(words), " ".join(run)]
        if run:
            name = run[0].rsplit("/", 1)[-1]
            run = [name, *(_git_words(run[1:]) if name == "git" else run[1:])]
            forms.append(" ".join(run))
            if name in _SHELLS or name == "eval":
                yield from _commands(_script(name, run[1:]), depth - 1)
        yield tuple(dict.fromkeys(form for form in forms if form))


def _split(text: str) -> Iterator[list[str]]:
    """Yield the words of each simple command."""
    lexer = shlex.shlex(text.replace("\\\n", " "), posix=True, punctuation_chars=_OPERATORS)
    lexer.whitespace = " \t\r"  # a newline ends a command
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    try:
        for word in lexer:
            if word.strip(_OPERATORS):
                words.append(word)
            elif words:
                yield words
                words = []
    except ValueError:  # a quote that is not closed
        words = text.split()
    if words:
        yield words


def _unwrapped(words: Sequence[str]) -> list[str]:
    """Return the words without assignments and without programs that start the one named in their arguments."""
    rest = list(words)
    while rest:
        name = rest[0].rsplit("/", 1)[-1]
        if _ASSIGNMENT.match(rest[0]):
            rest = rest[1:]
        elif name in _WRAPPERS:
            rest = _without_options(rest[1:], _WRAPPERS[name].split())
            if name == "timeout":
                rest = rest[1:]
        else:
            break
    return rest


def _without_options(words: Sequence[str], with_value: Sequence[str]) -> list[str]:
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] != "--":
        at += 2 if words[at] in with_value else 1
    return list(words[at + (1 if words[at : at + 1] == ["--"] else 0) :])


def _git_words(words: Sequence[str]) -> list[str]:
    return _without_options(words, tuple(_GIT_WITH_VALUE))


def _script(name: str, words: Sequence[str]) -> str:
    """Return the text that `sh -c TEXT` or `eval WORDS` runs. Empty if it runs a file."""
    if name == "eval":
        return " ".join(words)
    for at, word in enumerate(words[:-1]):
        if re.fullmatch(r"-[a-z]*c[a-z]*", word):
            return words[at + 1]
    return ""

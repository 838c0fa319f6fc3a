"""Split a shell command into the commands it runs, for permission rules; a courtesy to people, not a wall."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

_OPERATORS = ";&|()\n"
_REDIRECTIONS = "<>"
_MOST_DEPTH = 4
_MOST_CHARS = 20_000
"""A longer command is matched as a whole only."""
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
# Words before the command that is really run. What takes an option with a value names it.
_WRAPPERS: dict[str, str] = {
    "env": "-u -C --unset --chdir", "exec": "-a", "time": "-o -f", "nice": "-n", "ionice": "-c -n -p",
    "stdbuf": "-i -o -e", "timeout": "-s -k --signal --kill-after", "sudo": "-u -g -C -D -h -p", "doas": "-u -C",
    "xargs": "-I -n -P -d -a -L -s -E", "watch": "-n", "strace": "-o -e -p -s -u -P -E", "taskset": "", "chroot": "",
    "flock": "-w -E", "unshare": "-S -G", "parallel": "-j -a",
    **dict.fromkeys(("command", "builtin", "nohup", "setsid", "busybox", "coproc", "trap", "function"), ""),
    **dict.fromkeys(("!", "{", "if", "then", "else", "elif", "do", "while", "until"), ""),
}  # fmt: skip
_WITH_OPERAND = frozenset({"timeout", "taskset", "chroot", "flock", "function"})
"""Of these, those whose first word after the options is not the command."""
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash"})
_TAKES_SCRIPT = frozenset({*_SHELLS, "su", "script", "flock", "sg"})
"""Programs that run the text after `-c`."""
_EXECUTES = frozenset({"-exec", "-execdir", "-ok", "-okdir"})
"""Options of find."""
_PRINTS = frozenset({"echo", "printf"})
_ANSI_QUOTED = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)
_GIT_WITH_VALUE = frozenset({"-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--config-env"})


def commands_in(text: str) -> list[tuple[str, ...]]:
    """Return each command in a shell text, as the texts by which a rule may know it: as it stands, and as it is run.

    Quotes are removed, and so are what stands before a command (`env X=1`, `timeout 5`), the folder of its program and
    global options of git, whose aliases are followed. What shells run from a text (`sh -c`, `eval`, `$(...)`) and what
    `find -exec` runs is included. A redirection to a file counts as a command, `> FILE`. A program has other ways to
    run a command, and variables and wildcards are not expanded.
    """
    return [] if len(text) > _MOST_CHARS else list(dict.fromkeys(_commands(text, _MOST_DEPTH)))


def _commands(text: str, depth: int) -> Iterator[tuple[str, ...]]:
    if depth == 0:
        return
    for inner in re.findall(r"\$\(([^()]*)\)|`([^`]*)`|[<>]\(([^()]*)\)", text):
        yield from _commands("".join(inner), depth - 1)
    printed = ""
    for command in _split(text):
        words, run = command.words, _unwrapped(command.words)
        forms = [command.text, " ".join(words), " ".join(run)]
        yield from (((f"> {file}",)) for file in command.written)
        if run:
            name = run[0].rsplit("/", 1)[-1]
            run = [name, *(_git_words(run[1:]) if name == "git" else run[1:])]
            forms.append(" ".join(run))
            yield from _commands(_started_text(name, run[1:], command.given or printed), depth - 1)
            printed = " ".join(run[1:]) if name in _PRINTS else ""
        yield tuple(dict.fromkeys(form for form in forms if form))


def _started_text(name: str, words: Sequence[str], given: str) -> str:
    """Return the text whose commands a command runs. Empty if it runs none, or a file."""
    if name in _SHELLS and not [word for word in words if not word.startswith("-")]:
        return given
    if name == "git":
        return words[0][1:] if words and words[0].startswith("!") else ""
    if name == "find":
        # Each goes to its `;`, which ended the command here, or to the next of them.
        starts = [at for at, word in enumerate(words) if word in _EXECUTES]
        return "\n".join(shlex.join(words[at + 1 : end]) for at, end in pairwise([*starts, len(words)]))
    return _script(name, words) if name in _TAKES_SCRIPT or name == "eval" else ""


@dataclass(kw_only=True, slots=True)
class _Command:
    """A simple command."""

    words: list[str] = field(default_factory=list[str])
    """Without redirections."""
    text: str = ""
    """All of its words, redirections included."""
    written: list[str] = field(default_factory=list[str])
    """The files that its output goes to."""
    given: str = ""
    """The text that it gets as its input, by `<<<`."""

    def add(self, word: str, redirection: str) -> None:
        self.text = f"{self.text} {redirection}{word}".strip()
        if not redirection:
            self.words.append(word)
        elif redirection == "<<<":
            self.given = word
        elif ">" in redirection and not (redirection.endswith("&") and word.isdigit()) and word != "/dev/null":
            self.written.append(word)


def _split(text: str) -> Iterator[_Command]:
    """Yield each simple command."""
    text = _ANSI_QUOTED.sub(_plainly_quoted, text.replace("\\\n", " ")).replace('$"', '"')
    lexer = shlex.shlex(text, posix=True, punctuation_chars=_OPERATORS + _REDIRECTIONS)
    lexer.whitespace = " \t\r"  # a newline ends a command
    lexer.whitespace_split = True
    lexer.commenters = ""
    command, redirection = _Command(), ""
    try:
        for word in lexer:
            if word.strip(_OPERATORS + _REDIRECTIONS):
                command.add(word, redirection)
                redirection = ""
            elif word.strip("&|" + _REDIRECTIONS) == "" and word.strip("&|"):
                if command.words and command.words[-1] in {"0", "1", "2"}:
                    command.words.pop()  # `2>`: the number of what is redirected
                redirection = word
            elif command.text:
                yield command
                command, redirection = _Command(), ""
    except ValueError:  # a quote that is not closed
        command = _Command(words=text.split(), text=" ".join(text.split()))
    if command.text:
        yield command


def _plainly_quoted(found: re.Match[str]) -> str:
    """Return `$'...'` as `'...'`, with its escapes replaced."""
    try:
        return shlex.quote(found[1].encode("latin-1", "backslashreplace").decode("unicode_escape"))
    except UnicodeDecodeError:
        return shlex.quote(found[1])


def _unwrapped(words: Sequence[str]) -> list[str]:
    """Return the words without assignments and without programs that start the one named in their arguments."""
    rest = list(words)
    while rest:
        name = rest[0].rsplit("/", 1)[-1]
        if _ASSIGNMENT.match(rest[0]):
            rest = rest[1:]
        elif name in _WRAPPERS:
            if name in _TAKES_SCRIPT and _script(name, rest):
                break
            rest = _split_string(rest[1:]) if name == "env" else rest[1:]
            rest = _without_options(rest, _WRAPPERS[name].split())
            if name in _WITH_OPERAND:
                rest = rest[1:]
        else:
            break
    return rest


def _without_options(words: Sequence[str], with_value: Sequence[str]) -> list[str]:
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] != "--":
        at += 2 if words[at] in with_value else 1
    return list(words[at + (1 if words[at : at + 1] == ["--"] else 0) :])


def _split_string(words: list[str]) -> list[str]:
    """Return the arguments of env with the text of `-S` as words."""
    for at, word in enumerate(words):
        option = re.fullmatch(r"(?:--split-string=?|-[a-zA-Z]*?S)(.*)", word, re.DOTALL)
        if option is not None:
            text, after = (option[1], at + 1) if option[1] else (" ".join(words[at + 1 : at + 2]), at + 2)
            return [*words[:at], *text.split(), *words[after:]]
        if not word.startswith("-"):
            break
    return words


def _git_words(words: Sequence[str]) -> list[str]:
    """Return the words from git's command on, which is what its alias stands for if `-c` defines it as one."""
    rest = _without_options(words, tuple(_GIT_WITH_VALUE))
    for at, word in enumerate(words[: len(words) - len(rest)]):
        setting, _, value = word.partition("=")
        if words[at - 1 : at] == ["-c"] and rest and setting.lower() == f"alias.{rest[0].lower()}":
            return [value, *rest[1:]] if value.startswith("!") else [*value.split(), *rest[1:]]
    return rest


def _script(name: str, words: Sequence[str]) -> str:
    """Return the text that `sh -c TEXT` or `eval WORDS` runs. Empty if it runs a file."""
    if name == "eval":
        return " ".join(words)
    for at, word in enumerate(words[:-1]):
        if re.fullmatch(r"-[a-z]*c[a-z]*", word):
            return words[at + 1]
    return ""

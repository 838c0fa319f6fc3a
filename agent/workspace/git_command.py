"""Run git outside the sandbox; nothing that a repository's own settings, attributes or hooks name is started."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError
from ..sandbox.programs import find_program, loader_variables, trusted_path

USE_COPY = "use a copy: `copy: true` of a task, workspace_mode='copy' of an Agent"
"""Advice of an error about a worktree."""
_TIMEOUT_S = 300.0
"""A checkout of a large repository takes minutes."""
_SETTINGS: Mapping[str, str] = {
    "core.hooksPath": os.devnull, "core.fsmonitor": "false", "core.pager": "cat", "core.editor": "false",
    "core.sshCommand": "false", "core.gitProxy": "", "core.askPass": "", "core.alternateRefsCommand": "",
    "diff.external": "", "gpg.program": "false", "credential.helper": "", "protocol.allow": "never",
    "submodule.recurse": "false", "safe.bareRepository": "explicit", "log.showSignature": "false",
}  # fmt: skip
"""Settings that win over those of the repository."""
_PROGRAMS = re.compile(
    r"filter\..*\.(?:clean|smudge|process)|diff\..*\.(?:command|textconv)|merge\..*\.driver"
    r"|remote\..*\.(?:uploadpack|receivepack|vcs|proxy)|gpg\..*\.program|submodule\..*\.update"
)
"""Settings with a name in the middle, by which a repository makes git start a program."""
_FILTER = re.compile(r"filter\..*\.(?:clean|smudge|process)")
_REQUIRED = re.compile(r"filter\..*\.required")


def run_git(folder: Path, *arguments: str) -> str:
    """Run git in a folder and return what it printed.

    Filters of the user's own settings, such as git-lfs, still work, unless the repository has settings for them.

    Raises:
        ConfigError: git is not installed, fails, or does not end in time.
    """
    fixed = {**_SETTINGS}
    return _run(folder, arguments, {**fixed, **_without_programs(_run(folder, _LIST, fixed))})


def add_worktree(folder: Path, into: Path, commit: str) -> None:
    """Check out a commit of a folder's repository into a new folder.

    Raises:
        ConfigError: as for `run_git`.
    """
    run_git(folder, "worktree", "add", "--detach", "--no-checkout", "--quiet", str(into), commit)
    try:
        # There, a condition such as `includeIf "gitdir:..."` can bring other settings than in the folder.
        run_git(into, "reset", "--hard", "--quiet", "--no-recurse-submodules")
    except ConfigError:
        with suppress(ConfigError):
            run_git(folder, "worktree", "remove", "--force", str(into))
        raise


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """A setting of git."""

    key: str
    value: str
    origin: Path
    """The file that it stands in."""


def listed_settings(folder: Path) -> Sequence[Setting]:
    """Return the settings that git goes by in a folder: those of the repository, the user and the machine.

    Raises:
        ConfigError: as for `run_git`.
    """
    words = _run(folder, ("config", "--list", "--show-origin", "-z"), {**_SETTINGS}).split("\0")
    found: list[Setting] = []
    for origin, entry in zip(words[::2], words[1::2], strict=False):
        kind, _, path = origin.partition(":")
        key, separator, value = entry.partition("\n")
        if kind == "file" and separator:
            found.append(Setting(key=key, value=value, origin=folder / path))
    return found


def parsed_settings(data: bytes) -> Sequence[tuple[str, str]] | None:
    """Return the keys and values of a git settings file, in order. None if git cannot read it, or is not installed."""
    home = Path("/")
    try:
        program = find_program("git")
        if program is None:
            return None
        done = subprocess.run(
            [program, "config", "--file", "-", "--no-includes", "--list", "-z"], env=_environment(home, _SETTINGS),
            cwd=home, input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    entries = done.stdout.decode(errors="surrogateescape").split("\0")[:-1]
    return [(key, value if separator else "true") for key, separator, value in (e.partition("\n") for e in entries)]


_ADVICE = {
    "not a git repository": "Use a folder in a repository with a commit",
    "reference: HEAD": "It has no commit yet. Use a folder in a repository with a commit",
    "dubious ownership": (
        "It belongs to another user. If you trust them, run git config --global --add safe.directory {folder}"
    ),
}
"""By words of git's reason (version 2.39)."""
_LIST = ("config", "--list", "--show-scope", "-z")


def _without_programs(listed: str) -> Mapping[str, str]:
    """Return settings that undo what the repository's own add, from the output of `_LIST`."""
    words = listed.split("\0")
    own: set[str] = set()
    users: dict[str, str] = {}
    for scope, entry in zip(words[::2], words[1::2], strict=False):
        key, _, value = entry.partition("\n")
        if scope in {"local", "worktree"}:
            own.add(key)
        elif scope in {"system", "global"}:
            users[key] = value
    undone = {key: users.get(key, "") for key in own if _PROGRAMS.fullmatch(key)}
    undone |= {key: "false" for key in own if _REQUIRED.fullmatch(key)}
    if any(key.startswith("lfs.") for key in own):  # the repository can make git-lfs start programs
        undone |= {key: "" for key in users if _FILTER.fullmatch(key)}
        undone |= {key: "false" for key in users if _REQUIRED.fullmatch(key)}
    return undone


def _run(folder: Path, arguments: tuple[str, ...], settings: Mapping[str, str]) -> str:
    try:
        program = find_program("git", untrusted=[folder])
        if program is None:
            msg = f"`worktree` needs git, which is not installed. Install it, or {USE_COPY}."
            raise ConfigError(msg, key="workspace")
        done = subprocess.run(
            [program, "--no-pager", "-C", str(folder), *arguments], env=_environment(folder, settings),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        msg = f"git did not finish within {_TIMEOUT_S:g} s in {str(folder)!r}. Try again, or {USE_COPY}."
        raise ConfigError(msg, key="workspace") from error
    except subprocess.CalledProcessError as error:
        reason = _reason(error.stderr) or f"exit code {error.returncode}"
        advice = next((text for words, text in _ADVICE.items() if words in reason), "Correct that")
        advice = advice.format(folder=folder)
        msg = f"Cannot create a worktree of {str(folder)!r}. git says: {reason}. {advice}, or {USE_COPY}."
        raise ConfigError(msg, key="workspace") from error
    except OSError as error:
        msg = f"git cannot be started: {error.strerror}. Correct that, or {USE_COPY}."
        raise ConfigError(msg, key="workspace") from error
    return done.stdout.rstrip("\n")


def _reason(printed: str) -> str:
    """Return the line that says why git failed: the last one is often advice, and the first ones progress."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    found = (next((line for line in lines if line.startswith(start)), "") for start in ("fatal: ", "error: "))
    return next(filter(None, found), lines[-1] if lines else "").rstrip(".")


def _environment(folder: Path, settings: Mapping[str, str]) -> Mapping[str, str]:
    # If a git hook started this run, GIT_DIR and similar variables refer to the hook's repository.
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env = {name: value for name, value in env.items() if name not in loader_variables(env)}
    env |= {"PATH": trusted_path([folder]), "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    env |= {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "", "GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings.items()):  # not `-c`: a key may contain a =
        env |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return env

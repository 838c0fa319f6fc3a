"""Detect that a command failed, perhaps silently, because .git is read-only, and explain what to do instead."""

from __future__ import annotations

import os
import re
from pathlib import Path

from agent import CommandResult, Sandbox

# What git 2.39 prints, and rm and touch of the system; git stash prints nothing at all.
_REFUSED = re.compile(
    r"^\w[-\w]*: (?:.{0,300}\.git[/'\"].{0,300}|unable to create temporary file): "
    r"(?:Read-only file system|Permission denied)",
    re.MULTILINE,
)
_SEARCHED_CHARS = 20_000
"""Of the output, at its beginning and its end."""
_GIT = re.compile(
    r"(?:^|[;&|(`\n]|\b(?:do|then|else|time|command|env)\b)\s*(?:\w+=\S*\s+)*git"
    r"(?:\s+(?:-[cC]\s*\S+|-(?![cC])\S+))*"
    r"\s+(?P<verb>[a-z][-\w]*)(?:[ \t]+(?P<next>[-\w]+))?"
)
_WRITES = frozenset({
    "add", "am", "bisect", "checkout", "cherry-pick", "commit", "merge", "mv", "pull", "rebase", "reset", "restore",
    "revert", "rm", "stash", "switch",
})  # fmt: skip
"""Commands that always write to .git; others, such as tag, may only read, and print an error where they write."""
_ONLY_READS = frozenset({("stash", "list"), ("stash", "show"), ("bisect", "log"), ("bisect", "view")})
_STASHED = re.compile(r"^(?:Saved working directory|No local changes to save)", re.MULTILINE)
_ELSEWHERE = re.compile(r"(?:\bcd\s+|\s-C\s*|--git-dir[= ]|GIT_DIR=)[\"']?([^\s;&|\"')]+)")

_CANNOT = (
    ".git is read-only in this workspace: git stash, commit, add, checkout, switch, reset and the like cannot work."
)
_INSTEAD = (
    "The diff tool shows what you changed, undo_change takes back your last edit, and `git diff FILE | git apply -R` "
    "restores a file."
)
_INSTEAD_OF_STASH = (
    "To set your changes aside: `git diff > /tmp/mine.diff && git apply -R /tmp/mine.diff`; to get them back: `git "
    "apply /tmp/mine.diff`. The diff tool shows what you changed, and undo_change takes back your last edit."
)


def is_read_only(workspace: Path, sandbox: Sandbox) -> bool:
    """Return whether commands cannot write to the workspace's .git; ask before a command, which may create it."""
    git = workspace / ".git"
    return sandbox.isolation in {"bubblewrap", "container"} and git.exists() and not git.is_symlink()


def note_on_git(command: str, ran: CommandResult, workspace: Path, *, read_only: bool) -> str:
    """Return one line for the model if git failed because .git is read-only; empty if it did not.

    Args:
        command: the shell command.
        ran: how it ended.
        workspace: the folder it ran in.
        read_only: what `is_read_only` returned before it ran.
    """
    verbs = [
        found["verb"]
        for found in _GIT.finditer(command.partition("<<")[0])  # what follows may be the text of a file
        if found["verb"] in _WRITES and (found["verb"], found["next"]) not in _ONLY_READS
    ]
    is_refused = (ran.exit_code != 0 or "git" in command) and _is_refused(ran.output)
    # Other errors of these commands advise to stash or commit, their output may be discarded, and stash has none.
    is_silent = "stash" in verbs and not _STASHED.search(ran.output)
    may_fail = read_only and bool(verbs) and (is_silent or ran.exit_code != 0) and not _is_elsewhere(command, workspace)
    if not is_refused and not may_fail:
        return ""
    return f"[{_CANNOT} {_INSTEAD_OF_STASH if 'stash' in verbs else _INSTEAD}]"


def _is_refused(output: str) -> bool:
    return any(_REFUSED.search(part) for part in (output[:_SEARCHED_CHARS], output[-_SEARCHED_CHARS:]))


def _is_elsewhere(command: str, workspace: Path) -> bool:
    """Return whether a command may use another repository: it names a folder outside, or one with a .git of its own."""
    for name in _ELSEWHERE.findall(command):
        folder = Path(os.path.normpath(workspace / name))
        if not folder.is_relative_to(workspace) or (folder != workspace and (folder / ".git").exists()):
            return True
    return False

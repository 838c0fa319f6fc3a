"""Compare what git would run in a folder before and after a run, and take away what the run put there."""

from __future__ import annotations

import os
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import cast

from ..names import listed
from ..sandbox.beneath import open_regular
from ..sandbox.repositories import MAX_ENTRIES, Repository, Search
from ..tooling.own_files import OWN_FOLDER, write_inside
from .git_command import parsed_settings
from .placing import set_metadata, unlink
from .tree import entry_below, walk

KEPT = f"{OWN_FOLDER}/git"
"""Where what was taken away is kept, below the workspace."""
_MAX_BYTES = 1024 * 1024
_MAX_TOTAL_BYTES = 8 * _MAX_BYTES
_MAX_FILES = 2_000
_MAX_ENTRIES = 60_000
"""Listed at most, in all repositories; what git starts in each is looked for by name before."""
_SKIPPED = frozenset({"objects", "refs", "logs", "lfs"})
_LINK = b"\0link to "
"""Begins the content of a symlink, as it is recorded."""
_CONFIG = frozenset({"config", "config.worktree"})
_HOOKS = frozenset({
    "applypatch-msg", "commit-msg", "fsmonitor-watchman", "p4-changelist", "p4-post-changelist", "p4-pre-submit",
    "p4-prepare-changelist", "post-applypatch", "post-checkout", "post-commit", "post-index-change", "post-merge",
    "post-receive", "post-rewrite", "post-update", "pre-applypatch", "pre-auto-gc", "pre-commit", "pre-merge-commit",
    "pre-push", "pre-rebase", "pre-receive", "prepare-commit-msg", "proc-receive", "push-to-checkout",
    "reference-transaction", "sendemail-validate", "update",
})  # fmt: skip
"""The names that git starts (githooks(5) of git 2.39)."""
_FILES = ("config", "config.worktree", "commondir", "info/attributes")
_FOLDERS = ("hooks", "info")
_HARMLESS = re.compile(
    r"core\.(?:repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|symlinks|precomposeunicode|autocrlf|eol"
    r"|safecrlf|quotepath|abbrev)|user\.(?:name|email)|init\.defaultbranch|branch\..*\.(?:remote|merge|rebase)"
    r"|remote\..*\.(?:fetch|prune|tagopt)|submodule\..*\.active|extensions\.objectformat|advice\..*|color\..*"
    r"|pull\.(?:rebase|ff)|push\.default|merge\.conflictstyle|diff\.(?:renames|algorithm)"
)
"""Settings that start no program and name none."""
_URL = re.compile(r"(?:remote|submodule)\..*\.(?:url|pushurl)")
_PLAIN_URL = re.compile(r"(?:https?|ssh|git|file)://[^\s]+|(?:[\w.-]+@)?[\w.-]+:(?!:)[^\s]+|\.{0,2}/[^\s]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class GitSettings:
    """The files of all repositories in a folder by which git starts programs."""

    repositories: frozenset[str]
    """Paths of the repositories, relative to the folder; empty for the folder itself."""
    files: Mapping[str, bytes]
    """Contents by path, relative to the folder."""
    is_whole: bool = True
    """Whether all were read; False if a limit was reached."""
    is_searched: bool = True
    """Whether all repositories were found; False if there are too many files."""

    def to_json(self) -> Mapping[str, object]:
        """Return the record of it, for another process."""
        files = {path: b64encode(data).decode() for path, data in self.files.items()}
        return {"repositories": sorted(self.repositories), "files": files}

    @classmethod
    def from_json(cls, record: Mapping[str, object]) -> GitSettings:
        """Return what `to_json` recorded."""
        names, files = cast("list[str]", record["repositories"]), cast("dict[str, str]", record["files"])
        return cls(repositories=frozenset(names), files={path: b64decode(data) for path, data in files.items()})


def git_settings(workspace: Path, first: Iterable[str] = ()) -> GitSettings:
    """Read the settings of all repositories in a folder; of a symlink among them, its target is read.

    Args:
        workspace: the folder.
        first: paths, relative to the folder, to read before the others.
    """
    search = Search(workspace)
    found = list(search)
    named = chain.from_iterable(_named_files(workspace, one) for one in found)
    entries = list(islice(chain.from_iterable(_listed_files(workspace, one) for one in found), _MAX_ENTRIES + 1))
    is_whole, left_bytes = len(entries) <= _MAX_ENTRIES, _MAX_TOTAL_BYTES
    files: dict[str, bytes] = {}
    for path in dict.fromkeys(chain(first, named, filter(None, entries))):
        with suppress(OSError):
            data = _content(workspace, path)
            left_bytes -= len(data)
            if len(files) == _MAX_FILES or left_bytes < 0:
                is_whole = False
                break
            files[path] = data
    names = frozenset(_name(workspace, one) for one in found)
    return GitSettings(repositories=names, files=files, is_whole=is_whole, is_searched=search.is_whole)


def disarm_git(workspace: Path, before: GitSettings) -> Iterator[str]:
    """Take away what a run left for git to start: settings that name programs, and hooks.

    Call it when no command of the run is alive. What is taken away is kept below `KEPT`; a file that was there before
    the run gets its content back.

    Yields:
        A sentence for each repository that the run made, one that names what was taken away, one what could not be, and
        one if there is too much to look at.
    """
    after = git_settings(workspace, first=before.files)
    made = sorted(after.repositories - before.repositories)
    taken: list[str] = []
    left: list[str] = []
    for path, data in after.files.items():
        old = before.files.get(path)
        if data == old or not _is_armed(path, data, old):
            continue
        try:
            _replace(workspace, path, data, old)
            taken.append(path)
        except OSError:
            left.append(path)
    missing = sorted(path for path in before.files.keys() - after.files.keys() if path.split("/")[-1] == ".git")
    if made:
        yield f"The run made git repositories: {listed(name or '.' for name in made)}."
    if missing:
        yield f"The run replaced or removed {listed(missing)}, by which git knows a submodule or worktree. Restore it."
    if taken:
        yield (
            f"The run left settings or hooks by which git starts programs: {listed(taken)}. They were taken away and "
            f"are kept in {KEPT}: look at them before you put one back."
        )
    if left:
        yield (
            "The run left settings or hooks by which git starts programs, and they could not be taken away: "
            f"{listed(left)}. Remove them before you use git or an editor there."
        )
    if not after.is_searched:
        yield (
            f"There are more than {MAX_ENTRIES:,} files in {workspace}, so that git repositories far below it were not "
            "looked for: they were not read-only for commands, and what git would start there was not taken away. Let "
            "the run work in a smaller folder, or look for them before you use git or an editor there."
        )
    if not after.is_whole:
        yield (
            "Not all git settings and hooks in the workspace were looked at, because there are more than "
            f"{_MAX_FILES:,} of them, {_MAX_TOTAL_BYTES >> 20} MB, or {_MAX_ENTRIES:,} files beside them. The rest may "
            "make git start programs: remove the repositories that you do not know before you use git or an editor "
            "there."
        )


def _named_files(workspace: Path, repository: Repository) -> Iterator[str]:
    """Yield the paths, relative to the workspace, that git reads or starts in a repository and finds by their names."""
    if repository.kind == "file":
        yield str((repository.path / ".git").relative_to(workspace))
    inside = _inside(workspace, repository)
    if inside is None:
        return
    with suppress(OSError):
        for name in (*_FOLDERS, *_FILES):
            entry = entry_below(workspace, f"{inside}{name}")
            if entry is not None and (entry.kind == "link" or (entry.kind == "file" and name in _FILES)):
                yield f"{inside}{name}"
        # Each name is looked up: git needs no permission to list the folder either.
        hooks = workspace / inside / "hooks"
        yield from (f"{inside}hooks/{name}" for name in sorted(_HOOKS) if os.path.lexists(hooks / name))


def _listed_files(workspace: Path, repository: Repository) -> Iterator[str]:
    """Yield an item for each entry of a repository: its path if it may make git start programs, else an empty text."""
    inside = _inside(workspace, repository)
    if inside is None or repository.kind == "bare":
        return
    with suppress(OSError):
        for path, entry in walk(workspace / inside, protected=_SKIPPED, unreadable=[]):
            parts = path.split("/")
            is_setting = parts[-1] in _CONFIG or parts[-1] == "commondir"
            is_hook = len(parts) > 1 and parts[-2] == "hooks" and not parts[-1].endswith(".sample")
            is_wanted = entry.kind == "link" or (entry.kind == "file" and (is_setting or is_hook))
            yield f"{inside}{path}" if is_wanted else ""


def _inside(workspace: Path, repository: Repository) -> str | None:
    """Return the beginning of the paths of a repository's files. None if they are not in the workspace."""
    top = repository.git_folder()
    if not top.is_relative_to(workspace):
        return None
    return "" if top == workspace else f"{top.relative_to(workspace)}/"


def _content(workspace: Path, path: str) -> bytes:
    entry = entry_below(workspace, path)
    if entry is not None and entry.kind == "link":
        return _LINK + entry.target.encode("utf-8", "surrogateescape")
    with open_regular(workspace, path) as file:
        return file.read(_MAX_BYTES + 1)


def _is_armed(path: str, data: bytes, old: bytes | None) -> bool:
    """Return whether a new or changed file can make git start a program, or read settings from elsewhere."""
    name = path.split("/")[-1]
    if name == ".git":
        return False  # what it leads to inside the workspace is looked at itself
    if name not in _CONFIG or data.startswith(_LINK) or len(data) > _MAX_BYTES:
        return True
    return bool(_armed(data) if old is None else set(_armed(data)) - set(_armed(old)))


def _armed(data: bytes) -> Sequence[tuple[str, str]]:
    found = parsed_settings(data)
    if found is None:
        return [("unreadable", data.decode(errors="replace"))]
    return [(key, value) for key, value in found if not is_harmless(key, value)]


def is_harmless(key: str, value: str) -> bool:
    """Return whether a setting starts no program and names none."""
    return bool(_HARMLESS.fullmatch(key) or (_URL.fullmatch(key) and _PLAIN_URL.fullmatch(value)))


def _replace(workspace: Path, path: str, data: bytes, old: bytes | None) -> None:
    write_inside(workspace, f"{KEPT}/{path.replace('.git', 'git')}", data, replace=True)
    unlink(workspace, path)
    is_config = path.split("/")[-1] in _CONFIG
    content = old if old is not None else _harmless_text(data) if is_config else None
    if content is None or content.startswith(_LINK):
        return
    write_inside(workspace, path, content)
    entry = entry_below(workspace, path)
    if entry is not None and path.split("/")[-2:-1] == ["hooks"]:
        set_metadata(workspace, path, replace(entry, mode=0o755))


def _harmless_text(data: bytes) -> bytes:
    lines: list[str] = []
    for key, value in parsed_settings(data) or [("core.repositoryformatversion", "0")]:
        if is_harmless(key, value):
            section, _, rest = key.partition(".")
            middle, dot, name = rest.rpartition(".")
            head = f"[{section} {_quoted(middle)}]" if dot else f"[{section}]"
            lines.append(f"{head}\n\t{name} = {_quoted(value)}\n")
    return "".join(lines).encode("utf-8", "surrogateescape")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def _name(workspace: Path, repository: Repository) -> str:
    path = repository.path.relative_to(workspace)
    return "" if path == Path() else str(path)

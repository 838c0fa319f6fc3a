"""Find and read a project's own instructions for agents: AGENTS.md, or else CLAUDE.md; bounded, and only inside it."""

from __future__ import annotations

from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

from ..sandbox.beneath import open_regular
from ..sandbox.inside import find_inside

NAMES = ("AGENTS.md", "CLAUDE.md")
"""In order of preference; see https://agents.md, read 2026-11."""
MAX_CHARS = 16_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Instructions:
    """The text of one instruction file."""

    path: str
    """Relative to the workspace if it is inside, else absolute."""
    text: str
    """At most `MAX_CHARS` characters."""
    is_cut: bool = False


def read_instructions(workspace: Path) -> Instructions | None:
    """Return the instructions nearest to the workspace: in it, or in a parent folder of the same git repository.

    None if there are none, or if the file is not readable text. A symlink is followed only inside the repository, and
    one in the workspace only inside the workspace: a run may have made it, and what it leads to reaches the model.
    """
    workspace = workspace.resolve()
    folders = _folders(workspace)
    for name in NAMES:
        for folder in folders:
            found = _read(folder / name, workspace=workspace, top=folders[-1])
            if found is not None:
                return found
    return None


def _folders(workspace: Path) -> list[Path]:
    """Return the workspace and its parents up to the top of its repository; only the workspace outside of one."""
    chain = [workspace, *workspace.parents]
    top = next((index for index, folder in enumerate(chain) if (folder / ".git").exists()), 0)
    return chain[: top + 1]


def _read(path: Path, *, workspace: Path, top: Path) -> Instructions | None:
    try:
        root = workspace
        inside = find_inside(path, root)
        if inside is None:  # in a folder above, or where a symlink of it leads
            root = top
            inside = find_inside(path, root)
        if inside is None:
            return None
        with open_regular(root, inside) as raw, TextIOWrapper(raw, encoding="utf-8") as file:
            text = file.read(MAX_CHARS + 1)
    except (OSError, UnicodeDecodeError):
        return None
    if not text.strip() or "\0" in text:
        return None
    shown = str(path.relative_to(workspace)) if path.is_relative_to(workspace) else str(path)
    return Instructions(path=shown, text=text[:MAX_CHARS].strip(), is_cut=len(text) > MAX_CHARS)

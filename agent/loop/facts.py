"""Gather the facts of a run that its system prompt tells the model; looks at the workspace, runs nothing."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from ..model.profiles import Profile
from ..policy.ladder import Ladder
from ..policy.verification import Verify
from ..sandbox import Sandbox
from ..workspace.instructions import Instructions, read_instructions
from ..workspace.prepare import WorkspaceMode
from .system_prompt import RunFacts, system_prompt, trained_system_prompt

InstructionsMode = Literal["auto", "none"]
"""`auto` reads the project's AGENTS.md or CLAUDE.md; `none` reads neither."""

_KINDS: Mapping[WorkspaceMode, str] = {"copy": "a copy of the project", "worktree": "a git worktree of the project"}


def find_instructions(mode: InstructionsMode, project: Path | None, profile: Profile) -> Instructions | None:
    """Return the project's instructions if they are wanted and the model can make use of them."""
    return None if mode == "none" or project is None or profile.trained_texts else read_instructions(project)


def default_system_prompt(
    profile: Profile, *, project: Path | None, workspace: Path, mode: WorkspaceMode, sandbox: Sandbox | None,
    env: Mapping[str, str], window_tokens: int | None, verify: Verify | None, ladder: Ladder,
    instructions: Instructions | None, wants_result: bool, has_processes: bool,
) -> str:  # fmt: skip
    """Return the default system prompt of a run.

    Args:
        profile: of the model; a model with trained texts keeps the prompt that it was trained on.
        project: the folder that the caller named. None if the run has none.
        workspace: the folder that the run works in.
        mode: how the folder is used.
        sandbox: of its commands. None if it starts none.
        env: environment of its commands.
        window_tokens: of the model. None if unknown.
        verify: how the work is verified. None if it is not.
        ladder: of the run.
        instructions: of the project.
        wants_result: whether the run ends with a structured result.
        has_processes: whether it has a tool for background processes.
    """
    if profile.trained_texts:
        return trained_system_prompt()
    path = env.get("PATH")
    python = "" if sandbox is None else shutil.which("python", path=path) or shutil.which("python3", path=path) or ""
    return system_prompt(
        RunFacts(
            workspace="" if project is None and sandbox is None else str(workspace),
            is_git=_is_git(workspace, mode, sandbox),
            kind=_KINDS.get(mode, ""),
            sandbox=sandbox,
            python=python,
            window_tokens=window_tokens,
            verify=verify,
            can_renew=any(rung.fresh_context for rung in ladder.rungs),
            instructions=instructions,
            wants_result=wants_result,
            has_processes=has_processes,
        )
    )


def _is_git(workspace: Path, mode: WorkspaceMode, sandbox: Sandbox | None) -> bool:
    # A sandboxed command sees the workspace but not the folders above it, except for the repository of a worktree.
    hidden = sandbox is not None and sandbox.isolation != "none" and mode != "worktree"
    folders = (workspace,) if hidden else (workspace, *workspace.parents)
    return any((folder / ".git").exists() for folder in folders)

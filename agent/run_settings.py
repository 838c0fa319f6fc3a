"""The settings of a run: those of its agent with everything looked up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from .journal.events import RunStarted
from .loop.facts import InstructionsMode, default_system_prompt, find_instructions
from .loop.family import Family
from .loop.work import NOTES_TOOL
from .model.profiles import Profile
from .model.protocol import Model
from .model.settings import ModelSettings
from .policy.budget import SharedLimits
from .policy.ladder import Ladder
from .policy.limits import Limits
from .policy.permissions import Approve, Permission
from .policy.verification import Verify
from .ready_tools import find
from .sandbox import Sandbox
from .sandbox.rules import check_workspace
from .sandbox.sources import Sources
from .task.environment import run_sandbox, starts_commands
from .tooling.final_result import OutputSpec
from .tooling.redaction import with_secrets_in
from .tooling.tool import Tool
from .tooling.toolbox import Toolbox, can_read_files
from .workspace.claims import claimed
from .workspace.instructions import Instructions
from .workspace.prepare import WorkspaceMode, with_worktree
from .workspace.withheld import SecretFiles, secret_files

_SMALL_WINDOW_TOKENS = 65_536
"""In such a window a long task is folded or restarted; 32k to 64k is what a few GPUs have room for."""


@dataclass(frozen=True, kw_only=True)
class TaskOrigin:
    """What a task file adds to the settings of an agent, for the command line."""

    task: Mapping[str, JsonValue]
    """Written to the journal, so that the run can be resumed from the journal alone."""
    own: Sources
    """What defines the run; a run that changes some of it says so."""
    verify_env: Mapping[str, str]
    """Extra environment variables of the verification, not of tools; a value that is an absolute path is readable."""
    environ: Mapping[str, str]
    """The environment that the safe base is taken from."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """The settings of a run: those of its agent with everything looked up, and those that the call overrides."""

    model: Model
    tools: tuple[Tool, ...]
    instructions: str | None
    """The system prompt. None means the one of the conversation that the run continues, or else the default."""
    project_instructions: InstructionsMode
    ladder: Ladder | None
    limits: Limits
    model_settings: ModelSettings
    verify: Verify | None
    verify_env: Mapping[str, str]
    sandbox: Sandbox | None
    permissions: Sequence[Permission]
    approve: Approve | None
    output: OutputSpec | None
    workspace: Path | None
    workspace_mode: WorkspaceMode
    deps: object
    env: Mapping[str, str]
    """The complete environment of commands."""
    secrets: Mapping[str, str]
    runs: Path | None
    own: Sources
    task: Mapping[str, JsonValue]
    toolboxes: dict[tuple[str, bool], Toolbox]
    """Those that runs of the agent have needed so far, by model family and whether the tool for notes is added."""
    shared_limits: Sequence[SharedLimits] = ()
    """Those of the session, or of the run that called this one."""
    family: Family | None = None
    """Of the run that called this one."""

    def toolbox(self, family: str = "generic", *, notes: bool = False) -> Toolbox:
        """Return the tools of a run for a model family, with the one for the structured result, and the one for notes.

        Args:
            family: of the model.
            notes: whether the tool for notes is one of them though nobody asked for it; `takes_notes` says so.
        """
        key = family, notes
        if key not in self.toolboxes:
            last = [] if self.output is None else [self.output.tool]
            added = [find(NOTES_TOOL)] if notes and all(tool.name != NOTES_TOOL for tool in self.tools) else []
            self.toolboxes[key] = Toolbox([*self.tools, *added, *last], family=family)
        return self.toolboxes[key]

    def takes_notes(self, profile: Profile, window_tokens: int | None) -> bool:
        """Return whether the model gets the tool for notes: it works with files or commands, in a small window."""
        is_small = window_tokens is not None and window_tokens <= _SMALL_WINDOW_TOKENS
        return is_small and can_read_files(self.tools) and not profile.trained_texts

    def profile(self, model: str) -> Profile:
        """Return the profile of a model, by its served name."""
        return self.model.profile_for(model)

    def system_prompt(self, model: str, *, workspace: Path | None = None, window_tokens: int | None = None) -> str:
        """Return the system prompt for a model, by its served name; `workspace` is the folder that the run works in."""
        if self.instructions is not None:
            return self.instructions
        profile = self.profile(model)
        return default_system_prompt(
            profile, project=self.workspace, workspace=workspace or self.workspace or Path.cwd(),
            mode=self.workspace_mode, sandbox=self.base_sandbox(), env=self.env, window_tokens=window_tokens,
            verify=self.verify, ladder=self.ladder or profile.ladder, instructions=self.found_instructions(profile),
            wants_result=self.output is not None,
            has_processes=any(tool.name == "start_process" for tool in self.tools),
        )  # fmt: skip

    def found_instructions(self, profile: Profile) -> Instructions | None:
        """Return the project's instructions that are part of the system prompt. None if none are."""
        mode = self.project_instructions if self.instructions is None else "none"
        return find_instructions(mode, self.workspace, profile)

    def named_folder(self) -> Path | None:
        """Return the folder that a new run works in place in. None if it works in the current one or in a copy."""
        in_place = self.workspace_mode in {"in_place", "create"}
        return self.workspace.resolve() if self.workspace is not None and in_place else None

    def claim(self, folder: Path | None, run: str) -> AbstractContextManager[None]:
        """Hold a folder that the run may change in place; another run that works there is an error."""
        return nullcontext() if folder is None or all(tool.read_only for tool in self.tools) else claimed(folder, run)

    def written_folders(self, workspace: Path | None) -> Sequence[Path]:
        """Return the folders that sandboxed commands and file tools may change. Empty if commands are not sandboxed.

        Args:
            workspace: the folder that the run changes. None leaves it out.
        """
        sandbox = self.base_sandbox()
        is_open = sandbox is not None and sandbox.isolation == "none"  # commands can change everything anyway
        writes = sandbox is not None or any(tool.paths is not None and not tool.read_only for tool in self.tools)
        if is_open or not writes:
            return ()
        return (*([] if workspace is None else [workspace]), *([] if sandbox is None else sandbox.rules.write))

    def places_beside(self, workspace: Path) -> Sequence[Path]:
        """Return the folders besides the workspace, and not in it, that sandboxed commands may change."""
        found = dict.fromkeys(path.resolve() for path in self.written_folders(None) if path.is_dir())
        return tuple(path for path in found if not path.is_relative_to(workspace.resolve()))

    def base_sandbox(self) -> Sandbox | None:
        """Return the sandbox without paths of a workspace. None if the run starts no commands."""
        return run_sandbox(self.sandbox, self.workspace) if starts_commands(self.tools, self.verify) else None

    def all_secrets(self) -> Mapping[str, str]:
        """Return the values to redact, by name: those that were given, and variables with names of secrets."""
        return with_secrets_in([self.env, self.verify_env, *(tool.env for tool in self.tools)], self.secrets)

    def secret_files(self) -> SecretFiles:
        """Return what is secret in the run's folder."""
        return secret_files(self.workspace or Path.cwd(), self.task, self.all_secrets())

    def run_sandbox(self, first: RunStarted, folder: Path) -> Sandbox | None:
        """Return the sandbox with the paths that commands of the run need. None if the run starts no commands.

        Raises:
            ConfigError: the run could change what agent itself runs from, or put a symlink in the workspace's place.
        """
        sandbox = self.base_sandbox()
        if not all(tool.read_only for tool in self.tools):
            (sandbox or Sandbox()).check_own_code(Path(first.workspace))
        if sandbox is not None and sandbox.isolation != "none":
            check_workspace(sandbox.rules, Path(first.workspace))
        return sandbox and with_worktree(sandbox, first.worktree, Path(first.workspace), folder)

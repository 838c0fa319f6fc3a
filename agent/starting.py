"""Start and resume runs: prepare the workspace, record the first event, assemble what a run works with."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, closing, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue

from .errors import ConfigError
from .journal.events import Event, Resumed, RunStarted
from .journal.journal import Journal, JournalWriteError
from .journal.runs import check_run_name, run_folder
from .loop.dependencies import RunDependencies
from .loop.facts import InstructionsMode, default_system_prompt, find_instructions
from .loop.outcome import Outcome, outcome_of
from .loop.recording import recorder
from .loop.resume import resume_state
from .loop.run import Run
from .loop.state import RunState
from .messages import Message, SystemMessage, UserMessage
from .model.history import History
from .model.profiles import Profile
from .model.protocol import Connection, Model, TokenCount
from .model.settings import ModelSettings
from .model.wire import Request
from .policy.ladder import Ladder
from .policy.limits import Limits
from .policy.permissions import DESTRUCTIVE, Approve, Permission
from .policy.verification import Verify
from .sandbox import Sandbox, Shared
from .task.environment import run_sandbox, starts_commands
from .tooling.context import ToolContext
from .tooling.final_result import OutputSpec
from .tooling.redaction import with_secrets_in
from .tooling.tool import Tool
from .tooling.toolbox import Toolbox
from .workspace.claims import claimed
from .workspace.instructions import Instructions
from .workspace.left_behind import watched
from .workspace.prepare import WorkspaceMode, prepare_workspace, with_worktree
from .workspace.recorded_run import claimed_folder, diff_text, works_in_place
from .workspace.workspace import Snapshot, Workspace

Observer = Callable[[Event], None]


from .workspace.withheld import SecretFiles, secret_files
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
    own_files: Sequence[Path]
    task: Mapping[str, JsonValue]

    def toolbox(self, family: str = "generic") -> Toolbox:
        """Return the tools of a run for a model family, including the one for the structured result."""
        return Toolbox([*self.tools, *([] if self.output is None else [self.output.tool])], family=family)

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

    def base_sandbox(self) -> Sandbox | None:
        """Return the sandbox without paths of a workspace. None if the run starts no commands."""
        return run_sandbox(self.sandbox, self.workspace) if starts_commands(self.tools, self.verify) else None

    def all_secrets(self) -> Mapping[str, str]:
        """Return the values to redact, by name: those that were given, and variables with names of secrets."""
        return with_secrets_in([self.env, self.verify_env, *(tool.env for tool in self.tools)], self.secrets)

    def run_sandbox(self, first: RunStarted, folder: Path) -> Sandbox | None:
        """Return the sandbox with the paths that commands of the run need. None if the run starts no commands."""
        sandbox = self.base_sandbox()
        return sandbox and with_worktree(sandbox, first.worktree, Path(first.workspace), folder)


async def start(
    settings: RunSettings, prompt: UserMessage, *, history: Sequence[Message], name: str | None,
    observe: Observer | None,
) -> Outcome[object]:  # fmt: skip
    """Run once and return the outcome.

    Args:
        settings: of the run.
        prompt: what to do.
        history: the conversation that the run continues, with its system message or without.
        name: of the run. None means one made of the time.
        observe: called with each event after it is recorded.

    Raises:
    def secret_files(self) -> SecretFiles:
        """Return what is secret in the run's folder."""
        return secret_files(self.workspace or Path.cwd(), self.task, self.all_secrets())

        ConfigError: a setting is invalid, or there is a run of this name.
        EndpointError: the server could not be reached before the run started.
    """
    run = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}" if name is None else name
    check_run_name(settings.runs, run)
    async with settings.model.open(session=run) as connection:
        with settings.claim(settings.named_folder(), run), run_folder(settings.runs, run) as folder:
            first = await _first_event(settings, connection, run, folder, prompt, history)
            state = RunState(first, settings.profile(first.model))
            journal = Journal(folder) if settings.runs is not None else None
            return await _drive(settings, connection, state, first, folder, journal, observe)


async def resume(settings: RunSettings, folder: Path, *, observe: Observer | None) -> Outcome[object]:
    """Resume the run in this folder from its journal, and return the outcome.

    Raises:
        ConfigError: there is no such run, it has ended or still runs, or its tools or workspace have changed.
        EndpointError: the server could not be reached before the run started.
    """
    with closing(Journal(folder, create=False)) as journal:  # locked before it is read: nobody else may go on
        state = resume_state(folder, settings.toolbox, settings.profile, settings.all_secrets())
        async with settings.model.open(session=state.started.run) as connection:
            await connection.served()
            sandbox = str(settings.run_sandbox(state.started, folder) or "")
            resumed = Resumed(wall_s=state.spent.wall_s, limits=settings.limits, sandbox=sandbox)
            with settings.claim(claimed_folder(state.started, folder), state.started.run):
                return await _drive(settings, connection, state, resumed, folder, journal, observe)


async def count(settings: RunSettings, prompt: UserMessage) -> TokenCount | None:
    """Return the tokens of the first request, as the server renders it. None if the server cannot count them.

    Raises:
        EndpointError: the server does not answer.
    """
    async with settings.model.open() as connection:
        served = await connection.served()
        profile = settings.profile(served.model)
        history = History(replay_reasoning=profile.replay_reasoning)
        history.add_system(settings.system_prompt(served.model, window_tokens=served.window_tokens))
        history.add_user(prompt)
        effort = (settings.ladder or profile.ladder).rungs[0].effort if profile.takes_effort else None
        tools = settings.toolbox(profile.name).definitions
        request = Request(model=served.model, messages=history.wire, tools=tools, max_tokens=1, effort=effort)
        return await connection.count(request)


async def _drive(
    settings: RunSettings, connection: Connection, state: RunState, opening: RunStarted | Resumed, folder: Path,
    journal: Journal | None, observe: Observer | None,
) -> Outcome[object]:  # fmt: skip
    first = state.started
    before_s, began = state.spent.wall_s, time.monotonic()
    sandbox = settings.run_sandbox(first, folder) or Sandbox()
    snapshot, shared = None if first.snapshot is None else Path(first.snapshot), Shared(first.run)
    context = ToolContext(
        workspace=Path(first.workspace), deps=settings.deps, env=settings.env, sandbox=sandbox,
        secrets=settings.all_secrets(),
        snapshot=snapshot, no_snapshot=first.note, model_family=state.profile.name, shared=shared,
    )  # fmt: skip
    record = recorder(state, journal, observe, context.redacted)
    deps = RunDependencies(
        connection=connection, toolbox=settings.toolbox(state.profile.name), context=context, record=record,
        sync=journal.sync if journal is not None else lambda: None,
        clock=lambda: before_s + time.monotonic() - began, sleep=asyncio.sleep,
        verify=settings.verify, verify_env=settings.verify_env,
        permissions=(*settings.permissions, *(DESTRUCTIVE if sandbox.isolation == "none" else ())),
        approve=settings.approve, wants_result=settings.output is not None,
        snapshot=None if snapshot is None else Snapshot(tree=snapshot), patience_s=settings.model.patience_s,
        shared_workspace=works_in_place(first, folder), first_wait_s=settings.model.first_wait_s,
    )  # fmt: skip
    async with AsyncExitStack() as cleanup:
        if journal is not None:
            cleanup.callback(journal.close)
        own_files = None if all(tool.read_only for tool in settings.tools) else settings.own_files
        notices = cleanup.enter_context(watched(context.workspace, own_files, folder, journal, observe))
        cleanup.push_async_callback(shared.aclose)
        cleanup.push_async_callback(context.resources.aclose, lambda text: notices.append(context.redacted(text)))
        try:
            record(opening)
        except JournalWriteError as error:
            raise ConfigError(str(error)) from error
        ended = await Run(state, deps).drive()
    path = None if journal is None else journal.path
    diff = None if journal is not None else await asyncio.to_thread(_diff, first)
    return outcome_of(state, ended, path, notices, context.redacted, output=settings.output, diff=diff)


def _diff(first: RunStarted) -> str | None:
    """Return what a run changed whose snapshot is about to be deleted. None if it cannot be compared."""
    if first.snapshot is None:
        return None
    with suppress(ConfigError, OSError):
        return diff_text(Workspace(first.workspace), Snapshot(tree=Path(first.snapshot)))
    return None


async def _first_event(
    settings: RunSettings, connection: Connection, name: str, folder: Path, prompt: UserMessage,
    history: Sequence[Message],
) -> RunStarted:  # fmt: skip
    served = await connection.served()
    profile = settings.profile(served.model)
    toolbox = settings.toolbox(profile.name)
    settings.base_sandbox()  # fail before a copy or worktree is made if this machine has no sandbox
    prepared = await asyncio.to_thread(prepare_workspace, settings.workspace, settings.workspace_mode, folder,
                                       kept=settings.runs is not None,
                                       changes=not all(tool.read_only for tool in toolbox),
                                       secret=settings.secret_files())  # fmt: skip
    found = settings.found_instructions(profile)
    system = settings.system_prompt(served.model, workspace=prepared.workspace.path, window_tokens=served.window_tokens)
    if history and isinstance(history[0], SystemMessage):
        # The conversation keeps the prompt that it began with, and so its prefix in the engine's cache.
        system, found = (history[0].content, None) if settings.instructions is None else (system, found)
        history = history[1:]
    first = RunStarted(
        run=name, at=datetime.now(UTC).isoformat(timespec="seconds"), task=settings.task,
        base_url=settings.model.base_url, model=served.model, profile=profile.name, window_tokens=served.window_tokens,
        ladder=settings.ladder or profile.ladder, limits=settings.limits, tools=toolbox.names,
        tools_digest=toolbox.digest, system=system, instructions="" if found is None else found.path,
        prompt=prompt, workspace=str(prepared.workspace.path), worktree=prepared.worktree,
        snapshot=str(prepared.snapshot) if prepared.snapshot else None, note=prepared.note,
        history=tuple(history), model_settings=settings.model_settings,
    )  # fmt: skip
    return replace(first, sandbox=str(settings.run_sandbox(first, folder) or ""))

"""Configure an agent, start or resume its runs, and return their outcomes."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, closing, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, JsonValue

from .errors import ConfigError
from .journal.events import Event, Resumed, RunStarted
from .journal.journal import Journal, JournalWriteError
from .journal.runs import run_folder
from .loop.dependencies import RunDependencies
from .loop.facts import InstructionsMode, default_system_prompt, find_instructions
from .loop.outcome import Outcome, outcome_of
from .loop.recording import recorder
from .loop.resume import resume_state
from .loop.run import Run
from .loop.state import RunState
from .messages import Image, UserMessage
from .model.history import History
from .model.profiles import Profile, profile_for
from .model.protocol import Connection, Model, TokenCount
from .model.wire import Request
from .policy.ladder import Ladder
from .policy.limits import Limits
from .policy.permissions import DESTRUCTIVE, Approve, Permission
from .policy.verification import Verify
from .sandbox import Sandbox, Shared
from .task.environment import run_sandbox, starts_commands, task_environment, task_sandbox, task_secrets
from .task.load import task_adapter
from .task.own_files import checked_own_files
from .task.task import Task
from .task.tool_loading import load_all_tools
from .tooling.context import ToolContext
from .tooling.final_result import result_tool
from .tooling.redaction import with_secrets_in
from .tooling.tool import Tool
from .tooling.toolbox import Toolbox
from .workspace.claims import claimed
from .workspace.instructions import Instructions
from .workspace.left_behind import watched
from .workspace.prepare import WorkspaceMode, prepare_workspace, with_worktree
from .workspace.recorded_run import claimed_folder, works_in_place
from .workspace.workspace import Snapshot

Observer = Callable[[Event], None]


@dataclass(frozen=True)
class Agent:
    """A model, its tools and the settings of its runs. Holds no run state, so concurrent runs are allowed."""

    model: Model
    """An Endpoint, or a ScriptedModel in a test."""
    tools: Sequence[Tool] = field(default=(), kw_only=True)
    system: str | None = field(default=None, kw_only=True)
    """The system prompt. None means the default for the model's family, made from facts of the run."""
    instructions: InstructionsMode = field(default="auto", kw_only=True)
    """`auto` adds the AGENTS.md or CLAUDE.md nearest to the workspace to the default system prompt; `none` does not."""
    ladder: Ladder | None = field(default=None, kw_only=True)
    """None means the ladder of the model's profile."""
    limits: Limits = field(default_factory=Limits, kw_only=True)
    verify: Verify | None = field(default=None, kw_only=True)
    """None means the run ends as `finished` when the model reports that it is done."""
    verify_env: Mapping[str, str] = field(default_factory=dict[str, str], kw_only=True)
    """Extra environment variables of the verification, not of tools; a value that is an absolute path is readable."""
    sandbox: Sandbox | None = field(default=None, kw_only=True)
    """Sandbox for commands. None means bubblewrap where it runs, else Landlock, without network."""
    permissions: Sequence[Permission] = field(default=(), kw_only=True)
    """Rules that allow calls, deny them or ask a person; the first match wins."""
    approve: Approve | None = field(default=None, kw_only=True)
    """Asks a person to approve a call. None means no person can be asked, so `ask` denies the call."""
    result: type[BaseModel] | Mapping[str, JsonValue] | None = field(default=None, kw_only=True)
    """Schema of a structured result: a pydantic model, or the JSON Schema of an object. None means a text answer."""
    workspace: str | Path | None = field(default=None, kw_only=True)
    """The folder that tools work in. None means the current folder, which is never restored from a snapshot."""
    workspace_mode: WorkspaceMode = field(default="in_place", kw_only=True)
    """Work `in_place`; `create` the folder if it is missing and work in it; or leave it unchanged and work in a `copy`
    or git `worktree` of it in the run's folder. Without a journal, a copy is deleted when the run ends."""
    state: object = field(default=None, kw_only=True)
    """Available to tools as `context.state`."""
    env: Mapping[str, str] = field(default_factory=dict[str, str], kw_only=True)
    """The complete environment of the commands that tools and the verification start."""
    secrets: Mapping[str, str] = field(default_factory=dict[str, str], kw_only=True)
    """Values, by name, to redact for the model and the journal, besides the variables in `env` named like secrets."""
    runs: Path | None = field(default=None, kw_only=True)
    """Folder for one folder per run, with its journal. None means no journal is written."""
    own_files: Sequence[Path] = field(default=(), kw_only=True)
    """Absolute paths of files that define the run, such as its task and tools; a run that changes one says so."""
    task: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue], kw_only=True)
    """Written to the journal, so that the run can be resumed from the journal alone."""

    @classmethod
    def from_task(cls, task: Task, model: Model, *, environ: Mapping[str, str], runs: Path | None = None) -> Agent:
        """Return the agent that a task describes; run it with `task.rendered_prompt()`.

        Args:
            task: Task from `load_task`.
            model: Endpoint of the model.
            environ: Variables to select the environment of tools and verification from, such as os.environ.
            runs: Folder for the journals. None means no journal is written.

        Raises:
            ConfigError: A tool cannot be loaded, or something that the task refers to does not exist.
        """
        files, tools = checked_own_files(task, runs), load_all_tools(task.tools, task.mcp, directory=task.directory)
        return cls(
            model,
            tools=tools,
            system=task.system,
            instructions=task.instructions,
            ladder=task.escalation,
            limits=task.budgets,
            verify=task.verify,
            verify_env=task.verify_env(),
            sandbox=task_sandbox(task) if starts_commands(tools, task.verify) else None,
            permissions=task.permissions,
            result=task.output_schema(),
            workspace=task.workspace_folder(),
            workspace_mode=task.workspace.mode,
            env=task_environment(task, environ),
            secrets=task_secrets(task),
            runs=runs, own_files=files, task=task_adapter().dump_python(task, mode="json"),
        )  # fmt: skip

    async def run(self, prompt: str, *, images: Iterable[Image] = (), observe: Observer | None = None) -> Outcome:
        """Run once and return the outcome.

        Args:
            prompt: The task for the model.
            images: Images that belong to the prompt, for a vision model.
            observe: Called with each event after it is recorded.

        Raises:
            ConfigError: A setting is invalid.
            EndpointError: The server could not be reached before the run started.
        """
        message = UserMessage(content=prompt, images=tuple(images))
        name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        async with self.model.open(session=name) as connection:
            with self._claim(self._named_folder(), name), run_folder(self.runs, name) as folder:
                first = await self._first_event(connection, name, folder, message)
                state = RunState(first, self._profile(first.model))
                journal = Journal(folder) if self.runs is not None else None
                return await self._drive(connection, state, first, folder, journal, observe)

    async def resume(self, folder: Path, *, observe: Observer | None = None) -> Outcome:
        """Resume the run in this folder from its journal.

        Finished calls are not executed again; one that was running is reported to the model as interrupted. This
        agent's limits apply. A run that was stuck or failed its verification gets a new ladder and new attempts.

        Raises:
            ConfigError: There is no such run, it has ended or still runs, or its tools or workspace have changed.
            EndpointError: The server could not be reached before the run started.
        """
        with closing(Journal(folder, create=False)) as journal:  # locked before it is read: nobody else may go on
            state = resume_state(folder, self.toolbox, self._profile, {**self.env, **self.secrets})
            async with self.model.open(session=state.started.run) as connection:
                await connection.served()
                sandbox = str(self._sandbox(state.started, folder) or "")
                resumed = Resumed(wall_s=state.spent.wall_s, limits=self.limits, sandbox=sandbox)
                with self._claim(claimed_folder(state.started, folder), state.started.run):
                    return await self._drive(connection, state, resumed, folder, journal, observe)

    def run_sync(self, prompt: str, *, images: Iterable[Image] = (), observe: Observer | None = None) -> Outcome:
        """Run once, for callers without an event loop; see `run`."""
        return asyncio.run(self.run(prompt, images=images, observe=observe))

    async def count(self, prompt: str, *, images: Iterable[Image] = ()) -> TokenCount | None:
        """Return the tokens of the first request, as the server renders it. None if the server cannot count them.

        Raises:
            EndpointError: The server does not answer.
        """
        async with self.model.open() as connection:
            served = await connection.served()
            profile = self._profile(served.model)
            history = History(replay_reasoning=profile.replay_reasoning)
            history.add_system(self.system_prompt(served.model, window_tokens=served.window_tokens))
            history.add_user(UserMessage(content=prompt, images=tuple(images)))
            effort = (self.ladder or profile.ladder).rungs[0].effort if profile.takes_effort else None
            tools = self.toolbox(profile.name).definitions
            request = Request(model=served.model, messages=history.wire, tools=tools, max_tokens=1, effort=effort)
            return await connection.count(request)

    async def _drive(
        self, connection: Connection, state: RunState, opening: RunStarted | Resumed, folder: Path,
        journal: Journal | None, observe: Observer | None,
    ) -> Outcome:  # fmt: skip
        first = state.started
        before_s, began = state.spent.wall_s, time.monotonic()
        sandbox = self._sandbox(first, folder) or Sandbox()
        snapshot, shared = None if first.snapshot is None else Path(first.snapshot), Shared(first.run)
        context = ToolContext(
            workspace=Path(first.workspace), state=self.state, env=self.env, sandbox=sandbox,
            secrets=with_secrets_in([self.env, self.verify_env, *(tool.env for tool in self.tools)], self.secrets),
            snapshot=snapshot, no_snapshot=first.note, model_family=state.profile.name, shared=shared,
        )  # fmt: skip
        record = recorder(state, journal, observe, context.redacted)
        deps = RunDependencies(
            connection=connection, toolbox=self.toolbox(state.profile.name), context=context, record=record,
            sync=journal.sync if journal is not None else lambda: None,
            clock=lambda: before_s + time.monotonic() - began, sleep=asyncio.sleep,
            verify=self.verify, verify_env=self.verify_env,
            permissions=(*self.permissions, *(DESTRUCTIVE if sandbox.isolation == "none" else ())),
            approve=self.approve, wants_result=self.result is not None,
            snapshot=None if snapshot is None else Snapshot(tree=snapshot), patience_s=self.model.patience_s,
            shared_workspace=works_in_place(first, folder), first_wait_s=self.model.first_wait_s,
        )  # fmt: skip
        async with AsyncExitStack() as cleanup:
            if journal is not None:
                cleanup.callback(journal.close)
            own_files = None if all(tool.read_only for tool in self.tools) else self.own_files
            notices = cleanup.enter_context(watched(context.workspace, own_files, folder, journal, observe))
            cleanup.push_async_callback(shared.aclose)
            cleanup.push_async_callback(context.resources.aclose, lambda text: notices.append(context.redacted(text)))
            try:
                record(opening)
            except JournalWriteError as error:
                raise ConfigError(str(error)) from error
            ended = await Run(state, deps).drive()
        return outcome_of(state, ended, None if journal is None else journal.path, notices, context.redacted)

    async def _first_event(self, connection: Connection, name: str, folder: Path, prompt: UserMessage) -> RunStarted:
        served = await connection.served()
        profile = self._profile(served.model)
        toolbox = self.toolbox(profile.name)
        self._base_sandbox()  # fail before a copy or worktree is made if this machine has no sandbox
        prepared = await asyncio.to_thread(prepare_workspace, self.workspace, self.workspace_mode, folder,
                                           kept=self.runs is not None,
                                           changes=not all(tool.read_only for tool in toolbox))  # fmt: skip
        instructions = self._project_instructions(profile)
        first = RunStarted(
            run=name, at=datetime.now(UTC).isoformat(timespec="seconds"), task=self.task, base_url=self.model.base_url,
            model=served.model, profile=profile.name, window_tokens=served.window_tokens,
            ladder=self.ladder or profile.ladder, limits=self.limits,
            tools=toolbox.names, tools_digest=toolbox.digest,
            system=self.system_prompt(
                served.model, workspace=prepared.workspace.path, window_tokens=served.window_tokens
            ),
            instructions="" if instructions is None else instructions.path,
            prompt=prompt, workspace=str(prepared.workspace.path), worktree=prepared.worktree,
            snapshot=str(prepared.snapshot) if prepared.snapshot else None, note=prepared.note,
        )  # fmt: skip
        return replace(first, sandbox=str(self._sandbox(first, folder) or ""))

    def system_prompt(self, model: str, *, workspace: Path | None = None, window_tokens: int | None = None) -> str:
        """Return the system prompt for a model, by its served name; `workspace` is the folder that the run works in."""
        if self.system is not None:
            return self.system
        profile, project = self._profile(model), None if self.workspace is None else Path(self.workspace)
        return default_system_prompt(
            profile, project=project, workspace=workspace or project or Path.cwd(), mode=self.workspace_mode,
            sandbox=self._base_sandbox(), env=self.env, window_tokens=window_tokens, verify=self.verify,
            ladder=self.ladder or profile.ladder, instructions=self._project_instructions(profile),
            wants_result=self.result is not None,
        )  # fmt: skip

    def _project_instructions(self, profile: Profile) -> Instructions | None:
        mode = self.instructions if self.system is None else "none"
        return find_instructions(mode, None if self.workspace is None else Path(self.workspace), profile)

    def _named_folder(self) -> Path | None:
        """Return the folder that a new run works in place in. None if it works in the current one or in a copy."""
        in_place = self.workspace_mode in {"in_place", "create"}
        return Path(self.workspace).resolve() if self.workspace is not None and in_place else None

    def _claim(self, folder: Path | None, run: str) -> AbstractContextManager[None]:
        """Hold a folder that the run may change in place; another run that works there is an error."""
        return nullcontext() if folder is None or all(tool.read_only for tool in self.tools) else claimed(folder, run)

    def _base_sandbox(self) -> Sandbox | None:
        """Return the sandbox without paths of a workspace. None if the run starts no commands."""
        return run_sandbox(self.sandbox, self.workspace) if starts_commands(self.tools, self.verify) else None

    def _sandbox(self, first: RunStarted, folder: Path) -> Sandbox | None:
        """Return the sandbox with the paths that commands of the run need. None if the run starts no commands."""
        sandbox = self._base_sandbox()
        return sandbox and with_worktree(sandbox, first.worktree, Path(first.workspace), folder)

    def _profile(self, model: str) -> Profile:
        return self.model.profile or profile_for(model)

    def toolbox(self, family: str = "generic") -> Toolbox:
        """Return the tools of a run for a model family, including `final_result` if a structured result is wanted.

        Raises:
            ConfigError: An entry is not a tool, or two tools have the same name.
        """
        return Toolbox([*self.tools, *([] if self.result is None else [result_tool(self.result)])], family=family)

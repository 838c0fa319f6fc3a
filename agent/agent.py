"""Put a run together from what the caller gives, start or resume it, and hand back its outcome."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, JsonValue

from .errors import ConfigError
from .journal.events import Event, Resumed, RunEnded, RunStarted
from .journal.journal import Journal, JournalWriteError
from .journal.runs import run_folder
from .loop.dependencies import RunDependencies
from .loop.outcome import Outcome
from .loop.prompts import SYSTEM_PROMPT
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
from .sandbox import Rules, Sandbox, find_sandbox
from .task.environment import starts_commands, task_environment, task_sandbox, task_secrets
from .task.load import task_adapter
from .task.task import Task
from .task.tool_loading import load_mcp_tools, load_tools
from .tooling.context import ToolContext
from .tooling.final_result import result_tool
from .tooling.tool import Tool
from .tooling.toolbox import Toolbox
from .workspace.prepare import WorkspaceMode, prepare_workspace, worktree_read_paths
from .workspace.workspace import Snapshot

Observer = Callable[[Event], None]


@dataclass(frozen=True)
class Agent:
    """An agent: a model, its tools and the rules of its runs. Holds no state of a run, so it may run many at once."""

    model: Model
    """An Endpoint, or a ScriptedModel in a test."""
    tools: Sequence[Tool] = field(default=(), kw_only=True)
    system: str = field(default=SYSTEM_PROMPT, kw_only=True)
    ladder: Ladder | None = field(default=None, kw_only=True)
    """None: the one of the model's profile."""
    limits: Limits = field(default_factory=Limits, kw_only=True)
    verify: Verify | None = field(default=None, kw_only=True)
    """None: the run ends as `finished` when the model says that it is done."""
    verify_env: Mapping[str, str] = field(default_factory=dict[str, str], kw_only=True)
    """What the verification finds in its environment beside `env`, and may read where it is a path; no tool does."""
    sandbox: Sandbox | None = field(default=None, kw_only=True)
    """What isolates commands. None: bubblewrap where it runs, else Landlock, without network."""
    permissions: Sequence[Permission] = field(default=(), kw_only=True)
    """Which calls are allowed, asked of a person, or denied; the first rule that fits decides."""
    approve: Approve | None = field(default=None, kw_only=True)
    """Asks a person about a call. None: nobody is there, so that `ask` is a denial."""
    result: type[BaseModel] | Mapping[str, JsonValue] | None = field(default=None, kw_only=True)
    """The form of a structured result: a pydantic model, or the JSON Schema of an object. None: the answer is text."""
    workspace: str | Path | None = field(default=None, kw_only=True)
    """The folder the tools work in. None: the current one, which is then never put back to an earlier state."""
    workspace_mode: WorkspaceMode = field(default="in_place", kw_only=True)
    """Work in the folder; the same, and `create` it if it is missing; or leave it alone, and work in a `copy` or a git
    `worktree` of it, kept in the run's own folder. A copy goes with the run where no journal is kept."""
    state: object = field(default=None, kw_only=True)
    """What tools find as `context.state`."""
    env: Mapping[str, str] = field(default_factory=dict[str, str], kw_only=True)
    """The whole environment of commands that tools and the verification start."""
    secrets: Mapping[str, str] = field(default_factory=dict[str, str], kw_only=True)
    """Values, by name, that the model and the journal do not get, beside those of `env` that are named like secrets."""
    runs: Path | None = field(default=None, kw_only=True)
    """Folder that gets one folder per run, with its journal. None: no journal is kept."""
    task: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue], kw_only=True)
    """Written into the journal, so that the run can be resumed from it alone."""

    @classmethod
    def from_task(cls, task: Task, model: Model, *, environ: Mapping[str, str], runs: Path | None = None) -> Agent:
        """Return the agent that a task describes; its prompt is `task.rendered_prompt()`.

        Args:
            task: what `load_task` returned.
            model: where to ask.
            environ: what the environment of tools and of the verification is picked from, such as os.environ.
            runs: folder for the journals. None: no journal is kept.

        Raises:
            ConfigError: a tool cannot be loaded, or something that the task names is not there.
        """
        tools = load_tools(task.tools, directory=task.directory) + load_mcp_tools(task.mcp, directory=task.directory)
        return cls(
            model,
            tools=tools,
            system=task.system or SYSTEM_PROMPT,
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
            runs=runs,
            task=task_adapter().dump_python(task, mode="json"),
        )

    async def run(self, prompt: str, *, images: Iterable[Image] = (), observe: Observer | None = None) -> Outcome:
        """Run once and return the outcome.

        Args:
            prompt: what to do.
            images: pictures that belong to it, for a vision model.
            observe: called with each event after it is recorded.

        Raises:
            ConfigError: a mistake of the caller.
            EndpointError: the server could not be reached for its first answer.
        """
        message = UserMessage(content=prompt, images=tuple(images))
        name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        async with self.model.open(session=name) as connection:
            with run_folder(self.runs, name) as folder:
                first = await self._first_event(connection, name, folder, message)
                state = RunState(first, self._profile(first.model))
                journal = Journal(folder) if self.runs is not None else None
                return await self._drive(connection, state, first, journal, observe)

    async def resume(self, folder: Path, *, observe: Observer | None = None) -> Outcome:
        """Go on with the run of this folder, from its journal.

        Finished calls are not run again; one that was under way is reported to the model as interrupted. The limits
        are this agent's, so a run that reached one goes on under a higher one. A run that was stuck, or failed its
        verification, gets its ladder and its attempts anew.

        Raises:
            ConfigError: there is no such run, it is over or under way elsewhere, its tools are no longer the same, or
                its workspace is gone.
            EndpointError: the server could not be reached for its first answer.
        """
        state = resume_state(folder, self.toolbox(), self._profile)
        async with self.model.open(session=state.started.run) as connection:
            await connection.served()
            told = str(self._sandbox(Path(state.started.workspace)) or "")
            resumed = Resumed(wall_s=state.spent.wall_s, limits=self.limits, sandbox=told)
            return await self._drive(connection, state, resumed, Journal(folder), observe)

    def run_sync(self, prompt: str, *, images: Iterable[Image] = (), observe: Observer | None = None) -> Outcome:
        """Run once, for callers that have no event loop; see `run`."""
        return asyncio.run(self.run(prompt, images=images, observe=observe))

    async def count(self, prompt: str, *, images: Iterable[Image] = ()) -> TokenCount | None:
        """Count the tokens of the first request, as the server renders it; None: this server cannot.

        Raises:
            EndpointError: the server does not answer.
        """
        async with self.model.open() as connection:
            served = await connection.served()
            profile = self._profile(served.model)
            history = History(replay_reasoning=profile.replay_reasoning)
            history.add_system(self.system)
            history.add_user(UserMessage(content=prompt, images=tuple(images)))
            effort = (self.ladder or profile.ladder).rungs[0].effort if profile.takes_effort else None
            tools = self.toolbox().definitions
            request = Request(model=served.model, messages=history.wire, tools=tools, max_tokens=1, effort=effort)
            return await connection.count(request)

    async def _drive(
        self,
        connection: Connection,
        state: RunState,
        opening: RunStarted | Resumed,
        journal: Journal | None,
        observe: Observer | None,
    ) -> Outcome:
        first = state.started
        before_s, began = state.spent.wall_s, time.monotonic()

        def record(event: Event) -> None:
            if journal is not None:
                try:
                    journal.write(event)
                except JournalWriteError:
                    # That a run failed is said even where it cannot be written down; anything else did not happen.
                    if not isinstance(event, RunEnded) or event.status != "error":
                        raise
            state.apply(event)
            if observe is not None:
                observe(event)

        workspace = Path(first.workspace)
        sandbox = self._sandbox(workspace) or Sandbox()
        context = ToolContext(
            workspace=workspace, state=self.state, env=self.env, sandbox=sandbox, secrets=self.secrets
        )
        deps = RunDependencies(
            connection=connection,
            toolbox=self.toolbox(),
            context=context,
            record=record,
            sync=journal.sync if journal is not None else lambda: None,
            clock=lambda: before_s + time.monotonic() - began,
            sleep=asyncio.sleep,
            verify=self.verify,
            verify_env=self.verify_env,
            permissions=(*self.permissions, *(DESTRUCTIVE if sandbox.isolation == "none" else ())),
            approve=self.approve,
            wants_result=self.result is not None,
            snapshot=None if first.snapshot is None else Snapshot(tree=Path(first.snapshot)),
            patience_s=self.model.patience_s,
            first_wait_s=self.model.first_wait_s,
        )
        async with AsyncExitStack() as ending:
            if journal is not None:
                ending.callback(journal.close)
            ending.push_async_callback(context.resources.aclose)
            try:
                record(opening)
            except JournalWriteError as error:
                raise ConfigError(str(error)) from error
            ended = await Run(state, deps).drive()
        return Outcome(
            outcome=ended.status,
            reason=ended.reason,
            answer=ended.answer,
            output=ended.output,
            steps=ended.spent.steps,
            usage=ended.spent,
            run=first.run,
            journal=journal.path if journal is not None else None,
            notices=tuple(sorted(state.notices)),
            messages=tuple(state.history.messages),
        )

    async def _first_event(self, connection: Connection, name: str, folder: Path, prompt: UserMessage) -> RunStarted:
        served = await connection.served()
        profile = self._profile(served.model)
        toolbox = self.toolbox()
        self._isolation()  # a machine that has none is refused before a copy or worktree is made
        opened = await asyncio.to_thread(prepare_workspace, self.workspace, self.workspace_mode, folder,
                                         kept=self.runs is not None,
                                         changes=not all(tool.read_only for tool in toolbox))  # fmt: skip
        return RunStarted(
            run=name,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            task=self.task,
            base_url=self.model.base_url,
            model=served.model,
            profile=profile.name,
            window_tokens=served.window_tokens,
            ladder=self.ladder or profile.ladder,
            limits=self.limits,
            tools=toolbox.names,
            tools_digest=toolbox.digest,
            system=self.system,
            prompt=prompt,
            workspace=str(opened.workspace.path),
            worktree=opened.worktree,
            snapshot=str(opened.snapshot) if opened.snapshot else None,
            note=opened.note,
            sandbox=str(self._sandbox(opened.workspace.path) or ""),
        )

    def _isolation(self) -> Sandbox | None:
        """Return what isolates commands, wherever the run works. None: it starts none."""
        return (self.sandbox or find_sandbox("auto", Rules())) if starts_commands(self.tools, self.verify) else None

    def _sandbox(self, workspace: Path) -> Sandbox | None:
        """Return the same with what commands there must reach beside the workspace."""
        sandbox = self._isolation()
        if sandbox is None or self.workspace_mode != "worktree":
            return sandbox
        read = (*sandbox.rules.read, *worktree_read_paths(Path(self.workspace or Path.cwd()), workspace))
        return replace(sandbox, rules=replace(sandbox.rules, read=read))

    def _profile(self, model: str) -> Profile:
        return self.model.profile or profile_for(model)

    def toolbox(self) -> Toolbox:
        """Return the tools of a run, `final_result` among them if a structured result is wanted.

        Raises:
            ConfigError: one of them is not a tool, or two have the same name.
        """
        return Toolbox([*self.tools, *([] if self.result is None else [result_tool(self.result)])])

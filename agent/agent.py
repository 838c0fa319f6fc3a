"""Configure an agent, start or resume its runs, and return their outcomes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, cast

from pydantic import JsonValue
from typing_extensions import TypeForm, TypeVar

from . import starting
from .given import Conversation, check_kinds, messages_of, refuse_running_loop, sandbox_of
from .journal.runs import run_place
from .keywords import checked_keywords
from .loop.facts import InstructionsMode
from .loop.outcome import Outcome
from .messages import Image, UserMessage
from .model.endpoint import Endpoint
from .model.protocol import Model, TokenCount
from .model.settings import ModelSettings
from .old_names import AGENT_ELSEWHERE, AGENT_RENAMED, RUN_ELSEWHERE
from .policy.ladder import Ladder
from .policy.limits import Limits
from .policy.permissions import Approve, Permission
from .policy.verification import Verify
from .sandbox import IsolationChoice, Sandbox
from .starting import Observer, RunSettings
from .task.environment import (
    base_environment,
    file_secrets,
    starts_commands,
    task_sandbox,
    task_secrets,
    task_variables,
)
from .task.load import task_adapter
from .task.own_files import checked_own_files
from .task.parts import McpServer
from .task.task import Task
from .task.tool_loading import as_tools, load_all_tools, load_mcp_tools
from .tooling.final_result import output_spec
from .tooling.tool import Tool, ToolSource
from .workspace.prepare import WorkspaceMode

DepsT = TypeVar("DepsT", default=None)
OutputT = TypeVar("OutputT", default=str)

@dataclass(frozen=True, kw_only=True)
class TaskOrigin:
    """What a task file adds to the settings of an agent, for the command line."""

    task: Mapping[str, JsonValue]
    """Written to the journal, so that the run can be resumed from the journal alone."""
    own_files: Sequence[Path]
    """Absolute paths of the files that define the run; a run that changes one says so."""
    verify_env: Mapping[str, str]
    """Extra environment variables of the verification, not of tools; a value that is an absolute path is readable."""
    environ: Mapping[str, str]
    """The environment that the safe base is taken from."""


@checked_keywords(renamed=AGENT_RENAMED, elsewhere=AGENT_ELSEWHERE)
@dataclass(frozen=True)
class Agent(Generic[DepsT, OutputT]):
    """A model, its tools and the settings of its runs. Holds no run state, so concurrent runs are allowed.

    Args:
        model: an Endpoint, the URL of a server, or a ScriptedModel in a test.
        tools: what the model may call: tools, functions with type annotations and a docstring, or names of ready tools.
        instructions: the system prompt. None means the default for the model's family, made from facts of the run.
        project_instructions: `auto` adds the AGENTS.md or CLAUDE.md nearest to the workspace to the default system
            prompt; `none` does not.
        output_type: type of the result: a pydantic model, a dataclass, a TypedDict, `list[...]`, a union, `int`, a list
            of types for a union, or the JSON Schema of an object. `str` means a text answer.
        deps: an object that tools use, as `context.deps`.
        mcp: MCP servers whose tools the model may call too; each tool's name begins with the server's name.
        model_settings: temperature, seed and other settings of each request.
        ladder: how the run escalates after failures. None means the ladder of the model's profile.
        limits: limits of each run.
        verify: the command that decides whether the work is done. None means the run ends as `finished` when the model
            reports that it is done.
        workspace: the folder that tools work in. None means the current folder, which is never restored.
        workspace_mode: work `in_place`; `create` the folder if it is missing; or leave it unchanged and work in a
            `copy` or git `worktree` of it in the run's folder. Without `runs`, a copy is deleted when the run ends.
        env: environment variables of the commands that tools and the verification start, added to a safe base (PATH,
            HOME, LANG and a few more); None as a value takes a variable away.
        secrets: values, by name, that the model and the journal must not see, besides variables with names of secrets.
        secret_files: files whose values are hidden in the same way, such as `.env`.
        sandbox: sandbox for commands, or its kind, such as `none`. None means bubblewrap where it runs, else Landlock,
            without network.
        permissions: rules that allow calls, deny them or ask a person; the first match wins.
        approve: asks a person to approve a call. None means no person can be asked, so `ask` denies the call.
        runs: folder that gets one folder per run, with its journal; `runs_folder()` is the one of `agent runs`. None
            means no journal is written, and a run cannot be resumed.

    Raises:
        ConfigError: a setting is invalid.
    """

    model: Model | str
    tools: Sequence[Tool | ToolSource | str] = field(default=(), kw_only=True)
    instructions: str | None = field(default=None, kw_only=True)
    project_instructions: InstructionsMode = field(default="auto", kw_only=True)
    output_type: TypeForm[OutputT] | Sequence[type[OutputT]] | Mapping[str, JsonValue] = field(
        default=cast("TypeForm[OutputT]", str), kw_only=True
    )
    deps: DepsT = field(default=cast("DepsT", None), kw_only=True)
    mcp: Mapping[str, McpServer] = field(default_factory=dict[str, McpServer], kw_only=True)
    model_settings: ModelSettings = field(default_factory=ModelSettings, kw_only=True)
    ladder: Ladder | None = field(default=None, kw_only=True)
    limits: Limits = field(default_factory=Limits, kw_only=True)
    verify: Verify | None = field(default=None, kw_only=True)
    workspace: str | Path | None = field(default=None, kw_only=True)
    workspace_mode: WorkspaceMode = field(default="in_place", kw_only=True)
    env: Mapping[str, str | None] = field(default_factory=dict[str, str | None], kw_only=True)
    secrets: Mapping[str, str] = field(default_factory=dict[str, str], kw_only=True)
    secret_files: Sequence[str | Path] = field(default=(), kw_only=True)
    sandbox: Sandbox | IsolationChoice | None = field(default=None, kw_only=True)
    permissions: Sequence[Permission] = field(default=(), kw_only=True)
    approve: Approve | None = field(default=None, kw_only=True)
    runs: str | Path | None = field(default=None, kw_only=True)
    _origin: TaskOrigin | None = field(default=None, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        check_kinds(vars(self))
        output_spec(self.output_type)

    @classmethod
    def from_task(
        cls, task: Task, model: Model | str, *, environ: Mapping[str, str], runs: str | Path | None = None
    ) -> Agent[None, Any]:
        """Return the agent that a task describes; run it with `task.rendered_prompt()`.

        Args:
            task: Task from `load_task`.
            model: Endpoint of the model.
            environ: Variables to select the environment of tools and verification from, such as os.environ.
            runs: Folder for the journals. None means no journal is written.

        Raises:
            ConfigError: A tool cannot be loaded, or something that the task refers to does not exist.
        """
        files = checked_own_files(task, None if runs is None else Path(runs))
        tools = load_all_tools(task.tools, task.mcp, directory=task.directory)
        return Agent[None, Any](
            model,
            tools=tools,
            instructions=task.instructions,
            project_instructions=task.project_instructions,
            output_type=cast("Any", task.output_schema() or str),
            model_settings=task.model_settings,
            ladder=task.ladder,
            limits=task.limits,
            verify=task.verify,
            workspace=task.workspace_folder(),
            workspace_mode=task.workspace.mode,
            env=task_variables(task, environ),
            secrets=task_secrets(task),
            sandbox=task_sandbox(task) if starts_commands(tools, task.verify) else None,
            permissions=task.permissions,
            runs=runs,
            _origin=TaskOrigin(
                task=task_adapter().dump_python(task, mode="json"), own_files=files,
                verify_env=task.verify_env(), environ=environ,
            ),
        )  # fmt: skip

    @checked_keywords(elsewhere=RUN_ELSEWHERE)
    async def run(
        self, prompt: str, *, history: Conversation = (), images: Iterable[Image] = (), deps: DepsT | None = None,
        limits: Limits | None = None, model_settings: ModelSettings | None = None, name: str | None = None,
        observe: Observer | None = None,
    ) -> Outcome[OutputT]:  # fmt: skip
        """Run once and return the outcome.

        Args:
            prompt: The task for the model.
            history: A conversation to go on with: the outcome of an earlier run, its messages, or messages in OpenAI's
                chat format. Its system prompt is kept, unless the agent has `instructions` of its own.
            images: Images that belong to the prompt, for a vision model.
            deps: For this run, instead of the agent's.
            limits: For this run, instead of the agent's.
            model_settings: For this run, instead of the agent's.
            name: Name of the run, for `agent show` and `resume`. None means one made of the time.
            observe: Called with each event after it is recorded.

        Raises:
            ConfigError: A setting is invalid, the conversation cannot be continued, or there is a run of this name.
            EndpointError: The server could not be reached before the run started.
        """
        message = UserMessage(content=prompt, images=tuple(images))
        settings = self.settings(deps=deps, limits=limits, model_settings=model_settings)
        outcome = await starting.start(settings, message, history=messages_of(history), name=name, observe=observe)
        return cast("Outcome[OutputT]", outcome)

    @checked_keywords()
    async def resume(self, folder: str | Path, *, observe: Observer | None = None) -> Outcome[OutputT]:
        """Resume the run in this folder from its journal.

        Finished calls are not executed again; one that was running is reported to the model as interrupted. This
        agent's limits apply. A run that was stuck or failed its verification gets a new ladder and new attempts.

        Args:
            folder: Folder of the run, or its name if the agent has `runs`.
            observe: Called with each event after it is recorded.

        Raises:
            ConfigError: There is no such run, it has ended or still runs, or its tools or workspace have changed.
            EndpointError: The server could not be reached before the run started.
        """
        settings = self.settings()
        place = Path(folder) if settings.runs is None else run_place(settings.runs, folder)
        return cast("Outcome[OutputT]", await starting.resume(settings, place, observe=observe))

    @checked_keywords(elsewhere=RUN_ELSEWHERE)
    def run_sync(
        self, prompt: str, *, history: Conversation = (), images: Iterable[Image] = (), deps: DepsT | None = None,
        limits: Limits | None = None, model_settings: ModelSettings | None = None, name: str | None = None,
        observe: Observer | None = None,
    ) -> Outcome[OutputT]:  # fmt: skip
        """Run once, for callers without an event loop; see `run`.

        Raises:
            ConfigError: As for `run`, or an event loop is running, as in a notebook: use `await agent.run(...)`.
            EndpointError: As for `run`.
        """
        refuse_running_loop("run")
        return asyncio.run(
            self.run(
                prompt, history=history, images=images, deps=deps, limits=limits, model_settings=model_settings,
                name=name, observe=observe,
            )
        )  # fmt: skip

    def resume_sync(self, folder: str | Path, *, observe: Observer | None = None) -> Outcome[OutputT]:
        """Resume a run, for callers without an event loop; see `resume`.

        Raises:
            ConfigError: As for `resume`, or an event loop is running, as in a notebook: use `await agent.resume(...)`.
            EndpointError: As for `resume`.
        """
        refuse_running_loop("resume")
        return asyncio.run(self.resume(folder, observe=observe))

    async def count(self, prompt: str, *, images: Iterable[Image] = ()) -> TokenCount | None:
        """Return the tokens of the first request, as the server renders it. None if the server cannot count them.

        Raises:
            EndpointError: The server does not answer.
        """
        return await starting.count(self.settings(), UserMessage(content=prompt, images=tuple(images)))

    def settings(
        self, *, deps: DepsT | None = None, limits: Limits | None = None, model_settings: ModelSettings | None = None
    ) -> RunSettings:
        """Return the settings of a run, with everything looked up and these in place of the agent's.

        Raises:
            ConfigError: A tool cannot be loaded, two tools have one name, or a file cannot be read.
        """
        origin = self._origin
        env: dict[str, str | None] = {**base_environment(os.environ if origin is None else origin.environ), **self.env}
        workspace = None if self.workspace is None else Path(self.workspace)
        settings = RunSettings(
            model=Endpoint(self.model) if isinstance(self.model, str) else self.model,
            tools=self._loaded_tools,
            instructions=self.instructions, project_instructions=self.project_instructions,
            ladder=self.ladder, limits=self.limits if limits is None else limits,
            model_settings=self.model_settings if model_settings is None else model_settings,
            verify=self.verify, verify_env={} if origin is None else origin.verify_env,
            sandbox=sandbox_of(self.sandbox, workspace), permissions=self.permissions, approve=self.approve,
            output=output_spec(self.output_type), workspace=workspace, workspace_mode=self.workspace_mode,
            deps=self.deps if deps is None else deps,
            env={name: value for name, value in env.items() if value is not None},
            secrets={**file_secrets(self.secret_files, Path.cwd(), workspace), **self.secrets},
            runs=None if self.runs is None else Path(self.runs),
            own_files=() if origin is None else origin.own_files, task={} if origin is None else origin.task,
        )  # fmt: skip
        settings.toolbox()
        return settings

    @cached_property
    def _loaded_tools(self) -> tuple[Tool, ...]:
        tools = as_tools(self.tools)
        return (*tools, *load_mcp_tools(self.mcp, directory=Path.cwd(), taken=[tool.name for tool in tools]))

"""The settings of an agent, and those of its runs with everything looked up."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, cast

from typing_extensions import TypeForm, TypeVar

# A program that only names `Agent` loads none of these.
if TYPE_CHECKING:
    from .loop.facts import InstructionsMode
    from .model.protocol import Model
    from .model.settings import ModelSettings
    from .policy.ladder import Ladder
    from .policy.limits import Limits
    from .policy.permissions import Approve, Permission
    from .policy.verification import Verify
    from .run_settings import RunSettings, TaskOrigin
    from .sandbox import IsolationChoice, Sandbox
    from .task.mcp_server import McpServer
    from .tooling.tool import Tool, ToolSource
    from .tooling.toolbox import Toolbox
    from .workspace.prepare import WorkspaceMode

DepsT = TypeVar("DepsT", default=None)
OutputT = TypeVar("OutputT", default=str)
OutputT_co = TypeVar("OutputT_co", covariant=True)


class JsonSchema(Protocol[OutputT_co]):
    """The JSON Schema of an object, as a dict. Type checkers infer the type of the result, `dict[str, Any | None]`."""

    # What dict.fromkeys returns is the only type in it that does not depend on what the schema is made of. `copy` tells
    # an instance from a class: `dict[str, int]` is a type of a result. Overloads of Agent's __init__ would be plainer,
    # but mypy 2.4 infers a list of types without its context then, and refuses it.
    def fromkeys(self, keys: list[str], /) -> OutputT_co: ...

    def copy(self) -> object: ...


def _model_settings() -> ModelSettings:
    from .model.settings import ModelSettings

    return ModelSettings()


def _servers() -> Mapping[str, McpServer]:
    return {}


def _limits() -> Limits:
    from .policy.limits import Limits

    return Limits()


@dataclass(frozen=True)
class AgentSettings(Generic[DepsT, OutputT]):
    """The settings of an agent; `Agent` says what each is."""

    model: Model | str
    tools: Sequence[Tool | ToolSource | str] = field(default=(), kw_only=True)
    instructions: str | None = field(default=None, kw_only=True)
    project_instructions: InstructionsMode = field(default="auto", kw_only=True)
    output_type: TypeForm[OutputT] | Sequence[type[OutputT]] | JsonSchema[OutputT] = field(
        default=cast("TypeForm[OutputT]", str), kw_only=True
    )
    deps: DepsT = field(default=cast("DepsT", None), kw_only=True)
    fallback: Sequence[Model | str] = field(default=(), kw_only=True)
    mcp: Mapping[str, McpServer] = field(default_factory=_servers, kw_only=True)
    model_settings: ModelSettings = field(default_factory=_model_settings, kw_only=True)
    ladder: Ladder | None = field(default=None, kw_only=True)
    limits: Limits = field(default_factory=_limits, kw_only=True)
    verify: Verify | None = field(default=None, kw_only=True)
    workspace: str | Path | None = field(default=None, kw_only=True)
    workspace_mode: WorkspaceMode = field(default="in_place", kw_only=True)
    env: Mapping[str, str | None] = field(default_factory=dict[str, str | None], kw_only=True, repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict[str, str], kw_only=True, repr=False)
    secret_files: Sequence[str | Path] = field(default=(), kw_only=True)
    sandbox: Sandbox | IsolationChoice | None = field(default=None, kw_only=True)
    permissions: Sequence[Permission] = field(default=(), kw_only=True)
    approve: Approve | None = field(default=None, kw_only=True)
    runs: str | Path | None = field(default=None, kw_only=True)
    _origin: TaskOrigin | None = field(default=None, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        if self.instructions in {"auto", "none"}:  # what is now `project_instructions` had this name
            self._move_mode(self.instructions)
        from . import ready_tools, starting
        from .given import check_kinds
        from .policy.permissions import check_rules
        from .tooling.final_result import output_spec
        from .tooling.requirements import check_deps
        from .tooling.toolbox import Toolbox

        del starting  # it is only loaded: now, and not in the event loop of the first run
        check_kinds(vars(self))
        output = output_spec(self.output_type)
        tools = Toolbox([*self._own_tools, *([] if output is None else [output.tool])])
        if self.deps is not None:
            check_deps(tools, self.deps)
        if not self.mcp:  # the tools of MCP servers are known when a run starts
            self._toolboxes["generic", False] = tools  # as RunSettings.toolbox keeps them
            check_rules(self.permissions, tools.argument_names(), elsewhere=ready_tools.NAMES)

    def settings(
        self, *, deps: DepsT | None = None, limits: Limits | None = None, model_settings: ModelSettings | None = None
    ) -> RunSettings:
        """Return the settings of a run, with everything looked up and these in place of the agent's.

        Raises:
            ConfigError: A tool cannot be loaded, two tools have one name, or a file cannot be read.
        """
        from . import ready_tools
        from .branching import check_branching
        from .given import check_kind, check_runs, sandbox_of
        from .model.settings import ModelSettings
        from .policy.limits import Limits
        from .policy.permissions import check_rules
        from .run_settings import RunSettings
        from .sandbox.sources import Sources
        from .task.environment import base_environment, file_secrets
        from .tooling.final_result import output_spec
        from .tooling.requirements import check_deps

        check_kind(limits, (Limits, type(None)), "limits", "Write Limits(steps=...).")
        check_kind(
            model_settings, (ModelSettings, type(None)), "model_settings", "Write ModelSettings(temperature=...)."
        )
        origin = self._origin
        env: dict[str, str | None] = {**base_environment(os.environ if origin is None else origin.environ), **self.env}
        workspace = None if self.workspace is None else Path(self.workspace)
        runs = None if self.runs is None else Path(self.runs).absolute()  # git and tools work in other folders
        if runs is not None:
            check_runs(runs)
        settings = RunSettings(
            model=self._models[0],
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
            runs=runs,
            own=Sources() if origin is None else origin.own, task={} if origin is None else origin.task,
            toolboxes=self._toolboxes,
        )  # fmt: skip
        check_rules(self.permissions, settings.toolbox().argument_names(), elsewhere=ready_tools.NAMES)
        check_deps(settings.tools, settings.deps)
        check_branching(settings)
        return settings

    def _move_mode(self, mode: str) -> None:
        # The frames between: this function, `__post_init__`, `__init__` and the one that checks keywords.
        warnings.warn(
            f"Agent(instructions={mode!r}) is now project_instructions={mode!r}; instructions is the prompt.",
            DeprecationWarning,
            stacklevel=5,
        )
        object.__setattr__(self, "instructions", None)
        object.__setattr__(self, "project_instructions", mode)

    @cached_property
    def _models(self) -> tuple[Model, ...]:
        """The model, then those to fall back on; made once, so that all runs share the connections to a server."""
        from .given import model_of

        return tuple(map(model_of, (self.model, *self.fallback)))

    @cached_property
    def _toolboxes(self) -> dict[tuple[str, bool], Toolbox]:
        """Made once for each model family, as their schemas are."""
        return {}

    @cached_property
    def _own_tools(self) -> tuple[Tool, ...]:
        from .task.tool_loading import as_tools

        return as_tools(self.tools)

    @cached_property
    def _loaded_tools(self) -> tuple[Tool, ...]:
        from .given import sandbox_of
        from .loop.hidden_paths import listing_sandbox
        from .task.environment import run_sandbox
        from .task.tool_loading import load_mcp_tools

        own, workspace = self._own_tools, Path(self.workspace or ".").absolute()
        sandbox = sandbox_of(self.sandbox, workspace)
        # And the current folder: what runs this agent as a tool may work there.
        writable = (workspace, Path.cwd(), *(() if sandbox is None else sandbox.rules.write))
        taken = [tool.name for tool in own]
        in_place = self.workspace_mode in {"in_place", "create"}
        changing = (*([workspace] if in_place else []), *(() if sandbox is None else sandbox.rules.write))
        place = partial(
            listing_sandbox, rules=self.permissions, workspace=next(iter(changing), workspace),
            sandbox=partial(run_sandbox, sandbox, workspace),
        )  # fmt: skip
        is_sandboxed = sandbox is None or sandbox.isolation not in {"none", "container"}
        return (*own, *load_mcp_tools(
            self.mcp, directory=Path.cwd(), writable=writable, taken=taken, changing=changing,
            sandbox=place if is_sandboxed else None,
        ))  # fmt: skip

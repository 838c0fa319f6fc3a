"""The types of what a program may give to `Task`, for type checkers and editors; `short_values` converts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from ..model.settings import ModelSettings
from ..policy.ladder import Ladder
from ..policy.limits import Limits
from ..policy.permissions import Permission
from ..policy.verification import Verify
from ..sandbox import IsolationChoice
from .mcp_server import McpServer
from .parts import TaskInputs, TaskModel, TaskOutput, TaskSandbox, TaskWorkspace, ToolUse

Written = Mapping[str, Any]
"""A record as a task file has it."""


class GivenValues(TypedDict, total=False):
    """The fields of `Task`, each with its own type and the forms that a task file has."""

    version: Literal[1]
    name: str
    prompt: str | None
    prompt_file: str | None
    instructions: str | None
    project_instructions: Literal["auto", "none"]
    vars: Mapping[str, str]
    inputs: TaskInputs | Written
    workspace: str | Path | TaskWorkspace | Written
    model: str | TaskModel | Written
    model_settings: ModelSettings | Written
    tools: Sequence[str | ToolUse | Written]
    mcp: Mapping[str, McpServer | Written]
    ladder: Ladder | Written | None
    limits: Limits | Written
    verify: str | Verify | Written | None
    sandbox: IsolationChoice | TaskSandbox | Written
    permissions: Sequence[Permission | Written]
    output: TaskOutput | Written
    env: Mapping[str, str]
    env_from: Sequence[str]
    secret_files: Sequence[str]
    directory: str | Path

"""Return the settings of the agent that a task file describes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from .given import check_kind
from .loop.hidden_paths import listing_sandbox
from .run_settings import TaskOrigin
from .sandbox.sources import Sources
from .task.environment import starts_commands, task_sandbox, task_secrets, task_variables
from .task.load import task_adapter
from .task.own_files import changeable_folders, checked_imports, checked_own_files, writable_folders
from .task.task import Task
from .task.tool_loading import load_all_tools


def settings_of_task(task: Task, environ: Mapping[str, str], runs: Path | None) -> Mapping[str, Any]:
    """Return the keywords of an agent, but for the folder of its runs.

    Raises:
        ConfigError: a tool cannot be loaded, or something that the task refers to does not exist.
    """
    check_kind(task, Task, "task", "Read the file with load_task(path).")
    own = checked_own_files(task, runs)
    with checked_imports(changeable_folders(task), runs) as imported:
        is_sandboxed = task.sandbox.use not in {"none", "container"}
        writable = writable_folders(task)
        place = partial(
            listing_sandbox, rules=task.permissions, workspace=next(iter(writable), task.directory).absolute(),
            sandbox=partial(task_sandbox, task),
        )  # fmt: skip
        tools = load_all_tools(
            task.tools, task.mcp, directory=task.directory, writable=writable, sandbox=place if is_sandboxed else None
        )
    return {
        "tools": tools,
        "instructions": task.instructions,
        "project_instructions": task.project_instructions,
        "output_type": task.output_schema() or str,
        "model_settings": task.model_settings,
        "ladder": task.ladder,
        "limits": task.limits,
        "verify": task.verify,
        "workspace": task.workspace_folder(),
        "workspace_mode": task.workspace.mode,
        "env": task_variables(task, environ),
        "secrets": task_secrets(task),
        "sandbox": task_sandbox(task) if starts_commands(tools, task.verify) else None,
        "permissions": task.permissions,
        "_origin": TaskOrigin(
            task=task_adapter().dump_python(task, mode="json"), own=own | Sources(files=frozenset(imported)),
            verify_env=task.verify_env(), environ=environ,
        ),
    }  # fmt: skip

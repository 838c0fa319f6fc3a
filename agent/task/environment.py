"""Build the environment, the sandbox and the secrets for a task's commands; starts no command."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import ConfigError
from ..policy.verification import Verify
from ..sandbox import Rules, Sandbox, find_sandbox
from ..sandbox.inside import LeadsOut, find_inside
from ..sandbox.programs import project_folder
from ..tooling.redaction import secrets_of_file
from ..tooling.tool import Tool
from .reading import read_text
from .task import Task


def base_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the commands of every run get: where programs and homes are, language, no secrets."""
    # Unbuffered, so that the prints of a Python program that is killed are not lost.
    found = {"PATH": os.defpath, "TERM": "dumb", "PYTHONUNBUFFERED": "1"}
    return found | {name: value for name, value in environ.items() if name in _SAFE or name.startswith("LC_")}


def task_variables(task: Task, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a task adds to the base: those of `env_from`, then `env`.

    Raises:
        ConfigError: a variable in `env_from` is not set, or a {{name}} in `env` has no value.
    """
    found: dict[str, str] = {}
    for index, name in enumerate(task.env_from):
        if name not in environ:
            msg = f"`env_from` lists {name}, which is not set. Set it before `agent run`, or remove it from the list."
            raise ConfigError(msg, key=f"env_from[{index}]")
        found[name] = environ[name]
    return found | task.filled_env()


def starts_commands(tools: Iterable[Tool], verify: Verify | None) -> bool:
    """Return whether a run starts commands, and so needs a sandbox."""
    return verify is not None or any(tool.commands for tool in tools)


def run_sandbox(given: Sandbox | None, workspace: str | Path | None) -> Sandbox:
    """Return the sandbox of a run, which trusts no program in its workspace.

    Args:
        given: the one that the caller chose. None means the best one of this machine.
        workspace: the folder that the run was given. None means the current one.

    Raises:
        ConfigError: this machine has no sandbox.
    """
    project = () if workspace is None else (Path(workspace).absolute(),)
    found = given or find_sandbox("auto", Rules(untrusted=project))
    return replace(found, rules=replace(found.rules, untrusted=tuple({*found.rules.untrusted, *project})))


def task_sandbox(task: Task) -> Sandbox:
    """Return the sandbox for a task's commands on this machine.

    Raises:
        ConfigError: the sandbox is not available here, or a path that it lists does not exist.
    """
    wanted = task.sandbox
    read, write = (tuple(map(task.path, names)) for names in (wanted.read, wanted.write))
    if missing := next((path for path in (*read, *write) if not path.exists()), None):
        msg = f"`sandbox` lists {str(missing)!r}, which does not exist. Create it, or remove it from the list."
        raise ConfigError(msg, key="sandbox")
    workspace = task.path(task.workspace.path)
    for path in (*read, *write):
        try:
            find_inside(path, workspace)
        except LeadsOut as error:
            msg = (
                f"`sandbox` lists {str(path)!r}, which a symlink in the workspace leads out of it, and a run may have "
                "made that symlink. Remove it, or list the path that it leads to."
            )
            raise ConfigError(msg, key="sandbox") from error
    # An earlier run may have worked there, also if this one works in a copy.
    untrusted = (workspace, *project_folder(task.directory))
    rules = Rules(network=wanted.network, read=read, write=write, untrusted=untrusted, limits=wanted.limits)
    return find_sandbox(wanted.use, rules, image=wanted.image)


def file_secrets(files: Sequence[str | Path], directory: Path, workspace: Path | None) -> dict[str, str]:
    """Return the values in `secret_files`, by name.

    Args:
        files: absolute, or relative to `directory`.
        directory: where relative paths start.
        workspace: the folder that the run works in. None means the current one.

    Raises:
        ConfigError: a file cannot be read.
    """
    found: dict[str, str] = {}
    for index, name in enumerate(files):
        key = f"secret_files[{index}]"
        # A project's .env is often a symlink to a shared one, and its values only hide.
        text = read_text(directory / name, key=key, workspace=workspace or Path.cwd(), may_lead_out=True)
        found |= secrets_of_file(text, str(name))
    return found


def task_secrets(task: Task) -> dict[str, str]:
    """Return the values in the `secret_files` of a task, by name.

    Raises:
        ConfigError: a file cannot be read.
    """
    return file_secrets(task.secret_files, task.directory.absolute(), task.path(task.workspace.path))


# No variable that may hold a secret: a tool's output goes to the model, and from there anywhere.
_SAFE = frozenset({"PATH", "HOME", "LANG", "TMPDIR", "USER"})

"""What surrounds the commands of a task: their environment, what isolates them, and what of it nobody is shown."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from ..errors import ConfigError
from ..policy.verification import Verify
from ..sandbox import Rules, Sandbox, find_sandbox
from ..tooling.redaction import secrets_of_file
from ..tooling.tool import Tool
from .task import Task, read_text


def task_environment(task: Task, base: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment for tools and `verify`: a safe base, then `env_from`, then `env`.

    Args:
        task: names what is passed on.
        base: the environment of this process; the caller hands it in.

    Raises:
        ConfigError: a variable of `env_from` is not set, or a {{name}} of `env` has no value.
    """
    safe = {"PATH": os.defpath, "TERM": "dumb"}
    safe |= {name: value for name, value in base.items() if name in _SAFE or name.startswith("LC_")}
    for index, name in enumerate(task.env_from):
        if name not in base:
            msg = f"`env_from` names {name}, which is not set. Set it before `agent run`, or take it off the list."
            raise ConfigError(msg, key=f"env_from[{index}]")
        safe[name] = base[name]
    return safe | task.filled_env()


def starts_commands(tools: Iterable[Tool], verify: Verify | None) -> bool:
    """Say whether a run starts commands, so that something has to isolate them."""
    return verify is not None or any(tool.commands for tool in tools)


def task_sandbox(task: Task) -> Sandbox:
    """Return what isolates the commands of a task on this machine.

    Raises:
        ConfigError: this machine does not have it, or a path that it names is not there.
    """
    wanted = task.sandbox
    read, write = (tuple(map(task.path, names)) for names in (wanted.read, wanted.write))
    if missing := next((path for path in (*read, *write) if not path.exists()), None):
        msg = f"`sandbox` names {str(missing)!r}, which does not exist. Make it, or take it off the list."
        raise ConfigError(msg, key="sandbox")
    rules = Rules(network=wanted.network, read=read, write=write, limits=wanted.limits)
    return find_sandbox(wanted.use, rules, image=wanted.image)


def task_secrets(task: Task) -> dict[str, str]:
    """Return what `secret_files` hold, by name.

    Raises:
        ConfigError: one cannot be read.
    """
    found: dict[str, str] = {}
    for index, name in enumerate(task.secret_files):
        found |= secrets_of_file(read_text(task.path(name), key=f"secret_files[{index}]"), name)
    return found


# Nothing that may hold a secret: a tool's output goes to the model, and from there anywhere.
_SAFE = frozenset({"PATH", "HOME", "LANG", "TMPDIR", "USER"})

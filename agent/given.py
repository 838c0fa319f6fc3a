"""Check what a program gives to an agent, and convert it to what a run works with."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from .choices import check_choice
from .errors import ConfigError
from .loop.facts import InstructionsMode
from .loop.outcome import Outcome
from .messages import Message
from .model.conversation import check_conversation, from_chat
from .model.endpoint import Endpoint
from .model.protocol import Model
from .model.settings import ModelSettings
from .policy.ladder import Ladder
from .policy.limits import Limits
from .policy.verification import Verify
from .sandbox import IsolationChoice, Rules, Sandbox, find_sandbox
from .workspace.prepare import WorkspaceMode

Conversation = Outcome[Any] | Sequence[Message] | Sequence[Mapping[str, Any]]
"""The outcome of an earlier run, its messages, or messages in OpenAI's chat completions format."""

_KINDS: Mapping[str, tuple[Any, str]] = {
    "limits": (Limits, "Write Limits(steps=...)."),
    "model_settings": (ModelSettings, "Write ModelSettings(temperature=...)."),
    "ladder": ((Ladder, type(None)), "Write Ladder(rungs=(...))."),
    "verify": ((Verify, type(None)), 'Write Verify(command="...").'),
    "workspace": ((str, Path, type(None)), "Give a path."),
    "runs": ((str, Path, type(None)), "Give a path, such as runs_folder()."),
    "sandbox": ((str, Sandbox, type(None)), "Give a kind, such as `none`, or a Sandbox."),
    "env": (Mapping, "Give names and values, such as os.environ."),
    "mcp": (Mapping, 'Write {"name": McpServer(...)}.'),
    "tools": ((list, tuple), "Give a list, such as [my_function, ready_tools.read_file]."),
    "permissions": ((list, tuple), "Give a list of Permission."),
}
"""The types of an agent's settings, and what to write instead of another one."""


def check_kinds(settings: Mapping[str, object]) -> None:
    """Check the types of an agent's settings, which would else fail in the middle of a run.

    Raises:
        ConfigError: one has another type; the message says what to write.
    """
    model = settings["model"]
    if not isinstance(model, str) and (isinstance(model, type) or not hasattr(model, "open")):
        msg = f"`model` is {model!r}, of type {type(model).__name__}. Give an Endpoint, or the URL of a server."
        raise ConfigError(msg, key="model")
    for name, (kind, advice) in _KINDS.items():
        value = settings[name]
        if not isinstance(value, kind):
            msg = f"`{name}` is {value!r}, of type {type(value).__name__}. {advice}"
            raise ConfigError(msg, key=name)
    for name, known in (("workspace_mode", WorkspaceMode), ("project_instructions", InstructionsMode)):
        check_choice(settings[name], get_args(known), key=name)
    if isinstance(settings["sandbox"], str):
        check_choice(settings["sandbox"], get_args(IsolationChoice), key="sandbox")


def model_of(given: Model | str) -> Model:
    """Return a model that may be given as the URL of its server.

    Raises:
        ConfigError: the text is no URL.
    """
    return Endpoint(given) if isinstance(given, str) else given


def messages_of(history: Conversation) -> Sequence[Message]:
    """Return the messages of a conversation, after a check that a run can go on with them.

    Raises:
        ConfigError: it is none, or a run cannot continue it.
    """
    given: object = history.messages if isinstance(history, Outcome) else history
    if not isinstance(given, list | tuple):
        msg = f"`history` is a {type(given).__name__}. Give an outcome, its messages, or a list in chat format."
        raise ConfigError(msg, key="history")
    messages = cast("Sequence[Any]", given)
    if any(isinstance(one, Mapping) for one in messages):
        return from_chat(messages)
    check_conversation(messages)
    return messages


def sandbox_of(given: Sandbox | IsolationChoice | None, workspace: Path | None) -> Sandbox | None:
    """Return a sandbox that may be given by its kind. None means that none is given.

    Raises:
        ConfigError: there is no sandbox of this kind here.
    """
    if not isinstance(given, str):
        return given
    return find_sandbox(given, Rules(untrusted=() if workspace is None else (workspace.absolute(),)))


def refuse_running_loop(name: str) -> None:
    """Check that no event loop runs in this thread, as one does in a notebook. `name`: of the method to await there.

    Raises:
        ConfigError: one runs.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    msg = f"{name}_sync() cannot run inside an event loop, such as in a notebook. Write: await agent.{name}(...)"
    raise ConfigError(msg)

"""Check what a program gives to an agent, and convert it to what a run works with."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from .choices import check_choice
from .errors import ConfigError
from .loop.facts import InstructionsMode
from .loop.outcome import Outcome
from .messages import Image, Message, UserMessage
from .model.conversation import check_conversation, from_chat
from .model.endpoint import Endpoint
from .model.protocol import Model
from .model.settings import ModelSettings
from .policy.ladder import Ladder
from .policy.limits import Limits
from .policy.permissions import Permission
from .policy.verification import Verify
from .sandbox import IsolationChoice, Rules, Sandbox, find_sandbox
from .task.mcp_server import McpServer
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
    "permissions": ((list, tuple), 'Give a list, such as [Permission(tool="run_shell", do="ask")].'),
    "fallback": ((list, tuple), "Give a list, such as [Endpoint(...)]."),
    "secrets": (Mapping, 'Give names and values, such as {"TOKEN": token}.'),
    "secret_files": ((list, tuple), 'Give a list, such as [".env"].'),
    "instructions": (
        (str, type(None)),
        "Give a text. For a run of its own text: dataclasses.replace(agent, instructions=...).",
    ),
}
"""The types of an agent's settings, and what to write instead of another one."""

_ITEM_KINDS: Mapping[str, tuple[Any, str]] = {
    "permissions": (Permission, 'Write Permission(tool="run_shell", do="ask").'),
    "env": ((str, type(None)), "Give a text, or None to remove the variable."),
    "secrets": (str, "Give a text."),
    "mcp": (McpServer, 'Write McpServer(command=("python", "server.py")).'),
    "secret_files": ((str, Path), "Give a path."),
}
"""The types of the items of those settings that have several."""


def check_kinds(settings: Mapping[str, object]) -> None:
    """Check the types of an agent's settings, which would else fail in the middle of a run.

    Raises:
        ConfigError: one has another type; the message says what to write.
    """
    _check_model(settings["model"], "model")
    for name, (kind, advice) in _KINDS.items():
        check_kind(settings[name], kind, name, advice)
    for name, (kind, advice) in _ITEM_KINDS.items():
        for place, item in _items(settings[name], name):
            check_kind(item, kind, place, advice)
    for place, item in _items(settings["fallback"], "fallback"):
        _check_model(item, place)
    if settings["approve"] is not None and not callable(settings["approve"]):
        check_kind(settings["approve"], type(None), "approve", "Give a function that returns True or False.")
    for name, known in (("workspace_mode", WorkspaceMode), ("project_instructions", InstructionsMode)):
        check_choice(settings[name], get_args(known), key=name)
    if isinstance(settings["sandbox"], str):
        check_choice(settings["sandbox"], get_args(IsolationChoice), key="sandbox")


def _items(setting: object, name: str) -> list[tuple[str, object]]:
    """Return the items of a setting, each with its place, such as `env['A']`."""
    if isinstance(setting, Mapping):
        items = cast("Mapping[object, object]", setting).items()
    else:
        items = enumerate(cast("Sequence[object]", setting))
    return [(f"{name}[{key!r}]", item) for key, item in items]


def check_kind(value: object, kind: type | tuple[type, ...], place: str, advice: str) -> None:
    """Check the type of a value.

    Args:
        value: what a program gave.
        kind: its type, or several.
        place: where it was given, such as `limits` or `env['A']`.
        advice: what to write instead.

    Raises:
        ConfigError: it has another type.
    """
    if not isinstance(value, kind):
        text = repr(value)
        shown = "" if place.startswith(_SECRET) or len(text) > _MAX_SHOWN_CHARS else f"{text}, "
        msg = f"`{place}` is {shown}of type {type(value).__name__}. {advice}"
        raise ConfigError(msg, key=place.partition("[")[0])


_MAX_SHOWN_CHARS = 200
_SECRET = ("env", "secrets")
"""Settings whose values are not shown."""


def check_runs(runs: Path) -> None:
    """Check that the folder of the runs exists or can be made.

    Raises:
        ConfigError: it, or what it is to be made in, is not a folder.
    """
    found = next((place for place in (runs, *runs.parents) if place.exists()), None)
    if found is not None and not found.is_dir():
        what = "which" if found == runs else f"and {str(found)!r}"
        msg = f"`runs` is {str(runs)!r}, {what} is not a folder. Give a folder; it is made if it does not exist."
        raise ConfigError(msg, key="runs")


def _check_model(value: object, place: str) -> None:
    if isinstance(value, str):
        model_of(value)
    elif isinstance(value, type) or not hasattr(value, "open"):
        msg = f"`{place}` is {value!r}, of type {type(value).__name__}. Give an Endpoint, or the URL of a server."
        raise ConfigError(msg, key=place.partition("[")[0])


def prompt_of(prompt: str, images: Iterable[Image]) -> UserMessage:
    """Return the message of a prompt.

    Raises:
        ConfigError: the prompt is empty or no text, or something else is given as an image.
    """
    check_kind(prompt, str, "prompt", "Give a text; images belong in `images`, earlier messages in `history`.")
    if not isinstance(cast("object", images), Iterable) or isinstance(images, str | bytes):
        msg = f"`images` is of type {type(images).__name__}. Give a list, such as [Image.from_file(path)]."
        raise ConfigError(msg, key="images")
    shown = tuple(images)
    if not shown and not prompt.strip():
        msg = "`prompt` is empty. Say what the model is to do."
        raise ConfigError(msg, key="prompt")
    for place, item in _items(shown, "images"):
        check_kind(item, Image, place, "Write Image.from_file(path).")
    _check_images(shown, "images")
    return UserMessage(content=prompt, images=shown)


def _check_images(images: Sequence[Image], place: str) -> None:
    for index, image in enumerate(images):
        if what := image.problem():
            msg = (
                f"`{place}[{index}]` cannot be sent: {what}. Write Image.from_file(path), or "
                "Image(data=base64.b64encode(content).decode(), media_type='image/png')."
            )
            raise ConfigError(msg, key="images")


def model_of(given: Model | str) -> Model:
    """Return a model that may be given as the URL of its server.

    Raises:
        ConfigError: the text is no URL.
    """
    return Endpoint(given) if isinstance(given, str) else given


_HISTORY = "Give an outcome, its messages, or a list in chat format."


def messages_of(history: Conversation) -> Sequence[Message]:
    """Return the messages of a conversation, after a check that a run can continue them.

    Raises:
        ConfigError: it is none, or a run cannot continue it.
    """
    given: object = history.messages if isinstance(history, Outcome) else history
    if not isinstance(given, list | tuple):
        msg = f"`history` is a {type(given).__name__}. {_HISTORY}"
        raise ConfigError(msg, key="history")
    messages = cast("Sequence[Any]", given)
    for index, one in enumerate(messages):
        if not isinstance(one, (Mapping, *get_args(Message))):
            whole = "The `messages` of the last of these are the conversation: give them."
            advice = whole if hasattr(one, "messages") else _HISTORY
            msg = f"`history[{index}]` is of type {type(one).__name__}. {advice}"
            raise ConfigError(msg, key="history")
        _check_images(getattr(one, "images", ()), f"history[{index}].images")
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

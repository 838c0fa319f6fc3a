"""Define the records below a task's top level and their short forms; opens no files."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, ClassVar, cast
from urllib.parse import urlsplit

from pydantic import BeforeValidator, ConfigDict, JsonValue

from ..errors import ConfigError
from ..model.profiles import ProfileName, ReplyField
from ..policy.ladder import Ladder
from ..policy.limits import Limits, check_positive
from ..policy.verification import Verify
from ..sandbox import CommandLimits, IsolationChoice
from ..workspace.prepare import WorkspaceMode

CONFIG = ConfigDict(extra="forbid")

SHORT_FORMS: Mapping[str, str] = MappingProxyType(
    {"workspace": "path", "model": "name", "tools": "use", "verify": "command", "sandbox": "use"}
)
"""The field that plain text sets, by the key of the task."""


@dataclass(frozen=True, kw_only=True)
class TaskInputs:
    """Files shown to the model from the start; paths are relative to the task file.

    Attributes:
        files: Text files; their names and contents are appended to the prompt.
        images: Image files, for vision models.
    """

    __pydantic_config__: ClassVar[ConfigDict] = CONFIG

    files: tuple[str, ...] = ()
    images: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TaskWorkspace:
    """The folder that the run works in.

    Attributes:
        path: Relative to the task file.
        create: Create the folder if it does not exist.
        copy: Work in a fresh copy of the folder, kept with the run; the folder itself is not changed. The copy has the
            git history, but no installed packages and no caches.
        worktree: Work in a git worktree of the folder's repository, kept with the run. It holds what is committed, with
            a detached HEAD; the rest of the repository is not changed.
    """

    __pydantic_config__: ClassVar[ConfigDict] = CONFIG

    path: str = "."
    create: bool = False
    copy: bool = False
    worktree: bool = False

    def __post_init__(self) -> None:
        if self.create + self.copy + self.worktree > 1:
            msg = (
                "A workspace can have only one of `create`, `copy` and `worktree`. Keep `copy` or `worktree` for a "
                "folder that exists, `create` for one that does not."
            )
            raise ConfigError(msg, key="workspace")

    @property
    def mode(self) -> WorkspaceMode:
        """How a run uses the folder."""
        if self.worktree:
            return "worktree"
        if self.copy:
            return "copy"
        return "create" if self.create else "in_place"


@dataclass(frozen=True, kw_only=True)
class TaskModel:
    """The model and its server; what is left out is looked up when the run starts.

    Attributes:
        name: Name under which the server serves the model.
        base_url: URL of an OpenAI-compatible server, such as http://127.0.0.1:8000/v1.
        profile: What the model's family accepts; derived from the model's name by default.
        api_key_env: Name of the environment variable that holds the API key; never put the key itself into a task.
        stream: Replies are streamed unless this is false, or `agent doctor --url` found the server's streams broken. A
            streamed reply may take any time, and is requested again after 60 s without a new part; any other must be
            complete within 300 s. Use false for a server whose streams are broken, for example if they lose tool calls.
        window: Tokens of prompt and reply together, such as 32768 or 32k; by default what the server reports, or names
            in a refusal.
        reply_tokens: The most tokens that the server allows one reply, such as 4096 or 4k.
        reply_field: The request field that limits a reply; OpenAI's newer models take only max_completion_tokens.
        stream_usage: Use false for a server that refuses `stream_options`; most then send no token counts.
        strict: Use false for a server that refuses `strict: true` of tools.
        sampling: Use false for a server that refuses `temperature` and `top_p`.
        tool_choice: Use false for a server that refuses `tool_choice`.
        forced_calls: Use false for a server that refuses or ignores a forced call; a message asks for it instead.
        system_role: Use false for a server that refuses a system message; its text is then sent in the first message of
            the user.
        images: Use false for a model without vision: it gets a note in place of each image.
    """

    __pydantic_config__: ClassVar[ConfigDict] = CONFIG

    name: str | None = None
    base_url: str | None = None
    profile: ProfileName | None = None
    api_key_env: str | None = None
    stream: bool | None = None
    window: int | None = None
    reply_tokens: int | None = None
    reply_field: ReplyField = "max_tokens"
    stream_usage: bool = True
    strict: bool = True
    sampling: bool = True
    tool_choice: bool = True
    forced_calls: bool = True
    system_role: bool = True
    images: bool = True

    def __post_init__(self) -> None:
        if self.base_url is not None:
            _check_address(self.base_url)
        if self.api_key_env is not None:
            check_variable_name(self.api_key_env, key="model.api_key_env")
        for key in ("window", "reply_tokens"):
            check_positive(cast("float | None", getattr(self, key)), key=f"model.{key}")


@dataclass(frozen=True, kw_only=True)
class ToolUse:
    """One tool of a task.

    Attributes:
        use: A ready tool such as `read_file`, `package.module:name`, or `./my_tools.py:name` relative to the task file.
        timeout_s: Timeout of a call in seconds; the tool's own by default.
        output_limit_chars: Maximum length of a result in characters; longer results keep their head and tail. The
            tool's own by default.
    """

    __pydantic_config__: ClassVar[ConfigDict] = CONFIG

    use: str
    timeout_s: float | None = None
    output_limit_chars: int | None = None

    def __post_init__(self) -> None:
        for key in ("timeout_s", "output_limit_chars"):
            check_positive(cast("float | None", getattr(self, key)), key=f"tools.{key}")


@dataclass(frozen=True, kw_only=True)
class TaskSandbox:
    """The sandbox for commands of tools and of `verify`.

    Attributes:
        use: `auto`: bubblewrap if it works, else Landlock, else the run does not start. `container`: each command runs
            in a container of `image`. `none`: commands are not sandboxed.
        image: A Docker image on this machine with a shell and everything that the commands need, such as python:3.12.
        network: Allow commands to use the network.
        read: Files and folders outside the workspace that commands may read; relative to the task file.
        write: Files and folders outside the workspace that commands may change; relative to the task file.
        limits: Resource limits of each command.
    """

    __pydantic_config__: ClassVar[ConfigDict] = CONFIG

    use: IsolationChoice = "auto"
    image: str = ""
    network: bool = False
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    limits: CommandLimits = field(default_factory=CommandLimits)


@dataclass(frozen=True, kw_only=True)
class TaskOutput:
    """The final answer: its schema and its file.

    Attributes:
        schema: JSON Schema of the answer, or the name of a file that holds one; by default the answer is text.
        file: File to write the answer to, relative to the task file; by default the answer is only shown.
    """

    __pydantic_config__: ClassVar[ConfigDict] = CONFIG

    schema: str | dict[str, JsonValue] | None = None
    file: str | None = None


def check_variable_name(name: str, *, key: str) -> None:
    """Check that a text is the name of an environment variable.

    Raises:
        ConfigError: it is not. The message does not repeat the text, which may be the secret itself.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        msg = f"`{key}` must name an environment variable: letters, digits and _. Give the name, not the value."
        raise ConfigError(msg, key=key)


def _check_address(address: str) -> None:
    form = "Write it like http://127.0.0.1:8000/v1."
    try:
        parts = urlsplit(address)
        host = parts.hostname
        _ = parts.port
    except ValueError as error:
        msg = f"`model.base_url` is not a URL: {error}. {form}"
        raise ConfigError(msg, key="model.base_url") from error
    if parts.username is not None or parts.password is not None:
        msg = (
            "`model.base_url` contains a user name or password. Remove it, and set `model.api_key_env` to the name of "
            "the variable that holds the key."
        )
        raise ConfigError(msg, key="model.base_url")
    if parts.scheme not in {"http", "https"} or not host:
        msg = f"`model.base_url` is not an HTTP URL: {address!r}. {form}"
        raise ConfigError(msg, key="model.base_url")
    # 169.254.169.254 serves a cloud machine's credentials, and a task file may come from an untrusted source.
    if _is_link_local(host):
        msg = f"`model.base_url` is a link-local address, which no model server has: {address!r}. {form}"
        raise ConfigError(msg, key="model.base_url")


def _is_link_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_link_local
    except ValueError:
        return False


def _expand(key: str) -> Callable[[object], object]:
    field = SHORT_FORMS[key]
    return lambda value: {field: value} if isinstance(value, str) else _with_tuples(value)


def _expand_model(value: object) -> object:
    expanded = _expand("model")(value)
    if not isinstance(expanded, dict):
        return expanded
    given = cast("dict[str, object]", expanded)
    counts = {key: _plain_number(given[key], seconds=False) for key in ("window", "reply_tokens") if key in given}
    return {**given, **counts}


def _with_tuples(value: object) -> object:
    # After a Python validator, pydantic's strict mode does not accept a list for a tuple, not even from JSON.
    if not isinstance(value, dict):
        return value
    given = cast("dict[str, object]", value)
    return {key: tuple(cast("list[object]", item)) if isinstance(item, list) else item for key, item in given.items()}


def _merge_thresholds(value: object) -> object:
    if not isinstance(value, dict):
        return value
    given = cast("dict[str, object]", _with_tuples(cast("object", value)))
    if isinstance(triggers := given.get("triggers"), dict):
        merged = {**Ladder().triggers, **cast("dict[str, object]", triggers)}
        given = {**given, "triggers": {key: count for key, count in merged.items() if count is not None}}
    return given


def _expand_limits(value: object) -> object:
    if not isinstance(value, dict):
        return value
    given = dict(cast("dict[str, object]", value))
    if "wall" in given and "wall_s" not in given:
        given["wall_s"] = given.pop("wall")
    return {key: _plain_number(limit, seconds=key == "wall_s") for key, limit in given.items()}


def _plain_number(limit: object, *, seconds: bool) -> object:
    factors = {"s": 1, "m": 60, "h": 3600} if seconds else {"k": 1_000, "M": 1_000_000}
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([smhkM])", limit) if isinstance(limit, str) else None
    if match is None or match[2] not in factors:
        return limit
    number = float(match[1]) * factors[match[2]]
    return int(number) if number.is_integer() else number


ShortWorkspace = Annotated[
    TaskWorkspace, BeforeValidator(_expand("workspace"), json_schema_input_type=str | TaskWorkspace)
]
ShortModel = Annotated[TaskModel, BeforeValidator(_expand_model, json_schema_input_type=str | TaskModel)]
ShortTool = Annotated[ToolUse, BeforeValidator(_expand("tools"), json_schema_input_type=str | ToolUse)]
ShortSandbox = Annotated[
    TaskSandbox, BeforeValidator(_expand("sandbox"), json_schema_input_type=IsolationChoice | TaskSandbox)
]
ShortVerify = Annotated[Verify | None, BeforeValidator(_expand("verify"), json_schema_input_type=str | Verify | None)]
MergedLadder = Annotated[Ladder | None, BeforeValidator(_merge_thresholds, json_schema_input_type=Ladder | None)]
WrittenLimits = Annotated[Limits, BeforeValidator(_expand_limits, json_schema_input_type=Limits)]

"""Convert values of a task that a program gives as a task file has them, such as text for a record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from ..errors import ConfigError
from ..model.settings import ModelSettings
from ..policy.ladder import Ladder
from ..policy.limits import Limits
from ..policy.permissions import Permission
from ..policy.verification import Verify
from .mcp_server import McpServer
from .parts import TaskInputs, TaskModel, TaskOutput, TaskSandbox, TaskWorkspace, ToolUse
from .yaml_lines import dotted

_KINDS: Mapping[str, type | tuple[type, ...]] = MappingProxyType(
    {
        "name": str,
        "prompt": (str, NoneType),
        "prompt_file": (str, NoneType),
        "instructions": (str, NoneType),
        "vars": Mapping,
        "inputs": TaskInputs,
        "workspace": TaskWorkspace,
        "model": TaskModel,
        "model_settings": ModelSettings,
        "tools": tuple,
        "mcp": Mapping,
        "ladder": (Ladder, NoneType),
        "limits": Limits,
        "verify": (Verify, NoneType),
        "sandbox": TaskSandbox,
        "permissions": tuple,
        "output": TaskOutput,
        "env": Mapping,
        "env_from": tuple,
        "secret_files": tuple,
        "directory": Path,
    }
)
"""The type of each field of a task."""

_ITEM_KINDS: Mapping[str, type] = MappingProxyType(
    {
        "vars": str,
        "tools": ToolUse,
        "mcp": McpServer,
        "permissions": Permission,
        "env": str,
        "env_from": str,
        "secret_files": str,
    }
)
"""The type of each item of those fields that have several."""


def short_values(values: Mapping[str, object]) -> tuple[str, ...]:
    """Return the names of the fields whose value has another type than the field."""
    return tuple(name for name, kind in _KINDS.items() if not _fits(values[name], kind, _ITEM_KINDS.get(name)))


def expanded(name: str, value: object, kind: object) -> object:
    """Return the value of a field, given as a task file has it.

    Args:
        name: of the field.
        value: text, numbers, lists and mappings; records may be among them.
        kind: type of the field, with the validators that expand short forms.

    Raises:
        ConfigError: a task file cannot have this value there.
    """
    try:
        # Through JSON: only there does pydantic's strict mode accept a list for a tuple.
        return TypeAdapter[object](cast("Any", kind)).validate_json(to_json(value), strict=True)
    except PydanticSerializationError as error:
        hint = "Write `./file.py:name`, or give functions to Agent(tools=[...])." if name == "tools" else _SCHEMA
        msg = f"`{name}` holds {_shown(name, value)}, which a task file cannot have. {hint}"
        raise ConfigError(msg, key=name) from error
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        key = dotted((name, *detail["loc"]))
        if detail["type"] in {"unexpected_keyword_argument", "extra_forbidden"}:
            msg = f"`{key}` is not a key of a task. {_SCHEMA}"
        else:
            msg = f"`{key}` is {_shown(name, detail['input'])}, which a task cannot have there. {_SCHEMA}"
        raise ConfigError(msg, key=key) from error


_SCHEMA = "`agent schema` prints what each key takes."


def _shown(name: str, value: object) -> str:
    kind = f"of type {type(value).__name__}"
    return kind if name == "env" else f"{repr(value)[:80]}, {kind}"


def _fits(value: object, kind: type | tuple[type, ...], item_kind: type | None) -> bool:
    if not isinstance(value, kind):
        return False
    if item_kind is None:
        return True
    items = cast("Mapping[str, object]", value).values() if isinstance(value, Mapping) else value
    return all(isinstance(item, item_kind) for item in cast("Iterable[object]", items))

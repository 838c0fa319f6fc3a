"""Read the old names of task keys, which go on for one release; each use is a warning that names the new key."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from types import MappingProxyType

from pydantic import JsonValue

from ..errors import ConfigError

RENAMED_KEYS: Mapping[str, str] = MappingProxyType(
    {"budgets": "limits", "escalation": "ladder", "system": "instructions"}
)
"""The new name of each old key."""
_MODES = ("auto", "none")


class RenamedKey(DeprecationWarning):
    """An old name in a task file; the command line shows it as a note."""


def new_key(key: str, value: JsonValue) -> str:
    """Return the name that a key of a task has now."""
    # `instructions` was the mode before it became the prompt.
    if key == "instructions" and value in _MODES:
        return "project_instructions"
    return RENAMED_KEYS.get(key, key)


def with_new_keys(data: Mapping[str, JsonValue], *, where: str) -> tuple[dict[str, JsonValue], dict[str, str]]:
    """Return a task's data under the names that its keys have now, and the old name of each renamed key.

    Args:
        data: the mapping of the file, or of a journal.
        where: the file, for the warning. Empty means no warning, such as for what a journal recorded.

    Raises:
        ConfigError: a key is there under both names.
    """
    renamed: dict[str, JsonValue] = {}
    old: dict[str, str] = {}
    for key, value in data.items():
        name = new_key(key, value)
        if name in renamed or (name != key and name in data and new_key(name, data[name]) == name):
            msg = f"`{key}` is the old name of `{name}`, and both are given. Keep `{name}`."
            raise ConfigError(msg, key=key)
        renamed[name] = value
        if name != key:
            old[name] = key
            if where:
                text = f"{where}: `{key}` is now `{name}`; the old name works in this release only."
                warnings.warn(text, RenamedKey, stacklevel=2)
    return renamed, old

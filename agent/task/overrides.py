"""Apply `--set key=value` to a task before it is validated; a value is text or a plain scalar, never YAML syntax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from ..nearest import did_you_mean
from .known_keys import known_keys
from .parts import SHORT_FORMS
from .renamed import RENAMED_KEYS
from .templates import VARIABLE_NAME, placeholders
from .yaml_lines import KeyPath, plain_scalar


@dataclass(frozen=True, kw_only=True, slots=True)
class Overridden:
    """A task's data with the overrides applied."""

    data: dict[str, JsonValue]
    written: Mapping[KeyPath, str]
    """Each override as the user wrote it, by the path it changed."""
    refused: Mapping[str, str]
    """What is wrong with each refused override, by the override as written."""


def apply_overrides(data: Mapping[str, JsonValue], overrides: Mapping[str, str]) -> Overridden:
    """Return a copy of the data with the overrides applied.

    A key without a dot is a variable if the task has one with that name, otherwise a key of the task. A dotted key
    is the path of a key.
    """
    changed = dict(data)
    written: dict[KeyPath, str] = {}
    refused: dict[str, str] = {}
    for key, text in overrides.items():
        shown = f"--set {key}={text}"
        first, *rest = _path(key, data)
        path = (RENAMED_KEYS.get(first, first), *rest)
        value = text if path[0] == "vars" else plain_scalar(text)
        if path[0] not in known_keys(()):
            known = (*_variables(data), *known_keys(()))
            refused[shown] = f"The task has no variable or key `{path[0]}`.{did_you_mean(str(path[0]), known)}"
        elif not _set(changed, path, value):
            refused[shown] = f"`{key}` is not the path of a single value. Change it in the task file."
        else:
            written[path] = shown
    return Overridden(data=changed, written=written, refused=refused)


def _path(key: str, data: Mapping[str, JsonValue]) -> tuple[str, ...]:
    # The variables in a prompt file are not known here, so any name that is not a key may be one.
    maybe = "prompt_file" in data and key not in known_keys(()) and VARIABLE_NAME.fullmatch(key)
    return ("vars", key) if maybe or key in _variables(data) else tuple(key.split("."))


def _variables(data: Mapping[str, JsonValue]) -> tuple[str, ...]:
    values, env = data.get("vars"), data.get("env")
    declared = tuple(values) if isinstance(values, dict) else ()
    texts = [data.get("prompt"), *(env.values() if isinstance(env, dict) else ())]
    used = [place.name for text in texts if isinstance(text, str) for place in placeholders(text)]
    return tuple(dict.fromkeys((*declared, *used)))


def _set(data: dict[str, JsonValue], path: tuple[str, ...], value: JsonValue) -> bool:
    *outer, last = path
    for depth, key in enumerate(outer):
        inside = data.get(key)
        if isinstance(inside, str) and depth == 0 and key in SHORT_FORMS:
            inside = {SHORT_FORMS[key]: inside}
        if inside is None:
            inside = {}
        if not isinstance(inside, dict):
            return False
        copy = dict(inside)
        data[key] = copy
        data = copy
    data[last] = value
    return True

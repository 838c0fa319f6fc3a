"""Read the task that a journal recorded; its secrets, which no journal has, come from where the task takes them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from types import MappingProxyType

from pydantic import JsonValue, ValidationError

from ..errors import ConfigError
from ..tooling.redaction import filled, with_secrets_in
from .environment import task_secrets
from .load import task_adapter
from .overrides import apply_overrides
from .problems import mistakes
from .renamed import with_new_keys
from .task import Task

_NONE: Mapping[str, str] = MappingProxyType({})


def recorded_task(
    record: Mapping[str, JsonValue], overrides: Mapping[str, str] = _NONE, *, redacted: Collection[str] = (),
    environ: Mapping[str, str] = _NONE,
) -> Task:  # fmt: skip
    """Return the task recorded in a journal.

    Args:
        record: the task as `task_adapter` dumped it when the run began.
        overrides: values for dotted keys below `limits`, or for a secret that the journal does not have; nothing else
            of a run's task can change.
        redacted: `RunStarted.redacted`.
        environ: has the variables that the task's `env_from` lists.

    Raises:
        ConfigError: an override has another key, its value is wrong, or a secret is needed that is written nowhere but
            in the task file.
    """
    without = {name.removeprefix("task.") for name in redacted if name.startswith("task.")}
    for key in overrides:
        if not key.startswith(("limits.", "budgets.")) and key.partition(".")[0] not in without:
            msg = f"A resumed run keeps its own task, so {key!r} cannot be changed. Override only limits.*."
            raise ConfigError(msg, key=key)
    data = apply_overrides(with_new_keys(record, where="")[0], overrides).data
    if without:
        task = _validated(data)
        secrets = {name: environ[name] for name in task.env_from if name in environ} | task_secrets(task)
        data = {key: _filled(value, key, secrets) if key in without else value for key, value in data.items()}
    return _validated(data)


def recorded_secrets(record: Mapping[str, JsonValue], environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the secrets of a recorded task that this machine still has; never raises.

    Args:
        record: the task as `task_adapter` dumped it. Empty for a run that was started from Python.
        environ: has the variables that the task's `env_from` lists.
    """
    try:
        task = _validated(record)
    except ConfigError:
        return {}
    found: Mapping[str, str] = {}
    with suppress(ConfigError):  # a file is gone
        found = task_secrets(task)
    return with_secrets_in([{name: environ[name] for name in task.env_from if name in environ}], found)


def _validated(data: Mapping[str, JsonValue]) -> Task:
    try:
        return task_adapter().validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        texts = [mistake.text for mistake in mistakes(error, data)]
        raise ConfigError("\n".join(texts)) from error


def _filled(value: JsonValue, key: str, secrets: Mapping[str, str]) -> JsonValue:
    if isinstance(value, dict):
        return {name: _filled(item, f"{key}.{name}", secrets) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, f"{key}[{at}]", secrets) for at, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    text, missing = filled(value, secrets)
    if missing:
        msg = (
            f"`{key}` held the secret {missing[0]!r}, which the journal does not keep. Give the value again with --set "
            f"{key}=VALUE, or run the task again. A secret that `env_from` or `secret_files` names need not be given."
        )
        raise ConfigError(msg, key=key)
    return text

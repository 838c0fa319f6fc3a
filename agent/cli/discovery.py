"""Find the server that a run talks to: a flag, the task, the environment, or the one recorded on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ..endpoint import Endpoint
from ..errors import ConfigError
from ..profiles import named_profile
from ..taskparts import TaskModel
from .capabilities import with_capabilities
from .places import state_folder

POCKET = "pocket"
"""The model that is shipped with the package and started on the CPU when a run asks for it."""

NOWHERE = Endpoint("http://127.0.0.1:9/v1")
"""Stands for the server where nothing is asked: port 9 discards."""

NOT_FOUND = """\
No model server is named. There are four ways to name one, tried in this order:
  1. agent run --base-url http://127.0.0.1:8000/v1
  2. in the task file:  model: {base_url: "http://127.0.0.1:8000/v1"}
  3. export AGENT_BASE_URL=http://127.0.0.1:8000/v1
  4. agent serve, which records the server it starts on this machine
To try without a GPU: --model pocket starts a tiny model on the CPU for this run."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the command line asks for."""

    base_url: str | None
    model: str | None


def find_endpoint(wanted: Wanted, task: TaskModel, environ: Mapping[str, str]) -> Endpoint | None:
    """Return the endpoint of a run; None: the pocket model is wanted, and no server has it yet.

    Raises:
        ConfigError: no server is named in any of the four ways, or the API key's variable is not set.
    """
    model = wanted.model or task.name
    base_url = wanted.base_url or task.base_url
    recorded = recorded_server(environ)
    if base_url is None and model == POCKET:
        if recorded is None or recorded["model"] != POCKET:
            return None
        base_url = str(recorded["base_url"])
    base_url = base_url or environ.get("AGENT_BASE_URL") or (str(recorded["base_url"]) if recorded else None)
    if base_url is None:
        raise ConfigError(NOT_FOUND)
    return endpoint_at(base_url, model, task, environ)


def endpoint_at(base_url: str, model: str | None, task: TaskModel, environ: Mapping[str, str]) -> Endpoint:
    """Return an endpoint at this address with the task's settings, and with what a probe found of its server.

    Raises:
        ConfigError: the API key's variable is not set, or the address is not one.
    """
    key = environ.get("AGENT_API_KEY") or _recorded_key(base_url, environ) or "none"
    if task.api_key_env is not None:
        if task.api_key_env not in environ:
            msg = f"`model.api_key_env` names {task.api_key_env}, which is not set. Export it, or remove the key."
            raise ConfigError(msg, key="model.api_key_env")
        key = environ[task.api_key_env]
    endpoint = Endpoint(
        base_url,
        model=model,
        api_key=key,
        profile=named_profile(task.profile) if task.profile is not None else None,
        stream=task.stream is not False,
    )
    return with_capabilities(endpoint, environ)


def recorded_server(environ: Mapping[str, str]) -> Mapping[str, Any] | None:
    """Return the record that `agent serve` left, if its server lives.

    The format is described in serving/record.py. It is read here once more, because the two packages meet in this
    file and not in Python.
    """
    try:
        found: object = json.loads((state_folder(environ) / "server.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict):
        return None
    record = cast("dict[str, Any]", found)
    if record.get("version") != 1 or not {"base_url", "model", "pid", "start_ticks"} <= record.keys():
        return None
    # An engine that died is started again by its supervisor: as long as that lives, a run waits for it.
    lives = _runs(int(record["pid"]), int(record["start_ticks"])) or _runs(
        int(record.get("supervisor_pid", 0)), int(record.get("supervisor_start_ticks", 0))
    )
    return record if lives and record.get("state") != "failed" else None


def _recorded_key(base_url: str, environ: Mapping[str, str]) -> str:
    """Read the key of the recorded server from its file; empty: this is another server, or it needs none."""
    record = recorded_server(environ)
    if record is None or record["base_url"] != base_url or not record.get("api_key_file"):
        return ""
    try:
        return Path(record["api_key_file"]).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _runs(pid: int, start_ticks: int) -> bool:
    """Tell whether the process is there and is the same; the number may have gone to another one meanwhile."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    if not start_ticks or not stat.exists():
        return True
    # The second field is the name in brackets and may hold blanks; field 22 is the 20th after it (proc(5)).
    return int(stat.read_text().rpartition(")")[2].split()[19]) == start_ticks

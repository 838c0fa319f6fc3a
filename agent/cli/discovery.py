"""Find the server for a run: from a flag, the task, the environment, or the record on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError
from ..model.address import NO_KEY, checked_key
from ..model.endpoint import Endpoint
from ..model.profiles import named_profile
from ..task.parts import TaskModel
from .capabilities import with_capabilities
from .refused_grammars import stored_grammars

if TYPE_CHECKING:
    from serving import ServerRecord

POCKET = "pocket"
"""The model that is shipped with the package; started on the CPU when a run asks for it."""

NOWHERE = Endpoint("http://127.0.0.1:9/v1")
"""Placeholder endpoint for when no request is sent; port 9 discards."""

NOT_FOUND = """\
No model server is configured. There are four ways to give one, tried in this order:
  1. agent run --base-url http://127.0.0.1:8000/v1
  2. in the task file:  model: {base_url: "http://127.0.0.1:8000/v1"}
  3. export AGENT_BASE_URL=http://127.0.0.1:8000/v1
  4. agent serve, which records the server it starts on this machine
To try without a GPU: --model pocket starts a tiny model on the CPU for this run."""


@dataclass(frozen=True, kw_only=True)
class EndpointRequest:
    """The server and the model on the command line; None if not given."""

    base_url: str | None
    model: str | None
    is_needed: bool = True
    """False means that the caller can do without a server, if none is given."""


def find_endpoint(wanted: EndpointRequest, task: TaskModel, environ: Mapping[str, str]) -> Endpoint | None:
    """Return the endpoint for a run. None means no server yet, for the pocket model or if none is needed.

    Raises:
        ConfigError: no server is given in any of the four ways, or the API key's variable is not set.
    """
    model = wanted.model or task.name
    base_url = wanted.base_url or task.base_url
    recorded = _recorded_server(environ)
    if base_url is None and model == POCKET:
        if recorded is None or recorded.model != POCKET:
            return None
        base_url = recorded.base_url
    base_url = base_url or environ.get("AGENT_BASE_URL") or (recorded.base_url if recorded else None)
    if base_url is None and not wanted.is_needed:
        return None
    if base_url is None:
        raise ConfigError(NOT_FOUND)
    return endpoint_at(base_url, model, task, environ)


def endpoint_at(base_url: str, model: str | None, task: TaskModel, environ: Mapping[str, str]) -> Endpoint:
    """Return the endpoint at a URL, with the task's settings and what a probe found out about the server.

    Raises:
        ConfigError: the API key's variable is not set, or the URL is not valid.
        EngineError: the file with the recorded server's key cannot be used.
    """
    check_certificates(environ)
    endpoint = Endpoint(
        base_url,
        model=model,
        api_key=_key(base_url, task, environ),
        profile=named_profile(task.profile) if task.profile is not None else None,
        window=task.window,
        reply_tokens=task.reply_tokens,
        reply_field=task.reply_field,
        stream=task.stream is not False,
        stream_usage=task.stream_usage,
        strict=task.strict,
        sampling=task.sampling,
        tool_choice=task.tool_choice,
        forced_calls=task.forced_calls,
        system_role=task.system_role,
        images=task.images,
        refused_grammars=stored_grammars(environ),
    )
    return with_capabilities(endpoint, environ)


def check_certificates(environ: Mapping[str, str]) -> None:
    """Check that the files of certificates that the environment names exist: tools and servers of a run use them too.

    Raises:
        ConfigError: one does not.
    """
    for name, exists in (("SSL_CERT_FILE", Path.is_file), ("SSL_CERT_DIR", Path.is_dir)):
        value = environ.get(name)
        if value and not exists(Path(value)):
            msg = f"{name} is {value!r}, which does not exist. Set it to certificates that exist, or unset it."
            raise ConfigError(msg)


def _key(base_url: str, task: TaskModel, environ: Mapping[str, str]) -> str:
    """Return the API key, with any whitespace around it: the endpoint removes it, and says so."""
    if task.api_key_env is not None:
        if task.api_key_env not in environ:
            msg = (
                f"`model.api_key_env` is {task.api_key_env}, which is not set. Export that variable, or remove "
                "`model.api_key_env`."
            )
            raise ConfigError(msg, key="model.api_key_env")
        checked_key(environ[task.api_key_env], source=task.api_key_env)
        return environ[task.api_key_env]
    if environ.get("AGENT_API_KEY"):
        checked_key(environ["AGENT_API_KEY"], source="AGENT_API_KEY")
        return environ["AGENT_API_KEY"]
    return _recorded_key(base_url, environ) or NO_KEY


def _recorded_server(environ: Mapping[str, str]) -> ServerRecord | None:
    from serving import current_server
    from serving.directories import state_dir

    return current_server(state_dir(environ))


def _recorded_key(base_url: str, environ: Mapping[str, str]) -> str:
    """Return the recorded server's key from its file. Empty if this is another server, or it needs no key.

    Raises:
        EngineError: the file cannot be used.
    """
    from serving.key_file import read_key

    record = _recorded_server(environ)
    if record is None or record.base_url != base_url or not record.api_key_file:
        return ""
    return read_key(Path(record.api_key_file))

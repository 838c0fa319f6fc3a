"""Collect the state of this machine before a start: GPUs and their processes, disk, port, files; decides nothing."""

import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..capacity.sizing import PlanRequest
from ..engines.command import EngineCommand, ServeOptions
from ..errors import EngineError
from ..key_file import read_key
from ..running.record import ServerRecord, current_server
from .gpu_state import Driver, query_driver
from .versions import VersionProblem, installed_versions, version_problems
from .weights import FoundWeights, find_weights, has_token, hub_cache, layout_for


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Everything that a start depends on."""

    python: Path | None
    """The interpreter that has the engine. None if there is none."""
    driver: Driver
    weights: tuple[FoundWeights, ...]
    """Those of the model, and of the draft if there is one."""
    cache: Path
    """The folder that weights are downloaded to."""
    cache_free_bytes: int
    token: bool
    """True if there is a Hugging Face token, which gated models require."""
    offline: bool
    """True if the Hugging Face client may not download anything."""
    port_taken: bool
    server: ServerRecord | None
    """A server that is already running here, or None."""
    versions: tuple[VersionProblem, ...]
    errors: tuple[EngineError, ...]
    """Errors that occurred during the inspection."""


def inspect_machine(
    request: PlanRequest,
    command: EngineCommand,
    options: ServeOptions,
    *,
    python: Path | EngineError,
    environ: Mapping[str, str],
    state: Path,
) -> Machine:
    """Inspect everything that a start depends on.

    Args:
        request: what to serve.
        command: the engine's command.
        options: the address and the API key.
        python: the interpreter that has the engine, or the error that explains why there is none.
        environ: the engine's environment variables.
        state: the folder of the server record.
    """
    driver = Driver() if request.on_cpu else query_driver(environ)
    cache = hub_cache(environ)
    on_disk = next(folder for folder in (cache, *cache.parents) if folder.exists())
    versions: tuple[VersionProblem, ...] = ()
    errors = [python] if isinstance(python, EngineError) else []
    try:
        if isinstance(python, Path):
            versions = version_problems(installed_versions(python), command)
    except EngineError as error:
        errors.append(error)
    try:
        if options.api_key_file is not None:
            read_key(options.api_key_file)
    except EngineError as error:
        errors.append(error)
    return Machine(
        python=None if isinstance(python, EngineError) else python,
        driver=driver,
        weights=_weights(request, environ),
        cache=cache,
        cache_free_bytes=shutil.disk_usage(on_disk).free,
        token=has_token(environ),
        offline=environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"),
        port_taken=is_taken(options.host, options.port),
        server=current_server(state),
        versions=versions,
        errors=tuple(errors),
    )


def is_taken(host: str, port: int) -> bool:
    """Return whether a server cannot listen on this address now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as tried:
        # As servers do; without it a port whose last connection has just ended counts as taken.
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except (OSError, OverflowError):  # OverflowError: not a valid port number.
            return True
    return False


def _weights(request: PlanRequest, environ: Mapping[str, str]) -> tuple[FoundWeights, ...]:
    model, draft = request.model, request.draft
    shipped = next(iter(model.weights.values()))
    found = [
        find_weights(
            model.name,
            layout=layout_for(model.name, request.engine),
            total_bytes=shipped.total(),
            environ=environ,
        )
    ]
    if draft is not None:
        # A draft has one layout only.
        found.append(
            find_weights(
                draft.name, layout="mistral", total_bytes=draft.weights.total(), environ=environ, is_draft=True
            )
        )
    return tuple(found)

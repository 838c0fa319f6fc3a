"""Look at this machine before a start: GPUs and who holds them, disk, port, files; judges nothing."""

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
from .gpu_state import Driver, ask_driver
from .versions import VersionProblem, installed_versions, version_problems
from .weights import FoundWeights, find_weights, has_token, hub_cache, layout_for


@dataclass(frozen=True, kw_only=True)
class Machine:
    """All that is looked at before a start."""

    python: Path | None
    """The interpreter that has the engine. None: there is none."""
    driver: Driver
    weights: tuple[FoundWeights, ...]
    """The model's, and the draft's if there is one."""
    cache: Path
    """Where weights are fetched to."""
    cache_free_bytes: int
    token: bool
    """True: there is one for gated models."""
    offline: bool
    """True: the Hugging Face client is told to fetch nothing."""
    port_taken: bool
    server: ServerRecord | None
    """One that runs here already."""
    versions: tuple[VersionProblem, ...]
    broken: tuple[EngineError, ...]
    """What went wrong while looking."""


def look(
    request: PlanRequest,
    command: EngineCommand,
    options: ServeOptions,
    *,
    python: Path | EngineError,
    environ: Mapping[str, str],
    state: Path,
) -> Machine:
    """Look at everything that a start depends on.

    Args:
        request: what is to be served.
        command: how.
        options: where, and with which key.
        python: the interpreter that has the engine, or why there is none.
        environ: the variables that the engine will get.
        state: the folder of the record.
    """
    driver = Driver() if request.gpus.gpu.name == "cpu" else ask_driver(environ)
    cache = hub_cache(environ)
    on_disk = next(folder for folder in (cache, *cache.parents) if folder.exists())
    versions: tuple[VersionProblem, ...] = ()
    broken = [python] if isinstance(python, EngineError) else []
    try:
        if isinstance(python, Path):
            versions = version_problems(installed_versions(python), command)
    except EngineError as error:
        broken.append(error)
    try:
        if options.api_key_file is not None:
            read_key(options.api_key_file)
    except EngineError as error:
        broken.append(error)
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
        broken=tuple(broken),
    )


def is_taken(host: str, port: int) -> bool:
    """Tell whether a server could not listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as tried:
        # As servers do: a port on which a connection has just ended is free.
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except (OSError, OverflowError):  # The latter: there is no port of that number.
            return True
    return False


def _weights(request: PlanRequest, environ: Mapping[str, str]) -> tuple[FoundWeights, ...]:
    model, draft = request.model, request.draft
    shipped = next(iter(model.weights.values()))
    found = [
        find_weights(
            model.name,
            layout=layout_for(model.name, request.engine),
            whole_bytes=shipped.total(),
            environ=environ,
        )
    ]
    if draft is not None:
        # A draft has one layout only.
        found.append(
            find_weights(
                draft.name, layout="mistral", whole_bytes=draft.weights.total(), environ=environ, is_draft=True
            )
        )
    return tuple(found)

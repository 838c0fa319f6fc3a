"""Go on with the next server when one does not answer, before the first reply or in the middle of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .errors import EndpointError
from .loop.logs import LOGGER
from .loop.outcome import Outcome
from .model.protocol import Model
from .run_settings import RunSettings
from .starting import Start, Watching, resume, start


async def start_on_any(
    settings: RunSettings, models: Sequence[Model], begin: Start, watching: Watching
) -> Outcome[object]:
    """Run once, on the first of the models that answers; if it fails, the run goes on with the next one.

    Raises:
        ConfigError: a setting is invalid, or there is a run of this name.
        EndpointError: no server could be reached before the run started.
    """
    for number, model in enumerate(models, start=1):
        try:
            outcome = await start(replace(settings, model=model), begin, watching)
        except EndpointError as error:
            if number == len(models):
                raise
            LOGGER.warning("%s; going on with the next server", error)
            continue
        return await _go_on(settings, models[number:], outcome, watching)
    raise AssertionError("there is at least one model")


async def resume_on_any(
    settings: RunSettings, models: Sequence[Model], folder: Path, watching: Watching
) -> Outcome[object]:
    """Resume a run, on the first of the models that answers; see `resume`.

    Raises:
        ConfigError: as for `resume`.
        EndpointError: no server could be reached.
    """
    for number, model in enumerate(models, start=1):
        try:
            outcome = await resume(replace(settings, model=model), folder, watching)
        except EndpointError as error:
            if number == len(models):
                raise
            LOGGER.warning("%s; going on with the next server", error)
            continue
        return await _go_on(settings, models[number:], outcome, watching)
    raise AssertionError("there is at least one model")


async def _go_on(
    settings: RunSettings, models: Sequence[Model], outcome: Outcome[object], watching: Watching
) -> Outcome[object]:
    """Resume a run whose server failed on the servers that are left."""
    if not outcome.server_failed or not models or outcome.journal is None:
        return outcome
    LOGGER.warning("%s: %s; going on with the next server", outcome.run, outcome.reason)
    try:
        return await resume_on_any(settings, models, outcome.journal.parent, watching)
    except EndpointError:
        return outcome

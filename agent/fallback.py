"""Go on with the next server when one does not answer, before the first reply or in the middle of a run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
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
    return await _on_any(settings, models, lambda found: start(found, begin, watching), watching)


async def resume_on_any(
    settings: RunSettings, models: Sequence[Model], folder: Path, watching: Watching
) -> Outcome[object]:
    """Resume a run, on the first of the models that answers; if it fails, the run goes on with the next one.

    Raises:
        ConfigError: as for `resume`.
        EndpointError: no server could be reached.
    """
    return await _on_any(settings, models, lambda found: resume(found, folder, watching), watching)


async def _on_any(
    settings: RunSettings, models: Sequence[Model], attempt: Callable[[RunSettings], Awaitable[Outcome[object]]],
    watching: Watching,
) -> Outcome[object]:  # fmt: skip
    model, *others = models
    try:
        outcome = await attempt(replace(settings, model=model))
    except EndpointError as error:
        if not others:
            raise
        LOGGER.warning("%s; going on with the next server", error)
        return await _on_any(settings, others, attempt, watching)
    if not outcome.server_failed or not others or outcome.journal is None:
        return outcome
    LOGGER.warning("%s: %s; going on with the next server", outcome.run, outcome.reason)
    try:
        return await resume_on_any(settings, others, outcome.journal.parent, watching)
    except EndpointError:
        return outcome

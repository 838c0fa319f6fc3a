"""Continue with the next server when one does not answer, before the first reply or in the middle of a run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from .begin import Start, Watching
from .errors import EndpointError
from .loop.outcome import Outcome
from .model.protocol import Model
from .run_settings import RunSettings
from .starting import resume, start

Attempt = Callable[[RunSettings, Sequence[str]], Awaitable[Outcome[object]]]
"""Starts or resumes a run with these settings, and records these notices."""


async def start_on_any(
    settings: RunSettings, models: Sequence[Model], begin: Start, watching: Watching
) -> Outcome[object]:
    """Run once, on the first of the models that answers; if it fails, continue the run with the next one.

    Raises:
        ConfigError: a setting is invalid, or there is a run of this name.
        EndpointError: no server could be reached before the run started.
    """
    return await _on_any(settings, models, lambda found, notices: start(found, begin, watching, notices), watching)


async def resume_on_any(
    settings: RunSettings, models: Sequence[Model], folder: Path, watching: Watching
) -> Outcome[object]:
    """Resume a run, on the first of the models that answers; if it fails, continue the run with the next one.

    Raises:
        ConfigError: as for `resume`.
        EndpointError: no server could be reached.
    """
    return await _on_any(settings, models, _resuming(folder, watching), watching)


def _resuming(folder: Path, watching: Watching) -> Attempt:
    return lambda settings, notices: resume(settings, folder, watching, notices)


async def _on_any(
    settings: RunSettings, models: Sequence[Model], attempt: Attempt, watching: Watching, notices: Sequence[str] = ()
) -> Outcome[object]:
    model, *others = models
    try:
        outcome = await attempt(replace(settings, model=model), notices)
    except EndpointError as error:
        if not others:
            raise
        try:
            return await _on_any(settings, others, attempt, watching, (*notices, _continues(str(error), others)))
        except EndpointError as last:
            last.problem = f"{error} The next server failed too: {last}"
            last.args = (last.problem,)
            raise
    is_lost = outcome.journal is None and outcome.steps > 0
    if not outcome.server_failed or not others:
        return outcome
    if is_lost:
        return _explained(outcome, f"The server at {others[0].base_url} did not continue it: this needs `runs`.")
    if outcome.journal is not None:
        attempt = _resuming(outcome.journal.parent, watching)
    try:
        return await _on_any(settings, others, attempt, watching, (*notices, _continues(outcome.reason, others)))
    except EndpointError as error:
        return _explained(outcome, f"The next server failed too: {error}")


def _explained(outcome: Outcome[object], more: str) -> Outcome[object]:
    return replace(outcome, reason=f"{outcome.reason.rstrip('.')}. {more}")


def _continues(reason: str, others: Sequence[Model]) -> str:
    return f"{reason.rstrip('.')}. The run continues with the server at {others[0].base_url}."

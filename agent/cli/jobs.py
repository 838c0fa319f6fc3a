"""Decide how many tasks run at once: more than the engine's KV cache holds push each other's prompts out of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import EndpointError
from .engine_metrics import endpoint_metrics

if TYPE_CHECKING:
    from ..model.endpoint import Endpoint


def fitting_jobs(endpoints: Iterable[Endpoint]) -> int:
    """Return how many runs the engines' KV caches hold at once, each with a full window; says on stderr why."""
    found = [(_windows(endpoint), endpoint) for endpoint in {each.base_url: each for each in endpoints}.values()]
    windows, endpoint = min(found, key=lambda pair: pair[0] or 0)
    if windows is None:
        why = f"{endpoint.base_url} does not report the size of its KV cache. Give a number with --jobs"
    elif windows:
        why = f"the KV cache of {endpoint.base_url} holds {windows:,} full windows"
    else:
        why = f"the KV cache of {endpoint.base_url} holds no full window"
    jobs = max(1, windows or 0)
    print(f"jobs: {jobs:,}, because {why}.", file=sys.stderr)
    return jobs


def _windows(endpoint: Endpoint) -> int | None:
    """Return how many full windows the KV cache of an engine holds. None if it does not say."""
    metrics = endpoint_metrics(endpoint)
    if metrics is None or metrics.kv_tokens is None:
        return None
    try:
        window = asyncio.run(_window(endpoint))
    except EndpointError:
        return None
    return metrics.kv_tokens // window if window else None


async def _window(endpoint: Endpoint) -> int | None:
    async with endpoint.open() as connection:
        return (await connection.served()).window_tokens

"""Decide how many tasks run at once: more than the engine's KV cache holds push each other's prompts out of it."""

from __future__ import annotations

import asyncio
import sys
import urllib.request
from collections.abc import Iterable
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import EndpointError

if TYPE_CHECKING:
    from ..model.endpoint import Endpoint

_METRICS_S = 5.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


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
    from serving.metrics import parse_metrics

    from ..model.address import NO_KEY

    url = f"{endpoint.base_url.removesuffix('/v1')}/metrics"
    # A proxy cannot reach the loopback address.
    proxies = urllib.request.ProxyHandler({} if urlsplit(url).hostname in _LOOPBACK else None)
    opener = urllib.request.build_opener(proxies)
    if endpoint.api_key != NO_KEY:
        opener.addheaders.append(("Authorization", f"Bearer {endpoint.api_key}"))
    try:
        with opener.open(url, timeout=_METRICS_S) as reply:
            tokens = parse_metrics(reply.read().decode(errors="replace")).kv_tokens
        window = asyncio.run(_window(endpoint))
    except (OSError, HTTPException, ValueError, EndpointError):
        return None
    return None if tokens is None or not window else tokens // window


async def _window(endpoint: Endpoint) -> int | None:
    async with endpoint.open() as connection:
        return (await connection.served()).window_tokens

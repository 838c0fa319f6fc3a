"""Read what an engine says about itself at /metrics."""

from __future__ import annotations

import urllib.request
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..model.address import NO_KEY

if TYPE_CHECKING:
    from serving.metrics import EngineMetrics

    from ..model.endpoint import Endpoint

_TIMEOUT_S = 2.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def endpoint_metrics(endpoint: Endpoint) -> EngineMetrics | None:
    """Return the metrics of the engine behind an endpoint. None if it does not answer."""
    return read_metrics(endpoint.base_url, api_key="" if endpoint.api_key == NO_KEY else endpoint.api_key)


def read_metrics(base_url: str, *, api_key: str = "") -> EngineMetrics | None:
    """Return the metrics of the engine at a URL, which ends in /v1. None if it does not answer."""
    from serving.metrics import parse_metrics

    url = f"{base_url.removesuffix('/v1')}/metrics"
    # A proxy cannot reach the loopback address.
    proxies = urllib.request.ProxyHandler({} if urlsplit(url).hostname in _LOOPBACK else None)
    opener = urllib.request.build_opener(proxies)
    if api_key:
        opener.addheaders.append(("Authorization", f"Bearer {api_key}"))
    try:
        with opener.open(url, timeout=_TIMEOUT_S) as reply:
            return parse_metrics(reply.read().decode(errors="replace"))
    except (OSError, HTTPException, ValueError):
        return None

"""Build the HTTP client for a server: no proxy for this machine, no certificates for plain http; sends nothing."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from ..errors import ConfigError
from .address import is_loopback
from .pools import Pools

# Engines close a connection that rests for 5 s (uvicorn's timeout_keep_alive, cpp-httplib's keep-alive timeout); a
# request at that moment is lost. Every agent of a large batch may keep its connection.
_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=3.0)


def build_client(base_url: str) -> httpx2.AsyncClient:
    """Build a client for one server: no proxy for this machine, no certificates for plain http.

    Raises:
        ConfigError: The environment names a proxy or certificates that cannot be used.
    """
    proxy = _proxy(base_url)
    is_plain = urlsplit(base_url).scheme == "http"
    try:
        # httpx2 reads the environment for every client and builds all proxies in it, also for this machine: what is
        # needed is given to it instead. Loading the trust store takes half of a short run.
        is_open = is_plain and (proxy is None or proxy.url.startswith("http://"))
        return httpx2.AsyncClient(
            transport=_pools(proxy, None if is_open else httpx2.create_ssl_context()),
            mounts={"https://": _Verified(proxy)} if is_plain else None,
            follow_redirects=True,
            trust_env=False,
        )
    except ImportError as error:
        msg = (
            f"Requests to {base_url} go through the SOCKS proxy {proxy}, which needs a package: pip install socksio. "
            f"Or set no_proxy={urlsplit(base_url).hostname} to reach the server directly."
        )
        raise ConfigError(msg) from error
    except (ValueError, httpx2.InvalidURL) as error:
        msg = f"Requests to {base_url} go through the proxy {proxy}, which is not an address. Write it like "
        raise ConfigError(f"{msg}http://HOST:PORT, or unset the variable.") from error
    except OSError as error:
        msg = (
            f"The certificates cannot be loaded: {error.strerror or error}. Set SSL_CERT_FILE (or SSL_CERT_DIR) to "
            "certificates that exist, or unset it."
        )
        raise ConfigError(msg) from error


def proxy_of(url: str) -> str:
    """Return the proxy that requests to a URL go through, and its variable, without secrets. Empty if none does."""
    return str(_proxy(url) or "")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Proxy:
    url: str
    variable: str

    def __str__(self) -> str:
        return f"{self.url.rpartition('@')[2]} (of {self.variable})"


def _proxy(url: str) -> _Proxy | None:
    parts = urlsplit(url)
    if is_loopback(url) or proxy_bypass(parts.hostname or ""):
        return None
    proxies = getproxies()
    for name in (parts.scheme, "all"):
        if found := proxies.get(name, "").strip():
            return _Proxy(url=found if "://" in found else f"http://{found}", variable=f"{name}_proxy")
    return None


def _pools(proxy: _Proxy | None, context: ssl.SSLContext | None) -> Pools:
    """Build what sends requests; the context of `create_ssl_context` has what SSL_CERT_FILE and SSL_CERT_DIR name."""
    verify = False if context is None else context
    if proxy is None:
        return Pools(lambda: httpx2.AsyncHTTPTransport(verify=verify, limits=_LIMITS))
    to_it = context if proxy.url.startswith("https://") else None  # only an https proxy may have one
    through = httpx2.Proxy(proxy.url, ssl_context=to_it)
    return Pools(lambda: httpx2.AsyncHTTPTransport(verify=verify, proxy=through, limits=_LIMITS))


class _Verified(httpx2.AsyncBaseTransport):
    """A transport for https that loads the trust store with the first request."""

    def __init__(self, proxy: _Proxy | None) -> None:
        self._proxy = proxy
        self._transport: Pools | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self._transport is None:
            self._transport = _pools(self._proxy, httpx2.create_ssl_context())
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        if self._transport is not None:
            await self._transport.aclose()

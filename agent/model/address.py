"""Check and normalize the address and the key of a model server; contacts nothing, and prints no secret."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit, urlunsplit

from ..errors import ConfigError

NO_KEY = "none"
"""The key that is sent if there is none; servers without keys ignore it."""

_FORM = "Write it like http://127.0.0.1:8000/v1."
_ROUTES = re.compile(r"/(?:chat/completions|completions|responses|embeddings|models)/*$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where a server is, without secrets."""

    base_url: str
    """Without a slash at the end, and without the route of a request."""
    login: str
    """`user:password` from the URL. Empty if it had none."""


def parse_address(url: str) -> Address:
    """Return the address of a server; a pasted address of a route, such as /v1/chat/completions, means its server.

    Raises:
        ConfigError: it is not an http address.
    """
    try:
        parts = urlsplit(url.strip())
        _ = parts.port
    except ValueError as error:
        msg = f"The endpoint's address is not a URL: {error}. {_FORM}"
        raise ConfigError(msg) from error
    login, _, place = parts.netloc.rpartition("@")
    if parts.scheme.lower() not in {"http", "https"} or not parts.hostname:
        shown = url if not login else urlunsplit(parts._replace(netloc=place))
        msg = f"The endpoint {shown!r} is not an http address. {_FORM}"
        raise ConfigError(msg)
    path = _ROUTES.sub("", parts.path.rstrip("/"))
    return Address(base_url=urlunsplit((parts.scheme.lower(), place, path, parts.query, "")), login=login)


def checked_key(key: str, *, source: str) -> str:
    """Return an API key without whitespace around it.

    Args:
        key: as it was given.
        source: where it comes from, such as "AGENT_API_KEY"; named in the error instead of the key.

    Raises:
        ConfigError: no HTTP header can carry it.
    """
    trimmed = key.strip()
    bad = re.search(r"[^\x21-\x7e]", trimmed)
    if bad is not None:
        what = (
            "a line end" if bad.group() in "\r\n"
            else "whitespace" if bad.group().isspace()
            else "a control character" if bad.group().isascii()
            else "a character that is not ASCII"
        )  # fmt: skip
        msg = (
            f"The API key in {source} cannot be sent: at character {bad.start() + 1} it has {what}. Set {source} to "
            "the key alone."
        )
        raise ConfigError(msg)
    if not trimmed:
        msg = f"The API key in {source} is empty. Set {source} to the server's key, or remove it."
        raise ConfigError(msg)
    return trimmed


def checked_header(name: str, value: object) -> None:
    """Check that an HTTP header can be sent.

    Raises:
        ConfigError: it cannot; the message does not show the value.
    """
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
        msg = f"{name!r} in `headers` is not the name of an HTTP header. Use letters, digits and dashes."
        raise ConfigError(msg, key="headers")
    if not isinstance(value, str) or re.search(r"[^\t\x20-\x7e]", value):
        msg = f"The value of {name!r} in `headers` is not text that a header can carry: ASCII without line ends."
        raise ConfigError(msg, key="headers")


def is_loopback(url: str) -> bool:
    """Return whether an address is on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

"""Turn what went wrong with a request into an EndpointError with the server's own sentence and what to do; pure."""

from __future__ import annotations

import json
import math
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import cast
from urllib.parse import urlsplit

from ..errors import EndpointRejected, EndpointUnreachable
from .advice import advice_for
from .error_text import error_code, server_sentence


def rejected(
    status: int, body: str, *, url: str, secrets: Sequence[str], retry_after: str | None = None, proxy: str = ""
) -> EndpointRejected:
    """Return the error for an HTTP status.

    Args:
        status: of HTTP, 400 or more.
        body: of the response.
        url: of the request.
        secrets: what the message must not show, such as the API key; servers repeat it.
        retry_after: the header, if there was one.
        proxy: that the request went through. Empty if it went directly.
    """
    reason = server_sentence(body)
    for secret in sorted(secrets, key=len, reverse=True):
        reason = reason.replace(secret, "[secret]")
    return EndpointRejected(
        reason,
        url=url,
        status=status,
        retry_after_s=_retry_after(retry_after),
        code=error_code(body),
        advice=advice_for(status, reason, url=url, has_key=bool(secrets), proxy=proxy),
    )


def error_in_body(data: object, url: str, secrets: Sequence[str]) -> EndpointRejected | None:
    """Return the error that a server sent with HTTP 200, whole or in a stream. None if the data is no error.

    vLLM sends one for logit_bias with EAGLE in a stream; proxies send those of their upstream.
    """
    if not isinstance(data, dict):
        return None
    body = cast("dict[str, object]", data)
    found = body.get("error")
    if not found or body.get("choices"):
        return None
    code = cast("dict[str, object]", found).get("code") if isinstance(found, dict) else None
    status = int(str(code)) if str(code).isdigit() and 400 <= int(str(code)) <= 599 else 500
    return rejected(status, json.dumps(data), url=url, secrets=secrets)


def unreachable(error: Exception, *, url: str, proxy: str, connect_timeout_s: float) -> EndpointUnreachable:
    """Return the error for a failure of the connection.

    Args:
        error: of httpx2 or httpx.
        url: of the request.
        proxy: that the request went through. Empty if it went directly.
        connect_timeout_s: seconds within which a connection must be accepted.
    """
    cause = _tls_error(error) or _innermost(error)
    reason = " ".join(str(cause).split()) or type(cause).__name__
    advice = ""
    if type(error).__name__ == "ConnectTimeout":  # httpx2's or httpx's
        reason = f"it accepted no connection within {connect_timeout_s:g} s"
    elif isinstance(cause, ssl.SSLCertVerificationError):
        reason = f"its certificate is not trusted ({cause.verify_message or 'verification failed'})"
        advice = (
            "If you trust it, set SSL_CERT_FILE to a file with the server's certificate, or with that of the authority "
            "that signed it."
        )
    elif isinstance(cause, ssl.SSLError) and cause.reason in {"WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG"}:
        reason = "it does not speak TLS at this port"
        advice = f"Write http://{urlsplit(url).netloc} instead of https."
    if proxy:
        reason = f"{reason}, through the proxy {proxy}"
        advice = advice or f"Is the proxy right? no_proxy={urlsplit(url).hostname} reaches the server directly."
    return EndpointUnreachable(reason, url=url, advice=advice)


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    """Return the TLS error behind an error; httpcore2 names it only as the context of its own."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, ssl.SSLError):
        inner = inner.__cause__ or inner.__context__
    return inner


def _innermost(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _retry_after(value: str | None) -> float | None:
    """Parse a Retry-After header into seconds; it holds seconds or an HTTP date. None if it is neither."""
    if not value:
        return None
    try:
        seconds = float(value)
        return None if math.isnan(seconds) else max(0.0, seconds)
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None

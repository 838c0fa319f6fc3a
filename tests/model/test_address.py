"""Addresses as they are pasted, keys that no header can carry, proxies and certificates: each has its sentence."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agent import Agent
from agent.errors import ConfigError
from agent.model.address import is_loopback, parse_address
from agent.model.endpoint import Endpoint
from agent.model.error_text import error_code, server_sentence
from agent.model.http_client import build_client, proxy_of
from agent.model.http_errors import unreachable
from agent.testing import ScriptedServer, says

BASE = "http://gpu1:8000/v1"


@pytest.mark.parametrize("url", [f"{BASE}/", f"{BASE}/chat/completions", f"{BASE}/chat/completions/", f"{BASE}/models",
                                 f" {BASE}\n", "HTTP://gpu1:8000/v1"])  # fmt: skip
def test_a_pasted_address_means_its_server(url: str) -> None:
    assert parse_address(url).base_url == BASE


def test_a_password_in_the_address_is_in_neither_the_address_nor_the_repr() -> None:
    endpoint = Endpoint("http://me:top%20secret@gpu1:8000/v1")
    assert (endpoint.base_url, endpoint.login) == (BASE, "me:top%20secret")
    assert "secret" not in repr(endpoint)
    with pytest.raises(ConfigError) as raised:
        Endpoint("ftp://me:top-secret@gpu1/v1")
    assert "top-secret" not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/v1", "http://localhost/v1", "http://[::1]:8/v1", "http://127.8.9.1/"]
)
def test_this_machine_is_known(url: str) -> None:
    assert is_loopback(url)
    assert not is_loopback("http://gpu1/v1")


KEYS = {
    "top-se\ncret": "a line end",
    "top\tsecret": "whitespace",
    "schl\u00fcssel": "a character that is not ASCII",
    "top\x00secret": "a control character",
}


@pytest.mark.parametrize("key", KEYS)
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Endpoint(BASE, api_key=key)
    assert KEYS[key] in str(raised.value)
    assert "`api_key`" in str(raised.value)
    assert not any(part in str(raised.value) for part in (key, "secret", "cret", "schl"))


def test_whitespace_around_a_key_is_removed_and_said() -> None:
    endpoint = Endpoint(BASE, api_key="top-secret\n")
    assert endpoint.api_key == "top-secret"
    assert endpoint.memory.notes == (
        "The API key began or ended with whitespace, which is not sent. Remove it at its source.",
    )


SENTENCES = {
    '{"error": {"message": "m", "type": "t"}}': "m",
    '{"error": "this model does not support tools"}': "this model does not support tools",
    '{"detail": "Not Found"}': "Not Found",
    '{"detail": [{"loc": ["body", "tool_choice"], "msg": "Input should be auto"}]}': (
        "body.tool_choice: Input should be auto"
    ),
    '{"object": "error", "message": "m", "code": 400}': "m",
    '{"error": {"message": "Provider returned error", "metadata": {"raw": "overloaded"}}}': (
        "Provider returned error: overloaded"
    ),
    '{"error": {"message": "too long", "n_prompt_tokens": 5000, "n_ctx": 4096}}': (
        "too long (n_prompt_tokens 5000, n_ctx 4096)"
    ),
    "<html><head><title>502 Bad Gateway</title></head><body><h1>502</h1></body></html>": "502 Bad Gateway",
    "<html><style>x</style><body>For&amp;bidden</body></html>": "For&bidden",
    "Internal Server Error": "Internal Server Error",
    '{"errors": [{"message": "a"}, {"message": "b"}]}': "a; b",
    "": "",
    "{}": "",
}


@pytest.mark.parametrize("body", SENTENCES)
def test_the_servers_own_sentence_is_found_in_every_form(body: str) -> None:
    assert server_sentence(body) == SENTENCES[body]


def test_the_code_of_an_error_is_kept() -> None:
    assert error_code('{"error": {"message": "m", "code": "context_length_exceeded", "type": "t"}}') == (
        "context_length_exceeded t"
    )
    assert error_code("oops") == error_code('{"error": "oops"}') == ""


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def test_this_machine_is_never_reached_through_a_proxy(proxies: pytest.MonkeyPatch) -> None:
    proxies.setenv("http_proxy", "http://me:secret@127.0.0.1:9")
    proxies.setenv("all_proxy", "socks5://127.0.0.1:9")
    assert proxy_of("http://127.0.0.1:8000/v1") == proxy_of("http://localhost:8000/v1") == ""
    assert proxy_of(BASE) == "127.0.0.1:9 (of http_proxy)"
    assert proxy_of("https://gpu1/v1") == "socks5://127.0.0.1:9 (of all_proxy)"
    build_client("http://127.0.0.1:8000/v1")  # the SOCKS package is not needed for it
    proxies.setenv("no_proxy", "gpu1")
    assert proxy_of(BASE) == ""


def test_a_socks_proxy_without_its_package_is_named(proxies: pytest.MonkeyPatch) -> None:
    proxies.setenv("all_proxy", "socks5://127.0.0.1:9")
    with pytest.raises(ConfigError) as raised:
        build_client(BASE)
    assert str(raised.value) == (
        f"Requests to {BASE} go through the SOCKS proxy socks5://127.0.0.1:9 (of all_proxy), which needs a package: "
        "pip install socksio. Or set no_proxy=gpu1 to reach the server directly."
    )


def test_a_proxy_that_is_no_address_is_named(proxies: pytest.MonkeyPatch) -> None:
    proxies.setenv("http_proxy", "nonsense://x")
    with pytest.raises(ConfigError) as raised:
        build_client(BASE)
    assert str(raised.value) == (
        f"Requests to {BASE} go through the proxy nonsense://x (of http_proxy), which is not an address. Write it like "
        "http://HOST:PORT, or unset the variable."
    )


def test_missing_certificates_are_named_and_plain_http_needs_none(proxies: pytest.MonkeyPatch, tmp_path: Path) -> None:
    proxies.setenv("SSL_CERT_FILE", str(tmp_path / "no-such.pem"))
    build_client(BASE)
    with pytest.raises(ConfigError, match="Set SSL_CERT_FILE"):
        build_client("https://gpu1/v1")


def wrapped(cause: Exception) -> Exception:
    """Return an error of the client as it wraps that of the connection."""
    try:
        try:
            raise cause
        except OSError as error:
            raise httpx2.ConnectError(str(error)) from error
    except httpx2.ConnectError as error:
        return error


def test_a_certificate_that_is_not_trusted_has_its_sentence_and_setting() -> None:
    refused = ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed certificate")
    refused.verify_message = "self-signed certificate"
    error = unreachable(wrapped(refused), url="https://gpu1/v1/models", proxy="", connect_timeout_s=15.0)
    assert str(error) == (
        "No answer from https://gpu1/v1/models: its certificate is not trusted (self-signed certificate). If you trust "
        "it, set SSL_CERT_FILE to a file with the server's certificate, or with that of the authority that signed it."
    )


def test_plain_http_at_an_https_address_is_named() -> None:
    spoken = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    spoken.reason = "WRONG_VERSION_NUMBER"
    error = unreachable(wrapped(spoken), url="https://gpu1:8000/v1", proxy="", connect_timeout_s=15.0)
    assert str(error) == (
        "No answer from https://gpu1:8000/v1: it does not speak TLS at this port. Write http://gpu1:8000 instead of "
        "https."
    )


def test_a_proxy_in_the_way_is_named() -> None:
    error = unreachable(wrapped(OSError("refused")), url=BASE, proxy="127.0.0.1:9 (of http_proxy)", connect_timeout_s=1)
    assert str(error) == (
        f"No answer from {BASE}: refused, through the proxy 127.0.0.1:9 (of http_proxy). Is the proxy right? "
        "no_proxy=gpu1 reaches the server directly."
    )


@pytest.mark.parametrize("host", ["\u2603..invalid", "\u0378.invalid", "engine\x7f"])
async def test_a_host_that_no_url_can_have_is_refused_without_retries(host: str):
    with pytest.raises(ConfigError, match="cannot be the address of a server"):
        async with Endpoint(f"http://{host}/v1").open():
            pass


async def test_headers_of_an_endpoint_are_sent_with_every_request_and_may_replace_others():
    with ScriptedServer([says("Hi.")]) as server:
        endpoint = Endpoint(server.url, headers={"X-Team": "blue", "user-agent": "mine"})
        await Agent(endpoint).run("Hello.")
        sent = [request.headers for request in server.requests]
    assert len(sent) > 1
    assert {(one["x-team"], one["user-agent"]) for one in sent} == {("blue", "mine")}
    assert "blue" not in repr(endpoint)


@pytest.mark.parametrize("headers", [{"X Team": "secret"}, {"X-Team": "a\r\nsecret"}, {"X-Team": 3}, {"": "secret"}])
def test_a_header_that_cannot_be_sent_is_refused_without_its_value(headers: Any):
    with pytest.raises(ConfigError, match="headers") as caught:
        Endpoint("http://127.0.0.1:8000/v1", headers=headers)
    assert "secret" not in str(caught.value)

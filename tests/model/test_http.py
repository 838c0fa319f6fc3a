"""One request to a server: the bytes sent, the decoded reply, and the error and text of every failure."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import repeat
from typing import Any

import httpx
import pytest
import respx

from agent.errors import (
    ConfigError,
    EndpointError,
    EndpointRejected,
    EndpointTimeout,
    EndpointUnreachable,
    EndpointUnreadable,
)
from agent.messages import Reply
from agent.model.clients import server_client
from agent.model.endpoint import Endpoint
from agent.model.http import HttpConnection
from agent.model.protocol import Served, TokenCount
from agent.model.wire import Request
from agent.testing import Answer, ScriptedServer, calls, faults, says

BASE = "http://engine.test:8000/v1"
CHAT = f"{BASE}/chat/completions"
USER = b'{"role":"user","content":"Gr\xc3\xbc\xc3\x9fe"}'
TOOLS = b'[{"type":"function","function":{"name":"add","parameters":{}}}]'
REQUEST = Request(model="scripted", messages=[USER], tools=TOOLS, max_tokens=64, effort="none")


@asynccontextmanager
async def opened(base_url: str, **settings: Any) -> AsyncGenerator[HttpConnection]:
    async with (
        httpx.AsyncClient(verify=False) as http_client,
        Endpoint(base_url, http_client=http_client, **settings).open() as connection,
    ):
        assert isinstance(connection, HttpConnection)
        yield connection


async def asked(answer: Answer, *, stream: bool, **settings: Any) -> Reply:
    with ScriptedServer([answer]) as server:
        async with opened(server.url, stream=stream, **settings) as connection:
            return await connection.ask(REQUEST)


async def failed(answer: Answer, *, stream: bool, **settings: Any) -> tuple[EndpointError, str]:
    """Return the error, and its text with URL in place of the address."""
    with ScriptedServer([answer]) as server:
        async with opened(server.url, stream=stream, **settings) as connection:
            with pytest.raises(EndpointError) as raised:
                await connection.ask(REQUEST)
            assert raised.value.url == f"{server.url}/chat/completions"
            return raised.value, str(raised.value).replace(raised.value.url, "URL")


BODY = (
    b'{"model":"scripted","max_tokens":64,"stream":false,"reasoning_effort":"none","messages":[' + USER + b'],"tools":'
    b'[{"type":"function","function":{"name":"add","parameters":{}}}],"tool_choice":"auto"}'
)


async def test_the_body_is_sent_as_the_encoded_bytes(respx_mock: respx.MockRouter) -> None:
    route = respx_mock.post(CHAT).respond(json={"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})
    async with opened(BASE, stream=False, api_key="secret") as connection:
        assert await connection.ask(REQUEST) == Reply(content="Hi", finish_reason="stop")
    request = route.calls.last.request
    assert request.content == REQUEST.encode(stream=False) == BODY
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == "Bearer secret"
    assert route.call_count == 1


async def test_the_client_never_retries(respx_mock: respx.MockRouter) -> None:
    route = respx_mock.post(CHAT).respond(503)
    async with opened(BASE, stream=False) as connection:
        with pytest.raises(EndpointRejected):
            await connection.ask(REQUEST)
    assert route.call_count == 1, "only retry.py retries"


async def test_a_client_of_the_caller_stays_open() -> None:
    async with httpx.AsyncClient(verify=False) as http_client:
        async with Endpoint(BASE, http_client=http_client).open():
            pass
        assert not http_client.is_closed


async def test_a_default_client_is_closed() -> None:
    endpoint = Endpoint(BASE)
    shared = endpoint._clients  # pyright: ignore[reportPrivateUsage]
    async with endpoint.open(), shared.client(BASE) as client:
        async with endpoint.open(), shared.client(BASE) as same:
            assert same is client
        assert not client.http.is_closed, "another connection still uses it"
    assert client.http.is_closed


async def test_the_list_of_models_is_asked_for_again_once_a_request_has_failed(respx_mock: respx.MockRouter) -> None:
    route = respx_mock.get(f"{BASE}/models").respond(json={"data": [{"id": "one"}]})
    respx_mock.post(CHAT).respond(404, json={"error": "no such model"})
    async with httpx.AsyncClient(verify=False) as http_client:
        connection = HttpConnection(Endpoint(BASE), server_client(http_client, BASE))
        assert (await connection.served()).model == (await connection.served()).model == "one"
        assert route.call_count == 1
        with pytest.raises(EndpointRejected):
            await connection.ask(REQUEST)
        route.respond(json={"data": [{"id": "two"}]})
        assert (await connection.served()).model == "two"


REPLIES = {
    "text": says("The sum is 7. Grüße!"),
    "reasoning": says("7", reasoning="3 and 4 make 7."),
    "calls": calls(("add", {"a": 3, "b": 4}), ("ping", {}), reasoning="Add, then ping.", text="Both:"),
    "broken arguments": calls(("add", '{"a": 3')),
    "no usage": says("7", usage=None),
    "cut": says("The sum", finish_reason="length"),
}


@pytest.mark.parametrize("name", REPLIES)
async def test_a_streamed_reply_equals_a_complete_one(name: str) -> None:
    whole = await asked(REPLIES[name], stream=False)
    streamed = await asked(REPLIES[name], stream=True)
    assert streamed == whole
    assert (whole.content, whole.reasoning, whole.tool_calls, whole.usage, whole.finish_reason) == (
        REPLIES[name].content,
        REPLIES[name].reasoning,
        REPLIES[name].tool_calls,
        REPLIES[name].usage,
        REPLIES[name].finish_reason,
    )


async def test_a_stream_without_finish_reason_is_accepted_if_it_has_usage() -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": "7"}}]}
    usage = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    assert (await asked(faults.stream(chunk, usage), stream=True)).content == "7"


# Failures.

UP = "Is the server up? Check the address, or start one with `agent serve`."
NOT_COMPATIBLE = "did not answer like an OpenAI-compatible server"
CHECK_URL = "Check that this is the address of such a server."
BUSY = "The engine may be overloaded or stuck: check its log and /metrics."
CUT_BODY = "peer closed connection without sending complete message body"
ERROR = {"error": {"message": "busy"}}

FAILURES: dict[str, tuple[Answer, bool, type[EndpointError], str]] = {
    "status": (
        faults.http_error(422, "max_tokens\n is too large"),
        False,
        EndpointRejected,
        "URL refused the request with HTTP 422: max_tokens is too large",
    ),
    "status of a stream": (
        faults.http_error(404, "The model `x` does not exist."),
        True,
        EndpointRejected,
        "URL refused the request with HTTP 404: The model `x` does not exist. Check the model's name: "
        "`agent run --model NAME`, `model: {name: NAME}` or Endpoint(url, model=NAME).",
    ),
    "error in a stream": (
        faults.error_in_stream(400, "logit_bias is not supported"),
        True,
        EndpointRejected,
        "URL refused the request with HTTP 400: logit_bias is not supported",
    ),
    "error without a code in a stream": (
        faults.stream(ERROR),
        True,
        EndpointRejected,
        "URL refused the request with HTTP 500: busy",
    ),
    "closed in the body": (
        faults.cut(says("7"), share=0.99),
        False,
        EndpointUnreachable,
        f"No answer from URL: {CUT_BODY} (received 370 bytes, expected 374). {UP}",
    ),
    "closed in the stream": (
        faults.cut(says("7"), share=0.99),
        True,
        EndpointUnreachable,
        f"No answer from URL: {CUT_BODY} (incomplete chunked read). {UP}",
    ),
    "ended in the stream": (
        faults.stream({"choices": [{"index": 0, "delta": {"content": "7"}}]}),
        True,
        EndpointUnreachable,
        f"No answer from URL: the stream ended before the reply was complete. {UP}",
    ),
    "a page": (
        faults.raw("<html>Hello</html>", content_type="text/html"),
        False,
        EndpointUnreadable,
        f"URL {NOT_COMPATIBLE}: got a web page: Hello. {CHECK_URL}",
    ),
    "a page for a stream": (
        faults.html(),
        True,
        EndpointUnreadable,
        f"URL {NOT_COMPATIBLE}: got text/html instead of a stream. {CHECK_URL}",
    ),
    "nothing": (
        faults.raw(b""),
        False,
        EndpointUnreadable,
        f"URL {NOT_COMPATIBLE}: invalid JSON (Expecting value: line 1 column 1 (char 0)). {CHECK_URL}",
    ),
    "an empty stream": (
        faults.stream(),
        True,
        EndpointUnreadable,
        f"URL {NOT_COMPATIBLE}: got a stream without a reply. {CHECK_URL}",
    ),
    "an error object": (
        faults.raw(ERROR),
        False,
        EndpointRejected,
        "URL refused the request with HTTP 500: busy",
    ),
    "invalid JSON": (
        faults.raw('{"choices": ['),
        False,
        EndpointUnreadable,
        f"URL {NOT_COMPATIBLE}: invalid JSON (Expecting value: line 1 column 14 (char 13)). {CHECK_URL}",
    ),
    "invalid JSON in a stream": (
        faults.stream(b"data: {\n\n"),
        True,
        EndpointUnreadable,
        f"URL {NOT_COMPATIBLE}: invalid JSON (Expecting property name enclosed in double quotes: "
        f"line 1 column 2 (char 1)). {CHECK_URL}",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_the_text_of_a_failure_gives_the_cause_and_the_next_step(name: str) -> None:
    answer, stream, kind, text = FAILURES[name]
    error, message = await failed(answer, stream=stream)
    assert (type(error), message) == (kind, text)


STALLS: dict[str, tuple[Answer, bool, str]] = {
    "nothing at all": (faults.stall(), False, "the first byte"),
    "nothing at all, stream": (faults.stall(), True, "the first byte"),
    "headers only": (faults.stall(says("7"), share=0.0), True, "the first byte"),
    "half a body": (faults.stall(says("7")), False, "the first byte"),
    "half a stream": (faults.stall(says("7, that is the sum.")), True, "the next part of the reply"),
    "comments only": (faults.keep_alive(), True, "the first byte"),
    "comments from the middle on": (faults.keep_alive(says("7, that is the sum.")), True, "the next part of the reply"),
}


@pytest.mark.parametrize("name", STALLS)
async def test_a_stall_times_out_even_if_comments_keep_the_connection_alive(name: str) -> None:
    answer, stream, phase = STALLS[name]
    settings = {"first_byte_timeout_s": 0.2} if phase == "the first byte" else {"idle_timeout_s": 0.1}
    error, message = await failed(answer, stream=stream, **settings)
    assert type(error) is EndpointTimeout
    waited_s = next(iter(settings.values()))
    assert (error.phase, error.waited_s) == (phase, waited_s)
    assert message == f"URL timed out after {waited_s:g} s without {phase}. {BUSY}"


async def test_a_refused_connection_names_the_cause() -> None:
    server = ScriptedServer().start()
    server.close()
    async with opened(server.url) as connection:
        with pytest.raises(EndpointUnreachable) as raised:
            await connection.ask(REQUEST)
    assert str(raised.value) == f"No answer from {server.url}/chat/completions: {raised.value.reason}. {UP}"
    assert "Connection refused" in raised.value.reason or "connection attempts failed" in raised.value.reason


def in_seconds(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


RETRY_AFTER: dict[str, tuple[Callable[[], str], float | None]] = {
    "seconds": (lambda: "7", 7.0),
    "fractional seconds": (lambda: "0.5", 0.5),
    "negative seconds": (lambda: "-3", 0.0),
    "a date": (lambda: in_seconds(3_600), 3_600.0),
    "a past date": (lambda: in_seconds(-3_600), 0.0),
    "words": (lambda: "soon", None),
    "not a number": (lambda: "nan", None),
    "a date with a year of six digits": (lambda: "Wed, 21 Oct 999999 07:28:00 GMT", None),
}


@pytest.mark.parametrize("name", RETRY_AFTER)
async def test_retry_after_is_parsed_as_seconds_or_as_a_date(name: str) -> None:
    header, expected = RETRY_AFTER[name]
    error, _ = await failed(faults.http_error(429, headers={"Retry-After": header()}), stream=True)
    assert isinstance(error, EndpointRejected)
    assert error.retry_after_s == (expected if expected is None else pytest.approx(expected, abs=60.0))


async def test_the_reason_of_a_refusal_is_one_truncated_line() -> None:
    error, message = await failed(faults.http_error(400, "a\nb " + "x" * 2_000), stream=False)
    assert message == "URL refused the request with HTTP 400: a b " + "x" * 496 + "..."
    assert isinstance(error, EndpointRejected)
    assert (error.status, error.retry_after_s) == (400, None)


async def test_an_html_error_page_is_truncated() -> None:
    _, message = await failed(faults.html(502), stream=False)
    assert message.startswith("URL refused the request with HTTP 502: ")
    assert len(message) < 560


# The served model.


async def test_the_first_model_and_its_window_are_returned() -> None:
    with ScriptedServer(model="pocket", window_tokens=4_096) as server:
        async with opened(server.url) as connection:
            assert await connection.served() == Served(model="pocket", window_tokens=4_096)


async def test_the_window_is_none_if_the_server_does_not_report_it() -> None:
    with ScriptedServer(window_tokens=None) as server:
        async with opened(server.url) as connection:
            assert await connection.served() == Served(model="scripted", window_tokens=None)


async def test_the_window_is_none_if_it_is_not_a_number(respx_mock: respx.MockRouter) -> None:
    respx_mock.get(f"{BASE}/models").respond(json={"data": [{"id": "pocket", "max_model_len": "large"}]})
    async with opened(BASE) as connection:
        assert await connection.served() == Served(model="pocket", window_tokens=None)


async def test_the_requested_model_and_its_window_are_returned(respx_mock: respx.MockRouter) -> None:
    data = [{"id": "big", "max_model_len": 9}, {"id": "lora", "max_model_len": 8}]
    respx_mock.get(f"{BASE}/models").respond(json={"data": data})
    async with opened(BASE, model="lora") as connection:
        assert await connection.served() == Served(model="lora", window_tokens=8)


ASKED = "The server was asked for 'large' all the same, although its list of models "
UNLISTED: dict[str, tuple[int, object, str | None]] = {
    "other names": (200, {"data": [{"id": "pocket"}]}, f"{ASKED}has only pocket"),
    "many others": (
        200,
        [f"model-{number}" for number in range(190)],
        f"{ASKED}has only {', '.join(f'model-{number}' for number in range(10))} and 180 more",
    ),
    "a name of two lines": (200, {"data": [{"id": "a\nverified"}]}, f'{ASKED}has only "a\\nverified"'),
    "a wildcard that fits": (200, {"data": [{"id": "lar*"}]}, None),
    "nothing": (200, {"data": []}, f"{ASKED}is empty"),
    "no list at all": (200, "page", f"{ASKED}is empty"),
    "an error": (
        500,
        "oops",
        f"{ASKED}cannot be read: {BASE}/models refused the request with HTTP 500: oops",
    ),
}


@pytest.mark.parametrize("name", UNLISTED)
async def test_a_named_model_need_not_be_listed(name: str, respx_mock: respx.MockRouter) -> None:
    status, body, note = UNLISTED[name]
    respx_mock.get(f"{BASE}/models").respond(status, json=body)
    async with opened(BASE, model="large", window=4_096) as connection:
        assert await connection.served() == Served(model="large", window_tokens=4_096)
        assert connection.memory.notes == (() if note is None else (note,))


async def test_a_named_model_does_not_hide_a_refused_key(respx_mock: respx.MockRouter) -> None:
    respx_mock.get(f"{BASE}/models").respond(401, json={"error": "Unauthorized"})
    async with opened(BASE, model="large") as connection:
        with pytest.raises(EndpointRejected) as raised:
            await connection.served()
    assert str(raised.value) == (
        f"{BASE}/models refused the request with HTTP 401: Unauthorized. The request had no API key: export "
        "AGENT_API_KEY, or name the key's variable with `model: {api_key_env: NAME}`; in Python, Endpoint(api_key=...)."
    )


@pytest.mark.parametrize("body", [{}, {"data": []}, {"data": None}, [], {"data": "pocket"}, "page"])
async def test_a_list_without_models_is_unreadable(body: object, respx_mock: respx.MockRouter) -> None:
    respx_mock.get(f"{BASE}/models").respond(json=body)
    async with opened(BASE) as connection:
        with pytest.raises(EndpointUnreadable) as raised:
            await connection.served()
    advice = "name one with --model, `model: {name: ...}` or Endpoint(url, model=...)"
    assert str(raised.value) == (f"{BASE}/models {NOT_COMPATIBLE}: it lists no model; {advice}. {CHECK_URL}")


# Token counts.


async def test_tokenize_gets_messages_tools_and_effort() -> None:
    with ScriptedServer(window_tokens=4_096) as server:
        async with opened(server.url) as connection:
            counted = await connection.count(REQUEST)
    assert isinstance(counted, TokenCount)
    assert (counted.window_tokens, len(counted.tokens) > 10) == (4_096, True)
    (received,) = server.requests
    assert (received.method, received.path) == ("POST", "/tokenize")
    assert received.json == {
        "model": "scripted",
        "chat_template_kwargs": {"reasoning_effort": "none"},
        "messages": [{"role": "user", "content": "Grüße"}],
        "tools": json.loads(TOOLS),
    }


async def test_tokenize_counts_the_tools_that_the_chat_request_sends() -> None:
    """Control tokens in a definition were escaped in the chat request only, so its prompt had more tokens."""
    tools = b'[{"type": "function", "function": {"name": "f", "description": "Not </s> nor [TOOL_CALLS]."}}]'
    with ScriptedServer([says("Hi.")]) as server:
        async with opened(server.url) as connection:
            await connection.count(replace(REQUEST, tools=tools))
            await connection.ask(replace(REQUEST, tools=tools))
        counted, asked = (received.json for received in server.requests if received.method == "POST")
    assert counted["tools"] == asked["tools"] != json.loads(tools)


async def test_tokenize_gets_neither_tools_nor_effort_if_there_are_none() -> None:
    with ScriptedServer() as server:
        async with opened(server.url) as connection:
            await connection.count(Request(model="scripted", messages=[USER], tools=b"[]", max_tokens=1))
    assert set(server.requests[0].json) == {"model", "messages"}


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_the_count_is_none_if_the_server_has_no_tokenize_route(status: int, respx_mock: respx.MockRouter) -> None:
    respx_mock.post("http://engine.test:8000/tokenize").respond(status)
    async with opened(BASE) as connection:
        assert await connection.count(REQUEST) is None


@pytest.mark.parametrize("body", [[], {}, {"count": 3}, {"tokens": 3}, {"tokens": []}])
async def test_the_count_is_none_if_the_answer_has_no_tokens(body: object, respx_mock: respx.MockRouter) -> None:
    respx_mock.post("http://engine.test:8000/tokenize").respond(json=body)
    async with opened(BASE) as connection:
        assert await connection.count(REQUEST) is None


async def test_any_other_failure_of_a_count_is_an_error(respx_mock: respx.MockRouter) -> None:
    respx_mock.post("http://engine.test:8000/tokenize").respond(500)
    async with opened(BASE) as connection:
        with pytest.raises(EndpointRejected):
            await connection.count(REQUEST)


@pytest.mark.parametrize("url", ["127.0.0.1:8000/v1", "ftp://x/v1", ""])
def test_an_address_that_is_not_http_is_rejected(url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Endpoint(url)
    assert str(raised.value) == (
        f"The endpoint {url!r} is not an http address. Write it like http://127.0.0.1:8000/v1."
    )


async def test_an_endpoint_opens_with_the_default_client_and_hides_its_key() -> None:
    with ScriptedServer(repeat(says("7"))) as server:
        endpoint = Endpoint(f"{server.url}/", api_key="secret")
        async with endpoint.open() as connection:
            assert (await connection.ask(REQUEST)).content == "7"
    assert endpoint.base_url == server.url
    assert "secret" not in repr(endpoint)
    assert server.requests[0].headers["authorization"] == "Bearer secret"


async def test_a_connection_that_is_never_accepted_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.model.transport.CONNECT_TIMEOUT_S", 0.3)
    with socket.socket() as full, ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # fill the backlog of the kernel
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
        async with Endpoint(url, model="m").open() as connection:
            with pytest.raises(EndpointUnreachable, match=r"it accepted no connection within 0\.3 s"):
                await connection.served()

"""Requests spread over small pools of connections."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest

from agent.model.pools import Pools

URL = "http://server/"


class Body(httpx2.AsyncByteStream):
    def __init__(self, fails: str) -> None:
        self.fails = fails

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"part"
        if self.fails == "body":
            raise httpx2.ReadError("cut")


class Transport(httpx2.AsyncBaseTransport):
    def __init__(self) -> None:
        self.requests = 0
        self.is_closed = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests += 1
        fails = request.url.path.strip("/")
        if fails == "head":
            raise httpx2.ConnectError("refused")
        return httpx2.Response(200, stream=Body(fails))

    async def aclose(self) -> None:
        self.is_closed = True


@pytest.fixture
def built() -> list[Transport]:
    return []


@pytest.fixture
def client(built: list[Transport]) -> httpx2.AsyncClient:
    def build() -> Transport:
        built.append(Transport())
        return built[-1]

    return httpx2.AsyncClient(transport=Pools(build))


async def test_512_requests_at_once_share_no_pool_with_more_than_15_others(
    client: httpx2.AsyncClient, built: list[Transport]
):
    """With all connections in one pool, each request of 512 agents looked at 512 connections."""
    responses = [await client.send(client.build_request("GET", URL), stream=True) for _ in range(512)]
    assert {transport.requests for transport in built} == {16}
    assert await responses[0].aread() == b"part"
    for response in responses:
        await response.aclose()
        await response.aclose()
    await client.get(URL)
    assert [built[0].requests, len(built)] == [17, 32]
    await client.aclose()
    assert all(transport.is_closed for transport in built)


@pytest.mark.parametrize("path", ["", "head", "body"])
async def test_requests_one_after_the_other_use_one_pool_whatever_becomes_of_them(
    client: httpx2.AsyncClient, built: list[Transport], path: str
):
    for _ in range(40):
        try:
            await client.get(URL + path)
        except httpx2.TransportError:
            assert path
    assert [transport.requests for transport in built] == [40]

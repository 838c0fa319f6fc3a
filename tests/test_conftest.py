"""Tests of the ban on connections to other machines."""

import asyncio
import socket

import pytest


@pytest.mark.parametrize("host", ["192.0.2.1", "example.com", "2001:db8::1"])
def test_connecting_to_another_machine_fails(host: str):
    with pytest.raises(pytest.fail.Exception) as caught:
        socket.create_connection((host, 80), timeout=0.1)
    assert str(caught.value) == f"A test tried to reach {host!r}. Tests may connect to this machine only."


def test_connecting_to_a_numeric_address_fails():
    with socket.socket() as client, pytest.raises(pytest.fail.Exception) as caught:
        client.connect(("192.0.2.1", 80))
    assert str(caught.value) == "A test tried to reach ('192.0.2.1', 80). Tests may connect to this machine only."


async def test_this_machine_is_reachable_by_address_and_by_name():
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        for host in ("127.0.0.1", "localhost"):
            reader, writer = await asyncio.open_connection(host, port)
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

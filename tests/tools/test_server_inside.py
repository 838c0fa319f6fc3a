"""The streams of an MCP server in the sandbox, without its sandbox: they are whole until the server has ended."""

from __future__ import annotations

import asyncio
import gc
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from agent import Launch
from tools._server_inside import inside

pytest.importorskip("mcp")


def test_a_server_that_writes_while_it_is_ended_leaves_no_pipe_to_a_closed_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Python printed "Event loop is closed", with a traceback, over the view."""
    unraised = list[object]()
    monkeypatch.setattr(sys, "unraisablehook", unraised.append)
    monkeypatch.setattr("tools._server_inside._END_S", 0.5)
    launch = Launch(argv=[sys.executable, "-c", "import sys; sys.stdin.read(); print('x' * 1_000_000)"], env={})

    async def start_and_end() -> None:
        with (tmp_path / "stderr").open("w") as stderr:
            async with inside(nullcontext(launch), tmp_path, stderr):
                pass

    asyncio.run(start_and_end())
    gc.collect()
    assert unraised == []


LONG = "'[' + '0' * 5_000_000 + ']'"
ENDLESS = "'0' * 5_000_000, end=''"
WIDE = "'[' + '[],' * 200_000 + '0]'"
KEYS = "'{' + ','.join(chr(34) + str(number) + chr(34) + ':1' for number in range(200_000)) + '}'"


@pytest.mark.parametrize("printed", [LONG, ENDLESS, WIDE, KEYS], ids=["long", "endless", "wide", "keys"])
async def test_a_line_that_would_take_the_memory_ends_the_connection_with_words(tmp_path: Path, printed: str):
    """One of 60 MB took gigabytes and minutes, in the process of the agent."""
    code = f"import sys; print({printed}, flush=True); print('after', flush=True); sys.stdin.read()"
    assert await _received(code, tmp_path) == []
    assert "Its standard output is read no more: a line had over 4,000,000 bytes" in (tmp_path / "stderr").read_text()


async def test_a_long_text_of_brackets_is_a_message(tmp_path: Path):
    code = """
import json
print(json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"x": '[{,"' * 500_000}}))
"""
    (message,) = await _received(code, tmp_path)
    assert message.message.result["x"] == '[{,"' * 500_000


async def _received(code: str, folder: Path) -> list[Any]:
    launch = Launch(argv=[sys.executable, "-c", code], env={})
    with (folder / "stderr").open("w") as stderr:
        async with asyncio.timeout(20), inside(nullcontext(launch), folder, stderr) as (read, _):
            return [item async for item in read]

"""The streams of an MCP server in the sandbox, without its sandbox: they are whole until the server has ended."""

from __future__ import annotations

import asyncio
import gc
import sys
from contextlib import nullcontext
from pathlib import Path

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

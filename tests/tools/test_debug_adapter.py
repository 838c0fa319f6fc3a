"""The debugged program shares the adapter's sandbox: what it sends is bounded, and may be no message at all."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent import Launch, ToolContext
from agent.sandbox.process import kill_all_sessions
from tools import _debug_adapter
from tools._debug_adapter import Adapter, AdapterClosed
from tools.debugger import debug_start

if TYPE_CHECKING:
    from conftest import Called

ENV = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath])}


def framed(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def event(name: str, **body: object) -> bytes:
    return framed(json.dumps({"type": "event", "event": name, "body": body}).encode())


async def started(folder: Path, sent: bytes) -> Adapter:
    """Start a program in place of the adapter that sends these bytes and then waits."""
    (folder / "sent").write_bytes(sent)
    code = "import sys, time; sys.stdout.buffer.write(open('sent', 'rb').read()); sys.stdout.flush(); time.sleep(60)"
    return await Adapter.start(Launch(argv=[sys.executable, "-c", code], env={}), folder=folder)


@pytest.mark.parametrize(
    "sent",
    [
        framed(b"[1]"), framed(b"{}"), framed(b'{"type": "event"}'), framed(b'{"type": "response"}'),
        framed(b"[" * 200_000), framed(b'{"type": "event", "event": "output", "body": 1}'),
        b"Content-Length: -5\r\n\r\n",
    ],
)  # fmt: skip
async def test_what_is_no_message_ends_the_session_and_raises_nothing_else(tmp_path: Path, sent: bytes):
    adapter = await started(tmp_path, sent)
    with pytest.raises(AdapterClosed):
        await adapter.next_event()
    await adapter.aclose()


async def test_output_that_is_not_taken_is_dropped_beyond_a_size_and_events_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_debug_adapter, "MAX_QUEUED_CHARS", 5_000)
    flood = event("output", category="stdout", output="x" * 1_000) * 100
    adapter = await started(tmp_path, flood + event("exited", exitCode=0) + framed(b"{}"))
    with pytest.raises(AdapterClosed):
        await adapter.request("threads", {}, timeout_s=20)  # by then it has read all
    names: list[str] = []
    with suppress(AdapterClosed):
        while True:
            names.append((await adapter.next_event())[0])
    assert names == ["output"] * 5 + ["exited"]
    await adapter.aclose()


async def test_what_a_program_prints_before_it_stops_does_not_fill_the_memory(tmp_path: Path, called: Called):
    """All of it was kept, to show its last lines."""
    (tmp_path / "main.py").write_text("for number in range(3_000):\n    print(number, 'x' * 2_000)\nraise ValueError\n")
    context = ToolContext[Any](workspace=tmp_path, env=ENV)
    tracemalloc.start()
    try:
        answer = await called(debug_start, context, program="main.py")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        await context.resources.aclose(pytest.fail)
    assert answer.startswith("Stopped: ValueError.\n#0 <module> at main.py:3")
    assert f"\n  2999 {'x' * 2_000}" in answer
    assert peak_bytes < 8_000_000  # 5 of them for any number of lines; 12 when all were kept


async def test_an_adapter_does_not_outlive_a_forced_end(tmp_path: Path):
    adapter = await started(tmp_path, b"")
    kill_all_sessions()
    with pytest.raises(AdapterClosed):
        await asyncio.wait_for(adapter.next_event(), 10.0)
    await adapter.aclose()

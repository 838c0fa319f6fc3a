"""Threads of tools: one that is free is used again, one that hangs is in nobody's way."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

from agent.tooling.threads import in_thread


async def test_calls_one_after_another_start_one_thread():
    """Each call started a thread of its own, a tenth of the CPU time of a short run."""
    idents = {await in_thread(threading.get_ident, {}) for _ in range(5)}
    assert len(idents) == 1
    assert threading.get_ident() not in idents


async def test_a_call_that_was_abandoned_keeps_no_other_call_waiting():
    go_on = threading.Event()
    abandoned = asyncio.ensure_future(in_thread(go_on.wait, {}))
    await asyncio.sleep(0)
    abandoned.cancel()
    assert await asyncio.wait_for(in_thread(lambda: "done", {}), 10) == "done"
    go_on.set()


async def test_calls_at_the_same_time_do_not_wait_for_each_other():
    all_there = threading.Barrier(12, timeout=10)
    await asyncio.gather(*(in_thread(all_there.wait, {}) for _ in range(12)))
    await asyncio.gather(*(in_thread(all_there.wait, {}) for _ in range(12)))


async def test_an_exception_is_that_of_the_call_and_the_thread_goes_on():
    failed = await asyncio.gather(in_thread(lambda: 1 // 0, {}), return_exceptions=True)
    assert isinstance(failed[0], ZeroDivisionError)
    assert await in_thread(lambda: "done", {}) == "done"


def test_a_forked_process_waits_for_no_thread_of_its_parent():
    asyncio.run(in_thread(lambda: None, {}))
    child = os.fork()
    if not child:
        signal.alarm(10)
        asyncio.run(in_thread(lambda: None, {}))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

"""Ask the user at the terminal whether a call may be made, one question at a time."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TextIO

from ..policy.permissions import ApprovalRequest, Approve
from ..tooling.threads import in_thread


@dataclass(kw_only=True)
class Terminal:
    """Asks the user at a terminal, and remembers the tools that are always allowed."""

    reads: TextIO
    writes: TextIO
    paused: Callable[[], AbstractContextManager[None]] = nullcontext
    """Leaves the terminal to the question."""
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _always: set[str] = field(default_factory=set[str])

    async def approve(self, request: ApprovalRequest) -> bool:
        """Show the call and wait for `y`, `n` or `a` (allow this tool for the rest of the run)."""
        async with self._lock:
            if request.tool in self._always:
                return True
            why = f" ({request.why})" if request.why else ""
            arguments = json.dumps(request.arguments, ensure_ascii=True)
            given = request.arguments.values()
            elsewhere = [path for path in request.paths if path not in given and path.rstrip("/") not in given]
            reaches = f"\n  reaches: {json.dumps(elsewhere)}" if elsewhere else ""
            with self.paused():
                self.writes.write(
                    f"\nAllow {request.tool}{why}?\n  {arguments}{reaches}\n[y]es, [n]o, [a]lways in this run: "
                )
                self.writes.flush()
                reply = str(await in_thread(self.reads.readline, {})).strip().lower()
            if reply.startswith("a"):
                self._always.add(request.tool)
            return reply[:1] in {"y", "a"}


def terminal_approval(paused: Callable[[], AbstractContextManager[None]]) -> Approve | None:
    """Return a function that asks the user at the terminal, in a block of `paused`. None if there is no terminal."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    return Terminal(reads=sys.stdin, writes=sys.stderr, paused=paused).approve

"""Ask the person at the terminal whether a call may be made; one question at a time."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field
from typing import TextIO

from ..policy.permissions import ApprovalRequest, Approve
from ..tooling.threads import in_thread


@dataclass(kw_only=True)
class Terminal:
    """The person at this terminal."""

    reads: TextIO
    writes: TextIO
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)
    _always: set[str] = field(default_factory=set[str])

    async def approve(self, asked: ApprovalRequest) -> bool:
        """Show the call and wait for `y`, `n` or `a` (this tool's calls are not asked about again in this run)."""
        async with self._one:
            if asked.tool in self._always:
                return True
            why = f" ({asked.why})" if asked.why else ""
            shown = json.dumps(asked.arguments, ensure_ascii=True)
            self.writes.write(f"\nAllow {asked.tool}{why}?\n  {shown}\n[y]es, [n]o, [a]lways in this run: ")
            self.writes.flush()
            said = str(await in_thread(self.reads.readline, {})).strip().lower()
            if said.startswith("a"):
                self._always.add(asked.tool)
            return said[:1] in {"y", "a"}


def at_terminal() -> Approve | None:
    """Return how to ask the person at the terminal. None: there is no terminal."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    return Terminal(reads=sys.stdin, writes=sys.stderr).approve

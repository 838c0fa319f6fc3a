"""Find and kill all processes of an MCP server, also those that left its session; needs /proc, else finds none."""

from __future__ import annotations

import os
import secrets
import signal
from contextlib import suppress
from pathlib import Path

VARIABLE = "TRAMONTANE_MCP_SERVER"
"""The environment variable by which the processes of one server are found."""
_PROC = Path("/proc")
_MAX_PASSES = 20


def new_mark() -> str:
    """Return a value of `VARIABLE` for one server, which no other has."""
    return secrets.token_hex(16)


def kill_marked(mark: str) -> None:
    """Kill every process that was started with this mark in its environment.

    A process that replaced its environment is not found.
    """
    own = os.getpid()
    # A process can appear while /proc is read.
    for _ in range(_MAX_PASSES):
        found = [pid for pid in _marked(mark) if pid != own]
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return


def _marked(mark: str) -> list[int]:
    entry = f"{VARIABLE}={mark}".encode()
    found: list[int] = []
    with suppress(OSError):
        for folder in _PROC.iterdir():
            if folder.name.isdecimal():
                # A process that has ended has no environment; that of another user cannot be read.
                with suppress(OSError):
                    if entry in (folder / "environ").read_bytes().split(b"\0"):
                        found.append(int(folder.name))
    return found

"""Run one shell command in the workspace; none of its processes outlives the call, however the call ends."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from pydantic import Field

from agent import ToolContext, ToolError, displayed, tool

from ._commands import describe_exit, shell_argv
from ._read_only_git import is_read_only, note_on_git

MAX_TIMEOUT_S = 600
SLOW_S = 10.0
"""Report the duration from here on; for quick commands it would only make identical output look different."""


@tool(exclusive=True, commands=True, timeout_s=MAX_TIMEOUT_S + 30.0)
async def run_shell(
    context: ToolContext[Any], command: str, timeout_s: Annotated[int, Field(ge=1, le=MAX_TIMEOUT_S)] = 60
) -> str:
    """Run a shell command in the workspace; background processes end with it."""
    read_only = is_read_only(context.workspace, context.sandbox)
    ran = await context.run(shell_argv(command), timeout_s=timeout_s)
    shown = await asyncio.to_thread(displayed, ran.output)
    text = shown.text
    if ran.exit_code is None:
        so_far = f" Output so far:\n{text}" if text else " It had written nothing."
        msg = f"The command did not end within {timeout_s} s and was killed; what it had done stays done.{so_far}"
        raise ToolError(msg)
    took = f"took {ran.elapsed_s:.0f} s" if ran.elapsed_s >= SLOW_S else ""
    ending = describe_exit(ran.exit_code) if ran.exit_code else "" if text else "(no output, exit code 0)"
    notes = ["(without what a terminal overwrites, such as progress)" if shown.overwritten else ""]
    notes.append(", ".join(part for part in (ending, took) if part))
    notes.append(note_on_git(command, ran, context.workspace, read_only=read_only))
    note = "\n".join(filter(None, notes))
    return f"{text}{'' if not text or not note or text.endswith(chr(10)) else chr(10)}{note}"

"""Run one shell command in the workspace; it and all its children are gone when the call ends, whatever happens."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from agent import ToolContext, ToolError, tool

from ._commands import ended, shell_argv

MAX_TIMEOUT_S = 600
SLOW_S = 10.0
"""How long a command took is said from here on; of quick ones it would only make the same output look like news."""


@tool(exclusive=True, commands=True, timeout_s=MAX_TIMEOUT_S + 30.0)
async def run_shell(
    context: ToolContext[Any], command: str, timeout_s: Annotated[int, Field(ge=1, le=MAX_TIMEOUT_S)] = 60
) -> str:
    """Run a shell command in the workspace; background processes end with it."""
    ran = await context.run(shell_argv(command), timeout_s=timeout_s)
    text = ran.output
    if ran.exit_code is None:
        so_far = f" Output so far:\n{text}" if text else " It had written nothing."
        msg = f"The command did not end within {timeout_s} s and was killed; what it had done stays done.{so_far}"
        raise ToolError(msg)
    took = f"took {ran.elapsed_s:.0f} s" if ran.elapsed_s >= SLOW_S else ""
    how = ended(ran.exit_code) if ran.exit_code else "" if text else "(no output, exit code 0)"
    told = ", ".join(part for part in (how, took) if part)
    return f"{text}{'' if not text or not told or text.endswith(chr(10)) else chr(10)}{told}"

"""Run one shell command in the workspace; it and all its children are gone when the call ends, whatever happens."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from agent import ToolContext, ToolError, tool

from ._process import ended, run_to_end
from ._shellwords import shell_argv

MAX_TIMEOUT_S = 600


@tool(exclusive=True, commands=True, timeout_s=MAX_TIMEOUT_S + 30.0)
async def run_shell(
    context: ToolContext[Any], command: str, timeout_s: Annotated[int, Field(ge=1, le=MAX_TIMEOUT_S)] = 60
) -> str:
    """Run a shell command in the workspace; background processes end with it."""
    launch = context.launch(shell_argv(command))
    ran = await run_to_end(launch, folder=context.workspace, timeout_s=timeout_s)
    text = ran.output
    if ran.code is None:
        so_far = f" Output so far:\n{text}" if text else " It had written nothing."
        msg = f"The command did not end within {timeout_s} s and was killed; what it had done stays done.{so_far}"
        raise ToolError(msg)
    if ran.code == 0:
        return text or "(no output, exit code 0)"
    return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{ended(ran.code)}"

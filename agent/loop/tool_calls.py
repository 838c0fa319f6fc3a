"""Run the open calls of a turn and give each its result: neighbours together, exclusive ones alone, order kept."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

from pydantic import JsonValue

from ..journal.events import CallEnded, CallStarted, Noticed
from ..messages import ToolCall, ToolResult
from ..parsing.validation import canonical
from ..policy.budget import Exceeded
from ..policy.permissions import ApprovalRequest, decide, denial
from ..tooling.execute import execute
from . import prompts
from .dependencies import RunDependencies
from .state import RunState


async def run_calls(state: RunState, deps: RunDependencies) -> str:
    """Run what the open turn still lacks; a call that a killed process had begun is answered as interrupted.

    Returns the reason why the budget forbids it; empty: every call has its result.
    """
    assert state.open_turn is not None, "only an open turn is settled"
    waiting = set(state.open_ids())
    calls = [call for call in state.open_turn.turn.tool_calls if call.id in waiting]
    limit = state.limits.tool_calls
    new = len([call for call in calls if call.id not in state.begun])
    if limit is not None and state.spent.tool_calls + new > limit:
        # Not begun in part: which of the calls matter most is the model's to say, and nobody would ask it.
        return str(Exceeded(limit="tool_calls", allowed=limit, used=state.spent.tool_calls, more=new))
    for group in _groups(calls, deps):
        try:
            async with asyncio.TaskGroup() as together:
                for call in group:
                    together.create_task(_run(call, state, deps))
        except BaseExceptionGroup as failed:  # tools raise nothing, so it is the journal's or an observer's
            raise failed.exceptions[0] from failed
    return ""


def _groups(calls: Sequence[ToolCall], deps: RunDependencies) -> list[list[ToolCall]]:
    groups: list[list[ToolCall]] = [[]]
    for call in calls:
        tool = deps.toolbox.get(call.name)
        if tool is not None and tool.exclusive:
            groups += [[call], []]
        else:
            groups[-1].append(call)
    return groups


async def _run(call: ToolCall, state: RunState, deps: RunDependencies) -> None:
    if call.id in state.begun:
        result = ToolResult(tool_call_id=call.id, name=call.name, content=prompts.INTERRUPTED, status="interrupted")
        deps.record(CallEnded(step=state.step, result=result, elapsed_s=0.0, fingerprint=""))
        return
    tool = deps.toolbox.get(call.name)
    assert tool is not None, "a taken call names a tool"
    if denied := await _denied(call, deps):
        result = ToolResult(tool_call_id=call.id, name=call.name, content=denied, status="denied")
        # It has a print, so that the same call again counts as repeated.
        ended = CallEnded(step=state.step, result=result, elapsed_s=0.0, fingerprint=_fingerprint(call, result))
        deps.record(ended)
        return
    value = tool.arguments.check(call.arguments)
    deps.record(CallStarted(step=state.step, tool_call_id=call.id, tool=call.name, arguments=call.arguments))
    if not tool.read_only:
        await asyncio.to_thread(deps.sync)  # the intent is on the disk before the effect is in the world
    spill_dir = deps.context.workspace / ".agent" / "outputs"
    execution = await execute(call, tool, value, deps.context, spill_dir=spill_dir)
    result = execution.result
    fingerprint = _fingerprint(call, result)
    if fingerprint == state.last_fingerprint:
        result = replace(result, content=f"{result.content}\n{prompts.SAME_AGAIN}")
    deps.record(
        CallEnded(
            step=state.step,
            result=result,
            elapsed_s=round(execution.elapsed_s, 4),
            fingerprint=fingerprint,
            traceback=execution.traceback or "",
        )
    )


async def _denied(call: ToolCall, deps: RunDependencies) -> str:
    """Return what the model is told about a call that it may not make; empty: it may."""
    arguments: dict[str, JsonValue] = json.loads(call.arguments)
    rule = decide(deps.permissions, call.name, arguments)
    if rule is None:
        return ""
    if rule.do == "deny":
        return denial(rule, asked="no")
    if deps.approve is None:
        return denial(rule, asked="nobody")
    allowed = await deps.approve(ApprovalRequest(tool=call.name, arguments=arguments, why=rule.why))
    deps.record(Noticed(text=f"{call.name}: a person {'allowed' if allowed else 'did not allow'} {call.arguments}"))
    return "" if allowed else denial(rule, asked="refused")


def _fingerprint(call: ToolCall, result: ToolResult) -> str:
    # The file that keeps a long output is named after the call, and its name stands in the content.
    content = result.content.replace(call.id, "")
    pictures = "\0".join(image.data for image in result.images)
    text = f"{call.name}\0{canonical(call.arguments)}\0{result.status}\0{content}\0{pictures}"
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]

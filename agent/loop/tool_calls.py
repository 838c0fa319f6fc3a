"""Execute the open calls of a turn: consecutive calls concurrently, exclusive tools alone, in call order."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from pydantic import JsonValue

from ..journal.events import CallEnded, CallStarted, Noticed
from ..messages import ToolCall, ToolResult
from ..parsing.validation import canonical
from ..policy.permissions import ApprovalRequest, Permission, decide, denial
from ..policy.targets import Target
from ..tooling.context import ToolContext
from ..tooling.execute import execute
from ..tooling.shorten import OUTPUTS
from ..tooling.tool import Tool
from . import prompts
from .call_paths import Decided, call_targets
from .dependencies import RunDependencies
from .file_tracking import FileTracker
from .hidden_paths import hidden_paths, path_patterns
from .state import RunState
from .watching import ask_user
from .window import LIKELY_BYTES_PER_TOKEN, result_limit_chars


async def run_calls(state: RunState, deps: RunDependencies) -> str:
    """Execute the open calls of the turn; a call that a killed process had started gets an `interrupted` result.

    Returns:
        The limit that forbids the calls, as a reason to end the run. Empty if every call has its result.
    """
    assert state.open_turn is not None, "there must be an open turn"
    open_ids = set(state.open_ids())
    calls = [call for call in state.open_turn.turn.tool_calls if call.id in open_ids]
    new = len([call for call in calls if call.id not in state.started_calls])
    limit = state.budget.lowest("tool_calls", state.spent, more=new)
    if limit is not None and limit.used + new > limit.allowed:
        # Execute all calls or none: choosing which calls to drop is the model's decision.
        return str(limit)
    for group in _groups(calls, deps):
        await _run_group(group, state, deps)
    return ""


async def _run_group(group: Sequence[ToolCall], state: RunState, deps: RunDependencies) -> None:
    tracker = FileTracker(state, deps, group)
    if any(call.id in state.started_calls and not _is_read_only(call, deps) for call in group):
        await tracker.start()  # what the killed process did there is compared, although no call may run
    try:
        async with asyncio.TaskGroup() as tasks:
            for call in group:
                tasks.create_task(_run(call, state, deps, tracker))
    except BaseExceptionGroup as failed:  # execute() never raises, so this is from the journal or an observer
        raise failed.exceptions[0] from failed


def _is_read_only(call: ToolCall, deps: RunDependencies) -> bool:
    tool = deps.toolbox.get(call.name)
    return tool is not None and tool.read_only


def _groups(calls: Sequence[ToolCall], deps: RunDependencies) -> list[list[ToolCall]]:
    groups: list[list[ToolCall]] = [[]]
    for call in calls:
        tool = deps.toolbox.get(call.name)
        if tool is not None and tool.exclusive:
            groups += [[call], []]
        else:
            groups[-1].append(call)
    return groups


async def _run(call: ToolCall, state: RunState, deps: RunDependencies, tracker: FileTracker) -> None:
    is_started = call.id in state.started_calls
    if is_started or (state.open_turn is not None and state.open_turn.redacted):
        text = prompts.INTERRUPTED if is_started else prompts.ARGUMENTS_LOST
        result = ToolResult(tool_call_id=call.id, name=call.name, content=text, status="interrupted")
        await tracker.end_one()
        deps.record(CallEnded(step=state.step, result=result, elapsed_s=0.0, fingerprint=""))
        return
    tool = deps.toolbox.get(call.name)
    assert tool is not None, "a valid call has a tool of the toolbox"
    tool, context, denial_text = await _permitted(call, tool, deps)
    if denial_text:
        result = ToolResult(tool_call_id=call.id, name=call.name, content=denial_text, status="denied")
        # A denied call has a fingerprint, so that the same call again counts as repeated.
        ended = CallEnded(step=state.step, result=result, elapsed_s=0.0, fingerprint=_fingerprint(call, result))
        await tracker.end_one()
        deps.record(ended)
        return
    value = tool.arguments.check(call.arguments)
    deps.record(
        CallStarted(
            step=state.step,
            tool_call_id=call.id,
            tool=call.name,
            arguments=call.arguments,
            read_only=tool.read_only,
        )
    )
    if not tool.read_only:
        await tracker.start()  # the CallStarted event must be on disk before the side effect
    if not state.profile.trained_texts:
        per_token = state.size.bytes_per_token(len(deps.toolbox.definitions), most=LIKELY_BYTES_PER_TOKEN)
        turn = state.open_turn
        limit_chars = result_limit_chars(
            tool.output_limit_chars,
            state.started.window_tokens,
            bytes_per_token=per_token,
            calls=1 if turn is None else len(turn.turn.tool_calls),
        )
        tool = replace(tool, output_limit_chars=limit_chars)
    workspace = deps.context.workspace
    spill_dir = workspace / OUTPUTS
    async with deps.member.calling() if tool.commands else nullcontext():
        execution = await execute(call, tool, value, context, spill_dir=spill_dir)
    result = execution.result
    if context is not deps.context:
        result = replace(result, content=prompts.with_hidden(result.content, context.sandbox.rules.hidden, workspace))
    fingerprint = _fingerprint(call, result)
    if state.work.repeats([fingerprint]):
        result = replace(result, content=f"{result.content}\n{prompts.SAME_AGAIN}")
    if untold := deps.member.untold():
        result = replace(result, content=f"{result.content}\n{untold}")
    await tracker.end_one("" if tool.commands else result.content)
    deps.record(
        CallEnded(
            step=state.step,
            result=result,
            elapsed_s=round(execution.elapsed_s, 4),
            fingerprint=fingerprint,
            traceback=execution.traceback or "",
        )
    )


async def _permitted(call: ToolCall, tool: Tool, deps: RunDependencies) -> tuple[Tool, ToolContext[Any], str]:
    """Return the tool and the context for the call, and the text for the model if it is denied; empty if not."""
    arguments: dict[str, JsonValue] = json.loads(call.arguments)
    context, workspace = deps.context, deps.context.workspace
    targets: tuple[Target, ...] = ()
    about_paths = any("path" in rule.match for rule in deps.permissions)
    if about_paths:
        try:
            targets = await asyncio.to_thread(call_targets, tool, arguments, workspace)
        except (OSError, ValueError) as error:  # such as a symlink that a process replaces meanwhile
            return tool, context, prompts.path_unclear(error)
    rule = decide(deps.permissions, call.name, arguments, targets, workspace=str(workspace))
    if rule is not None and (text := await _denial_text(rule, call, arguments, targets, deps)):
        return tool, context, text
    if about_paths:
        tool = Decided(
            rules=deps.permissions, tool=call.name, arguments=arguments, targets=targets, approved=rule,
            workspace=workspace,
        ).hold(tool)  # fmt: skip
    patterns = path_patterns(deps.permissions, call.name) if tool.commands else ()
    if not patterns:
        return tool, context, ""
    return tool, *(await asyncio.to_thread(_hiding, context, patterns))


async def _denial_text(
    rule: Permission, call: ToolCall, arguments: Mapping[str, JsonValue], targets: Sequence[Target],
    deps: RunDependencies,
) -> str:  # fmt: skip
    """Return the text for the model about a call that a rule restricts. Empty if a person approves it."""
    if rule.do == "deny":
        return denial(rule, cause="rule", targets=targets)
    if deps.approve is None:
        return denial(rule, cause="no_approver", targets=targets)
    paths = dict.fromkeys(path for target in targets for path in target.ends())
    request = ApprovalRequest(tool=call.name, arguments=arguments, why=rule.why, paths=tuple(paths))
    approved = await ask_user("approve", deps.approve, request)
    if isinstance(approved, bool):
        text = f"{call.name}: a person {'approved' if approved else 'denied'} {call.arguments}"
    else:
        text = f"{call.name}: denied, because `approve` returned {approved!r}. It must return True or False."
    deps.record(Noticed(text=text))
    return "" if approved is True else denial(rule, cause="refused", targets=targets)


def _hiding(context: ToolContext[Any], patterns: Sequence[str]) -> tuple[ToolContext[Any], str]:
    """Return the context whose commands do not reach the paths, or the text for the model if that is impossible."""
    sandbox = context.sandbox
    try:
        hidden = hidden_paths(patterns, context.workspace, sandbox)
    except OSError as error:
        return context, prompts.path_unclear(error)
    if not sandbox.can_hide or context.workspace in hidden:
        return context, prompts.cannot_hide(patterns)
    rules = replace(sandbox.rules, hidden=(*sandbox.rules.hidden, *hidden))
    return replace(context, sandbox=replace(sandbox, rules=rules)), ""


def _fingerprint(call: ToolCall, result: ToolResult) -> str:
    # The file of a long output is named after the call id, and its name appears in the content.
    content = result.content.replace(call.id, "")
    images = "\0".join(image.data for image in result.images)
    text = f"{call.name}\0{canonical(call.arguments)}\0{result.status}\0{content}\0{images}"
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]

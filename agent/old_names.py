"""Names of earlier releases and of other libraries, and what each is called here; removed with the next release."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

from .keywords import Conversion


def _result(value: object) -> tuple[str, object]:
    from .tooling.json_schema import plain_schema

    # The old result was the dict of the call, also for a model.
    return "output_type", plain_schema(cast("Any", value)) if hasattr(value, "model_fields") else value


AGENT_RENAMED: Mapping[str, str | Conversion] = MappingProxyType(
    {"system": "instructions", "state": "deps", "result": _result}
)

AGENT_ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        "system_prompt": "The system prompt is `instructions`.",
        "prompt": "Give the prompt to `run`.",
        "history": "Give the conversation to `run`: run(prompt, history=...).",
        "message_history": "Give the conversation to `run`: run(prompt, history=...).",
        "images": "Give images to `run`: run(prompt, images=[...]).",
        "observe": "Give the function to `run`: run(prompt, observe=...).",
        "base_url": "The first argument is the URL of the server, or Endpoint(url, ...).",
        "api_key": "Write Agent(Endpoint(url, api_key=...), ...).",
        "name": "An agent has no name here; a run has: run(..., name=...).",
        "deps_type": "The type is that of `deps`: Agent(..., deps=...).",
        "context": "Give what tools need as `deps`.",
        "result_type": "The type of the result is `output_type`.",
        "mcp_servers": "Write mcp={'name': McpServer(command=(...))}.",
        "toolsets": "Give all tools in `tools`, and MCP servers in `mcp`.",
        "handoffs": "An agent becomes a tool of another: tools=[other.as_tool(...)].",
        "usage_limits": "The limits are `limits`: Limits(steps=..., tokens=...).",
        "max_turns": "Write limits=Limits(steps=...).",
        "max_steps": "Write limits=Limits(steps=...).",
        "retries": "How often a failing call is tried follows from `ladder`.",
        "tool_retries": "How often a failing call is tried follows from `ladder`.",
        "output_retries": "How often a failing call is tried follows from `ladder`.",
        "hooks": "Give a function that gets each event to `run`: run(prompt, observe=...).",
        "input_guardrails": "Check the prompt before `run`; `permissions` and `approve` decide about calls.",
        "output_guardrails": "`verify` is a command that decides; validators of `output_type` check a result.",
        "temperature": "Write model_settings=ModelSettings(temperature=...).",
        "max_tokens": "Write model_settings=ModelSettings(max_tokens=...).",
        "seed": "Write model_settings=ModelSettings(seed=...).",
        "budgets": "The limits are `limits`.",
        "escalation": "The ladder is `ladder`.",
        "task": "Only Agent.from_task sets it.",
        "verify_env": "Variables of commands are `env`.",
        "own_files": "Only Agent.from_task sets them.",
    }
)

AGENT_ATTRIBUTES: Mapping[str, str] = MappingProxyType(
    {
        "tool": "Give the tools when the agent is made: Agent(..., tools=[my_function]).",
        "tool_plain": "Give the tools when the agent is made: Agent(..., tools=[my_function]).",
        "system_prompt": "The system prompt is `instructions`.",
        "run_stream": "Write `async for event in agent.stream(prompt)`.",
        "run_streamed": "Write `async for event in agent.stream(prompt)`.",
        "iter": "Write `async for event in agent.stream(prompt)`.",
        "run_stream_sync": "Only async: `async for event in agent.stream(prompt)`; or run_sync(prompt, observe=...).",
        "override": "Write dataclasses.replace(agent, model=...).",
        "clone": "Write dataclasses.replace(agent, ...).",
        "chat": "A conversation of many turns is agent.session().",
        "invoke": "Write agent.run_sync(prompt).",
    }
)
"""Attributes that people know from agents of other libraries, and for each what to write here."""

_SETTINGS = (
    "model", "tools", "instructions", "project_instructions", "output_type", "deps", "fallback", "mcp",
    "model_settings", "ladder", "limits", "verify", "workspace", "workspace_mode", "env", "secrets", "secret_files",
    "sandbox", "permissions", "approve", "runs",
)  # fmt: skip
_ELSEWHERE = {name: f"It is a setting of the agent: dataclasses.replace(agent, {name}=...)." for name in _SETTINGS}

RUN_ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        **_ELSEWHERE,
        "message_history": "Give the earlier conversation as `history`.",
        "messages": "Give the earlier conversation as `history`.",
        "session": "Start a session with agent.session(), or give `history`.",
        "context": "Give what tools need as `deps`.",
        "state": "Give what tools need as `deps`.",
        "usage_limits": "The limits are `limits`: Limits(steps=..., tokens=...).",
        "max_turns": "Write limits=Limits(steps=...).",
        "max_steps": "Write limits=Limits(steps=...).",
        "temperature": "Write model_settings=ModelSettings(temperature=...).",
        "stream": "Write `async for event in agent.stream(prompt)`.",
        "callback": "Give `observe`: it is called with each event.",
        "event_stream_handler": "Give `observe`: it is called with each event.",
        "hooks": "Give `observe`: it is called with each event.",
        "timeout": "Write limits=Limits(wall_s=...).",
        "usage": "Usages add up: first.usage + second.usage.",
        "conversation_id": "Start a session with agent.session(name), or give `history`.",
        "run_config": "Give the settings themselves: limits, model_settings, ...",
    }
)

SESSION_ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        **_ELSEWHERE,
        "session_id": "The name of a session is its first argument: agent.session(name).",
        "history": "A session holds its conversation; agent.run(..., history=...) continues another one.",
        "message_history": "A session holds its conversation; agent.run(..., history=...) continues another one.",
        "name": "Name the session: agent.session(name). Its turns are numbered.",
        "stream": "Write `async for event in session.stream(prompt)`.",
        "usage_limits": "The limits are `limits`: Limits(steps=..., tokens=...).",
        "max_turns": "Write limits=Limits(steps=...).",
    }
)
"""Keywords that people try with sessions, and for each what to write here."""

AS_TOOL_ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        "tool_name": "The name is the first argument.",
        "tool_description": "The description is `description`.",
        "max_turns": "The limits are those of the agent: Agent(..., limits=Limits(steps=...)).",
        "timeout": "The seconds are `timeout_s`.",
    }
)
"""Keywords that people try with an agent as a tool, and for each what to write here."""

SESSION_ATTRIBUTES: Mapping[str, str] = MappingProxyType(
    {
        "run_sync": "A session is async: write `await session.run(prompt)`, or asyncio.run(session.run(prompt)).",
        "chat": "Write `await session.run(prompt)`.",
        "send": "Write `await session.run(prompt)`.",
        "ask": "Write `await session.run(prompt)`.",
        "history": "The conversation is `session.messages`.",
        "id": "The name of a session is `session.name`.",
        "session_id": "The name of a session is `session.name`.",
        "save": "With `runs`, each turn is saved as it runs; agent.session(name) continues the session.",
        "load": "Write agent.session(name); the agent needs the `runs` that the session is in.",
        "get_items": "The conversation is `session.messages`, or session.to_chat() in OpenAI's chat format.",
        "clear_session": "Start another session: agent.session().",
        "clear": "Start another session: agent.session().",
    }
)
"""Attributes that people try with sessions, and for each what to write here."""

STREAM_ATTRIBUTES: Mapping[str, str] = MappingProxyType(
    {
        "stream_events": "Write `async for event in stream`.",
        "stream_text": "Write `async for event in stream`; a TextDelta has the next part of the text.",
        "stream_output": "Write `async for event in stream`; after the loop, the result is stream.outcome.output.",
        "output": "After the loop, the result is stream.outcome.output.",
        "get_output": "After the loop, the result is stream.outcome.output.",
        "final_output": "After the loop, the result is stream.outcome.output.",
        "result": "After the loop, the outcome is `stream.outcome`.",
        "cancel": "Leave the loop, or write `await stream.aclose()`.",
    }
)
"""Attributes that people try with streams, and for each what to write here."""

"""`agent run --dry-run`: show what would be sent, counted by the server's own tokenizer; sends the model nothing."""

from __future__ import annotations

import asyncio
import os

from ..agent import Agent
from ..errors import EndpointError
from ..journal.runs import runs_folder
from ..model.endpoint import Endpoint
from ..task.task import Task
from ..tooling.notes import notes_of
from ..view.text import on_one_line, visible
from .discovery import NOWHERE


def dry_run(task: Task, endpoint: Endpoint | None) -> int:
    """Print the prompt, the tools and the token count of the first request; return the exit code."""
    agent = Agent.from_task(task, endpoint or NOWHERE, environ=os.environ, runs=runs_folder(os.environ))
    settings = agent.settings()
    tools = settings.toolbox()
    prompt = task.rendered_prompt()
    model = task.model.name if endpoint is None else endpoint.model
    print(f"system:\n{_indented(settings.system_prompt(model or ''))}\n\nprompt:\n{_indented(prompt)}\n")
    print(f"tools: {', '.join(tools.names) or 'none'} ({len(tools.definitions):,} bytes of definitions)")
    for note in notes_of(tools):
        print(f"  note: {on_one_line(note)}")
    if task.verify is not None:
        print(f"verify: {task.verify.command}")
    if endpoint is None:
        print("tokens: not counted, because no server has the model. Start one: agent serve pocket")
        return 0
    try:
        counts = asyncio.run(agent.count(prompt, images=task.images()))
    except EndpointError as error:
        print(f"tokens: not counted. {on_one_line(str(error))}")
        return 0
    if counts is None:
        print(f"tokens: not counted, because {endpoint.base_url} has no /tokenize (vLLM has it)")
        return 0
    window = f" of {counts.window_tokens:,}" if counts.window_tokens else ""
    print(f"tokens: {len(counts.tokens):,}{window}, counted by {endpoint.base_url}")
    return 0


def _indented(text: str) -> str:
    return "\n".join(f"  {visible(line)}" for line in text.splitlines())

"""`agent run --dry-run`: show what would be sent, with the tokens of the first prompt; sends the model nothing."""

from __future__ import annotations

import asyncio
import os

from ..agent import Agent
from ..first_prompt import PromptTokens, measure
from ..journal.runs import runs_folder
from ..loop.window import LIKELY_BYTES_PER_TOKEN
from ..messages import UserMessage
from ..model.endpoint import Endpoint
from ..task.task import Task
from ..tooling.notes import notes_of
from ..view.text import on_one_line, visible
from .discovery import NOWHERE, POCKET


def dry_run(task: Task, endpoint: Endpoint | None, *, model: str | None) -> int:
    """Print the prompt, the tools and the tokens of the first request; return the exit code.

    Args:
        task: the task.
        endpoint: None means that no server is there to be asked.
        model: the model on the command line. None if not given.
    """
    agent = Agent.from_task(task, endpoint or NOWHERE, environ=os.environ, runs=runs_folder(os.environ))
    settings = agent.settings()
    tools = settings.toolbox()
    prompt = task.rendered_prompt()
    model = (model or task.model.name if endpoint is None else endpoint.model) or ""
    print(f"system:\n{_indented(settings.system_prompt(model))}\n\nprompt:\n{_indented(prompt)}\n")
    print(f"tools: {', '.join(tools.names) or 'none'} ({len(tools.definitions):,} bytes of definitions)")
    for note in notes_of(tools):
        print(f"  note: {on_one_line(note)}")
    if task.verify is not None:
        print(f"verify: {task.verify.command}")
    message = UserMessage(content=prompt, images=task.images())
    from serving.pocket import model_dir  # agent works without serving until a command needs it

    files = str(model_dir()) if model == POCKET else model
    found = asyncio.run(measure(settings, message, model=model, files=files, has_server=endpoint is not None))
    print(f"tokens: {_tokens(found, settings.model.base_url)}")
    return 0


def _tokens(found: PromptTokens, base_url: str) -> str:
    window = f" of {found.window_tokens:,}" if found.window_tokens else ""
    why_not = on_one_line(found.why_not)
    match found.counted_by:
        case "server":
            return f"{found.tokens:,}{window}, counted by {base_url}"
        case "tokenizer":
            return f"{found.tokens:,}{window}, counted by the model's tokenizer on this machine: {why_not}"
        case "estimate":
            by = f"estimated by {LIKELY_BYTES_PER_TOKEN:g} bytes per token"
            return f"about {found.tokens:,}{window}, {by}: {why_not}"


def _indented(text: str) -> str:
    return "\n".join(f"  {visible(line)}" for line in text.splitlines())

"""Count the tokens of the first prompt of a run: by the server, by the model's tokenizer, or as an estimate."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import Literal

from .errors import EndpointError
from .loop.window import LIKELY_BYTES_PER_TOKEN
from .messages import UserMessage
from .model.history import History
from .model.local_tokens import count_locally
from .model.protocol import Served, TokenCount
from .model.wire import Request
from .run_settings import RunSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptTokens:
    """The size of a prompt in tokens, and who counted it."""

    tokens: int
    window_tokens: int | None
    counted_by: Literal["server", "tokenizer", "estimate"]
    """`tokenizer` is the model's own, by mistral-common; both other than `estimate` are exact."""
    why_not: str = ""
    """Why the server did not count it. Empty if it did."""


async def count(settings: RunSettings, prompt: UserMessage) -> TokenCount | None:
    """Return the tokens of the first request, as the server renders it. None if the server cannot count them.

    Raises:
        EndpointError: the server does not answer.
    """
    async with settings.model.open() as connection:
        return await connection.count(_request(settings, prompt, await connection.served())[0])


async def measure(
    settings: RunSettings, prompt: UserMessage, *, model: str, files: str, has_server: bool
) -> PromptTokens:
    """Return the size of the first prompt as exactly as it can be known.

    Args:
        settings: of the run.
        prompt: of the user.
        model: the name of the model, or empty; the server's own replaces it.
        files: the folder of the model's files, or its name on the Hub. Empty means the name that the server reports.
        has_server: whether a server is asked.
    """
    served, why_not = Served(model=model, window_tokens=None), "there is no server"
    if has_server:
        try:
            async with settings.model.open() as connection:
                served = await connection.served()
                counted = await connection.count(_request(settings, prompt, served)[0])
            if counted is not None:
                window = counted.window_tokens or served.window_tokens
                return PromptTokens(tokens=len(counted.tokens), window_tokens=window, counted_by="server")
            why_not = f"{settings.model.base_url} has no /tokenize (vLLM has it)"
        except EndpointError as error:
            why_not = str(error)
    request, size_bytes = _request(settings, prompt, served)
    exact = await asyncio.to_thread(count_locally, request, files or request.model, os.environ)
    return PromptTokens(
        tokens=round(size_bytes / LIKELY_BYTES_PER_TOKEN) if exact is None else exact,
        window_tokens=served.window_tokens,
        counted_by="estimate" if exact is None else "tokenizer",
        why_not=why_not,
    )


def _request(settings: RunSettings, prompt: UserMessage, served: Served) -> tuple[Request, int]:
    """Return the first request and its size in bytes, images as `History.wire_bytes` counts them."""
    profile = settings.profile(served.model)
    history = History(replay_reasoning=profile.replay_reasoning)
    history.add_system(settings.system_prompt(served.model, window_tokens=served.window_tokens))
    history.add_user(prompt)
    effort = profile.climbed(settings.ladder).rungs[0].effort
    notes = settings.takes_notes(profile, served.window_tokens)
    tools = settings.toolbox(profile.name, notes=notes).definitions
    request = Request(
        model=served.model, messages=history.wire, tools=tools, max_tokens=1,
        effort=effort if profile.takes_effort and profile.surface.effort else None,
    )  # fmt: skip
    return request, history.wire_bytes + len(tools)

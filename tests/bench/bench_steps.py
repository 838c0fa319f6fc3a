"""Measure what an agent costs beside a bare openai loop and a peer: short and long runs, and many agents at once.

Run it with `make bench`. The server is another process on this machine and answers at once with a tool call, so the
measured time is the agent's own work: serialise, send, read, validate, execute, journal. Every measurement runs in a
process of its own, all of them in turn in each round, and the ratios are of one round: other load on the machine
changes CPU time by a factor of two and more. The peer is pydantic-ai, if it is installed.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROUNDS = 5
RUNS = {1: 40, 10: 8, 100: 2, 400: 1}
"""How often a run of so many steps is repeated in one measurement, after two of one step that are not counted."""
AGENTS = 512
AGENT_STEPS = 4
BASE = "bare openai loop"
RESULT = "The quick brown fox jumps over the lazy dog, and the dog looks on. " * 4
SYSTEM = "You note numbers."
PROMPT = "Note all numbers."


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one measurement took."""

    cpu_ms: float
    """CPU milliseconds per run, or of all agents together."""
    wall_s: float
    grown_mb: float
    """Growth of the process's largest memory, from before the first run."""


Run = Callable[[int], Awaitable[None]]
"""Runs one agent for so many steps."""


def main() -> None:
    """Measure every loop several times, in turn, and print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    spawn = multiprocessing.get_context("spawn")
    parent, child = spawn.Pipe()
    server = spawn.Process(target=serve, args=(child,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{parent.recv()}/v1"
    names = [name for name in LOOPS if name != "pydantic-ai" or importlib.util.find_spec("pydantic_ai") is not None]
    measured: dict[tuple[str, str], list[Cost]] = {}
    try:
        for number in range(1, rounds + 1):
            for column in [*map(str, RUNS), "agents"]:
                for name in names:
                    print(f"round {number} of {rounds}: {column}: {name}", file=sys.stderr, flush=True)
                    with spawn.Pool(1) as pool:
                        cost = pool.apply(measure, (name, url, column))
                    measured.setdefault((name, column), []).append(cost)
    finally:
        server.terminate()
    print("\n".join(table(names, measured)))


def measure(name: str, url: str, column: str) -> Cost:
    """Measure one loop in this process; `column` is a number of steps, or `agents` for many at once."""
    return asyncio.run(_measure(LOOPS[name], url, column))


async def _measure(loop: Callable[[str], Any], url: str, column: str) -> Cost:
    async with loop(url) as run:
        steps = AGENT_STEPS if column == "agents" else int(column)
        times = 1 if column == "agents" else RUNS[steps]
        for _ in range(2):
            await run(1)
        before_mb, cpu, wall = _peak_mb(), time.process_time(), time.monotonic()
        if column == "agents":
            await asyncio.gather(*(run(steps) for _ in range(AGENTS)))
        else:
            for _ in range(times):
                await run(steps)
        cpu_ms = 1000 * (time.process_time() - cpu) / times
        return Cost(cpu_ms=cpu_ms, wall_s=time.monotonic() - wall, grown_mb=_peak_mb() - before_mb)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def table(names: Sequence[str], measured: dict[tuple[str, str], list[Cost]]) -> Iterable[str]:
    """Format the medians over the rounds, and the ratios to the bare loop, as a Markdown table."""
    columns = list(map(str, RUNS))
    heads = [f"CPU ms, {steps} steps" for steps in columns]
    many = [f"{AGENTS} agents: requests a second", "MB more"]
    yield f"| | {' | '.join([*heads, *many])} |"
    yield "|---" * (1 + len(heads) + len(many)) + "|"
    for name in names:
        cells = [_cell(measured, name, column, lambda cost: cost.cpu_ms) for column in columns]
        cells.append(_cell(measured, name, "agents", lambda cost: AGENTS * AGENT_STEPS / cost.wall_s))
        cells.append(_cell(measured, name, "agents", lambda cost: cost.grown_mb))
        yield f"| {name} | {' | '.join(cells)} |"


def _cell(measured: dict[tuple[str, str], list[Cost]], name: str, column: str, value: Callable[[Cost], float]) -> str:
    """Return the median, and the median of the ratios to the bare loop in the same round."""
    own, base = (list(map(value, measured[one, column])) for one in (name, BASE))
    ratio = statistics.median(mine / theirs for mine, theirs in zip(own, base, strict=True))
    return f"{statistics.median(own):,.1f} ({ratio:.2f}x)"


# The loops. Each keeps its client for all its runs.


class tramontane:
    """An agent as a user would run it: validation, a workspace, a tool with side effects, and a journal."""

    stream = True

    def __init__(self, url: str) -> None:
        """Prepare the folders; nothing is sent."""
        from agent import Agent, Endpoint, Limits, tool

        self._folder = tempfile.TemporaryDirectory()

        @tool
        def note(number: int) -> str:
            """Note a number."""
            return f"{number}. {RESULT}"

        def agent(steps: int) -> Agent[Any, Any]:
            return Agent(
                endpoint, tools=[note], instructions=SYSTEM, workspace=tempfile.mkdtemp(dir=self._folder.name),
                limits=Limits(steps=steps, tool_calls=None, output_tokens=None),
                runs=Path(self._folder.name) / "runs",
            )  # fmt: skip

        self._agent = agent
        endpoint = Endpoint(url, stream=self.stream)
        self._opened = endpoint.open()

    async def __aenter__(self) -> Run:
        await self._opened.__aenter__()
        return self._run

    async def __aexit__(self, *_: object) -> None:
        await self._opened.__aexit__(None, None, None)
        self._folder.cleanup()

    async def _run(self, steps: int) -> None:
        outcome = await self._agent(steps).run(PROMPT)
        assert outcome.reason.startswith("the limit steps"), outcome.reason


class tramontane_whole(tramontane):
    """The same without streaming, as the other loops run."""

    stream = False


class bare_openai:
    """The conversation as the openai package's examples hold it: typed create, message objects appended."""

    def __init__(self, url: str) -> None:
        """Create the client; nothing is sent."""
        import openai

        self._client = openai.AsyncOpenAI(base_url=url, api_key="none")

    async def __aenter__(self) -> Run:
        return self._run

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def _run(self, steps: int) -> None:
        messages: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": PROMPT}]
        for _ in range(steps):
            completion = await self._client.chat.completions.create(
                model="bench", messages=messages, tools=[DEFINITION], temperature=0, max_tokens=8192
            )
            message = completion.choices[0].message
            messages.append(message)
            for call in message.tool_calls or []:
                assert call.type == "function"
                number = json.loads(call.function.arguments)["number"]
                messages.append({"role": "tool", "tool_call_id": call.id, "content": f"{number}. {RESULT}"})


class pydantic_ai_agent:
    """The peer, as its documentation has it; one model and client for all runs."""

    def __init__(self, url: str) -> None:
        """Create the agent; nothing is sent."""
        from pydantic_ai import Agent  # type: ignore[import-not-found]
        from pydantic_ai.models.openai import OpenAIChatModel  # type: ignore[import-not-found]
        from pydantic_ai.providers.openai import OpenAIProvider  # type: ignore[import-not-found]

        model: Any = OpenAIChatModel("bench", provider=OpenAIProvider(base_url=url, api_key="none"))
        self._agent: Any = Agent(model, instructions=SYSTEM)

        def note(number: int) -> str:
            """Note a number."""
            return f"{number}. {RESULT}"

        self._agent.tool_plain(note)

    async def __aenter__(self) -> Run:
        return self._run

    async def __aexit__(self, *_: object) -> None:
        pass

    async def _run(self, steps: int) -> None:
        from pydantic_ai.exceptions import UsageLimitExceeded  # type: ignore[import-not-found]
        from pydantic_ai.usage import UsageLimits  # type: ignore[import-not-found]

        try:
            await self._agent.run(PROMPT, usage_limits=UsageLimits(request_limit=steps))
        except UsageLimitExceeded:
            return


LOOPS: dict[str, Callable[[str], Any]] = {
    BASE: bare_openai,
    "tramontane": tramontane,
    "tramontane, not streamed": tramontane_whole,
    "pydantic-ai": pydantic_ai_agent,
}
DEFINITION: Any = {
    "type": "function",
    "function": {
        "name": "note",
        "description": "Note a number.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"number": {"type": "integer"}},
            "required": ["number"],
            "additionalProperties": False,
        },
    },
}


# The server answers at once; it reads only the method and whether a stream is requested.


def serve(ready: Connection) -> None:
    """Send the port through the pipe, then serve until the process is terminated."""
    asyncio.run(_serve(ready))


async def _serve(ready: Connection) -> None:
    listener = await asyncio.start_server(_converse, "127.0.0.1", 0, limit=1 << 24, backlog=2 * AGENTS)
    ready.send(listener.sockets[0].getsockname()[1])
    await listener.serve_forever()


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    number = 0
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            body = await reader.readexactly(int(length or 0))
            if head.startswith(b"get "):
                card = {"id": "bench", "object": "model", "max_model_len": 10_000_000}
                writer.write(_answer(json.dumps({"object": "list", "data": [card]}), "application/json"))
                continue
            number += 1
            is_stream = b'"stream":true' in body
            kind = "text/event-stream" if is_stream else "application/json"
            writer.write(_answer(_events(number) if is_stream else json.dumps(_completion(number)), kind))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def _answer(body: str, content_type: str) -> bytes:
    data = body.encode()
    return f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


USAGE = {"prompt_tokens": 100, "completion_tokens": 12, "total_tokens": 112}


def _completion(number: int) -> dict[str, Any]:
    function = {"name": "note", "arguments": json.dumps({"number": number})}
    call = {"id": f"note{number:05}", "type": "function", "function": function}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls"}
    head = {"id": "chatcmpl-bench", "object": "chat.completion", "created": 0, "model": "bench"}
    return {**head, "choices": [choice], "usage": USAGE}


def _events(number: int) -> str:
    """Return a stream in a dozen chunks, about as many as vLLM sends for such a call."""
    text = json.dumps({"number": number})
    first = {"index": 0, "id": f"note{number:05}", "type": "function", "function": {"name": "note", "arguments": ""}}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, {"tool_calls": [first]}]
    deltas += [
        {"tool_calls": [{"index": 0, "function": {"arguments": text[at : at + 2]}}]} for at in range(0, len(text), 2)
    ]
    head = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 0, "model": "bench"}
    ends = [None] * (len(deltas) - 1) + ["tool_calls"]
    chunks = [
        {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]}
        for delta, end in zip(deltas, ends, strict=True)
    ]
    lines = [json.dumps(chunk) for chunk in [*chunks, {**head, "choices": [], "usage": USAGE}]]
    return "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"])


if __name__ == "__main__":
    main()

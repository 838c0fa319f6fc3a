"""Measure the agent's CPU time per step as a run grows, with a plain openai loop as the baseline.

Run it with `make bench`. The server is another process on this machine and answers at once with a tool call, so the
measured time is the agent's own work: serialise, send, read, validate, execute, journal. Other load on the machine
changes CPU time too (by a factor of two, seen on two shared cores), so compare ratios within one round.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from agent import Agent, Endpoint, Limits, tool
from agent.journal.events import Event, Requested

AT = (10, 100, 400)
"""The steps to report."""
ROUNDS = 5
HALF_WINDOW = 9
"""The median is taken over this many steps on either side of each step in `AT`."""
RESULT = "The quick brown fox jumps over the lazy dog, and the dog looks on. " * 4
SYSTEM = "You note numbers."
PROMPT = "Note all numbers."

Loop = Callable[[str, int], list[float]]
"""Takes a server's URL and a number of steps; returns the process's CPU seconds at the start of each step."""


def main() -> None:
    """Measure every loop several times, interleaved, and print the table."""
    loops: dict[str, Loop] = {
        "tramontane": lambda url, steps: tramontane(url, steps, stream=True),
        "tramontane, not streamed": lambda url, steps: tramontane(url, steps, stream=False),
        "plain openai loop": plain_openai,
    }
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    parent, child = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(child,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{parent.recv()}/v1"
    measured: dict[str, list[dict[int, float]]] = {name: [] for name in loops}
    try:
        for number in range(1, rounds + 1):
            for name, loop in loops.items():  # interleaved, so that a slow minute affects all of them
                print(f"round {number} of {rounds}: {name}", file=sys.stderr, flush=True)
                gc.collect()
                measured[name].append(costs_ms(loop(url, AT[-1] + HALF_WINDOW + 1)))
    finally:
        server.terminate()
    print("\n".join(table(measured)))


def tramontane(url: str, steps: int, *, stream: bool) -> list[float]:
    """Run an agent as a user would, with a journal, validation and a tool with side effects."""
    starts: list[float] = []

    def observe(event: Event) -> None:
        if isinstance(event, Requested):
            starts.append(time.process_time())

    @tool
    def note(number: int) -> str:
        """Note a number."""
        return f"{number}. {RESULT}"

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "workspace").mkdir()
        agent = Agent(
            Endpoint(url, stream=stream),
            tools=[note],
            instructions=SYSTEM,
            limits=Limits(steps=steps, tool_calls=None, output_tokens=None),
            workspace=Path(folder) / "workspace",
            runs=Path(folder) / "runs",
        )
        outcome = agent.run_sync(PROMPT, observe=observe)
    assert outcome.reason.startswith("the limit steps"), outcome.reason
    return starts


def plain_openai(url: str, steps: int) -> list[float]:
    """Hold the same conversation as the openai package's examples do: typed create, message objects appended."""
    import openai

    starts: list[float] = []
    definition: Any = {
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

    async def run() -> None:
        messages: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": PROMPT}]
        async with openai.AsyncOpenAI(base_url=url, api_key="none") as client:
            for _ in range(steps):
                starts.append(time.process_time())
                completion = await client.chat.completions.create(
                    model="bench", messages=messages, tools=[definition], temperature=0, max_tokens=8192
                )
                message = completion.choices[0].message
                messages.append(message)
                for call in message.tool_calls or []:
                    assert call.type == "function"
                    number = json.loads(call.function.arguments)["number"]
                    messages.append({"role": "tool", "tool_call_id": call.id, "content": f"{number}. {RESULT}"})

    asyncio.run(run())
    return starts


def costs_ms(starts: list[float]) -> dict[int, float]:
    """Return the median CPU milliseconds per step around each step in `AT`."""
    steps = [1000 * (after - before) for before, after in itertools.pairwise(starts)]
    return {at: statistics.median(steps[at - HALF_WINDOW : at + HALF_WINDOW]) for at in AT}


def table(measured: dict[str, list[dict[int, float]]]) -> Iterable[str]:
    """Format the medians over the rounds, their spread and the growth as a Markdown table."""
    yield "| CPU ms per step | " + " | ".join(f"at step {at}" for at in AT) + f" | {AT[-1]} to {AT[0]} |"
    yield "|---|" + "---|" * (len(AT) + 1)
    for name, rounds in measured.items():
        cells: list[str] = []
        for at in AT:
            values = sorted(one[at] for one in rounds)
            cells.append(f"{statistics.median(values):.2f} ({values[0]:.2f} to {values[-1]:.2f})")
        growth = statistics.median(one[AT[-1]] / one[AT[0]] for one in rounds)
        yield f"| {name} | " + " | ".join(cells) + f" | {growth:.2f} |"


# The server answers at once; it reads only the method and whether a stream is requested.


def serve(ready: Connection) -> None:
    """Send the port through the pipe, then serve until the process is terminated."""
    asyncio.run(_serve(ready))


async def _serve(ready: Connection) -> None:
    listener = await asyncio.start_server(_converse, "127.0.0.1", 0, limit=1 << 24)
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

"""Drive long runs in a small window of the real engine, and print what the engine read, by reason.

    .venv/bin/python tests/bench/long_runs.py [--steps 500] [--window 4096] [--agents 1] [--at-once N]

The engine is vLLM with the pocket model on this machine's CPU. It renders, caches and reads every prompt; the replies
come from a script, because a model of 3 M parameters does not work for 500 steps: reads, searches and edits of files of
a made-up project, several at once, notes, now and then a call that cannot be executed or an empty reply. Each run is to
end because the script says so, without a single refused prompt. `--agents 16 --kv-windows 4` puts 16 runs at once on a
KV cache that holds four full windows.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from wrapped_model import WrappedModel

from agent import Agent, Endpoint, EndpointError, Ladder, Limits, Outcome, Rung, ready_tools
from agent.journal.events import Event
from agent.journal.prefill import Prefill, prefill
from agent.loop.prompts import SUM_UP
from agent.messages import Reply
from agent.model.profiles import MISTRAL, Sampling
from agent.model.wire import Request
from agent.testing import calls, says

FILES = 24
LINES = 300
WORDS = ("total", "index", "window", "buffer", "parser", "result", "cursor", "header", "amount", "signal")
TOOLS = ("read_file", "search", "edit_file")
INSTRUCTIONS = "You mend a project with tools. Say so when it is done."
SUMMARY = "Read so far: {files}. Found nothing wrong yet in them. Left: the others, then the tests. {words}"
STOPS = ["e", "a", " ", "\n"]
EXACT = Sampling(temperature=0.0)
PROFILE = replace(
    MISTRAL,
    reply_tokens={"none": 400, "high": 800, None: 400},
    sampling={"none": EXACT, "high": EXACT, None: EXACT},
    # Errors of the script are no reason to give up.
    ladder=Ladder(rungs=(Rung(effort="none"), Rung(effort="high"), Rung(effort="high", fresh_context=True)),
                  triggers={"empty_reply": 2, "tool_error": 3}),
)  # fmt: skip


@dataclass(kw_only=True)
class Script:
    """Replies of one agent; what it does depends on its seed only."""

    seed: int
    steps: int
    done: int = 0
    chance: Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = Random(f"long/{self.seed}")

    def reply(self, request: Request) -> Reply:
        """Return the reply to a request."""
        if SUM_UP[:40].encode() in request.messages[-1]:
            words = " ".join(self.chance.choices(WORDS, k=80))
            return says(SUMMARY.format(files=", ".join(f"f{at}.py" for at in range(self.done % FILES)), words=words))
        self.done += 1
        if self.done >= self.steps:
            return says("It is done.")
        kind = self.chance.choices(
            ("read", "reads", "search", "edit", "notes", "unknown", "empty"), (48, 10, 20, 14, 4, 2, 2)
        )[0]
        return getattr(self, f"_{kind}")()

    def _read(self) -> Reply:
        return calls(self._one_read())

    def _reads(self) -> Reply:
        return calls(*(self._one_read() for _ in range(self.chance.randint(2, 4))))

    def _one_read(self) -> tuple[str, dict[str, Any]]:
        first = self.chance.randrange(1, LINES - 60)
        path = f"f{self.chance.randrange(FILES)}.py"
        return "read_file", {"path": path, "start_line": first, "line_count": self.chance.randint(5, 60)}

    def _search(self) -> Reply:
        return calls(("search", {"pattern": f"{self.chance.choice(WORDS)}_{self.chance.randrange(LINES)}"}))

    def _edit(self) -> Reply:
        at, line = self.chance.randrange(FILES), self.chance.randrange(LINES)
        old = f"LINE_{line} = "
        return calls(("edit_file", {"path": f"f{at}.py", "old": old, "new": f"LINE_{line} = {self.done} + "}))

    def _notes(self) -> Reply:
        return calls(("write_notes", {"notes": f"Step {self.done}: " + " ".join(self.chance.choices(WORDS, k=30))}))

    def _unknown(self) -> Reply:
        return calls(("open_file", {"path": f"f{self.done % FILES}.py"}))

    def _empty(self) -> Reply:
        return says("")


@dataclass(kw_only=True)
class PlayedModel(WrappedModel):
    """A model whose replies are replaced; every request reaches the engine, and the usage is the engine's."""

    script: Script
    refused: list[str] = field(default_factory=list[str])
    """Requests that the engine refused, in its words."""

    async def ask(self, request: Request) -> Reply:
        # The pocket model does not end its replies, so they are stopped early; nobody reads them.
        stopped = replace(request, extra_body={**request.extra_body, "stop": STOPS})
        try:
            real = await super().ask(stopped)
        except EndpointError as error:
            self.refused.append(str(error))
            raise
        played = self.script.reply(request)
        usage = None if real.usage is None else replace(real.usage, completion_tokens=100, reasoning_tokens=0)
        return replace(played, usage=usage)


@dataclass(frozen=True, kw_only=True)
class Ran:
    """One run and what the engine read for it."""

    outcome: Outcome[Any]
    account: Prefill
    kinds: Counter[str]
    refused: Sequence[str]
    summaries: int
    """Those that the model wrote."""


def make_project(folder: Path) -> None:
    """Write the files that the script reads and edits."""
    chance = Random("project")
    for at in range(FILES):
        lines = [f"LINE_{line} = {chance.choice(WORDS)}_{line}(" + ", ".join(chance.choices(WORDS, k=4)) + ")"
                 for line in range(LINES)]  # fmt: skip
        (folder / f"f{at}.py").write_text("\n".join(lines) + "\n")


async def run_one(url: str, folder: Path, *, seed: int, steps: int) -> Ran:
    """Run one agent to the end of its script."""
    folder.mkdir()
    make_project(folder)
    model = PlayedModel(model=Endpoint(url, profile=PROFILE), script=Script(seed=seed, steps=steps))
    events: list[Event] = []
    agent = Agent(
        model, tools=[ready_tools.find(name) for name in TOOLS], instructions=INSTRUCTIONS, workspace=folder,
        limits=Limits(steps=3 * steps, tool_calls=None, tokens=None, wall_s=None),
    )  # fmt: skip
    outcome = await agent.run(f"Mend project {seed}.", observe=events.append)
    return Ran(
        outcome=outcome,
        account=prefill(events),
        kinds=Counter(event.kind for event in events),
        refused=model.refused,
        summaries=sum(event.kind == "summed_up" and bool(event.text) for event in events),
    )


@contextmanager
def started(window: int, kv_windows: int, state: Path) -> Generator[str]:
    """Start the pocket engine with this window and a KV cache that holds so many of them; yield its URL."""
    from serving.capacity.planner import plan
    from serving.capacity.sizing import PlanOptions
    from serving.engine import Engine
    from serving.engines.command import ServeOptions
    from serving.pocket import MODEL_NAME
    from serving.readiness.interpreter import cpu_python
    from serving.running.process_group import free_port

    environ = {**os.environ, "XDG_STATE_HOME": str(state)}
    options = PlanOptions(model=MODEL_NAME, gpus="cpu", max_model_len=window, max_num_seqs=16, enforce_eager=True)
    bytes_per_token = plan(options).kv_bytes_per_token
    options = replace(options, kv_cache_memory_bytes=kv_windows * window * bytes_per_token)
    with Engine(
        plan(options), options=ServeOptions(port=free_port(), served_model_name=MODEL_NAME),
        python=lambda report: cpu_python(environ, report), environ=environ,
    ) as engine:  # fmt: skip
        yield engine.start().base_url


def table(rans: Sequence[Ran]) -> Iterator[str]:
    """Yield a Markdown table of all runs together."""
    account, kinds = Prefill(), Counter[str]()
    for ran in rans:
        account.requests += ran.account.requests
        account.prompt_tokens += ran.account.prompt_tokens
        account.cached_tokens += ran.account.cached_tokens
        account.new_tokens += ran.account.new_tokens
        account.again += ran.account.again
        account.times += ran.account.times
        kinds += ran.kinds
    yield "| what | number |"
    yield "|---|---:|"
    rows = [
        ("runs that ended by their own decision", sum(ran.outcome.status == "finished" for ran in rans)),
        ("runs", len(rans)),
        ("requests", account.requests),
        ("prompts that the engine refused", sum(len(ran.refused) for ran in rans)),
        ("folds", kinds["folded"]),
        ("renewals", kinds["context_renewed"]),
        ("summaries asked for", kinds["summed_up"]),
        ("summaries written", sum(ran.summaries for ran in rans)),
        ("prompt tokens", account.prompt_tokens),
        ("of these, in the cache", account.cached_tokens),
        ("read: new", account.new_tokens),
        *((f"read again: {reason}", tokens) for reason, tokens in account.again.most_common()),
    ]
    yield from (f"| {name} | {number:,} |" for name, number in rows)
    yield f"| hit rate | {account.hit_rate:.1%} |"


async def bench(url: str, *, agents: int, at_once: int, steps: int, folder: Path) -> list[Ran]:
    """Run all agents, so many at once."""
    free = asyncio.Semaphore(at_once)

    async def one(seed: int) -> Ran:
        async with free:
            return await run_one(url, folder / str(seed), seed=seed, steps=steps)

    return await asyncio.gather(*map(one, range(agents)))


def main() -> int:
    """Print the table; the exit code is 1 if a run did not end by its own decision or a prompt was refused."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--window", type=int, default=4_096)
    parser.add_argument("--agents", type=int, default=1)
    parser.add_argument("--at-once", type=int, help="runs at the same time; all of them by default")
    parser.add_argument("--kv-windows", type=int, default=4, help="full windows that the KV cache holds")
    parser.add_argument("--url", help="of a pocket engine that runs already")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="long-") as name:
        folder = Path(name)
        began = time.monotonic()

        def measured(url: str) -> list[Ran]:
            return asyncio.run(
                bench(url, agents=args.agents, at_once=args.at_once or args.agents, steps=args.steps, folder=folder)
            )

        if args.url:
            rans = measured(args.url)
        else:
            (folder / "state").mkdir()
            with started(args.window, args.kv_windows, folder / "state") as url:
                began = time.monotonic()
                rans = measured(url)
        took_s = time.monotonic() - began
    at_once = args.at_once or args.agents
    what = (
        f"{args.agents} agents, {at_once} at once, {args.steps} steps, window {args.window:,}, KV cache of "
        f"{args.kv_windows} windows"
    )
    print(f"{what}, {took_s:.0f} s")
    print("\n".join(table(rans)))
    for ran in rans:
        if ran.outcome.status != "finished" or ran.refused:
            print(f"{ran.outcome.status}: {ran.outcome.reason}", *ran.refused[:3], sep="\n  ")
    return int(any(ran.outcome.status != "finished" or ran.refused for ran in rans))


if __name__ == "__main__":
    sys.exit(main())

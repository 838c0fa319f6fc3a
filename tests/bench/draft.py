"""Measure how much the draft speeds up the pocket model on the CPU, on the same requests without and with it.

    .venv/bin/python tests/bench/draft.py [REQUESTS.jsonl] [--draft FOLDER] [--rounds N]

Each line of the file is a chat request: {"messages": [...], "tools": [...], "reasoning_effort": "none"}. Without a file
the requests are generated: conversations of the kind that the model was trained on, each cut off before a reply. Both
engines run the whole time, but only one receives requests at a time. Each engine answers every request once before the
measurement, so the prompts are cached and only decoding is measured. Everything runs at temperature 0, and the replies
are compared. Other load on the machine changes all results; compare the medians.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from pocket.dataset import generate_sample

from agent.loop.prompts import SYSTEM_PROMPT
from serving import ServerRecord, pocket_engine
from tools import files, search, shell

OWN = (files.list_files, files.read_file, files.write_file, files.edit_file, search.search, shell.run_shell)
STREAMS = (1, 4)
"""Numbers of concurrent requests."""
GENERATED = 40
SEED = 20_000_003
"""Seed of the generated requests; no training uses it."""
MAX_TOKENS = 400
TIMEOUT_S = 300.0

Message = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Pass:
    """All replies of one pass over the requests."""

    replies: tuple[str, ...]
    tokens: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Counters:
    """An engine's draft counters since its start; all 0 without a draft."""

    drafts: int
    accepted: tuple[int, ...]
    """Accepted tokens by position in the draft."""


@dataclass(kw_only=True)
class Side:
    """One of the two engines and its measurements."""

    title: str
    record: ServerRecord
    speeds: dict[int, list[float]] = field(default_factory=dict)
    """Tokens per second by number of streams, one value per round."""
    texts: dict[int, list[tuple[str, ...]]] = field(default_factory=dict)


def main() -> int:
    """Measure and print the table; return 1 if any reply differs."""
    args = arguments()
    requests = read_requests(args.requests) if args.requests else generated_requests()
    with pocket_engine() as plain, pocket_engine(draft=args.draft) as drafting:
        sides = [
            Side(title="without draft", record=plain.start()),
            Side(title="with draft", record=drafting.start()),
        ]
        for side in sides:
            log(f"warming up: {side.title}")
            ask_all(side.record, requests, STREAMS[0])
        before = counters(sides[-1].record)
        measure(sides, requests, rounds=args.rounds)
        counted = since(before, counters(sides[-1].record))
    differing = differences(sides)
    print("\n".join(report(sides, counted, requests=len(requests), rounds=args.rounds, differing=differing)))
    return 1 if differing else 0


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("requests", nargs="?", type=Path)
    parser.add_argument("--draft", default="eagle", help="`eagle` (the shipped draft) or a folder (default: eagle)")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def read_requests(file: Path) -> list[Message]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def generated_requests() -> list[Message]:
    """Generate conversations cut off before a reply, in the format of OpenAI's clients."""
    rng, own = Random(SEED), [tool.for_family("pocket").definition() for tool in OWN]
    found: list[Message] = []
    while len(found) < GENERATED:
        made = generate_sample(rng, own, SYSTEM_PROMPT)
        replies = [at for at, message in enumerate(made.messages) if message["role"] == "assistant"]
        messages = [plain(message) for message in made.messages[: rng.choice(replies)]]
        found.append({"messages": messages, "tools": made.tools, "reasoning_effort": made.effort})
    return found


def plain(message: Message) -> Message:
    """Convert a message with content parts to one with a string and a separate `reasoning` field."""
    parts = message.get("content")
    if not isinstance(parts, list):
        return message
    of = {kind: "".join(part[kind] for part in parts if part["type"] == kind) for kind in ("thinking", "text")}
    reasoning = {"reasoning": of["thinking"]} if of["thinking"] else {}
    return {**message, "content": of["text"], **reasoning}


def measure(sides: Sequence[Side], requests: Sequence[Message], *, rounds: int) -> None:
    for number in range(1, rounds + 1):
        # Alternate which engine goes first, so that a slow minute affects both.
        for side in sides if number % 2 else sides[::-1]:
            for streams in STREAMS:
                found = ask_all(side.record, requests, streams)
                speed = found.tokens / found.seconds
                log(f"round {number} of {rounds}, {side.title}, {streams} streams: {speed:.0f} tokens/s")
                side.speeds.setdefault(streams, []).append(speed)
                side.texts.setdefault(streams, []).append(found.replies)


def ask_all(record: ServerRecord, requests: Sequence[Message], streams: int) -> Pass:
    began = time.perf_counter()
    with ThreadPoolExecutor(streams) as pool:
        answers = list(pool.map(partial(ask, record), requests))
    seconds = time.perf_counter() - began
    return Pass(
        replies=tuple(comparable(answer["choices"][0]) for answer in answers),
        tokens=sum(answer["usage"]["completion_tokens"] for answer in answers),
        seconds=seconds,
    )


def ask(record: ServerRecord, request: Message) -> Message:
    body = {"max_tokens": MAX_TOKENS, **request, "model": record.model, "temperature": 0}
    body = {key: value for key, value in body.items() if value is not None}
    post = urllib.request.Request(
        f"{record.base_url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(post, timeout=TIMEOUT_S) as reply:
        return json.load(reply)


def comparable(choice: Message) -> str:
    """Return the whole reply as JSON, without the ids of calls, which are random."""
    message = choice["message"]
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    return json.dumps([choice["finish_reason"], message.get("reasoning"), message.get("content"), calls])


def counters(record: ServerRecord) -> Counters:
    """Read vLLM's draft counters; `parse_metrics` has no field for positions in a draft."""
    with urllib.request.urlopen(record.base_url.removesuffix("/v1") + "/metrics", timeout=30) as reply:
        text = reply.read().decode()
    drafts = re.search(r"^vllm:spec_decode_num_drafts_total\{.*\} (\S+)$", text, re.M)
    by_position = re.findall(
        r'^vllm:spec_decode_num_accepted_tokens_per_pos_total\{.*position="(\d+)".*\} (\S+)$', text, re.M
    )
    accepted = tuple(int(float(count)) for _, count in sorted(by_position, key=lambda found: int(found[0])))
    return Counters(drafts=int(float(drafts[1])) if drafts else 0, accepted=accepted)


def since(before: Counters, after: Counters) -> Counters:
    accepted = tuple(b - a for a, b in zip(before.accepted, after.accepted, strict=True))
    return Counters(drafts=after.drafts - before.drafts, accepted=accepted)


def differences(sides: Sequence[Side]) -> int:
    """Count the single-stream replies that differ from the first round without the draft."""
    first, *others = (texts for side in sides for texts in side.texts[STREAMS[0]])
    return sum(text != same for texts in others for text, same in zip(texts, first, strict=True))


def report(sides: Sequence[Side], counted: Counters, *, requests: int, rounds: int, differing: int) -> list[str]:
    lines = ["| tokens/s, median (lowest to highest) | " + " | ".join(f"{n} concurrent" for n in STREAMS) + " |"]
    lines.append("|---|" + "---|" * len(STREAMS))
    lines += [f"| {side.title} | " + " | ".join(spread(side.speeds[n]) for n in STREAMS) + " |" for side in sides]
    medians = [[statistics.median(side.speeds[n]) for side in sides] for n in STREAMS]
    lines.append("| ratio of the medians | " + " | ".join(f"{after / before:.2f}" for before, after in medians) + " |")
    drafts = max(1, counted.drafts)
    rates = ", ".join(f"{count / drafts:.1%}" for count in counted.accepted)
    return [
        *lines,
        "",
        f"{requests} requests, {rounds} rounds. {counted.drafts} drafts; accepted by position: {rates}; "
        f"{1 + sum(counted.accepted) / drafts:.2f} tokens per pass.",
        f"Replies that differ with one request at a time: {differing}.",
    ]


def spread(speeds: Sequence[float]) -> str:
    return f"{statistics.median(speeds):.0f} ({min(speeds):.0f} to {max(speeds):.0f})"


if __name__ == "__main__":
    sys.exit(main())

"""Twenty runs at once on one server, with what they cost. Run: python examples/04_twenty_at_once.py [URL]."""

import asyncio
import sys

from agent import Agent, Outcome, Prices, Spent

PRICES = Prices(prompt=0.4, output=2.0)  # of a million tokens: give your own
WORDS = [
    "apple", "bread", "chair", "door", "egg", "fork", "gate", "hat", "ink", "jar", "key", "lamp", "map", "net", "oar",
    "pen", "quilt", "rope", "sock", "tent",
]  # fmt: skip


async def translate(agent: Agent, word: str) -> Outcome:
    """Translate one word."""
    return await agent.run(f"Translate into Catalan, answer with one word: {word}")


async def main(url: str) -> int:
    """Translate twenty words at once; return an exit code."""
    agent = Agent(url, instructions="You translate words.")  # holds no state: one agent for all runs
    outcomes = await asyncio.gather(*(translate(agent, word) for word in WORDS))
    for word, outcome in zip(WORDS, outcomes, strict=True):
        print(f"{word:8} {outcome.answer if outcome.ok else outcome.reason}")
    usage = sum((outcome.usage for outcome in outcomes), Spent())
    print(f"{usage.requests} requests, {usage.total_tokens:,} tokens, {usage.cost(PRICES):.6f}")
    return max(outcome.exit_code for outcome in outcomes)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:] or ["http://127.0.0.1:8000/v1"])))

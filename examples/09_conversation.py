"""A conversation that is saved and goes on tomorrow. Run: python examples/09_conversation.py NAME [URL]."""

import asyncio
import sys

from agent import Agent, runs_folder
from agent.events import CallStarted, TextDelta


async def main(name: str, url: str = "http://127.0.0.1:8000/v1") -> int:
    """Answer each line of the input; with the same name, the conversation goes on. Return an exit code."""
    agent = Agent(url, instructions="You are a patient teacher.", runs=runs_folder())
    session = agent.session(name)
    print(f"{len(session.turns)} turns so far.")
    for question in sys.stdin:
        outcome = await session.run(question)
        print(outcome.answer if outcome.ok else f"{outcome.status}: {outcome.reason}")
    # One more question beside the session, as it arrives: history takes an outcome, messages, or chat-format dicts.
    stream = agent.stream("Sum up what we said in one sentence.", history=session.to_chat())
    async for event in stream:
        if isinstance(event, TextDelta):
            print(event.text, end="", flush=True)
        elif isinstance(event, CallStarted):
            print(f"[{event.tool}]")
    print(f"\n{session.usage.total_tokens:,} tokens in all turns")
    return stream.outcome.exit_code


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))

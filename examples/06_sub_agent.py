"""An agent as a tool of another one, with the caller's limits. Run: python examples/06_sub_agent.py FOLDER [URL]."""

import sys

from agent import Agent, Limits


def main(folder: str, url: str = "http://127.0.0.1:8000/v1") -> int:
    """Explain a folder to beginners; return an exit code."""
    reader = Agent(
        url,
        instructions="You read code and answer questions about it in two sentences. Name files and lines.",
        tools=["list_files", "read_file", "search", "outline"],
        workspace=folder,
        limits=Limits(steps=15),
    )
    writer = Agent(
        url,
        instructions="You write short texts for beginners. Ask the reader about the code; you cannot see it.",
        tools=[reader.as_tool("ask_reader", "Ask somebody who can read the code one question.")],
        limits=Limits(tokens=200_000),  # those of the reader count too
    )
    outcome = writer.run_sync("Explain in five sentences what this project does and where to start reading.")
    print(f"{outcome.status}: {outcome.answer}\n{outcome.usage.total_tokens:,} tokens, both agents together")
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

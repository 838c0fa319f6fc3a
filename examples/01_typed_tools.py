"""The library on one screen: a typed tool, an agent, its outcome. Run: python examples/01_two_numbers.py URL."""

import sys

from agent import Agent, Endpoint, tool


@tool(read_only=True)
def add(a: int, b: int) -> int:
    """Add two integers.

    Args:
        a: the first.
        b: the second.
    """
    return a + b


def main(url: str) -> int:
    """Ask for a sum and print the outcome; return an exit code."""
    result = Agent(Endpoint(url), tools=[add]).run_sync("What is 2 + 3?")
    print(f"{result.status}: {result.answer} ({result.steps} steps, {result.usage.output_tokens} output tokens)")
    return result.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000/v1"))

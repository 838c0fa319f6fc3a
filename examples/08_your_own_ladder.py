"""How a run escalates after failures, and how to watch it. Run: python examples/08_your_own_ladder.py [URL]."""

import sys

from agent import Agent, Ladder, Rung, ToolError, tool
from agent.events import Event, Moved, Triggered

SECRET = 742


@tool(read_only=True)
def guess(number: int) -> str:
    """Guess the number between 0 and 999."""
    if number == SECRET:
        return "That is it."
    raise ToolError("too low" if number < SECRET else "too high")


LADDER = Ladder(
    rungs=(
        Rung(effort="none"),  # fast, as long as it works
        Rung(effort="high"),  # thinks after two failed calls
        Rung(effort="high", fresh_context=True),  # then a new conversation with a summary
    ),
    triggers={"tool_error": 2, "repeat": 2, "invalid_call": 1},
)


def show(event: Event) -> None:
    """Print why and how the run escalates; called with every event."""
    match event:
        case Triggered(trigger=trigger, action=action):
            print(f"  {event.at} {trigger}: {action}")
        case Moved(rung=rung, effort=effort):
            print(f"  now on rung {rung}, effort {effort}")
        case _:
            pass


def main(url: str) -> int:
    """Find the number; return an exit code."""
    outcome = Agent(url, tools=[guess], ladder=LADDER).run_sync("Find the number.", observe=show)
    print(f"{outcome.status}: {outcome.answer or outcome.reason}")
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:] or ["http://127.0.0.1:8000/v1"]))

"""Typed tools and a typed result. Run: python examples/01_typed_tools.py [URL]."""

import sys
from typing import Annotated

from pydantic import BaseModel, Field

from agent import Agent, tool


class Forecast(BaseModel):
    """What the agent returns; the model can answer only with such an object."""

    city: str
    celsius: Annotated[float, Field(ge=-90, le=60)]
    bring: list[str]


@tool(read_only=True)
def temperature(city: str, hour: Annotated[int, Field(ge=0, le=23)] = 12) -> float:
    """Return the temperature of a city in degrees Celsius.

    Args:
        city: its name in English.
        hour: hour of the day.
    """
    return 31.5 if city == "Lisbon" else 12.0 + hour / 10


def main(url: str) -> int:
    """Ask for a forecast and print it; return an exit code."""
    agent = Agent(url, tools=[temperature], output_type=Forecast)
    outcome = agent.run_sync("What is it like in Lisbon at three in the afternoon, and what should I bring?")
    if outcome.ok:
        forecast = outcome.output  # a Forecast, also for the type checker
        print(f"{forecast.city}: {forecast.celsius} °C, bring {', '.join(forecast.bring)}")
    else:
        print(f"{outcome.status}: {outcome.reason}")
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:] or ["http://127.0.0.1:8000/v1"]))

"""Tests of an agent without a model: replies by script, everything else real.

Run: pytest examples/10_test_your_agent.py.
"""

import pytest
from pydantic import BaseModel

from agent import Agent, Outcome, ToolError, tool
from agent.testing import ScriptedModel, ScriptedReply, calls, says

STOCK = {"pen": 3, "map": 0}


class Order(BaseModel):
    """What the agent decided."""

    item: str
    ordered: bool


@tool
def order(item: str, count: int) -> str:
    """Order items."""
    if STOCK.get(item, 0) < count:
        raise ToolError(f"only {STOCK.get(item, 0)} of {item} left")
    return f"ordered {count} of {item}"


def run(*replies: ScriptedReply) -> tuple[Outcome[Order], ScriptedModel]:
    """Run the agent with these replies in place of a model's."""
    model = ScriptedModel(replies)
    return Agent(model, tools=[order], output_type=Order).run_sync("Order two pens."), model


def test_a_tool_is_a_function() -> None:
    assert order("pen", 2) == "ordered 2 of pen"
    with pytest.raises(ToolError, match="only 0 of map left"):
        order("map", 1)


def test_the_agent_orders() -> None:
    outcome, model = run(
        calls(("order", {"item": "pen", "count": 2})), calls(("final_result", {"item": "pen", "ordered": True}))
    )
    assert outcome.output == Order(item="pen", ordered=True)
    assert model.bodies[1]["messages"][-1]["content"] == "ordered 2 of pen"


def test_a_wrong_argument_never_reaches_the_tool() -> None:
    outcome, _ = run(
        calls(("order", {"item": "pen", "count": "two"})),
        calls(("order", {"item": "pen", "count": 2})),
        says("Done."),
        calls(("final_result", {"item": "pen", "ordered": True})),
    )
    assert outcome.usage.tool_calls == 2  # the valid call, and the result

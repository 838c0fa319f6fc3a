"""Test agents and tools without a model: replies from a list, in memory or over HTTP.

To test your own agent, give it a ScriptedModel, then check its answer and the requests it sent:

```python
from agent import Agent, tool
from agent.testing import ScriptedModel, calls, says


@tool
def double(number: int) -> int:
    \"\"\"Double a number.\"\"\"
    return 2 * number


def test_the_agent_doubles() -> None:
    model = ScriptedModel([calls(("double", {"number": 21})), says("It is 42.")])
    outcome = Agent(model, tools=[double]).run_sync("Double 21.")
    assert outcome.answer == "It is 42."
    assert model.bodies[1]["messages"][-1]["content"] == "42"
```

The pytest fixtures `scripted_model` and `scripted_server` provide the same; their types: `MakeModel` and `MakeServer`.
A ScriptedServer speaks real HTTP and can fail as real servers do: see `agent.testing.faults`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .faults import Fault
    from .fixtures import MakeModel, MakeServer
    from .model import ScriptedModel, ScriptedReply, ScriptEnded
    from .received import Received
    from .replies import calls, says
    from .server import Answer, ScriptedAnswer, ScriptedServer

__all__ = [
    "Answer",
    "Fault",
    "MakeModel",
    "MakeServer",
    "Received",
    "ScriptEnded",
    "ScriptedAnswer",
    "ScriptedModel",
    "ScriptedReply",
    "ScriptedServer",
    "calls",
    "says",
]

# Every pytest run with this package installed loads the plugin beside this file; it must load nothing more.
_LAZY = {
    "Answer": "server",
    "Fault": "faults",
    "MakeModel": "fixtures",
    "MakeServer": "fixtures",
    "Received": "received",
    "ScriptEnded": "model",
    "ScriptedAnswer": "server",
    "ScriptedModel": "model",
    "ScriptedReply": "model",
    "ScriptedServer": "server",
    "calls": "replies",
    "says": "replies",
}


if not TYPE_CHECKING:  # a type checker would accept every name

    def __getattr__(name: str) -> object:
        if name not in _LAZY:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        from importlib import import_module

        return getattr(import_module(f".{_LAZY[name]}", __name__), name)

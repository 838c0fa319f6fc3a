"""Generate questions that need no tool: the value of a function call, evaluated step by step in the reasoning."""

from random import Random

from pocket.exchange import Exchange, Turn
from pocket.world.examples import parsed
from pocket.world.functions import generate_function
from pocket.world.names import Names
from pocket.world.tracing import TooHardError, trace

_ASKED = (
    "What is {call}?\n\n{code}",
    "{code}\n\nWhat does {call} give?",
    "What does {call} return?\n\n{code}",
    "Work out {call}.\n\n{code}",
)
_MAX_CHARS = 300


def evaluation_question(rng: Random) -> Exchange:
    """Return an exchange that asks for the value of one call of a generated function."""
    while True:
        made = generate_function(rng, Names(rng, "train"))
        sources = [made.source, *([made.helper.source] if made.helper else [])]
        most = 4 if made.small else 12
        arguments = tuple(
            rng.randint(0, most) if kind == "int" else [rng.randint(0, 9) for _ in range(rng.randint(2, 4))]
            for kind in made.kinds
        )
        try:
            steps, value = trace(parsed(sources), made.name, arguments)
        except TooHardError:
            continue
        if isinstance(value, str) or len(steps) > _MAX_CHARS:
            continue
        call = f"{made.name}({', '.join(map(repr, arguments))})"
        user = rng.choice(_ASKED).format(call=call, code="\n\n\n".join(reversed(sources)))
        return Exchange(user=user, turns=(Turn(think=f"{steps}.", text=f"{call} is {value!r}."),))

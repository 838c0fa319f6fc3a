"""Wrap the model of one run: seed each request and damage replies according to a plan; the model itself is real.

A damaged call is one that a model, or a server without a grammar, could have sent: truncated JSON or JSON without a
quote, an almost correct tool name, an almost correct argument name, or a value of the wrong type; a quarter each. The
decisions depend only on seed, task and step, so all arms get the same faults, and the faults at a rate of 0.1 are among
those at 0.3. The reply to a re-ask is never damaged: the grammar enforces names and schema there, so none of these
faults can happen (truncation by max_tokens can, and is left to the model).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Literal, cast, get_args

from wrapped_model import WrappedModel

from agent.messages import RawCall, Reply
from agent.model.wire import Request

FaultKind = Literal["bad_json", "wrong_tool", "wrong_argument", "wrong_type"]
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)


@dataclass(frozen=True, kw_only=True)
class FaultPlan:
    """Decides which replies of a run are damaged."""

    rate: float
    """Probability per reply that holds a call, 0 to 1."""
    seed: int
    task: str

    def at(self, step: int) -> Damage | None:
        """Return the damage of one step. None means the reply is not damaged."""
        rng = Random(f"fault/{self.seed}/{self.task}/{step}")
        if rng.random() >= self.rate:
            return None
        return Damage(kind=rng.choice(FAULT_KINDS), seed=rng.getrandbits(32))


@dataclass(frozen=True, kw_only=True)
class Damage:
    """The damage to one reply."""

    kind: FaultKind
    seed: int
    """Decides which of several calls is damaged, and where in it."""

    def to(self, reply: Reply) -> Reply:
        """Return the reply with one of its calls damaged and its usage unchanged."""
        rng = Random(self.seed)
        at = rng.randrange(len(reply.tool_calls))
        broken = _BROKEN_BY[self.kind](reply.tool_calls[at], rng)
        return replace(reply, tool_calls=(*reply.tool_calls[:at], broken, *reply.tool_calls[at + 1 :]))


def _bad_json(call: RawCall, rng: Random) -> RawCall:
    text = call.arguments
    quotes = [at for at, letter in enumerate(text) if letter == '"' and not _is_escaped(text, at)]
    if quotes and rng.random() < 0.5:
        at = rng.choice(quotes)
        return replace(call, arguments=text[:at] + text[at + 1 :])
    return replace(call, arguments=text[: rng.randrange(1, max(2, len(text.rstrip())))])


def _is_escaped(text: str, at: int) -> bool:
    before = text[:at]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


def _wrong_tool(call: RawCall, rng: Random) -> RawCall:
    # Not a change of case or a dash: the loop accepts those as the same name.
    names = [f"{call.name}s", "_".join(reversed(call.name.split("_"))), call.name.replace("_", "")]
    return replace(call, name=rng.choice([name for name in names if name != call.name]))


def _wrong_argument(call: RawCall, rng: Random) -> RawCall:
    arguments = _object(call)
    if not arguments:
        return _wrong_tool(call, rng)
    wrong = rng.choice(list(arguments))
    near = wrong[:-1] if wrong.endswith("s") else f"{wrong}s"
    return _with(call, {near if name == wrong else name: value for name, value in arguments.items()})


def _wrong_type(call: RawCall, rng: Random) -> RawCall:
    arguments = _object(call)
    if not arguments:
        return _wrong_tool(call, rng)
    name = rng.choice(list(arguments))
    value = arguments[name]
    return _with(call, {**arguments, name: True if isinstance(value, list | dict) else [value]})


_BROKEN_BY = {
    "bad_json": _bad_json,
    "wrong_tool": _wrong_tool,
    "wrong_argument": _wrong_argument,
    "wrong_type": _wrong_type,
}


def _object(call: RawCall) -> dict[str, Any]:
    """Return the arguments; empty if there are none or the model itself sent invalid ones."""
    try:
        value = json.loads(call.arguments)
    except ValueError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _with(call: RawCall, arguments: dict[str, Any]) -> RawCall:
    return replace(call, arguments=json.dumps(arguments, ensure_ascii=False))


@dataclass(kw_only=True)
class TrialModel(WrappedModel):
    """The model of one run: sends requests to the real model with the run's seed and damages replies by the plan."""

    plan: FaultPlan
    cache_salt: str
    damaged: Counter[FaultKind] = field(default_factory=Counter["FaultKind"])
    """Damage done so far, by kind."""
    _requests: int = 0
    _steps: int = 0

    async def ask(self, request: Request) -> Reply:
        reply = await super().ask(self._seeded(request))
        self._requests += 1
        if request.force_tool is not None or request.tool_choice == "required" or request.json_schema is not None:
            return reply  # constrained to the schema: a re-ask, which does not count as a step
        self._steps += 1
        damage = self.plan.at(self._steps) if reply.tool_calls else None
        if damage is None:
            return reply
        self.damaged[damage.kind] += 1
        return damage.to(reply)

    def _seeded(self, request: Request) -> Request:
        # A seed shared by requests or tasks would give all of them the same random draws.
        name = f"{self.plan.seed}/{self.plan.task}/{self._requests}"
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") >> 1
        # Prefixes are shared only between requests with the same salt, so no arm benefits from another arm's cache.
        return replace(request, seed=seed, extra_body={"cache_salt": self.cache_salt})

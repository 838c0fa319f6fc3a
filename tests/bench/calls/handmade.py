"""Try the hand-made schemas, annotations and signatures; each fault found is a sentence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from calls.bfcl import Function
from calls.grammars import BACK_ENDS, Compiled, compile_all
from calls.handmade_schemas import SCHEMAS, HandMade
from calls.handmade_signatures import SIGNATURES, Signature
from calls.handmade_types import REFUSED, TYPES, Sent, Typed
from calls.judging import Case, judge
from calls.servers_report import strict_schema
from calls.tools_of import schema_tool
from calls.values import Json, NotJson, exact, same
from pydantic import BaseModel

from agent import ConfigError, Tool, ToolContext, tool
from agent.messages import RawCall
from agent.parsing.validation import CheckedCall, InvalidCall, check
from agent.tooling.toolbox import Toolbox

Made = TypeVar("Made")


@dataclass
class Table:
    """One table: how many were right, and what is wrong with the others."""

    title: str
    entries: int = 0
    made: int = 0
    checks: int = 0
    faults: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    sent: list[Json] = field(default_factory=list)
    compiled: list[Compiled] = field(default_factory=list)


def run_handmade() -> list[Table]:
    """Return the three tables; the first two with what compiles of what is sent."""
    tables = [
        Table(title="schemas", entries=len(SCHEMAS)),
        Table(title="annotations", entries=len(TYPES)),
        Table(title="signatures", entries=len(SIGNATURES)),
    ]
    for one in SCHEMAS:
        tables[0].checks += len(one.good) + len(one.bad) + 1
        tables[0].faults += [f"{one.name}: {fault}" for fault in schema_faults(one)]
        _keep(tables[0], one.name, lambda one=one: _schema_tool(one))
    for one in TYPES:
        tables[1].checks += len(one.sent)
        tables[1].faults += [f"{one.name}: {fault}" for fault in type_faults(one)]
        _keep(tables[1], one.name, lambda one=one: typed(one))
    for one in SIGNATURES:
        tables[2].checks += 1
        tables[2].faults += [f"{one.name}: {fault}" for fault in signature_faults(one)]
        _keep(tables[2], one.name, lambda one=one: tool(one.make()))
    for table in tables[:2]:
        table.compiled = compile_all(table.sent)
    return tables


def _attempt(call: Callable[[], Made]) -> Made | Exception:
    """Return what a call returns, or the exception that it raises: any is a result here."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - the product must raise nothing but ConfigError, and the tables show it
        return error


def _keep(table: Table, name: str, make: Callable[[], Tool]) -> None:
    made = _attempt(make)
    if isinstance(made, Exception):  # a fault in the list of its own table
        return
    table.made += 1
    schema = strict_schema(json.loads(Toolbox([made]).definitions)[0])
    if schema is not None:
        table.names.append(name)
        table.sent.append(schema)


def _schema_tool(one: HandMade) -> Tool:
    function = Function(name="handmade", description="Try a schema.", own={}, schema={})
    return schema_tool(function, dict(one.schema))


def schema_faults(one: HandMade) -> Iterator[str]:
    """Yield what is wrong with the tool that is made of a schema."""
    made = _attempt(lambda: _schema_tool(one))
    if isinstance(made, ConfigError):
        if "refused" not in one.becomes:
            yield f"refused: {made}"
        return
    if isinstance(made, Exception):
        yield f"raised at the start: {_described(made)}"
        return
    if one.becomes == ("refused",):
        yield "made, though nothing can be called with it"
        return
    if "tool" not in one.becomes and not getattr(made, "notes", ()):
        yield "made without a note"
    toolbox = Toolbox([made])
    for text, good in (*((text, True) for text in one.good), *((text, False) for text in one.bad)):
        case = Case(kind="handmade", arguments=text, right=(exact(text),) if good else (), plain=True)
        judged = judge(case, toolbox, made.name, {})
        if judged.cpu_ms > 50:
            yield f"{text[:80]}: {judged.cpu_ms:.0f} ms"
        if judged.verdict not in ({"accepted as is"} if good else {"refused rightly", "refused though plain"}):
            yield f"{text[:80]}: {judged.verdict}: {str(judged.arrived)[:80]} {', '.join(judged.says)[:200]}"


def typed(one: Typed) -> Tool:
    """Return a tool with one parameter `x` of this annotation."""

    def take(x: object) -> str:
        """Take a value."""
        return str(x)

    take.__annotations__ = {"x": one.annotation, "return": str}
    return tool(take)


def type_faults(one: Typed) -> Iterator[str]:
    """Yield what is wrong with the tool that is made of an annotation."""
    made = _attempt(lambda: typed(one))
    if isinstance(made, Exception):
        yield f"not made: {_described(made)}"
        return
    toolbox = Toolbox([made])
    for sent in one.sent:
        yield from _sent_faults(sent, made, toolbox)


def _sent_faults(sent: Sent, made: Tool, toolbox: Toolbox) -> Iterator[str]:
    text = f'{{"x": {sent.text}}}'
    checked = _attempt(lambda: check(RawCall(id="", name=made.name, arguments=text), toolbox, call_id="AAAAAAAAA"))
    if isinstance(checked, Exception):
        yield f"{sent.text[:60]}: raised {_described(checked)}"
        return
    if isinstance(checked, InvalidCall):
        if REFUSED not in sent.arrives:
            yield f"{sent.text[:60]}: refused: {checked.reason[:160]}"
        return
    arrived = getattr(checked.value, "x", None)
    if not any(_equal(arrived, wanted) for wanted in sent.arrives if wanted is not REFUSED):
        wanted = " or ".join("refused" if one is REFUSED else repr(one) for one in sent.arrives)
        yield f"{sent.text[:60]}: arrived as {arrived!r:.80}, expected {wanted:.80}, says {checked.call.repairs}"
    elif not checked.call.repairs and not _says(sent.text, arrived):
        yield f"{sent.text[:60]}: arrived as {arrived!r:.80} without a word"


def _says(text: str, arrived: object) -> bool:
    """Return whether the text itself says what arrived, as far as JSON has the type."""
    try:
        value = exact(text)
    except NotJson:
        return False
    if isinstance(arrived, (str, int, float)) and not isinstance(value, (dict, list)):
        return same(value, arrived) or (isinstance(value, str) and not isinstance(arrived, (bool, int, float)))
    return True


def _equal(arrived: object, wanted: object) -> bool:
    if isinstance(arrived, BaseModel) or isinstance(wanted, BaseModel):
        return (
            isinstance(arrived, BaseModel)
            and isinstance(wanted, BaseModel)
            and (arrived.model_dump() == wanted.model_dump())
        )
    if isinstance(arrived, (list, tuple)) and isinstance(wanted, (list, tuple)):
        return len(arrived) == len(wanted) and all(map(_equal, arrived, wanted))
    if isinstance(arrived, dict) and isinstance(wanted, dict):
        return arrived.keys() == wanted.keys() and all(_equal(arrived[key], wanted[key]) for key in wanted)
    if hasattr(arrived, "__dataclass_fields__"):
        return hasattr(wanted, "__dataclass_fields__") and vars(arrived) == vars(wanted)
    return type(arrived) is type(wanted) and arrived == wanted


def signature_faults(one: Signature) -> Iterator[str]:
    """Yield what is wrong with the tool that is made of a signature."""
    made = _attempt(lambda: tool(one.make()))
    if isinstance(made, ConfigError):
        if "ConfigError" not in one.becomes:
            yield f"refused: {made}"
        elif len(str(made)) < 30:
            yield f"the message is too short to act on: {made}"
        return
    if isinstance(made, Exception):
        yield f"raised {_described(made)[:160]}"
        return
    if "tool" not in one.becomes:
        yield "made, but cannot work"
    elif one.returns is not None:
        yield from _call_faults(one, made)


def _call_faults(one: Signature, made: Tool) -> Iterator[str]:
    checked = check(RawCall(id="", name=made.name, arguments=one.call), Toolbox([made]), call_id="AAAAAAAAA")
    if not isinstance(checked, CheckedCall):
        yield f"{one.call}: refused: {checked.reason}"
        return
    returned = _attempt(lambda: asyncio.run(_run(made, checked.value)))
    if returned != one.returns:
        yield f"{one.call}: returned {returned!r}, expected {one.returns!r}"


async def _run(made: Tool, value: object) -> object:
    return await made.body(value, ToolContext(workspace=Path()))


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def print_handmade(tables: list[Table]) -> None:
    """Print a row for each table, then each fault."""
    print("## Hand-made schemas, annotations and signatures\n")
    print(f"| | entries | tools made | checks | faults | {' | '.join(BACK_ENDS)} |")
    print(f"|---|{'---:|' * (4 + len(BACK_ENDS))}")
    for table in tables:
        failing = [sum(bool(one.get(back_end)) for one in table.compiled) for back_end in BACK_ENDS]
        cells = (table.entries, table.made, table.checks, len(table.faults), *failing)
        print(f"| {table.title} | {' | '.join(map(str, cells))} |")
    print()
    for table in tables:
        for fault in table.faults:
            print(f"- {table.title}: {fault}")
        for name, compiled in zip(table.names, table.compiled, strict=False):
            for back_end, reason in compiled.items():
                if reason:
                    print(f"- {table.title}: {name}: {back_end}: {' '.join(reason.split())[:160]}")

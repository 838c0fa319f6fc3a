"""What is sent as strict compiles in the back-ends of a real vLLM, and a tool that does not is sent loose."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import pytest
from calls.grammars import engine_python
from compile_grammars import Job, compile_schemas
from generated_schemas import Generator
from pydantic import AnyUrl, BaseModel, Field, IPvAnyAddress, create_model

from agent import Agent, Limits, Tool, tool_from_schema
from agent.journal.events import Event, Loosened
from agent.messages import Reply
from agent.model.profiles import MISTRAL, Sampling
from agent.schema.grammar import Backend, sent_schema
from agent.schema.prepare import prepare
from agent.schema.references import UnusableSchema
from agent.tooling.json_schema import plain_schema

if TYPE_CHECKING:
    from conftest import LiveEngine

pytestmark = pytest.mark.engine

BACKENDS: tuple[Backend, ...] = ("any", "guidance")


class Node(BaseModel):
    value: int
    next: Node | None = None
    below: list[Node] = []


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: Annotated[int, Field(ge=1, le=9)]


class Dog(BaseModel):
    kind: Literal["dog"]
    name: Annotated[str, Field(min_length=1, max_length=40, pattern="^[A-Z]")]


TYPES: dict[str, Any] = {
    "path": Path, "paths": list[Path], "bytes": bytes, "set": set[str], "frozenset": frozenset[int],
    "pattern": re.Pattern[str], "fraction": Fraction, "network": IPv4Network, "ip": IPvAnyAddress, "v4": IPv4Address,
    "v6": IPv6Address, "decimal": Decimal, "timedelta": timedelta, "datetime": datetime, "date": date, "time": time,
    "uuid": UUID, "url": AnyUrl, "node": Node, "union": Annotated[Cat | Dog, Field(discriminator="kind")],
    "tuple": tuple[int, str], "many": tuple[int, ...], "counts": dict[str, int], "by_number": dict[int, list[str]],
    "odd": Literal['say "hi"', "new\nline", "ä😀", "\\", 5, None], "optional": float | None,
    "ahead": Annotated[str, Field(json_schema_extra={"pattern": "^(?=.*a).+$"})],
    "big": Annotated[int, Field(ge=-(2**63), le=2**64)], "ratio": Annotated[float, Field(gt=0, lt=1)],
    "step": Annotated[float, Field(multiple_of=0.01)], "some": Annotated[list[int], Field(min_length=1, max_length=5)],
    "short": Annotated[str, Field(min_length=2, max_length=9)], "anything": Any,
}  # fmt: skip

TEXT = {"type": "string"}
KINDS: dict[str, dict[str, Any]] = {
    "zod_record": {"type": "object", "propertyNames": TEXT, "additionalProperties": {}},
    "zod_enum_record": {"type": "object", "propertyNames": {"enum": ["a", "b"]}, "additionalProperties": TEXT},
    "format_json": {"type": "string", "format": "json"},
    "top_one_of": {"oneOf": [{"properties": {"id": TEXT}, "required": ["id"]}, {"properties": {"name": TEXT}}]},
    "either": {"type": "object", "properties": {"a": TEXT, "b": TEXT}, "anyOf": [{"required": [k]} for k in "ab"]},
    "both": {"allOf": [{"type": "object", "properties": {"a": TEXT}}, {"type": "object", "required": ["a"]}]},
    "untyped": {"properties": {"a": TEXT}},
    "pairs": {"type": "array", "items": [TEXT, {"type": "integer"}], "uniqueItems": True},
    "letters": {"type": "string", "pattern": r"^\p{L}+$"},
    "word": {"type": "string", "pattern": r"\bfoo\b"},
    "cents": {"type": "number", "multipleOf": 0.01, "minimum": -1e300},
    "headers": {"type": "object", "patternProperties": {"^x-": TEXT}, "additionalProperties": False},
    "gone": {"type": "object", "properties": {"old": False, "new": TEXT}, "minProperties": 1},
    "depends": {
        "type": "object",
        "properties": {"a": TEXT},
        "dependentRequired": {"a": ["b"]},
        "not": {"required": ["c"]},
    },
    "nullable": {"type": "string", "nullable": True},
    "empty": {},
}


def texts_of(kinds: Iterable[str]) -> Iterator[Tool]:
    """Return one tool for each kind, with its schema as the only property."""

    async def run(arguments: Any) -> str:
        return json.dumps(arguments)

    for kind in kinds:
        parameters = {"type": "object", "properties": {"value": KINDS[kind]}}
        yield tool_from_schema(run, name=kind, description=f"Take {kind}.", parameters=parameters)


def failures(jobs: list[Job]) -> Iterator[str]:
    python = engine_python()
    assert python is not None
    for job, compiled in zip(jobs, compile_schemas(jobs, python=python), strict=True):
        for problem in filter(None, (compiled.guidance, compiled.xgrammar)):
            yield f"{json.dumps(job['schema'])[:400]}: {problem}"


@pytest.mark.usefixtures("engine")  # installs it
def test_every_kind_and_type_compiles_as_sent_and_writes_what_the_schema_allows():
    jobs: list[Job] = []
    for name, annotation in TYPES.items():
        fields: Any = {name: (annotation, ...)}
        parameters = plain_schema(create_model("call", **fields))
        jobs += [Job(schema=sent_schema(parameters, backend=backend)) for backend in BACKENDS]
    for tool in texts_of(KINDS):
        jobs += [Job(schema=sent_schema(tool.parameters, backend=backend)) for backend in BACKENDS]
    assert list(failures(jobs)) == []


@pytest.mark.usefixtures("engine")
def test_generated_schemas_compile_as_sent_and_can_write_what_they_allow():
    found = [one for seed in range(80) for one in generated(seed)]
    python = engine_python()
    assert python is not None
    tried = 0
    for (job, backend), compiled in zip(found, compile_schemas([job for job, _ in found], python=python), strict=True):
        texts = job.get("texts", ())
        tried += len(texts)
        assert compiled.xgrammar == "", job
        # What nothing can satisfy need not compile.
        assert compiled.guidance == "" or ("nsatisfiable" in compiled.guidance and not texts), job
        for text, (by_guidance, by_xgrammar) in zip(texts, compiled.accepts, strict=True):
            assert by_guidance, (job["schema"], text)
            assert by_xgrammar or backend == "guidance", (job["schema"], text)
    assert tried > 100


def generated(seed: int) -> Iterator[tuple[Job, Backend]]:
    """Yield what is sent of a generated schema, with texts that the schema allows."""
    generator = Generator(seed)
    try:
        prepared = prepare(generator.parameters())
    except UnusableSchema:
        return
    schema: Any = prepared.schema
    values = [generator.value(schema, schema.get("$defs", {})) for _ in range(8)]
    allowed = [value for value in values if not isinstance(prepared.validator.check(json.dumps(value)), tuple)]
    for backend in BACKENDS:
        sent: Any = sent_schema(schema, backend=backend)
        # A format is checked by grammars only.
        texts = [] if '"format":' in json.dumps(sent) else [written(value, sent) for value in allowed]
        yield {"schema": sent, "texts": texts}, backend


def written(value: Any, schema: Any) -> str:
    """Return JSON as grammars write it: with their order of keys, no exponents, and no spaces."""
    definitions = schema.get("$defs", {})

    def branches(node: Any, names: tuple[str, ...] = ()) -> Iterator[Any]:
        if isinstance(node, dict) and "$ref" in node:
            name = node["$ref"].rpartition("/")[2]
            yield from branches(definitions[name], (*names, name)) if name not in names else ()
        elif isinstance(node, dict):
            yield node
            for branch in node.get("anyOf", []):
                yield from branches(branch, names)

    def ordered(here: Any, nodes: list[Any]) -> Any:
        known = [inner for node in nodes for inner in branches(node)]
        if isinstance(here, dict):
            order = [*dict.fromkeys(name for node in known for name in node.get("properties", {}))]
            keys = [key for key in order if key in here] + [key for key in here if key not in order]
            return {
                key: ordered(
                    here[key], [n.get("properties", {}).get(key, n.get("additionalProperties")) for n in known]
                )
                for key in keys
            }
        if isinstance(here, list):
            return [
                ordered(item, [(n.get("prefixItems", []) + [n.get("items")] * 9)[at] for n in known])
                for at, item in enumerate(here)
            ]
        return here

    return json.dumps(ordered(value, [schema]), ensure_ascii=False, separators=(",", ":")).replace("1e-07", "0.0000001")


# Whole runs.

SHORT = replace(
    MISTRAL,
    reply_tokens={"none": 20, "high": 20, None: 20},
    sampling=dict.fromkeys(("none", "high", None), Sampling(temperature=0.0)),
)
DONE = Reply(content="Done.", finish_reason="stop")


async def test_the_kinds_of_schemas_that_servers_refused_are_taken_strict_in_one_run(
    engine: LiveEngine, tmp_path: Path
):
    events: list[Event] = []
    model = engine.recording_model(answers=[DONE], profile=SHORT)
    agent = Agent(model, tools=list(texts_of(KINDS)), instructions="Work.", limits=Limits(steps=2), workspace=tmp_path)
    outcome = await agent.run("Hello", observe=events.append)
    assert outcome.status == "finished", outcome.reason
    assert not [event for event in events if isinstance(event, Loosened)]
    assert len(model.requests) == 1
    assert all(tool["function"]["strict"] for tool in json.loads(model.requests[0].tools))


async def test_a_tool_that_the_engine_does_not_compile_is_found_and_sent_loose(engine: LiveEngine, tmp_path: Path):
    async def run(arguments: Any) -> str:
        return json.dumps(arguments)

    clash = {
        "type": "object",
        "properties": {"a": TEXT},
        "required": ["a"],
        "anyOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}],
    }
    bad = tool_from_schema(run, name="bad", description="Nothing fits.", parameters=clash)
    events: list[Event] = []
    model = engine.recording_model(answers=[None] * 9, profile=SHORT)
    tools = [*texts_of(["empty", "nullable"]), bad, *texts_of(["letters"])]
    agent = Agent(model, tools=tools, instructions="Work.", limits=Limits(steps=1), workspace=tmp_path)
    outcome = await agent.run("Hello", observe=events.append)
    assert outcome.status != "error", outcome.reason
    (found,) = [event for event in events if isinstance(event, Loosened)]
    assert found.tools == ("bad",)
    assert found.reason.startswith("Grammar error: ")
    assert [tool["function"].get("strict", False) for tool in json.loads(model.requests[-1].tools)] == [
        True,
        True,
        False,
        True,
    ]

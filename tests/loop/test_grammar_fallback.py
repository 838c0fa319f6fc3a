"""A server that cannot compile a tool's grammar: the run goes on with that tool loose, and says so once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from agent import Agent, Endpoint, Outcome, Tool, tool_from_schema
from agent.cli.refused_grammars import StoredRefusedGrammars
from agent.journal.events import Event, Loosened
from agent.journal.runs import read_run
from agent.model.profiles import MISTRAL
from agent.testing import Answer, Received, ScriptedAnswer, ScriptedServer, calls, faults, says

TEXT = "Grammar error: at 3(193): failed to compile JSON schema: Unknown format: path"


def named(*names: str) -> list[Tool]:
    """Return tools with these names that answer with their name."""

    def made(name: str) -> Tool:
        async def run(arguments: Any) -> str:
            return name

        parameters = {"type": "object", "properties": {"path": {"type": "string"}}}
        return tool_from_schema(run, name=name, description=f"Do {name}.", parameters=parameters)

    return [made(name) for name in names]


EIGHT = ("read", "write", "move", "copy", "list", "find", "drop", "open")


def works(received: Received) -> Answer:
    """Call the first tool, then answer; the answer depends only on the request."""
    last = received.json["messages"][-1]
    first = received.json["tools"][0]["function"]["name"]
    return says("Done.") if last["role"] == "tool" else calls((first, {"path": "x"}))


def strict_of(body: dict[str, Any]) -> list[str]:
    return [tool["function"]["name"] for tool in body["tools"] if tool["function"].get("strict")]


def tiny_requests(server: ScriptedServer) -> int:
    return sum(body["max_tokens"] == 1 for body in server.bodies)


async def run(
    server: ScriptedServer,
    names: Sequence[str] = EIGHT,
    *,
    endpoint: Endpoint | None = None,
    runs: Path | None = None,
) -> tuple[Outcome, list[Event]]:
    events: list[Event] = []
    model = endpoint or Endpoint(server.url, profile=MISTRAL, stream=False, first_wait_s=0.001)
    outcome = await Agent(model, tools=named(*names), runs=runs).run("Work.", observe=events.append)
    return outcome, events


def loosened(events: Iterable[Event]) -> list[Loosened]:
    return [event for event in events if isinstance(event, Loosened)]


async def test_a_tool_whose_grammar_does_not_compile_is_found_and_sent_loose():
    with ScriptedServer(repeat(works), refused_grammars=["find"]) as server:
        outcome, events = await run(server)

    assert outcome.status == "finished"
    assert loosened(events) == [Loosened(step=1, tools=("find",), reason=TEXT)]
    assert outcome.notices == (
        f"find is sent without a grammar, because the server does not compile its schema: {TEXT}. Arguments are still "
        "checked before a call is executed.",
    )
    # All eight at once, four and four, two and two, one and one.
    assert tiny_requests(server) == 7
    last = server.bodies[-1]
    assert strict_of(last) == [name for name in EIGHT if name != "find"]
    assert [tool["function"]["name"] for tool in last["tools"]] == list(EIGHT)


async def test_a_loose_tool_is_sent_with_its_whole_schema():
    async def act(arguments: Any) -> str:
        return "ok"

    parameters = {"type": "object", "properties": {"at": {"type": "string", "format": "path"}}}
    tool = tool_from_schema(act, name="act", description="Act.", parameters=parameters)
    with ScriptedServer(repeat(lambda _: says("Done.")), refused_grammars=["act"]) as server:
        await Agent(Endpoint(server.url, profile=MISTRAL, stream=False), tools=[tool]).run("Work.")
    (function,) = [one["function"] for one in server.bodies[-1]["tools"]]
    assert function == {"name": "act", "description": "Act.", "parameters": tool.parameters}


async def test_every_refused_tool_is_found_in_one_search():
    with ScriptedServer(repeat(works), refused_grammars=["read", "find", "open"]) as server:
        outcome, events = await run(server)
    assert outcome.status == "finished"
    assert [event.tools for event in loosened(events)] == [("read", "find", "open")]


async def test_a_tool_that_the_server_names_is_tried_first():
    def refuse(received: Received) -> Answer:
        if "drop" in strict_of(received.json):
            return faults.http_error(400, "Invalid schema for function 'drop': format path")
        return says("H") if received.json["max_tokens"] == 1 else works(received)

    with ScriptedServer(repeat(refuse)) as server:
        _, events = await run(server)
    assert loosened(events)[0].tools == ("drop",)
    assert tiny_requests(server) == 3  # all, the named one, and the others


async def test_tools_that_are_refused_only_together_are_all_sent_loose():
    def refuse(received: Received) -> Answer:
        if len(strict_of(received.json)) > 3:
            return faults.http_error(400, "Grammar error: grammar size (number of symbols) too big")
        return says("H") if received.json["max_tokens"] == 1 else works(received)

    with ScriptedServer(repeat(refuse)) as server:
        outcome, events = await run(server, EIGHT[:4])
    assert outcome.status == "finished"
    assert loosened(events)[0].tools == EIGHT[:4]


async def test_what_one_run_found_the_next_ones_on_the_server_know():
    with ScriptedServer(repeat(works), refused_grammars=["find"]) as server:
        endpoint = Endpoint(server.url, profile=MISTRAL, stream=False)
        await run(server, endpoint=endpoint)
        before = len(server.bodies)
        _, events = await run(server, endpoint=endpoint)
    assert loosened(events) == [Loosened(step=0, tools=("find",), reason="an earlier request was refused")]
    assert all("find" not in strict_of(body) for body in server.bodies[before:])


async def test_of_runs_at_the_same_time_one_searches():
    with ScriptedServer(repeat(works), refused_grammars=["find"]) as server:
        endpoint = Endpoint(server.url, profile=MISTRAL, stream=False)
        found = await asyncio.gather(*(run(server, endpoint=endpoint) for _ in range(4)))
    assert [outcome.status for outcome, _ in found] == ["finished"] * 4
    assert all(event.tools == ("find",) for _, events in found for event in loosened(events))
    assert tiny_requests(server) == 7


async def test_a_changed_tool_is_sent_strict_again():
    with ScriptedServer(repeat(works), refused_grammars=["find"]) as server:
        endpoint = Endpoint(server.url, profile=MISTRAL, stream=False)
        await run(server, endpoint=endpoint)
        changed = named("read", "find")
        object.__setattr__(changed[1], "description", "Find it.")
        await Agent(endpoint, tools=changed).run("Work.")
    assert any(strict_of(body) == ["read", "find"] for body in server.bodies)


async def test_what_was_found_is_stored_for_other_processes(tmp_path: Path):
    with ScriptedServer(repeat(works), refused_grammars=["find"]) as server:
        for _ in range(2):
            memory = StoredRefusedGrammars(tmp_path / "state" / "refused_grammars.json")
            endpoint = Endpoint(server.url, profile=MISTRAL, stream=False, refused_grammars=memory)
            await run(server, endpoint=endpoint)
    assert tiny_requests(server) == 7


@pytest.mark.parametrize("text", ["", "{", "[]", '{"http://x y": 5}', '{"http://x y": {"a": 5}}'])
def test_a_store_that_cannot_be_read_is_an_empty_one(tmp_path: Path, text: str):
    path = tmp_path / "refused_grammars.json"
    path.write_text(text)
    memory = StoredRefusedGrammars(path)
    assert memory.known("http://x y") == frozenset()
    memory.add("http://x y", ["f"])
    assert StoredRefusedGrammars(path).known("http://x y") == {"f"}


def test_a_store_that_cannot_be_written_stops_nothing(tmp_path: Path):
    (tmp_path / "file").write_text("")
    memory = StoredRefusedGrammars(tmp_path / "file" / "refused_grammars.json")
    memory.add("http://x y", ["f"])
    assert memory.known("http://x y") == {"f"}


async def test_a_resumed_run_keeps_its_loose_tools(tmp_path: Path):
    from agent.loop.resume import resume_state
    from agent.tooling.toolbox import Toolbox

    def breaks(received: Received) -> Answer:
        return works(received) if received.json["messages"][-1]["role"] == "user" else faults.http_error(401, "gone")

    with ScriptedServer(repeat(breaks), refused_grammars=["find"]) as server:
        outcome, _ = await run(server, runs=tmp_path)
        assert outcome.status == "error"
        (folder,) = tmp_path.glob("[!.]*")
        _, events = read_run(folder)
        assert [event.tools for event in loosened(events)] == [("find",)]

        def toolbox(family: str, *, notes: bool) -> Toolbox:
            assert not notes
            return Toolbox(named(*EIGHT), family=family)

        state = resume_state(folder, toolbox, lambda _: MISTRAL, {})
    assert state.loose_tools == {"find"}


async def test_another_refusal_ends_the_run_with_its_reason():
    answers: list[ScriptedAnswer] = [
        faults.http_error(400, "The schema of this message is wrong"),
        says("H"),  # the tools alone are taken
        faults.http_error(400, "unexpected"),
    ]
    with ScriptedServer(answers) as server:
        outcome, events = await run(server)
    assert outcome.status == "error"
    assert outcome.reason.endswith("refused the request with HTTP 400: The schema of this message is wrong")
    assert loosened(events) == []
    assert len(server.bodies) == 2


async def test_a_tool_that_is_refused_in_every_form_is_named_with_the_way_out():
    def refuse(received: Received) -> Answer:
        if any(tool["function"]["name"] == "copy" for tool in received.json["tools"]):
            return faults.http_error(400, "Tool schema is invalid")
        return says("H")

    with ScriptedServer(repeat(refuse)) as server:
        outcome, _ = await run(server)
    assert outcome.status == "error"
    assert outcome.reason.partition("HTTP 400: ")[2] == (
        "Tool schema is invalid. The server refuses the definition of copy even without a grammar. Leave it out: "
        "remove it from `tools`, or list the other tools of its MCP server in `mcp.NAME.tools`"
    )


async def test_the_fallback_for_a_named_choice_sends_the_schema_that_compiles():
    def answer(received: Received) -> Answer:
        body = received.json
        if isinstance(body["tool_choice"], dict):
            return faults.http_error(400, "named tool_choice is not supported")
        if "structured_outputs" in body:
            return says(json.dumps({"path": "x"}))
        return says("Done.")

    parameters = {"type": "object", "properties": {"path": {"type": "string", "format": "path"}}, "required": ["path"]}
    with ScriptedServer(repeat(answer)) as server:
        endpoint = Endpoint(server.url, profile=MISTRAL, stream=False)
        outcome = await Agent(endpoint, output_type=parameters).run("Work.")
    assert outcome.output == {"path": "x"}
    (schema,) = [body["structured_outputs"]["json"] for body in server.bodies if "structured_outputs" in body]
    assert schema["properties"] == {"path": {"type": "string", "description": 'Must also satisfy {"format": "path"}.'}}

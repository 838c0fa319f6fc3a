"""A stored probe decides what a run sends: nothing the server is known to refuse, and nothing it refused before."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from agent import Agent, Endpoint, ToolContext, tool
from agent.cli import main
from agent.cli.capabilities import with_capabilities
from agent.cli.doctor_url import probe_url
from agent.model.profiles import GENERIC, POCKET, Surface
from agent.testing import Answer, Received, ScriptedServer, calls, says
from agent.testing.faults import http_error
from serving.probe import TITLES, Capabilities, CheckResult, ProbeReport, write_cache

Json = dict[str, Any]

TASK = """\
name: write
prompt: Write the word quixotic into the file out/word.txt.
tools: [write_file]
workspace: {path: workspace, create: true}
limits: {steps: 8}
"""

REFUSALS: dict[str, Callable[[Json], bool]] = {
    "effort": lambda body: "reasoning_effort" in body,
    "strict": lambda body: '"strict": true' in json.dumps(body.get("tools")),
    "named": lambda body: isinstance(body.get("tool_choice"), dict),
    "required": lambda body: body.get("tool_choice") == "required",
    "structured_outputs": lambda body: "structured_outputs" in body,
    "response_format": lambda body: "response_format" in body,
    "stream": lambda body: bool(body.get("stream")),
    "reasoning": lambda body: any("reasoning" in message for message in body["messages"]),
}


@dataclass(kw_only=True)
class Refuser:
    """A server that refuses some fields, and whose model forgets an argument of its first call."""

    refuses: frozenset[str]
    refused: list[str] = field(default_factory=list[str])
    forgot: bool = False

    def answer(self, received: Received) -> Answer:
        body = received.json
        for name in sorted(self.refuses):
            if REFUSALS[name](body):
                self.refused.append(name)
                return http_error(400, f"{name} is not supported")
        schema = body.get("structured_outputs", {}).get("json")
        schema = schema or body.get("response_format", {}).get("json_schema", {}).get("schema")
        if schema is not None:
            return says(json.dumps(dict.fromkeys(schema["required"], "quixotic")))
        last = body["messages"][-1]
        if "tools" not in body or body.get("tool_choice") == "none":
            return says("quixotic", reasoning="One word.")
        if last["role"] == "tool" and "match" not in last["content"]:
            return says("I wrote the file.", reasoning="It is done.")
        return self._call(body)

    def _call(self, body: Json) -> Answer:
        function = body["tools"][0]["function"]
        choice = body.get("tool_choice")
        name = choice["function"]["name"] if isinstance(choice, dict) else function["name"]
        arguments = {"path": function["parameters"]["properties"]["path"].get("enum", ["out/word.txt"])[0]}
        in_a_run = body["messages"][0]["role"] == "system"
        if name == "write_file" and in_a_run and choice == "auto" and not self.forgot:
            self.forgot = True
        elif name == "write_file":
            arguments["content"] = "quixotic"
        return calls((name, arguments), reasoning="I should call.")

    def serve(self) -> ScriptedServer:
        return ScriptedServer(repeat(self.answer), model="pocket", metrics="vllm:num_requests_running 0\n")


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("AGENT_API_KEY", raising=False)
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


def store(environ: dict[str, str], url: str, found: Capabilities, **more: Any) -> None:
    """Store a report, as `agent doctor --url` does."""
    report = ProbeReport(
        base_url=url,
        kind="generic",
        version="",
        model="pocket",
        window_tokens=None,
        at="2026-11-23T19:00:00+00:00",
        elapsed_s=1.0,
        checks=tuple(CheckResult(check=name, verdict="works", detail="") for name in TITLES),
        capabilities=found,
    )
    write_cache(replace(report, **more), Path(environ["XDG_STATE_HOME"]) / "tramontane")


EVERYTHING_REFUSED = Capabilities(
    reasoning_replayed=False,
    effort_accepted=False,
    required_works=False,
    named_works=False,
    strict_works=False,
    stream_ok=False,
    structured_outputs_field="none",
    tokenizer=False,
)


def test_the_endpoint_leaves_out_everything_the_probe_found_refused(environ: dict[str, str]):
    with Refuser(refuses=frozenset()).serve() as server:
        store(environ, server.url, EVERYTHING_REFUSED)
        endpoint = with_capabilities(Endpoint(server.url), environ)

    profile = replace(
        POCKET,
        efforts=(),
        replay_reasoning=False,
        surface=Surface(strict=False, required=False, named=False, schema_field=None, counts_tokens=False),
    )
    assert endpoint == Endpoint(server.url, profile=profile, stream=False)


def test_a_given_profile_is_kept_except_for_what_is_refused(environ: dict[str, str]):
    with Refuser(refuses=frozenset()).serve() as server:
        store(environ, server.url, Capabilities(named_works=False, structured_outputs_field="response_format"))
        endpoint = with_capabilities(Endpoint(server.url, profile=GENERIC), environ)

    surface = Surface(named=False, schema_field="response_format")
    assert endpoint == Endpoint(server.url, profile=replace(GENERIC, surface=surface))


@pytest.mark.parametrize(
    "found",
    [
        Capabilities(),
        Capabilities(
            reasoning_field="reasoning",
            reasoning_replayed=True,
            effort_accepted=True,
            auto_works=True,
            required_works=True,
            named_works=True,
            strict_works=True,
            stream_ok=True,
            structured_outputs_field="structured_outputs",
            tokenizer=True,
            cached_tokens_reported=True,
        ),
    ],
    ids=["nothing known", "all works"],
)
def test_the_endpoint_is_unchanged_if_nothing_is_refused(found: Capabilities, environ: dict[str, str]):
    with Refuser(refuses=frozenset()).serve() as server:
        store(environ, server.url, found)
        endpoint = Endpoint(server.url)

        assert with_capabilities(endpoint, environ) is endpoint


def test_without_a_stored_probe_the_server_is_not_contacted(environ: dict[str, str]):
    with Refuser(refuses=frozenset()).serve() as server:
        endpoint = Endpoint(server.url)

        assert with_capabilities(endpoint, environ) is endpoint
        assert server.requests == []


def test_a_probe_of_another_model_is_ignored(environ: dict[str, str]):
    with Refuser(refuses=frozenset()).serve() as server:
        store(environ, server.url, EVERYTHING_REFUSED, model="other")
        endpoint = Endpoint(server.url)

        assert with_capabilities(endpoint, environ) is endpoint


def run(server: ScriptedServer, folder: Path) -> int:
    (folder / "task.yaml").write_text(TASK)
    return main(["run", str(folder / "task.yaml"), "--base-url", server.url])


def doctor(server: ScriptedServer) -> int:
    given = {"url": server.url, "model": None, "api_key_env": None, "json": False, "fresh": False}
    return probe_url(argparse.Namespace(**given, check=[], timeout=None))


@pytest.mark.parametrize(
    "refuses",
    [
        frozenset({"effort"}),
        frozenset({"strict"}),
        frozenset({"named"}),
        frozenset({"named", "structured_outputs"}),
        frozenset({"named", "structured_outputs", "response_format"}),
        frozenset({"stream"}),
        frozenset({"reasoning"}),
        frozenset({"effort", "strict", "named", "required", "structured_outputs", "stream", "reasoning"}),
    ],
    ids=" ".join,
)
def test_after_a_probe_a_run_sends_nothing_the_server_refuses(
    refuses: frozenset[str], environ: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    refuser = Refuser(refuses=refuses)
    with refuser.serve() as server:
        doctor(server)
        assert set(refuser.refused) == refuses
        refuser.refused.clear()

        code = run(server, tmp_path)

    assert (code, refuser.refused) == (0, []), capsys.readouterr().err


@tool
def write_file(context: ToolContext[None], path: str, content: str) -> str:
    """Write a file."""
    return f"Wrote {path}."


def test_a_named_tool_choice_that_was_refused_once_is_not_sent_again():
    refused: list[str] = []

    def answer(received: Received) -> Answer:
        body = received.json
        if isinstance(body["tool_choice"], dict):
            refused.append("named")
            return http_error(400, "named tool_choice is not supported")
        if "structured_outputs" in body:
            number = len(body["messages"])
            return says(json.dumps({"path": f"out/{number}.txt", "content": "quixotic"}))
        done = sum(message["role"] == "tool" for message in body["messages"])
        return calls(("write_file", {"path": "out/word.txt"})) if done < 3 else says("Done.")

    with ScriptedServer(repeat(answer)) as server:
        outcome = Agent(Endpoint(server.url), tools=[write_file]).run_sync("Write three files.")

        assert (outcome.status, outcome.answer) == ("finished", "Done.")
        assert [("structured_outputs" in body) for body in server.bodies].count(True) == 3
    assert refused == ["named"]


UNFORCED = replace(GENERIC, surface=Surface(named=False, schema_field=None))


def test_without_schema_enforcement_an_invalid_call_gets_feedback_but_no_re_ask():
    script = [calls(("write_file", {"path": "a"})), calls(("write_file", {"path": "a", "content": "b"})), says("Done.")]
    with ScriptedServer(script) as server:
        outcome = Agent(Endpoint(server.url, profile=UNFORCED), tools=[write_file]).run_sync("Write a file.")

        assert [body["tool_choice"] for body in server.bodies] == ["auto", "auto", "auto"]
    assert outcome.notices == (
        "The server cannot constrain a reply to a tool's schema, so an invalid call gets feedback but no constrained "
        "re-ask: the server supports no way to constrain it",
    )


def test_without_forced_tool_choice_the_final_result_is_requested_in_words():
    script = [says("It is 42."), calls(("final_result", {"number": 42}))]
    schema: Json = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}
    with ScriptedServer(script) as server:
        outcome = Agent(Endpoint(server.url, profile=UNFORCED), output_type=schema).run_sync("What is 6 times 7?")

        assert [body["tool_choice"] for body in server.bodies] == ["auto", "auto"]
    assert (outcome.status, outcome.output) == ("finished", {"number": 42})

"""The public test doubles: what a user's own tests get, and that the scripted server is as strict as a real one."""

from __future__ import annotations

import gc
import importlib.metadata
import json
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

import agent.testing
from agent import Agent, ConfigError, Endpoint, EndpointUnreachable, tool
from agent.messages import RawCall, Reply, Usage
from agent.model.profiles import MISTRAL
from agent.testing import ScriptedModel, ScriptedServer, ScriptEnded, calls, faults, says
from agent.testing.legality import refusal

ROOT = Path(__file__).parents[2]


@tool
def double(number: int) -> int:
    """Double a number."""
    return 2 * number


DOUBLE = calls(("double", {"number": 21}))


def test_says_builds_a_complete_reply() -> None:
    assert says("It is 42.", reasoning="21 twice") == Reply(
        content="It is 42.",
        reasoning="21 twice",
        finish_reason="stop",
        usage=Usage(prompt_tokens=100, completion_tokens=5, reasoning_tokens=2),
        extra={"reasoning_field": "reasoning"},
    )


def test_calls_builds_a_complete_reply_and_keeps_text_as_it_is() -> None:
    assert calls(("double", {"number": 21}), ("ping", "{broken"), text="Now:", usage=None) == Reply(
        content="Now:",
        tool_calls=(
            RawCall(id="scr000000", name="double", arguments='{"number": 21}'),
            RawCall(id="scr000001", name="ping", arguments="{broken"),
        ),
        finish_reason="tool_calls",
    )


def test_a_scripted_model_answers_in_order_and_keeps_its_requests() -> None:
    model = ScriptedModel([DOUBLE, says("It is 42.")])
    outcome = Agent(model, tools=[double], instructions="Be brief.").run_sync("Double 21.")
    assert (outcome.status, outcome.answer) == ("finished", "It is 42.")
    assert [len(request.messages) for request in model.requests] == [2, 4], "each as it was when it was sent"
    assert model.bodies[1]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Double 21."},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "call00000",
                    "type": "function",
                    "function": {"name": "double", "arguments": '{"number": 21}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call00000", "content": "42"},
    ]


def test_a_reply_may_depend_on_the_request() -> None:
    model = ScriptedModel([lambda request: says(f"{len(request.messages)} messages")])
    assert Agent(model).run_sync("Hi").answer == "2 messages"


def test_an_endpoint_error_ends_the_run_or_is_retried() -> None:
    down = EndpointUnreachable("refused", url="http://x/v1")
    assert Agent(ScriptedModel([down])).run_sync("Hi").status == "error"
    patient = ScriptedModel([down, down, says("Hello.")], patience_s=5.0)
    assert Agent(patient).run_sync("Hi").answer == "Hello."


@pytest.mark.parametrize(("replies", "words"), [(0, "0 replies"), (1, "1 reply")])
def test_the_error_of_an_ended_script_gives_its_length(replies: int, words: str) -> None:
    model = ScriptedModel([DOUBLE] * replies)
    with pytest.raises(ScriptEnded) as raised:
        Agent(model, tools=[double]).run_sync("Double 21.")
    assert isinstance(raised.value, AssertionError)
    assert str(raised.value) == (
        f"The scripted model has {words} and got one more request. Add a reply to the script, or check in "
        "`model.bodies` what the agent requested."
    )


REFUSED_REPLIES: dict[str, tuple[Reply, str]] = {
    "a result": (calls(("final_result", {"x": 1})), "$.result is required and missing"),
    "a call": (calls(("double", {"number": "many"})), "$.number must be an integer"),
    "an unknown tool": (calls(("triple", {"number": 21})), "triple"),
    "an empty reply": (says(""), "empty"),
}


@pytest.mark.parametrize("kind", REFUSED_REPLIES)
def test_the_error_of_an_ended_script_says_why_the_last_reply_was_refused(kind: str) -> None:
    reply, reason = REFUSED_REPLIES[kind]
    with pytest.raises(ScriptEnded, match="The step before failed: .*" + re.escape(reason)) as raised:
        Agent(ScriptedModel([DOUBLE, reply]), tools=[double], output_type=list[int]).run_sync("Double 21.")
    assert reason in raised.value.follows_failure


def test_the_error_of_an_ended_script_forgets_a_refusal_that_was_mended() -> None:
    with pytest.raises(ScriptEnded) as raised:
        Agent(ScriptedModel([calls(("double", {})), DOUBLE]), tools=[double]).run_sync("Double 21.")
    assert raised.value.follows_failure == ""


any_model, any_server, any_calls = (cast("Any", one) for one in (ScriptedModel, ScriptedServer, calls))
MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "a text as a reply": (lambda: any_model(["hi"]), "reply 0 is 'hi'. Write says('hi')."),
    "a message as a reply": (
        lambda: any_model([DOUBLE, {"role": "assistant"}]),
        "reply 1 is {'role': 'assistant'}. Give says(...), calls(...), an exception, or a function of the request.",
    ),
    "a text for replies": (lambda: any_model("hi"), "Give a list of replies, such as [says('hi')]."),
    "one reply for replies": (lambda: any_model(DOUBLE), "Give a list of replies, such as [says("),
    "a text as an answer": (lambda: any_server(["hi"]), "answer 0 is 'hi'. Write says('hi')."),
    "a text for answers": (lambda: any_server("hi"), "Give a list of answers, such as [says('hi')]."),
    "one answer for answers": (lambda: any_server(DOUBLE), "Give a list of answers, such as [says("),
    "a call without its brackets": (
        lambda: any_calls("order", {"item": "pen"}),
        "calls() got 'order'. Write each call as a pair of name and arguments: calls(('order', {...})).",
    ),
    "a call without arguments": (lambda: any_calls(("ping",)), "calls() got ('ping',)."),
    "a call with a number": (lambda: any_calls(("ping", 3)), "calls() got ('ping', 3)."),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_in_a_script_is_refused_at_once_with_what_to_write(kind: str) -> None:
    make, problem = MISTAKES[kind]
    with pytest.raises(ConfigError) as raised:
        make()
    assert problem in str(raised.value)


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_server_works_in_sync_tests() -> None:
    with ScriptedServer([DOUBLE, says("It is 42.")], model="pocket", strict=True) as server:
        outcome = Agent(Endpoint(server.url, profile=MISTRAL), tools=[double]).run_sync("Double 21.")
        assert (outcome.status, outcome.answer) == ("finished", "It is 42.")
    assert [(request.method, request.path) for request in server.requests] == [
        ("GET", "/v1/models"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/chat/completions"),
    ]
    assert server.bodies[0]["model"] == "pocket"
    assert server.refusals == []
    server.close()


def test_a_started_server_that_is_entered_goes_on_and_stops_at_the_end_of_the_block() -> None:
    started = ScriptedServer([says("Hello.")]).start()
    url = started.url
    with started as server:
        assert (server.start().url, Agent(Endpoint(url)).run_sync("Hi").answer) == (url, "Hello.")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/models")


def test_a_closed_server_serves_again_on_its_port() -> None:
    server = ScriptedServer([says("Hello."), says("Back.")])
    with server:
        assert Agent(Endpoint(server.url)).run_sync("Hi").answer == "Hello."
    with server:
        assert Agent(Endpoint(server.url)).run_sync("Hi").answer == "Back."


def test_a_server_that_cannot_listen_raises_in_the_caller() -> None:
    with ScriptedServer() as server:
        port = int(server.url.removesuffix("/v1").rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)), pytest.raises(OSError, match="in use"):
        server.start()
    with server:
        assert httpx.get(f"{server.url}/models").status_code == 200, "it can be started once the port is free"


async def test_the_server_works_in_async_tests() -> None:
    async with ScriptedServer([says("Hello.")]) as server:
        assert (await Agent(Endpoint(server.url)).run("Hi")).answer == "Hello."


def test_the_routes_other_than_chat() -> None:
    with ScriptedServer(metrics="vllm:num_requests_running 0\n") as server:
        root = server.url.removesuffix("/v1")
        assert get(f"{root}/health") == (200, "")
        assert get(f"{root}/metrics") == (200, "vllm:num_requests_running 0\n")
        assert json.loads(get(f"{server.url}/models")[1])["data"][0]["max_model_len"] == 32_768
        assert get(f"{root}/nowhere")[0] == 404
    with ScriptedServer(tokenize=False) as server:
        root = server.url.removesuffix("/v1")
        assert get(f"{root}/metrics")[0] == 404
        assert httpx.post(f"{root}/tokenize", json={"messages": []}).status_code == 404


def test_a_request_beyond_the_script_is_refused_and_not_retried() -> None:
    with ScriptedServer([DOUBLE]) as server:
        outcome = Agent(Endpoint(server.url), tools=[double]).run_sync("Double 21.")
    assert (outcome.status, len(server.bodies)) == ("error", 2)
    assert outcome.reason.endswith("HTTP 410: The script has ended: no answer is left for this request.")


def test_a_restarting_server_refuses_connections() -> None:
    with ScriptedServer([faults.restart(0.2), says("Back.")]) as server:
        body = {"model": "scripted", "messages": [{"role": "user", "content": "Hi"}]}
        with pytest.raises(httpx.ReadError):
            httpx.post(f"{server.url}/chat/completions", json=body)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/models")


def test_a_stream_has_the_form_that_vllm_sends() -> None:
    with ScriptedServer([calls(("double", {"number": 21}), reasoning="Twice.")]) as server:
        body = {"stream": True, "stream_options": {"include_usage": True}, "messages": []}
        reply = httpx.post(f"{server.url}/chat/completions", json=body)
    assert reply.headers["content-type"] == "text/event-stream"
    lines = [line.removeprefix("data: ") for line in reply.text.split("\n\n") if line]
    chunks = [json.loads(line) for line in lines[:-1]]
    assert lines[-1] == "[DONE]"
    assert [choice["delta"] for chunk in chunks for choice in chunk["choices"]] == [
        {"role": "assistant", "content": ""},
        {"reasoning": "Twice."},
        {
            "tool_calls": [
                {"id": "scr000000", "type": "function", "function": {"name": "double", "arguments": "{"}, "index": 0}
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '"number"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ": 21}"}}]},
    ]
    assert [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]] == [None] * 4 + ["tool_calls"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["prompt_tokens"] == 100


# What a strict server refuses.

SYSTEM: dict[str, Any] = {"role": "system", "content": "Be brief."}
USER: dict[str, Any] = {"role": "user", "content": "Hi"}


def turn(*ids: str, name: str = "add", arguments: object = "{}") -> dict[str, Any]:
    made = [{"id": one, "type": "function", "function": {"name": name, "arguments": arguments}} for one in ids]
    return {"role": "assistant", "content": "", "tool_calls": made}


def result(call_id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "7"}


A, B = "aaaaaaaaa", "bbbbbbbbb"
LEGAL: dict[str, dict[str, Any]] = {
    "a question": {"messages": [USER]},
    "calls and results": {"messages": [SYSTEM, USER, turn(A, B), result(A), result(B)]},
    "the user after results": {"messages": [USER, turn(A), result(A), USER]},
}

ILLEGAL: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({"messages": []}, "There are no messages."),
    "a role": ({"messages": [{"role": "human", "content": "x"}]}, "Message 0: unexpected role 'human'."),
    "system later": ({"messages": [USER, SYSTEM]}, "Message 1: unexpected role 'system' after role 'user'."),
    "no content": ({"messages": [{"role": "user"}]}, "Message 0: a user message needs content."),
    "an empty turn": (
        {"messages": [USER, {"role": "assistant", "content": " "}, USER]},
        "Message 1: an assistant message needs content or tool calls.",
    ),
    "two turns": (
        {"messages": [USER, {"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}, USER]},
        "Message 2: an assistant message follows another.",
    ),
    "a turn at the end": (
        {"messages": [USER, {"role": "assistant", "content": "a"}]},
        "The last message must be from the user or a tool, not 'assistant'.",
    ),
    "a result of nothing": ({"messages": [USER, result(A)]}, "Message 1: a tool result follows no call."),
    "a long id": (
        {"messages": [USER, turn("call_12345678"), result("call_12345678")]},
        "Message 1: tool call id 'call_12345678' must be 9 characters of a-z, A-Z, 0-9.",
    ),
    "an id twice": (
        {"messages": [USER, turn(A, A), result(A), result(A)]},
        "Message 1: duplicate tool call id 'aaaaaaaaa'.",
    ),
    "a result missing": (
        {"messages": [USER, turn(A, B), result(A)]},
        "Message 1: not the same number of function calls and responses, or in another order.",
    ),
    "results in another order": (
        {"messages": [USER, turn(A, B), result(B), result(A)]},
        "Message 1: not the same number of function calls and responses, or in another order.",
    ),
    "a name": (
        {"messages": [USER, turn(A, name="a.b"), result(A)]},
        "Message 1: function name 'a.b' is not legal.",
    ),
    "arguments that are no object": (
        {"messages": [USER, turn(A, arguments="[1]"), result(A)]},
        "Message 1: the arguments of 'aaaaaaaaa' are not a JSON object.",
    ),
    "broken arguments": (
        {"messages": [USER, turn(A, arguments='{"a": 1'), result(A)]},
        "Message 1: the arguments of 'aaaaaaaaa' are not a JSON object.",
    ),
    "a tool's name": (
        {"messages": [USER], "tools": [{"type": "function", "function": {"name": "a b"}}]},
        "Function name 'a b' is not legal.",
    ),
    "a choice": (
        {"messages": [USER], "tools": [], "tool_choice": {"type": "function", "function": {"name": "add"}}},
        "The tool of tool_choice is not in the list of tools.",
    ),
    "an effort": (
        {"messages": [USER], "reasoning_effort": "low"},
        "reasoning_effort=low is not supported. Supported values are: ['none', 'high']",
    ),
}


@pytest.mark.parametrize("name", LEGAL)
def test_a_legal_request_is_not_refused(name: str) -> None:
    assert refusal(LEGAL[name]) is None


@pytest.mark.parametrize("name", ILLEGAL)
def test_an_illegal_request_is_refused_with_the_reason(name: str) -> None:
    body, reason = ILLEGAL[name]
    assert refusal(body) == reason


def test_a_strict_server_answers_400_and_keeps_the_reason_without_using_up_its_script() -> None:
    with ScriptedServer([says("Hello.")], strict=True) as server:
        url = f"{server.url}/chat/completions"
        refused = httpx.post(url, json={"messages": [USER, SYSTEM]})
        assert refused.status_code == 400
        assert refused.json()["error"]["message"] == ILLEGAL["system later"][1]
        assert httpx.post(url, json={"messages": [USER]}).json()["choices"][0]["message"]["content"] == "Hello."
    assert server.refusals == [ILLEGAL["system later"][1]]


# What the package costs its users.


def python(code: str) -> str:
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_importing_the_doubles_imports_neither_pytest_nor_openai() -> None:
    code = (
        "import sys, agent.testing; print(sorted({'pytest', 'openai', 'respx', 'mistral_common'} & set(sys.modules)))"
    )
    assert python(code) == "[]\n"


def test_importing_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import pytest, sys; before = set(sys.modules); import agent.testing.fixtures; "
        "heavy = {'asyncio', 'jsonschema', 'openai', 'yaml', 'agent.loop.run'} | "
        "{'agent.model.wire', 'agent.testing.server'}; "
        "print(sorted(heavy & set(sys.modules) - before))"
    )
    assert python(code) == "[]\n"


def test_the_example_in_the_docstring_runs(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", agent.testing.__doc__ or "", re.DOTALL)
    assert run_pytest(tmp_path, example) == "1 passed"


def test_the_fixtures_work_without_an_asyncio_plugin(tmp_path: Path) -> None:
    assert run_pytest(tmp_path, FIXTURES_IN_USE) == "2 passed"


FIXTURES_IN_USE = """
from agent import Agent, Endpoint
from agent.testing import says


def test_a_model(scripted_model):
    assert Agent(scripted_model([says("Hi.")])).run_sync("Hello").answer == "Hi."


def test_servers(scripted_server):
    first, second = scripted_server([says("One.")], strict=True), scripted_server([says("Two.")])
    assert [Agent(Endpoint(server.url)).run_sync("Hello").answer for server in (first, second)] == ["One.", "Two."]
"""


def run_pytest(folder: Path, code: str) -> str:
    """Run a user's test file in another process and folder, and return how it ended."""
    (folder / "test_mine.py").write_text(code)
    installed = importlib.metadata.entry_points(group="pytest11", name="tramontane")
    plugin = [] if installed else ["-p", "agent.testing.fixtures"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:asyncio",
        "-p",
        "no:cacheprovider",
        "-W",
        "error",
        *plugin,
    ]
    ran = subprocess.run(
        command,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout.strip().splitlines()[-1].split(" in ")[0]


def test_a_connection_that_arrives_while_the_server_closes_leaves_no_socket_open() -> None:
    lost: list[object] = []

    def note(report: sys.UnraisableHookArgs) -> None:
        lost.append(report.exc_value)

    hook, sys.unraisablehook = sys.unraisablehook, note
    try:
        for _ in range(10):
            server = ScriptedServer([]).start()
            port = int(server.url.split(":")[2].split("/")[0])
            clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
            server.close()
            for client in clients:
                client.close()
            gc.collect()
    finally:
        sys.unraisablehook = hook

    assert lost == []

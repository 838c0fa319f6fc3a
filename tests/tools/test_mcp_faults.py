"""MCP servers that misbehave: nothing of them stays, no other call is lost, and an unknown effect is told as such."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest

from agent import Agent, ConfigError, McpServer, Outcome, ToolContext, ToolError, tool
from agent.journal.journal import read_journal
from agent.messages import ToolResult
from agent.sandbox.process import kill_all_sessions
from agent.testing import ScriptedModel, ScriptedServer, calls, says
from tools._server_session import Session
from tools.mcp import mcp_tools

pytest.importorskip("mcp")

SERVER = """
import json, os, signal, subprocess, sys, time

kind = sys.argv[1]
TEXT = {"type": "object", "properties": {"q": {"type": "string"}}}
TOOLS = ("good", "die", "slow", "odd")
HELLO = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}}

def note(file, text):
    with open(file, "a") as notes:
        notes.write(f"{text}\\n")

def out(message, **answer):
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}), flush=True)

def start(new_session=False):
    child = subprocess.Popen(["sleep", "1000"], start_new_session=new_session)
    note("pids", child.pid)

note("pids", os.getpid())
if kind == "hangs" or os.path.exists("hang"):
    time.sleep(1000)
if kind == "ignores SIGTERM":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if kind == "writes a lot on standard error":
    print("x" * 1_000_000, "end of it", sep="\\n", file=sys.stderr, flush=True)
if kind == "forks":
    start()
if kind == "leaves its session":
    start(new_session=True)
for line in sys.stdin:
    message = json.loads(line)
    if kind == "prints noise":
        print("Processing request of type", message["method"], flush=True)
    if kind == "prints bytes":
        sys.stdout.buffer.write(b"caf\\xe9 \\xff\\n")
        sys.stdout.flush()
    if kind == "exits at what it does not know" and message["method"] == "server/discover":
        os._exit(3)
    match message["method"]:
        case "initialize":
            out(message, result=HELLO)
        case "tools/list":
            out(message, result={"tools": [{"name": name, "inputSchema": TEXT} for name in TOOLS]})
        case "tools/call":
            tool = message["params"]["name"]
            note("calls", tool)
            match tool:
                case "die":
                    time.sleep(0.2)
                    print("farewell", file=sys.stderr, flush=True)
                    os._exit(3)
                case "odd":
                    out(message, result={"content": "no list"})
                case "good":
                    out(message, result={"content": [{"type": "text", "text": "got it"}]})
        case _:
            if "id" in message:
                out(message, error={"code": -32601, "message": "unknown"})
while kind == "ignores SIGTERM":
    time.sleep(1)
"""
GOOD = ("s_good", {"q": "1"})


class Server:
    """A server in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "server.py").write_text(SERVER)

    def settings(self, kind: str, **settings: Any) -> McpServer:
        return McpServer(command=(sys.executable, "server.py", kind), **{"timeout_s": 20, **settings})

    async def run(self, server: McpServer, *steps: Any) -> Outcome:
        model = ScriptedModel([*steps, says("Done.")])
        tools = mcp_tools({"s": server}, self.folder)
        return await Agent(model, tools=tools, workspace=self.folder, runs=self.folder / "runs").run("Go.")

    def read(self, name: str) -> list[str]:
        file = self.folder / name
        return file.read_text().split() if file.exists() else []

    @property
    def alive(self) -> list[str]:
        """The processes of all servers, and what they started, that have not ended; a kill takes a moment."""
        pids = self.read("pids")
        assert pids
        until = time.monotonic() + 10
        while (left := list(filter(_is_alive, pids))) and time.monotonic() < until:
            time.sleep(0.02)
        return left


def _is_alive(pid: str) -> bool:
    try:
        return Path("/proc", pid, "stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    for pid in server.alive:
        subprocess.run(["kill", "-9", pid], check=False)


def _results(outcome: Outcome) -> list[tuple[str, str]]:
    return [(found.status, found.content) for found in outcome.messages if isinstance(found, ToolResult)]


@pytest.mark.parametrize(
    "kind", ["forks", "leaves its session", "ignores SIGTERM", "writes a lot on standard error", "prints bytes"]
)
async def test_nothing_of_a_server_is_left_after_a_run(server: Server, kind: str):
    """Its children ran on, also in its own session; one byte that is not UTF-8 hung the start for a minute."""
    outcome = await server.run(server.settings(kind), calls(GOOD))
    assert _results(outcome) == [("ok", "got it")]
    assert server.alive == []


async def test_a_server_outside_the_sandbox_and_its_children_do_not_outlive_a_forced_end(server: Server):
    """Only commands were killed at a second SIGTERM."""
    session = Session("s", server.settings("leaves its session"), server.folder, era="legacy")
    await session.client()
    kill_all_sessions()
    assert server.alive == []
    await session.aclose()


async def test_a_server_that_hangs_when_a_run_starts_it_is_ended(server: Server, monkeypatch: pytest.MonkeyPatch):
    """It was forgotten, and ran on."""
    tools = mcp_tools({"s": server.settings("is good")}, server.folder)
    monkeypatch.setattr("tools._server_session.START_TIMEOUT_S", 0.5)
    (server.folder / "hang").touch()
    outcome = await Agent(ScriptedModel([calls(GOOD), says("Done.")]), tools=tools, workspace=server.folder).run("Go.")
    command = f"{sys.executable} server.py is good"
    assert _results(outcome) == [
        ("error", f"Error: The MCP server `s` ({command}) did not start: it did not answer within 0.5 s.")
    ]
    assert server.alive == []


def test_a_server_that_hangs_when_it_is_listed_is_ended(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tools._server_session.START_TIMEOUT_S", 0.5)
    with pytest.raises(ConfigError, match=r"did not start: it did not answer within 0.5 s\."):
        mcp_tools({"s": server.settings("hangs")}, server.folder)
    assert server.alive == []


async def test_a_server_that_exits_at_a_request_it_does_not_know_is_spoken_to_as_before(server: Server):
    """The question whether it speaks protocol 2026-07-28 ended it, and then the whole task."""
    outcome = await server.run(server.settings("exits at what it does not know"), calls(GOOD))
    assert _results(outcome) == [("ok", "got it")]


def test_what_a_server_prints_beside_its_messages_is_noted_once_without_a_traceback(server: Server):
    """Each line printed a Python traceback on the user's terminal."""
    (server.folder / "task.yaml").write_text(
        f"prompt: Go.\nworkspace: work\nmcp: {{s: {{command: [{sys.executable}, server.py, prints noise]}}}}\n"
    )
    (server.folder / "work").mkdir()
    with ScriptedServer([calls(GOOD), says("Done.")]) as model:
        argv = [sys.executable, "-m", "agent", "run", "task.yaml", "--base-url", model.url]
        done = subprocess.run(argv, cwd=server.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Traceback" not in done.stdout + done.stderr
    note = "mcp.s: it prints what is not MCP on its standard output, which is ignored"
    first = "'Processing request of type server/discover'"
    assert done.stdout.count("Processing request") == 1
    assert f"{note} (4 lines, the first: {first})" in " ".join(done.stdout.split())


async def test_a_server_that_dies_under_two_calls_is_restarted_for_the_next(server: Server):
    outcome = await server.run(
        server.settings("is good"), calls(("s_die", {}), ("s_slow", {})), calls(("s_good", {}), ("s_good", {"q": "2"}))
    )
    lost = (
        "Error: The MCP server `s` exited during the call; the next one restarts it. The call may have taken effect: "
        "check before you repeat it.\nIt wrote: farewell"
    )
    assert [found[0] for found in _results(outcome)] == ["no_answer", "no_answer", "ok", "ok"]
    assert {found[1] for found in _results(outcome)[:2]} == {lost}
    assert server.alive == []


async def test_a_server_is_not_restarted_while_a_command_could_change_its_files(server: Server):
    going_on = False

    @tool
    def start(context: ToolContext[Any]) -> str:
        """Start a command in the background."""
        nonlocal going_on
        going_on = True
        context.track("`sleep`", is_running=lambda: going_on, stop=stopped)
        return "Started."

    @tool
    def stop() -> str:
        """Stop it."""
        nonlocal going_on
        going_on = False
        return "Stopped."

    async def stopped() -> None: ...

    model = ScriptedModel([calls(("s_die", {"q": "1"})), calls(("start", {})), calls(GOOD), calls(("stop", {})),
                           calls(GOOD), says("Done.")])  # fmt: skip
    tools = (*mcp_tools({"s": server.settings("")}, server.folder), start, stop)
    outcome = await Agent(model, tools=tools, workspace=server.folder).run("Go.")
    results = _results(outcome)
    assert results[2] == ("error", (
        "Error: The MCP server `s` was not started: commands of this run are going on (`sleep`), and could change its "
        "files while it starts, outside the sandbox. Stop them, and call the tool again."
    ))  # fmt: skip
    assert results[4] == ("ok", "got it")


async def test_a_call_that_was_sent_and_not_answered_is_told_as_such_and_not_sent_again(server: Server):
    """It was an `error` like that of a call which the server refused; its effect counted as none."""
    outcome = await server.run(server.settings("is good", timeout_s=1), calls(("s_slow", {})), calls(("s_odd", {})))
    unknown = "The call may have taken effect: check before you repeat it."
    assert _results(outcome) == [
        ("no_answer", f"Error: The MCP server `s` did not answer within 1 s. {unknown}"),
        (
            "no_answer",
            "Error: The MCP server `s` did not answer the call: 1 validation error for CallToolResult. " + unknown,
        ),
    ]
    assert server.read("calls") == ["slow", "odd"]
    assert outcome.journal is not None
    ended = [event for event in read_journal(outcome.journal) if event.kind == "call_ended"]
    assert [event.result.status for event in ended] == ["no_answer", "no_answer"]


# Over HTTP, and protocol 2026-07-28.

TOOLS = ("good", "ask", "state", "bare", "none", "stream", "gateway", "page", "refused")


class Web(ThreadingHTTPServer):
    """Keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Modern)
        self.seen: list[Any] = []


class Modern(BaseHTTPRequestHandler):
    """A server that speaks only protocol 2026-07-28."""

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        cast("Web", self.server).seen.append(message)
        parameters = message["params"]
        if parameters["_meta"].get("io.modelcontextprotocol/protocolVersion") != "2026-07-28":
            wrong = {"code": -32022, "message": "Unsupported", "data": {"supported": ["2026-07-28"], "requested": "?"}}
            return self._answer(message, error=wrong)
        match message["method"]:
            case "server/discover":
                self._answer(message, result={"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}})
            case "tools/list":
                offered = [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]
                self._answer(message, result={"tools": offered})
            case _:
                self._call(message, parameters["name"], parameters.get("requestState"))
        return None

    def _call(self, message: Any, tool: str, state: str | None) -> None:
        match tool:
            case "good" | "state" if tool == "good" or state:
                text = {"type": "text", "text": "got it"}
                self._answer(message, result={"resultType": "complete", "content": [text]})
            case "state":
                self._answer(message, result={"resultType": "input_required", "requestState": "half"})
            case "ask":
                form = {"mode": "form", "message": "Who?", "requestedSchema": {"type": "object", "properties": {}}}
                wanted = {"a": {"method": "elicitation/create", "params": form}}
                self._answer(message, result={"resultType": "input_required", "inputRequests": wanted})
            case "bare":
                self._answer(message, result={"content": [], "structuredContent": [1, 2]})
            case "none":
                self._answer(message, result={"content": [], "structuredContent": 0})
            case "stream":  # it ends before the answer
                self._send(200, "text/event-stream", b": working\n\n")
            case "gateway":
                self._send(502, "text/html", b"<html>Bad Gateway</html>")
            case "page":
                self._send(200, "text/html", b"<html>Sign in</html>")
            case _:
                self._answer(message, error={"code": -32000, "message": "over the limit of today"})

    def _answer(self, message: Any, **answer: Any) -> None:
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}).encode()
        self._send(200, "application/json", body)

    def _send(self, status: int, media_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in the base class
        pass


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


UNKNOWN = "The call may have taken effect: check before you repeat it."


@pytest.mark.parametrize(
    ("tool", "status", "content"),
    [
        ("good", "ok", "got it"),
        ("state", "ok", "got it"),
        ("bare", "ok", "[1,2]"),
        ("none", "ok", "0"),
        (
            "ask", "error",
            "Error: The MCP server `web` rejected the call: it asks a person for input, and no person can be asked in "
            "a run",
        ),
        ("refused", "error", "Error: The MCP server `web` rejected the call: over the limit of today"),
        (
            "stream", "no_answer",
            f"Error: The MCP server `web` did not answer the call: SSE stream ended without a response. {UNKNOWN}",
        ),
        (
            "gateway", "no_answer",
            f"Error: The MCP server `web` did not answer the call: Server returned an error response. {UNKNOWN}",
        ),
        (
            "page", "no_answer",
            f"Error: The MCP server `web` did not answer the call: Unexpected content type: text/html. {UNKNOWN}",
        ),
    ],
)  # fmt: skip
async def test_a_server_of_protocol_2026_07_28_is_spoken_to(
    tmp_path: Path, web: Web, tool: str, status: str, content: str
):
    """A stream that broke off was told as a refusal, though a server of this protocol may have done its work."""
    tools = mcp_tools({"web": McpServer(url=f"http://127.0.0.1:{web.server_port}/mcp", timeout_s=20)}, tmp_path)
    model = ScriptedModel([calls((f"web_{tool}", {})), says("Done.")])
    outcome = await Agent(model, tools=tools, workspace=tmp_path).run("Go.")
    assert _results(outcome) == [(status, content)]
    sent = [message["params"]["name"] for message in web.seen if message["method"] == "tools/call"]
    assert sent == ([tool, tool] if tool == "state" else [tool]), "nothing is sent twice unless the server asks for it"


class Forgetful(Modern):
    """A server of the older protocol that forgets each session after its first call."""

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        web, session = cast("Web", self.server), self.headers.get("Mcp-Session-Id")
        match message["method"]:
            case "initialize":
                hello = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}}
                self._answer(message, result={**hello, "serverInfo": {"name": "s", "version": "1"}})
            case "tools/list":
                self._answer(message, result={"tools": [{"name": "good", "inputSchema": {"type": "object"}}]})
            case "tools/call" if session not in web.seen:
                web.seen.append(session)
                self._answer(message, result={"content": [{"type": "text", "text": f"call {len(web.seen)}"}]})
            case "tools/call":
                self._send(404, "text/plain", b"")
            case "notifications/initialized":
                self._send(202, "text/plain", b"")
            case _:
                self._answer(message, error={"code": -32601, "message": "unknown"})

    def do_GET(self) -> None:
        self._send(405, "text/plain", b"")

    do_DELETE = do_GET

    def end_headers(self) -> None:
        if self.headers.get("Mcp-Session-Id") is None:
            self.send_header("Mcp-Session-Id", secrets.token_hex(8))
        super().end_headers()


async def test_a_session_that_the_server_has_forgotten_is_begun_anew(tmp_path: Path, web: Web):
    """As after a restart of the server: each later call was rejected with "Session terminated"."""
    web.RequestHandlerClass = Forgetful
    tools = mcp_tools({"web": McpServer(url=f"http://127.0.0.1:{web.server_port}/mcp", timeout_s=20)}, tmp_path)
    model = ScriptedModel([calls(("web_good", {})), calls(("web_good", {"again": 1})), says("Done.")])
    outcome = await Agent(model, tools=tools, workspace=tmp_path).run("Go.")
    assert _results(outcome) == [("ok", "call 1"), ("ok", "call 2")]


async def test_no_answer_is_a_tool_error_that_a_tool_of_ones_own_may_raise(tmp_path: Path):
    from agent import NoAnswer, tool

    @tool
    def order() -> str:
        """Order something."""
        msg = "The shop did not answer.\nIt said before: hello"
        raise NoAnswer(msg)

    outcome = await Agent(ScriptedModel([calls(("order", {})), says("Done.")]), tools=[order], workspace=tmp_path).run(
        "Go."
    )
    assert issubclass(NoAnswer, ToolError)
    assert _results(outcome) == [
        ("no_answer", f"Error: The shop did not answer. {UNKNOWN}\nIt said before: hello"),
    ]

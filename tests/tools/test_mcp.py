"""Tools of real MCP servers, over standard input and HTTP."""

from __future__ import annotations

import json
import marshal
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import MAGIC_NUMBER, cache_from_source
from pathlib import Path

import pytest

from agent import Agent, ConfigError, McpServer, Tool, load_task, tool
from agent.messages import ToolResult
from agent.task.tool_loading import load_mcp_tools
from agent.testing import ScriptedModel, calls, says
from tools.mcp import mcp_tools

pytest.importorskip("mcp")

SERVER = '''
import base64, os, sys, time
from mcp.server.mcpserver import Image, MCPServer

server = MCPServer("demo")

@server.tool()
def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b

@server.tool()
def fail(why: str) -> str:
    """Fail."""
    raise ValueError(why)

@server.tool()
def die() -> str:
    """End the server."""
    print("farewell", file=sys.stderr, flush=True)
    os._exit(3)

@server.tool(name="odd name!")
def odd() -> str:
    """Return the process id."""
    return str(os.getpid())

@server.tool()
def wait(seconds: float) -> str:
    """Wait."""
    time.sleep(seconds)
    return "done"

@server.tool()
def picture() -> Image:
    """Return a picture."""
    dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    return Image(data=base64.b64decode(dot), format="png")

if sys.argv[1:]:
    server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
else:
    server.run()
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "server.py").write_text(SERVER)
    return tmp_path


@pytest.fixture
def stdio() -> McpServer:
    return McpServer(command=(sys.executable, "server.py"), env={"PYTHONPATH": ":".join(sys.path)}, timeout_s=20)


async def _results(tools: tuple[Tool, ...], folder: Path, *made: tuple[str, dict[str, object]]) -> list[ToolResult]:
    model = ScriptedModel([*[calls(call) for call in made], says("Done.")])
    outcome = await Agent(model, tools=tools, workspace=folder).run("Do it.")
    return [message for message in outcome.messages if isinstance(message, ToolResult)]


async def test_the_tools_of_a_server_are_tools_of_the_run(folder: Path, stdio: McpServer):
    tools = mcp_tools({"demo": stdio}, folder)
    assert [tool.name for tool in tools] == [
        "demo_add", "demo_fail", "demo_die", "demo_odd_name_", "demo_wait", "demo_picture",
    ]  # fmt: skip
    added, failed, first, second, picture = await _results(
        tools, folder, ("demo_add", {"a": 2, "b": 3}), ("demo_fail", {"why": "no luck"}), ("demo_odd_name_", {}),
        ("demo_odd_name_", {}), ("demo_picture", {}),
    )  # fmt: skip
    assert (added.content, added.status) == ("5", "ok")
    assert failed.status == "error"
    assert failed.content.startswith("Error: Error executing tool fail")
    assert first.content == second.content.partition("\n")[0], "one server for the whole run"
    assert [image.media_type for image in picture.images] == ["image/png"]


async def test_arguments_are_validated_against_the_schema_of_the_server(folder: Path, stdio: McpServer):
    (tool,) = mcp_tools({"demo": McpServer(command=stdio.command, env=stdio.env, tools=("add",))}, folder)
    assert not isinstance(tool.arguments.check('{"a": 1, "b": "two"}'), dict)
    assert not isinstance(tool.arguments.check('{"a": 1, "b": 2, "c": 3}'), dict)


async def test_a_server_that_exits_is_restarted(folder: Path, stdio: McpServer):
    tools = mcp_tools({"demo": stdio}, folder)
    before, died, after, added = await _results(
        tools, folder, ("demo_odd_name_", {}), ("demo_die", {}), ("demo_odd_name_", {}), ("demo_add", {"a": 1, "b": 1})
    )
    assert died.content.startswith(
        "Error: The MCP server `demo` exited during the call; the next one restarts it. The call may have taken "
        "effect: check before you repeat it.\nIt wrote: "
    )
    assert "farewell" in died.content
    assert after.status == "ok"
    assert after.content != before.content
    assert added.content == "2"


async def test_the_server_ends_with_the_run(folder: Path, stdio: McpServer):
    (pid,) = await _results(mcp_tools({"demo": stdio}, folder), folder, ("demo_odd_name_", {}))
    until = time.monotonic() + 10
    while Path(f"/proc/{pid.content}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid.content}").exists()


async def test_a_call_times_out(folder: Path, stdio: McpServer):
    server = McpServer(command=stdio.command, env=stdio.env, timeout_s=2)
    (late,) = await _results(mcp_tools({"demo": server}, folder), folder, ("demo_wait", {"seconds": 20}))
    assert late.content == (
        "Error: The MCP server `demo` did not answer within 2 s. The call may have taken effect: check before you "
        "repeat it."
    )


@pytest.fixture
def address(folder: Path, stdio: McpServer) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([*stdio.command, str(port)], cwd=folder, env=dict(stdio.env), stderr=subprocess.DEVNULL)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.1)
    yield f"http://127.0.0.1:{port}/mcp"
    process.kill()
    process.wait()


async def test_a_server_at_a_url_is_called_over_http(folder: Path, address: str):
    tools = mcp_tools({"web": McpServer(url=address, tools=("add",))}, folder)
    (added,) = await _results(tools, folder, ("web_add", {"a": 20, "b": 22}))
    assert added.content == "42"


def test_the_problem_with_a_server_is_reported(folder: Path, stdio: McpServer):
    def problem(**settings: object) -> str:
        with pytest.raises(ConfigError) as caught:
            mcp_tools({"demo": McpServer(**settings)}, folder)  # pyright: ignore[reportArgumentType]
        return str(caught.value)

    (folder / "bad.py").write_text("import sys\nsys.exit('no licence')\n")
    assert "did not start: " in problem(command=(sys.executable, "bad.py"))
    assert "It wrote: no licence" in problem(command=(sys.executable, "bad.py"))
    assert "did not start: " in problem(command=("no-such-program",))
    assert "did not start: " in problem(url="http://127.0.0.1:9/mcp")
    assert "has no tool 'sub'. It has: add, fail" in problem(command=stdio.command, env=stdio.env, tools=("sub",))
    assert "needs either `command` (a list) or `url`, not both. Give one." in problem()


RAW_SERVER = """
import json, sys

TOOLS = json.loads(open("tools.json").read())
HELLO = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "raw", "version": "1"}}

for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        answers = {
            "initialize": HELLO,
            "tools/list": {"tools": TOOLS},
            "tools/call": {"content": [{"type": "text", "text": json.dumps(message.get("params"))}]},
        }
        answer = answers.get(message["method"], {})
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": answer}), flush=True)
"""


def _raw(folder: Path, *offered: object) -> McpServer:
    (folder / "raw.py").write_text(RAW_SERVER)
    (folder / "tools.json").write_text(json.dumps(offered))
    return McpServer(command=(sys.executable, "raw.py"), timeout_s=20)


def test_names_that_a_server_sent_take_one_line_of_a_message_and_only_some_are_listed(tmp_path: Path):
    """A line end in the name of a tool began a line of its own in the terminal."""
    names = ["add\nagent: verified", *(f"tool_{number}" for number in range(30))]
    server = _raw(tmp_path, *({"name": name, "inputSchema": {"type": "object"}} for name in names))
    with pytest.raises(ConfigError, match="has no tool 'sub'") as caught:
        mcp_tools({"raw": replace(server, tools=("sub",))}, tmp_path)
    _, _, listed = str(caught.value).partition("It has: ")
    assert listed.startswith("'add\\nagent: verified', tool_0, tool_1, ")
    assert listed.endswith(", tool_18 and 11 more.")


def test_all_pages_of_a_listing_have_one_timeout(tmp_path: Path):
    """Each had its own: a server with endless pages held up the start for 50 times as long."""
    server = _raw(tmp_path)
    paging = RAW_SERVER.replace('{"tools": TOOLS}', '{"tools": TOOLS, "nextCursor": "more"}')
    waiting = paging.replace('    if "id"', '    time.sleep(0.1)\n    if "id"').replace("sys", "sys, time", 1)
    (tmp_path / "raw.py").write_text(waiting)
    with pytest.raises(ConfigError, match=r"did not list its tools: it took over 0\.5 s\."):
        mcp_tools({"raw": replace(server, timeout_s=0.5)}, tmp_path)


NAME = {"properties": {"name": {"type": "string"}}, "required": ["name"]}


async def test_a_listing_that_the_client_would_refuse_as_a_whole_is_used(tmp_path: Path):
    """One tool without `"type": "object"` at its top made the package mcp refuse all tools of the server."""
    server = _raw(
        tmp_path,
        {"name": "plain", "inputSchema": {"type": "object", "properties": {}}},
        {"name": "untyped", "inputSchema": NAME, "description": None},
        {"name": "referring", "inputSchema": {"$ref": "#/$defs/a", "$defs": {"a": NAME}}},
        {"name": "choosing", "inputSchema": {"oneOf": [NAME, {"required": ["id"]}]}},
        {"name": "empty", "inputSchema": {}},
        {"name": "missing"},
        {"name": "nullable", "inputSchema": {"type": "object", "properties": None, "required": None}},
        {"name": "bad", "inputSchema": {"type": "string"}},
        {"inputSchema": {}},
    )
    tools = mcp_tools({"raw": server}, tmp_path)
    assert [tool.name.removeprefix("raw_") for tool in tools] == [
        "plain", "untyped", "referring", "choosing", "empty", "missing", "nullable",
    ]  # fmt: skip
    assert "the tool 'bad' cannot be used" in tools[0].notes[0]
    assert isinstance(tools[2].arguments.check('{"name": 1}'), tuple)
    (called,) = await _results(tools, tmp_path, ("raw_referring", {"name": "a"}))
    assert json.loads(called.content.partition("\n")[0])["arguments"] == {"name": "a"}


async def test_the_schema_of_a_result_is_not_checked_by_the_client(tmp_path: Path):
    """Its pattern would be matched with Python's `re`, which may take forever, and a mismatch would hide the result."""
    server = _raw(tmp_path, {"name": "a", "inputSchema": {"type": "object"}, "outputSchema": {"type": "object"}})
    (called,) = await _results(mcp_tools({"raw": server}, tmp_path), tmp_path, ("raw_a", {}))
    assert called.status == "ok"


def test_what_is_not_checked_of_a_schema_is_noted(tmp_path: Path):
    schema = {"type": "object", "properties": {"name": {"type": "string", "pattern": "^(?!x)"}}}
    (tool,) = mcp_tools({"raw": _raw(tmp_path, {"name": "a", "inputSchema": schema})}, tmp_path)
    assert tool.notes == ("$.name: the pattern ^(?!x) is not checked: it looks ahead",)


def test_servers_are_configured_in_the_task(folder: Path, stdio: McpServer):
    server = {"command": list(stdio.command), "env": dict(stdio.env), "tools": ["add"]}
    (folder / "task.yaml").write_text(f"prompt: Add.\nmcp: {json.dumps({'demo': server})}\n")
    task = load_task(folder / "task.yaml")
    (tool,) = load_mcp_tools(task.mcp, directory=folder, writable=[folder])
    assert tool.name == "demo_add"


def test_without_the_package_the_error_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.modules[mcp_tools.__module__], "find_spec", {}.get)
    with pytest.raises(ConfigError, match=r"pip install \"tramontane\[mcp\]\""):
        mcp_tools({"demo": McpServer(url="http://127.0.0.1:9/mcp")}, folder)


def _small(folder: Path, imports: str, *command: str) -> tuple[Tool, ...]:
    """Return the tool `demo_add` of a server that starts quickly, `server.py` in the folder."""
    (folder / "tools.json").write_text('[{"name": "add", "inputSchema": {}}]')
    (folder / "server.py").write_text(f"{imports}\n{RAW_SERVER}")
    return mcp_tools({"demo": McpServer(command=(sys.executable, *command), timeout_s=20)}, folder)


def test_a_server_that_is_slow_to_start_keeps_no_other_one_waiting(folder: Path):
    """Each was listed when the one before had ended, and one that is silent at first takes 10 s."""
    meet = "import pathlib, sys, time\npathlib.Path(sys.argv[1]).touch()\nuntil = time.monotonic() + 20\n"
    meet += "while not pathlib.Path(sys.argv[2]).exists():\n    assert time.monotonic() < until\n    time.sleep(0.01)"
    (folder / "tools.json").write_text('[{"name": "add", "inputSchema": {}}]')
    (folder / "server.py").write_text(f"{meet}\n{RAW_SERVER}")
    servers = {one: McpServer(command=(sys.executable, "server.py", one, other)) for one, other in ("ab", "ba")}
    assert [found.name for found in mcp_tools(servers, folder)] == ["a_add", "b_add"]


def test_of_several_servers_that_do_not_start_the_first_is_told(folder: Path):
    (folder / "server.py").write_text("import pathlib, sys\npathlib.Path(sys.argv[1]).touch()\nsys.exit(sys.argv[1])")
    servers = {one: McpServer(command=(sys.executable, "server.py", one)) for one in "ab"}
    with pytest.raises(ConfigError, match=r"`a` \(.*It wrote: a"):
        mcp_tools(servers, folder)


async def test_what_a_server_returns_is_as_bounded_as_what_other_tools_return(folder: Path):
    server = _raw(folder, {"name": "a", "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}}})
    (tool,) = mcp_tools({"raw": server}, folder)
    (result,) = await _results((tool,), folder, ("raw_a", {"text": "word " * (tool.output_limit_chars // 4)}))
    assert tool.output_limit_chars == Tool.output_limit_chars
    assert tool.output_limit_chars // 2 < len(result.content) < tool.output_limit_chars + 500


@pytest.mark.parametrize("command", [("server.py",), ("-m", "server")])
@pytest.mark.parametrize("changed", ["server.py", "helper.py", "package/__init__.py", "package/deep.py", "other.py"])
async def test_a_server_whose_file_changed_during_the_run_is_not_started(
    folder: Path, command: tuple[str, ...], changed: str
):
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").touch()
    (folder / "package" / "deep.py").write_text("import other\n")
    (folder / "other.py").touch()
    (folder / "helper.py").write_text("from package import deep\n")
    tools = _small(folder, "import helper", *command)
    with (folder / changed).open("a") as file:
        file.write("\nopen('started', 'w')\n")
    (result,) = await _results(tools, folder, ("demo_add", {"a": 1, "b": 2}))
    assert result.content == (
        f"Error: The MCP server `demo` was not started: {folder / changed} changed during this run, and would run "
        "outside the sandbox. Undo the change, or work without this server's tools."
    )
    assert not (folder / "started").exists()


@pytest.mark.parametrize("module", ["json.py", "yaml.py", "json/__init__.py", "json.pyc"])
async def test_a_server_is_not_started_with_a_new_module_beside_it_that_hides_one_it_imports(folder: Path, module: str):
    tools = _small(folder, "import yaml", "server.py")
    (folder / module).parent.mkdir(exist_ok=True)
    (folder / module).write_text("open('started', 'w')\n")
    (result,) = await _results(tools, folder, ("demo_add", {"a": 1, "b": 2}))
    assert result.content.startswith(f"Error: The MCP server `demo` was not started: {folder / module} changed during")
    assert not (folder / "started").exists()


PYTHON = sys.executable
WITHOUT_VARIABLES = {
    "PYTHON server.py": "", "PYTHON -E server.py": "", "env PYTHON -E server.py": "", "env -i PYTHON server.py": "",
    "nice -n 1 PYTHON -u -sE server.py": "", "./server.py": "PYTHON -E", "server.py": "PYTHON -uE",
    "./server.py x": "/usr/bin/env -S PYTHON -E",
}  # fmt: skip


@pytest.mark.parametrize(("command", "shebang"), WITHOUT_VARIABLES.items(), ids=WITHOUT_VARIABLES)
async def test_a_server_reads_no_bytecode_that_a_run_left_beside_its_modules(folder: Path, command: str, shebang: str):
    """With -E in the first line of server.py, or after `env`, it read what a run had put into __pycache__."""
    (folder / "helper.py").write_text("")
    (folder / "tools.json").write_text('[{"name": "add", "inputSchema": {}}]')
    (folder / "server.py").write_text(f"#!{shebang}\nimport helper\n{RAW_SERVER}".replace("PYTHON", PYTHON))
    (folder / "server.py").chmod(0o755)
    words = tuple(command.replace("PYTHON", PYTHON).split())
    server = McpServer(command=words, timeout_s=20, env={"PATH": f"{folder}:{os.defpath}"})
    tools = mcp_tools({"demo": server}, folder)
    facts = (folder / "helper.py").stat()
    code = compile("open('started', 'w')", "helper.py", "exec")
    cached = Path(cache_from_source(str(folder / "helper.py")))
    cached.parent.mkdir(exist_ok=True)
    times = struct.pack("<III", 0, int(facts.st_mtime), facts.st_size)
    cached.write_bytes(MAGIC_NUMBER + times + marshal.dumps(code))
    (result,) = await _results(tools, folder, ("demo_add", {"a": 1, "b": 2}))
    assert result.status == "ok"
    assert not (folder / "started").exists()


async def test_a_server_that_commands_could_change_is_started_before_the_first_of_them(folder: Path):
    """A background command replaced the file between its check and its start, at the first call of the server."""
    tools = _small(folder, "open('started', 'w').close()", "server.py")
    (folder / "started").unlink()

    @tool
    def look() -> str:
        """Look for the file."""
        return str((folder / "started").exists())

    (result,) = await _results((*tools, look), folder, ("look", {}))
    assert result.content == "True"


async def test_a_server_elsewhere_is_started_when_it_is_called(folder: Path, tmp_path_factory: pytest.TempPathFactory):
    _small(folder, "open('started', 'w').close()", "server.py")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    server = McpServer(command=(sys.executable, "server.py"), timeout_s=20)
    tools = mcp_tools({"demo": server}, folder, writable=[elsewhere])
    (folder / "started").unlink()
    await _results(tools, elsewhere)
    assert not (folder / "started").exists()


async def test_a_running_server_whose_file_a_command_changes_is_ended_before_it_can_import_it(folder: Path):
    (folder / "helper.py").touch()
    tools = _small(folder, "def late():\n    import helper", "server.py")

    @tool
    def change() -> str:
        """Change the file."""
        (folder / "helper.py").write_text("x = 1\n")
        return "Changed."

    calls = [("demo_add", {"a": 1, "b": 2}), ("change", {}), ("demo_add", {"a": 1, "b": 2})]
    first, _, second = await _results((*tools, change), folder, *calls)
    assert first.status == "ok"
    assert second.content == (
        f"Error: The MCP server `demo` was ended: {folder / 'helper.py'} changed during this run, and would run "
        "outside the sandbox. Undo the change, or work without this server's tools."
    )


async def test_the_server_of_an_agent_that_is_a_tool_is_no_other_than_before_the_run(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
):
    """It was listed at the first call of the agent, whatever the calling run had made of its file by then."""
    monkeypatch.chdir(folder)
    _small(folder, "", "server.py")
    text = (folder / "server.py").read_text()

    @tool
    def change() -> str:
        """Change the file."""
        (folder / "server.py").write_text(f"open({str(folder / 'started')!r}, 'w').close()\n{text}")
        return "Changed."

    inner = ScriptedModel([calls(("demo_add", {})), says("Done.")])
    server = McpServer(command=(sys.executable, "server.py"), timeout_s=20)
    helper = Agent(inner, mcp={"demo": server}, workspace=tmp_path_factory.mktemp("other")).as_tool("helper")
    model = ScriptedModel([calls(("change", {})), calls(("helper", {"prompt": "Go."})), says("Done.")])
    await Agent(model, tools=[change, helper], workspace=folder).run("Go.")
    assert "`demo` was not started" in inner.bodies[-1]["messages"][-1]["content"]
    assert not (folder / "started").exists()


async def test_a_server_runs_on_while_other_files_of_its_folder_change(folder: Path):
    tools = _small(folder, "", "server.py")
    (folder / "app.py").write_text("x = 1\n")
    (result,) = await _results(tools, folder, ("demo_add", {"a": 1, "b": 2}))
    assert result.status == "ok"

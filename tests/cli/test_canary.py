"""Canaries: no artefact of a run that used every kind of tool holds a secret of any source, in any common encoding."""

from __future__ import annotations

import base64
import json
import random
import string
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from agent.cli import main
from agent.journal.events import CallEnded
from agent.journal.journal import read_journal
from agent.testing import ScriptedServer, calls, says

CHANCE = random.Random(11)


def canary(name: str) -> str:
    return f"canary-{name}/" + "".join(CHANCE.choices(string.ascii_letters + string.digits, k=20)) + "+="


BODY = ["".join(CHANCE.choices(string.ascii_letters + string.digits + "+/", k=64)) for _ in range(6)]
PEM = "\n".join(["-----BEGIN RSA PRIVATE KEY-----", *BODY, "-----END RSA PRIVATE KEY-----", ""])
ENV, LITERAL, FILE, MCP = map(canary, ("env", "literal", "file", "mcp"))
PASSWORD = "canary-" + "".join(CHANCE.choices(string.ascii_letters + string.digits, k=20))
TOKEN = "ghp_" + "".join(CHANCE.choices(string.ascii_letters + string.digits, k=36))
SECRETS = {
    "env": ENV, "literal": LITERAL, "file": FILE, "mcp": MCP, "password": PASSWORD, "token": TOKEN,
    **{f"pem {at}": line for at, line in enumerate(BODY)},
}  # fmt: skip

SERVER = """\
import json, os, sys
KEY = os.environ["SERVER_TOKEN"]
sys.stderr.write("starting with " + KEY + "\\n")
for line in sys.stdin:
    asked = json.loads(line)
    if asked.get("method") == "initialize":
        result = {"protocolVersion": asked["params"]["protocolVersion"], "capabilities": {"tools": {}},
                  "serverInfo": {"name": "s", "version": "1"}}
    elif asked.get("method") == "tools/list":
        result = {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in ("ask", "fail", "die")]}
    elif asked.get("method") == "tools/call":
        if asked["params"]["name"] == "die":
            os._exit(3)
        result = {"content": [{"type": "text", "text": "key " + KEY}], "isError": asked["params"]["name"] == "fail"}
    elif "id" in asked:  # an answer, or the client waits for it as long as for a slow server
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32601, "message": "?"}}), flush=True)
        continue
    else:
        continue
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
"""
OWN_TOOL = """\
import base64, os
from agent import Image, ToolError, tool
from pathlib import Path
K = Path("key.txt").read_text()
@tool
def crash() -> str:
    "Crash."
    raise RuntimeError("failed with " + K)
@tool
def refuse() -> str:
    "Refuse."
    raise ToolError("failed with " + K)
@tool
def table() -> dict[str, str]:
    "Table."
    return {K: 'a"b'}
@tool
def picture() -> Image:
    "Picture."
    return Image(data=base64.b64encode(b"GIF89a" + K.encode()).decode(), media_type="image/gif")
"""
TASK = f"""\
prompt: Go.
workspace: ws
env_from: [MY_TOKEN, DATABASE_URL]
env: {{API_SECRET: '{LITERAL}'}}
secret_files: [ws/.env, key.txt]
tools: [run_shell, read_file, list_files, search, write_file, edit_file, edit_files, apply_diff, undo_change, diff,
        start_process, read_process, stop_process, run_tests, read_test_report, outline, find_definition,
        debug_start, debug_stop, ./mine.py]
mcp: {{s: {{command: ['{sys.executable}', server.py], env: {{SERVER_TOKEN: '{MCP}'}}}}}}
verify: {{command: 'echo $MY_TOKEN $API_SECRET; cat .env id_key config.py; exit 1', attempts: 2}}
"""
TESTS = """\
import os
def test_shown():
    key = os.environ["MY_TOKEN"]
    print(key, os.environ["DATABASE_URL"])
    assert key == "nothing", os.environ["API_SECRET"]
"""
PRINT_ALL = "env; cat .env id_key config.py; echo $MY_TOKEN | base64; printf %s $MY_TOKEN | od -An -tx1"


def forms(value: str) -> Iterator[str]:
    data = value.encode()
    yield from (
        value,
        json.dumps(value)[1:-1],
        value.replace("/", "\\/"),
        quote(value, safe=""),
        value[::-1],
        data.hex(),
    )
    yield data.hex(" ")
    for before in range(3):
        yield base64.b64encode(b"\0" * before + data).decode()[4:-4]


def found(text: str) -> list[str]:
    """Return the names of the secrets in a text, with the form that is there."""
    text = "\n".join([text, "".join(text.split())])
    return [f"{name}: {form}" for name, value in SECRETS.items() for form in forms(value) if form in text]


@pytest.fixture
def project(own_machine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MY_TOKEN", ENV)
    monkeypatch.setenv("DATABASE_URL", f"postgres://me:{PASSWORD}@db/x")
    workspace = tmp_path / "ws"
    workspace.mkdir()
    (workspace / ".env").write_text(f"LOGIN={FILE}\n")
    (workspace / "id_key").write_text(PEM)
    (workspace / "config.py").write_text(f'TOKEN = "{TOKEN}"\n\n\ndef config():\n    return TOKEN\n')
    (workspace / "test_it.py").write_text(TESTS)
    (workspace / "report.xml").write_text(
        f"<testsuite><testcase name='a'><failure>{FILE} {TOKEN}</failure></testcase></testsuite>"
    )
    (workspace / f"{TOKEN}.txt").write_text("x\n")
    (tmp_path / "key.txt").write_text(FILE)
    (tmp_path / "mine.py").write_text(OWN_TOOL)
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "task.yaml").write_text(TASK)
    return tmp_path


SCRIPT = [
    ("run_shell", {"command": PRINT_ALL}),
    ("run_shell", {"command": f"for i in $(seq 3000); do echo $MY_TOKEN; done; echo {ENV} {LITERAL} {TOKEN}"}),
    ("read_file", {"path": ".env"}), ("read_file", {"path": "id_key", "start_line": 3, "line_count": 2}),
    ("read_file", {"path": f"{TOKEN}.txt"}), ("read_file", {"path": f"no-{ENV}"}), ("list_files", {}),
    ("search", {"pattern": "LOGIN|TOKEN|[A-Za-z0-9+/]{64}"}), ("search", {"pattern": ENV[:12]}),
    ("edit_file", {"path": "config.py", "old": LITERAL, "new": "x"}),
    ("write_file", {"path": "out.txt", "content": "x\n"}),
    ("edit_files", {"edits": [{"path": "config.py", "old": ENV, "new": "y"}]}),
    ("apply_diff", {"diff": f"--- a/out.txt\n+++ b/out.txt\n@@ -1 +1 @@\n-{ENV}\n+y\n"}), ("undo_change", {}),
    ("diff", {}),
    ("start_process", {"command": f"{PRINT_ALL}; sleep 60", "wait_s": 1}), ("read_process", {"process": 1}),
    ("stop_process", {"process": 1}), ("run_tests", {}), ("run_tests", {"failure": "test_it.py::test_shown"}),
    ("read_test_report", {"path": "report.xml"}), ("outline", {"path": "config.py"}),
    ("find_definition", {"name": "config"}),
    ("debug_start", {"program": "test_it.py", "breakpoints": ["test_it.py:3"]}), ("debug_stop", {}),
    ("crash", {}), ("refuse", {}), ("table", {}), ("picture", {}),
    ("s_ask", {}), ("s_fail", {}), ("s_die", {}), ("no_such_tool", {"key": ENV}),
    ("read_file", {"path": 5, "key": LITERAL}),
]  # fmt: skip


def test_no_artefact_of_a_run_holds_a_secret(project: Path, capsys: pytest.CaptureFixture[str]):
    replies = [calls(call) for call in SCRIPT]
    replies += [calls(("read_file", "{" + f'"path": "{ENV}')), says(f"I saw {ENV}, {MCP} and {TOKEN}.", reasoning=PEM)]
    with ScriptedServer([*replies, *[says(f"Done: {LITERAL}.")] * 30], window_tokens=None) as server:
        main(["run", str(project / "task.yaml"), "--base-url", server.url])
        messages = [message for body in server.bodies for message in body["messages"]]
    printed = capsys.readouterr()
    # What the model wrote itself is sent back to it as it is.
    sent = {str(message["content"]) for message in messages if message["role"] != "assistant"}
    assert found("\n".join(sent)) == []
    assert found(printed.out + printed.err) == []

    for command in (
        ["show", "last"], ["show", "last", "--full"], ["show", "last", "--json"], ["runs"], ["runs", "--json"],
        ["diff", "last"], ["diff", "last", "--names"], ["undo", "last"],
    ):  # fmt: skip
        main(command)
        shown = capsys.readouterr()
        assert found(shown.out + shown.err) == [], command

    planted = {project / "task.yaml", project / "key.txt", *(project / "ws").glob("*")}
    files = [path for path in project.rglob("*") if path.is_file() and path not in planted]
    holding = {
        str(path.relative_to(project)): found(path.read_text(errors="replace"))
        for path in files
        # The snapshot of a file that nobody named is a copy of it: a restore must give it back.
        if not ("snapshot" in path.parts and path.name in {"id_key", "config.py", "report.xml"})
    }
    assert [name for name, names in holding.items() if names] == []
    (journal,) = [path for path in files if path.name == "journal.jsonl"]
    ended = {event.result.name for event in read_journal(journal) if isinstance(event, CallEnded)}
    assert {name for name, _ in SCRIPT} - ended == {"no_such_tool"}
    assert any("outputs" in path.parts for path in files)

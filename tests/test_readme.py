"""The README's examples run, and its task is the one that is shipped."""

import ast
import asyncio
import contextlib
import inspect
import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent import Outcome, load_task
from agent.cli import COMMANDS, main
from agent.journal.events import Replied
from agent.journal.journal import Journal
from agent.messages import Reply, ToolResult, Usage
from agent.testing import ScriptedServer, calls, says
from serving.probe import TITLES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def fenced(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_task_in_the_readme_is_the_shipped_example():
    shown = yaml.safe_load(fenced("yaml")[0])
    assert shown == yaml.safe_load((ROOT / "examples" / "first_task" / "task.yaml").read_text())
    assert load_task(ROOT / "examples" / "first_task" / "task.yaml").name == "first-task"


def blocks() -> list[tuple[str, str, str]]:
    """Return each Python block with its heading and its example; no example if it is a program of its own."""
    found: list[tuple[str, str, str]] = []
    for part in re.split(r"^#{2,3} ", README, flags=re.MULTILINE)[1:]:
        for match in re.finditer(r"```python\n(.*?)```\n\n([^\n]*)", part, flags=re.DOTALL):
            link = re.match(r"(?:From|Also from) \[([\w.]+)\]\(examples/\1\)", match[2])
            found.append((part.partition("\n")[0], match[1], link[1] if link else ""))
    return found


EXCERPTS = [(code, example) for _, code, example in blocks() if example]
PROGRAMS = [(heading, code) for heading, code, example in blocks() if not example]

REPLIES = {
    "Build an agent": [calls(("add", {"a": 2, "b": 3})), says("5")],
    "Tools": [calls(("take", {"item": "pen", "count": 2}), ("price", {"item": "pen"})), says("3 euros.")],
    "Conversations": [says("A function with its variables."), says("lambda: x"), says("There is none.")],
    "Many at once": [says("An old silent pond")],
}


def test_every_python_block_is_found():
    assert len(blocks()) == len(fenced("python"))


@pytest.mark.parametrize(("code", "example"), EXCERPTS, ids=[example for _, example in EXCERPTS])
def test_the_lines_of_an_excerpt_are_those_of_its_example_in_the_same_order(code: str, example: str):
    lines = iter(line.strip() for line in (ROOT / "examples" / example).read_text().splitlines())
    for line in filter(None, map(str.strip, code.splitlines())):
        assert line in lines, f"{example} has no such line after those before: {line}"


@pytest.mark.parametrize(("heading", "code"), PROGRAMS, ids=[heading for heading, _ in PROGRAMS])
def test_a_program_of_the_readme_runs_with_every_reply(
    heading: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AGENT_RUNS_DIR", str(tmp_path))
    names: dict[str, Any] = {"__name__": "readme"}
    with ScriptedServer(REPLIES.get(heading, [])) as server:
        here = code.replace("http://127.0.0.1:8000/v1", server.url)
        ran = eval(compile(here, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        if inspect.iscoroutine(ran):
            asyncio.run(ran)
        assert len(server.bodies) == len(REPLIES.get(heading, []))
    for outcome in filter(lambda value: isinstance(value, Outcome), names.values()):
        assert outcome.ok, outcome.reason
        assert all(one.status == "ok" for one in outcome.messages if isinstance(one, ToolResult))


def test_every_command_the_readme_shows_exists():
    shown = set(re.findall(r"(?:^|[;`] ?)agent ([a-z]+)", "\n".join(fenced("sh")), flags=re.MULTILINE))
    assert shown == set(COMMANDS)


def test_every_command_of_the_readme_that_needs_no_gpu_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-model").symlink_to(ROOT / "serving" / "pocket" / "model")
    (tmp_path / "key").touch(mode=0o600)
    (tmp_path / "key").write_text("k" * 20)
    past = Journal(tmp_path / ".local/state/tramontane/runs/RUN")
    usage = Usage(prompt_tokens=9000, completion_tokens=300)
    past.write(Replied(step=0, rung=0, reply=Reply(usage=usage), max_tokens=4096, wire_bytes=1, elapsed_s=1.0))
    past.close()
    lines = [line for text in fenced("sh") for line in text.splitlines()]
    shown = [line for line in lines if re.match(r"agent (plan|deploy)|agent serve .*--dry-run", line)]
    assert len(shown) == 9

    for line in shown:
        words = [word.replace("~", str(tmp_path)) for word in shlex.split(line, comments=True)]
        assert main(words[1:]) == 0, f"{line}\n{capsys.readouterr().err}"


def tool_table(told: str) -> str:
    """Lay out what `agent tools --json` prints: an argument in brackets may be left out."""
    lines = ["| tool | arguments | what it does |", "|---|---|---|"]
    for tool in json.loads(told):
        properties, needed = tool["parameters"]["properties"], tool["parameters"].get("required", [])
        shown = ", ".join(f"`{name}`" if name in needed else f"`[{name}]`" for name in properties)
        lines.append(f"| `{tool['name']}` | {shown} | {tool['description']} |")
    return "\n".join(lines)


def test_the_table_of_tools_is_what_the_command_says(capsys: pytest.CaptureFixture[str]):
    """If it is not: python tests/test_readme.py."""
    assert main(["tools", "--json"]) == 0
    assert tool_table(capsys.readouterr().out) == README.partition("<!-- tools -->")[2].partition("<!--")[0].strip()


def test_the_number_of_checks_is_that_of_the_probe(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["doctor", "--help"])

    told = f"{len(TITLES)} small checks"
    assert told in " ".join(README.split())
    assert told in " ".join(capsys.readouterr().out.split())


def rewrite() -> None:
    """Put the table into the README."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        main(["tools", "--json"])
    before, mark, rest = README.partition("<!-- tools -->\n")
    after = rest[rest.index("<!-- /tools -->") :]
    (ROOT / "README.md").write_text(f"{before}{mark}{tool_table(printed.getvalue())}\n{after}")


if __name__ == "__main__":
    rewrite()

"""A secret that the model writes is executed as written, and is in no journal, event or outcome."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent import Agent, ConfigError, load_task, tool
from agent.cli import main
from agent.journal.events import CallStarted, RunStarted, TurnTaken
from agent.journal.journal import read_journal
from agent.journal.redacted import redacted_json
from agent.messages import ToolResult
from agent.task.recorded import recorded_task
from agent.testing import ScriptedModel, ScriptedServer, calls, says
from agent.tooling.redaction import redacted

CANARY = 'can"ary-93ab71\u00e9cc'
SECRETS = {"LOGIN": CANARY}
SEEN: list[str] = []


@tool
def send(key: str, n: int = 0) -> str:
    """Send."""
    SEEN.append(key)
    return f"sent {len(key)} characters, {n}"


def agent_of(replies: list[object], runs: Path, **more: object) -> Agent:
    return Agent(ScriptedModel(replies), tools=[send], secrets=SECRETS, runs=runs, **more)  # type: ignore[arg-type]


def forms(text: str) -> list[str]:
    return [
        form
        for form in (
            CANARY,
            json.dumps(CANARY)[1:-1],
            json.dumps(CANARY, ensure_ascii=False)[1:-1],
            json.dumps(json.dumps(CANARY))[3:-3],
        )
        if form in text
    ]


async def test_the_arguments_of_a_call_are_executed_as_written_and_recorded_without_the_secret(tmp_path: Path):
    """The journal, the live view and the outcome held what the model wrote into its calls."""
    SEEN.clear()
    shown: list[str] = []
    wrong = calls(("send", {"key": CANARY, "no": CANARY}))
    replies = [calls(("send", {"key": CANARY})), wrong, wrong, says("Done.")]
    outcome = await agent_of(replies, tmp_path).run("Go.", observe=lambda event: shown.append(str(event)))

    assert SEEN == [CANARY]
    assert outcome.journal is not None
    assert forms(outcome.journal.read_text() + "".join(shown) + str(outcome)) == []
    started = [event for event in read_journal(outcome.journal) if isinstance(event, CallStarted)]
    assert [json.loads(event.arguments) for event in started] == [{"key": "[secret LOGIN]"}]
    turns = [event.redacted for event in read_journal(outcome.journal) if isinstance(event, TurnTaken)]
    assert turns == [True, True, False]


@pytest.mark.parametrize("last", ["replied", "turn_taken"])
async def test_a_call_whose_secret_the_journal_does_not_have_is_not_executed_by_a_resumed_run(
    last: str, tmp_path: Path
):
    SEEN.clear()
    outcome = await agent_of([calls(("send", {"key": CANARY})), says("Done.")], tmp_path).run("Go.")
    assert outcome.journal is not None
    lines = outcome.journal.read_bytes().splitlines(keepends=True)
    end = next(at for at, line in enumerate(lines) if f'"kind":"{last}"'.encode() in line)
    outcome.journal.write_bytes(b"".join(lines[: end + 1]))
    SEEN.clear()

    resumed = await agent_of([calls(("send", {"key": CANARY})), says("Done.")], tmp_path).resume(outcome.journal.parent)

    assert SEEN == [CANARY]
    results = [message.content for message in resumed.messages if isinstance(message, ToolResult)]
    lost = (
        "Interrupted: the run was stopped before this call was made, and its arguments held a secret, which is not "
        "kept. Send the call again."
    )
    assert results == ([lost] if last == "turn_taken" else []) + ["sent 17 characters, 0"]
    assert (await agent_of([says("x")], tmp_path / "b").run("x")).ok


async def test_the_prompt_of_a_resumed_run_holds_its_secret_again(tmp_path: Path):
    outcome = await agent_of([calls(("send", {"key": "x"})), says("Done.")], tmp_path).run(f"Use {CANARY}.")
    assert outcome.journal is not None
    assert forms(outcome.journal.read_text()) == []
    lines = outcome.journal.read_bytes().splitlines(keepends=True)
    outcome.journal.write_bytes(b"".join(lines[:2]))
    agent = agent_of([says("Done.")], tmp_path)
    await agent.resume(outcome.journal.parent)
    assert json.loads(agent.model.requests[-1].messages[1])["content"] == f"Use {CANARY}."  # type: ignore[attr-defined]

    outcome.journal.write_bytes(b"".join(lines[:2]))
    with pytest.raises(ConfigError, match=r"its prompt held the secret 'LOGIN', which the journal does not keep"):
        await Agent(ScriptedModel([]), tools=[send], runs=tmp_path).resume(outcome.journal.parent)


TASK = """\
prompt: Go.
workspace: {path: ws, create: true}
env_from: [MY_TOKEN]
env: {API_TOKEN: literal-canary-1, LEVEL: debug-mode}
tools: [run_shell]
verify: {command: 'echo env-canary-0042 literal-canary-1 > /dev/null'}
"""


async def test_a_resumed_task_takes_its_secrets_from_the_environment_and_asks_for_those_of_the_file(tmp_path: Path):
    """The values of `env:` and of `mcp: {env: ...}` were in the journal."""
    (tmp_path / "task.yaml").write_text(TASK)
    environ = {"PATH": "/usr/bin:/bin", "MY_TOKEN": "env-canary-0042"}
    task = load_task(tmp_path / "task.yaml")
    outcome = await Agent.from_task(task, ScriptedModel([says("Done.")]), environ=environ, runs=tmp_path / "runs").run(
        "Go."
    )
    assert outcome.journal is not None
    assert "canary" not in outcome.journal.read_text()
    first = read_journal(outcome.journal)[0]
    assert isinstance(first, RunStarted)
    assert sorted(first.redacted) == ["system", "task.env", "task.verify"]

    again = recorded_task(
        first.task,
        {"env.API_TOKEN": "literal-canary-1", "verify.command": "exit 0"},
        redacted=first.redacted,
        environ=environ,
    )
    assert again.env == {"API_TOKEN": "literal-canary-1", "LEVEL": "debug-mode"}
    with pytest.raises(ConfigError) as caught:
        recorded_task(first.task, {"verify.command": "exit 0"}, redacted=first.redacted, environ=environ)
    assert str(caught.value) == (
        "`env.API_TOKEN` held the secret 'API_TOKEN', which the journal does not keep. Give the value again with --set "
        "env.API_TOKEN=VALUE, or run the task again. A secret that `env_from` or `secret_files` names need not be "
        "given."
    )
    with pytest.raises(ConfigError, match=r"'prompt' cannot be changed. Override only limits"):
        recorded_task(first.task, {"prompt": "x"}, redacted=first.redacted, environ=environ)


async def test_a_resumed_task_finds_a_secret_of_the_environment_by_itself(tmp_path: Path):
    (tmp_path / "task.yaml").write_text(TASK.replace("literal-canary-1", "plain"))
    environ = {"PATH": "/usr/bin:/bin", "MY_TOKEN": "env-canary-0042"}
    task = load_task(tmp_path / "task.yaml")
    outcome = await Agent.from_task(task, ScriptedModel([says("Done.")]), environ=environ, runs=tmp_path / "runs").run(
        "Go."
    )
    assert outcome.journal is not None
    first = read_journal(outcome.journal)[0]
    assert isinstance(first, RunStarted)
    assert recorded_task(first.task, redacted=first.redacted, environ=environ) == task


def test_the_event_stream_of_a_run_and_its_journal_hold_no_secret(
    own_machine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("MY_TOKEN", "env-canary-0042")
    (tmp_path / "task.yaml").write_text(TASK)
    script = [calls(("run_shell", {"command": "echo env-canary-0042 > literal-canary-1.txt"})), says("env-canary-0042")]
    with ScriptedServer(script) as server:
        assert main(["run", str(tmp_path / "task.yaml"), "--base-url", server.url, "--json"]) == 0
    for command in (["show", "last", "--full"], ["show", "last", "--json"], ["runs"], ["diff", "last"]):
        assert main(command) == 0
    assert (tmp_path / "ws" / "literal-canary-1.txt").read_text() == "env-canary-0042\n"
    printed = capsys.readouterr()
    assert "env-canary-0042" not in printed.out + printed.err
    assert main(["diff", "last", "--raw"]) == 0
    assert "+env-canary-0042\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text", ['{"a": ["\\u0063anary-0042", 12345678, true]}', '{"canary-0042": {"b": "canary-0042"}}']
)
def test_json_stays_json_whatever_it_held(text: str):
    shown = redacted_json(text, lambda part: redacted(part, {'K"': "canary-0042", "PIN": "12345678"}))
    assert "canary" not in json.dumps(json.loads(shown))
    assert "12345678" not in shown


def test_a_call_nested_deeper_than_python_can_recurse_ends_no_run():
    """Such JSON could still be parsed, not walked: one reply of the model ended the run with a RecursionError."""
    text = f'{"[" * 900}"canary-0042"{"]" * 900}'
    assert "canary" not in redacted_json(text, lambda part: redacted(part, {"KEY": "canary-0042"}))

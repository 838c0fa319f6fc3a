"""Secrets of the environment reach neither the model nor the journal."""

from __future__ import annotations

import base64
import time
from dataclasses import replace
from pathlib import Path

import pytest

from agent import Agent, ConfigError, Image, Verify, load_task, tool
from agent.messages import ToolResult
from agent.testing import ScriptedModel, calls, says
from agent.tooling.redaction import redacted, secrets_in, secrets_of_file
from tools.shell import run_shell

CANARY = "canary-93ab71cc"


def test_variables_are_secrets_by_name_and_only_if_long_enough():
    env = {"API_KEY": CANARY, "GITHUB_TOKEN": "abc", "PATH": "/usr/bin:/bin", "DB_PASSWORD": "hunter2hunter2"}
    assert secrets_in(env) == {"API_KEY": CANARY, "DB_PASSWORD": "hunter2hunter2"}
    innocent = {"GIT_AUTHOR_NAME": "Jane Example", "KEYBOARD_LAYOUT": "de-latin1", "BASE_URL": "http://127.0.0.1:8000"}
    assert secrets_in(innocent) == {}
    assert secrets_in({"DATABASE_URL": "postgres://me:pw@db/x"}).keys() == {"DATABASE_URL"}


def test_the_longer_of_two_secrets_is_replaced_first():
    secrets = {"A_KEY": "12345678", "B_KEY": "12345678-long"}
    assert redacted("x 12345678-long y 12345678", secrets) == "x [secret B_KEY] y [secret A_KEY]"


def test_the_values_of_a_file_are_found_in_every_format():
    assert secrets_of_file(
        "# a comment that is long\nexport TOKEN='abcdefgh'\nDEBUG=1\nURL=https://a.b/c?d=e\n", ".env"
    ) == {
        "TOKEN": "abcdefgh",
        "URL": "https://a.b/c?d=e",
    }
    assert secrets_of_file('{\n  "api-key": "abcdefgh",\n  "n": 1\n}', "keys.json") == {"api-key": "abcdefgh"}
    assert secrets_of_file("db:\n  password: correct horse\n", "x.yaml") == {"password": "correct horse"}
    key = "-----BEGIN KEY-----\nMIIEowIBAAKCAQEA+x/yz\nQmFzZTY0IGVuZA==\nTWFuIHdvcmRzIQ=\n"
    assert list(secrets_of_file(key, "id").values()) == key.splitlines()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"a": {"token": "abcdefgh"}, "b": ["listed-one", "listed-two"]}', {"abcdefgh", "listed-one", "listed-two"}),
        ('{"pem": "first-line\\nnext-line", "pin": 12345678}', {"first-line", "next-line", "12345678"}),
        ("hosts:\n  - listed-one\n  - 2024-13-45\n", {"listed-one", "2024-13-45"}),
        ("a: &a [shared-value]\nb: *a\n", {"shared-value"}),
        (
            "A: 'quoted # no comment'\nB: plain-value # a comment\nC=other-value # another\n",
            {"quoted # no comment", "plain-value", "other-value"},
        ),
    ],
)
def test_each_value_is_found_separately_wherever_it_occurs(text: str, values: set[str]):
    found = secrets_of_file(text, "file")
    assert values <= set(found.values())
    assert not any(value in redacted("\n".join(values), found) for value in values)


def test_a_secret_of_several_lines_is_found_where_each_line_is_numbered_or_marked():
    """Line numbers, a diff and a search show its lines one by one."""
    secrets = {"KEY": "first-line-of-it\nsecond-line-of-it\nend\n"}
    assert (
        redacted("x first-line-of-it\nsecond-line-of-it\nend y", secrets)
        == "x [secret KEY]\n[secret KEY]\n[secret KEY] y"
    )
    assert redacted("1: first-line-of-it\n2: second-line-of-it\n3: end", secrets) == (
        "1: [secret KEY]\n2: [secret KEY]\n3: end"
    )


async def test_the_values_of_a_secret_file_reach_neither_the_model_nor_the_journal(tmp_path: Path):
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / ".env").write_text(f"DB_LOGIN={CANARY}\n")
    (tmp_path / "key").write_text(f"{CANARY[::-1]}\n")
    (tmp_path / "task.yaml").write_text(
        "prompt: Look.\nworkspace: ws\nsecret_files: [ws/.env, key]\ntools: [read_file, run_shell]\n"
        f"verify: {{command: 'cat .env; echo {CANARY[::-1]}; exit 1', attempts: 1}}\n"
    )
    model = ScriptedModel(
        [calls(("read_file", {"path": ".env"})), calls(("run_shell", {"command": "rev .env | rev"})), says("Done.")]
    )
    agent = Agent.from_task(
        load_task(tmp_path / "task.yaml"), model, environ={"PATH": "/usr/bin:/bin"}, runs=tmp_path / "runs"
    )
    outcome = await agent.run("Look.")
    results = [message.content for message in outcome.messages if isinstance(message, ToolResult)]
    assert results == ["1: DB_LOGIN=[secret DB_LOGIN]\n", "DB_LOGIN=[secret DB_LOGIN]\n"]
    assert "[secret DB_LOGIN]" in outcome.reason
    assert "[secret key]" in outcome.reason
    assert CANARY not in b"".join(model.requests[-1].messages).decode()
    assert outcome.journal is not None
    journal = outcome.journal.read_text()
    # The task's command is the user's own text, so its secret stays.
    assert CANARY not in journal
    assert journal.count(CANARY[::-1]) == journal.count(f"echo {CANARY[::-1]}")


def test_a_missing_secret_file_is_an_error_that_names_it(tmp_path: Path):
    (tmp_path / "task.yaml").write_text("prompt: Look.\nsecret_files: [gone]\n")
    with pytest.raises(
        ConfigError, match=r"Cannot read '.*/gone': No such file or directory. Check `secret_files\[0\]`."
    ):
        Agent.from_task(load_task(tmp_path / "task.yaml"), ScriptedModel([]), environ={})


async def test_a_secret_that_a_command_prints_appears_nowhere(tmp_path: Path):
    (tmp_path / "ws").mkdir()
    model = ScriptedModel([calls(("run_shell", {"command": "echo key=$API_KEY; env"})), says("Done.")])
    agent = Agent(
        model,
        tools=[run_shell],
        workspace=tmp_path / "ws",
        env={"PATH": "/usr/bin:/bin", "API_KEY": CANARY},
        verify=Verify(command="echo $API_KEY; exit 1", attempts=1),
        runs=tmp_path / "runs",
    )
    outcome = await agent.run("Print it.")
    assert outcome.status == "verify_failed"
    assert "[secret API_KEY]" in outcome.reason
    sent = b"".join(model.requests[-1].messages).decode()
    assert "key=[secret API_KEY]" in sent
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if CANARY in path.read_text(errors="replace")]


async def test_the_answer_of_a_model_that_knows_a_secret_is_redacted_everywhere(tmp_path: Path):
    """The journal and the live view held it as the model wrote it."""
    seen: list[str] = []
    agent = Agent(
        ScriptedModel([says(f"It is {CANARY}.", reasoning=f"Say {CANARY}.")]), secrets={"LOGIN": CANARY}, runs=tmp_path
    )
    outcome = await agent.run("Say it.", observe=lambda event: seen.append(str(event)))

    assert outcome.answer == "It is [secret LOGIN]."
    assert outcome.journal is not None
    assert CANARY not in outcome.journal.read_text() + "".join(seen)


async def test_the_environment_of_a_tools_own_program_is_redacted(tmp_path: Path):
    """Values of `mcp: {env: ...}` reached the model and the journal."""

    @tool
    def ask_server() -> str:
        """Ask."""
        return f"key {CANARY}"

    model = ScriptedModel([calls(("ask_server", {})), says("Done.")])
    server = replace(ask_server, env={"API_TOKEN": CANARY, "LOG_LEVEL": "debug"})
    outcome = await Agent(model, tools=[server], runs=tmp_path).run("Ask.")
    assert [m.content for m in outcome.messages if isinstance(m, ToolResult)] == ["key [secret API_TOKEN]"]


async def test_an_image_that_holds_a_secret_is_left_out(tmp_path: Path):
    @tool
    def show() -> Image:
        """Show."""
        return Image(data=base64.b64encode(f"GIF89a{CANARY}...".encode()).decode(), media_type="image/gif")

    model = ScriptedModel([calls(("show", {})), says("Done.")])
    outcome = await Agent(model, tools=[show], secrets={"K": CANARY}).run("Show.")
    (result,) = [message for message in outcome.messages if isinstance(message, ToolResult)]
    assert result.images == ()
    assert result.content == "(an image: image/gif)\n(an image was left out: it holds a secret)"


def test_thousands_of_short_texts_are_redacted_in_time():
    """An event with 6,000 changed files held the event loop for 2 s: the variables were judged anew for each text."""
    env = {f"VARIABLE_{number}": f"value-{number}-of-the-environment" for number in range(40)}
    began_s = time.process_time()
    for number in range(12_000):
        path = f"folder/file{number}.txt"
        assert redacted(path, secrets_in({**env, "API_TOKEN": "tok-0123456789abcdef"})) == path
    assert time.process_time() - began_s < 1.5

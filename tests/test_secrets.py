"""Secrets of the environment reach neither the model nor the journal."""

from __future__ import annotations

from pathlib import Path

from agent import Agent, Verify
from agent.secrets import redacted, secrets_in
from agent.testing import ScriptedModel, calls, says
from tools.shell import run_shell

CANARY = "canary-93ab71cc"


def test_variables_are_secrets_by_their_names_and_only_if_long_enough():
    env = {"API_KEY": CANARY, "GITHUB_TOKEN": "abc", "PATH": "/usr/bin:/bin", "DB_PASSWORD": "hunter2hunter2"}
    assert secrets_in(env) == {"API_KEY": CANARY, "DB_PASSWORD": "hunter2hunter2"}
    innocent = {"GIT_AUTHOR_NAME": "Jane Example", "KEYBOARD_LAYOUT": "de-latin1", "BASE_URL": "http://127.0.0.1:8000"}
    assert secrets_in(innocent) == {}
    assert secrets_in({"DATABASE_URL": "postgres://me:pw@db/x"}).keys() == {"DATABASE_URL"}


def test_of_two_secrets_the_longer_one_is_taken_first():
    secrets = {"A_KEY": "12345678", "B_KEY": "12345678-long"}
    assert redacted("x 12345678-long y 12345678", secrets) == "x [secret B_KEY] y [secret A_KEY]"


async def test_a_secret_that_a_command_prints_stays_out_of_everything(tmp_path: Path):
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
    assert outcome.outcome == "verify_failed"
    assert "[secret API_KEY]" in outcome.reason
    sent = b"".join(model.requests[-1].messages).decode()
    assert "key=[secret API_KEY]" in sent
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if CANARY in path.read_text(errors="replace")]

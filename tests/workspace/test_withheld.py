"""Secret files of a workspace: a snapshot holds nothing of them, and diff, restore and undo say so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent import Agent, load_task
from agent.cli import main
from agent.testing import ScriptedModel, calls, says
from agent.workspace.attempts import save_attempt
from agent.workspace.own_changes import restore_own, signatures, signatures_at_start
from agent.workspace.withheld import SecretFiles, secret_files
from agent.workspace.workspace import Restored, Snapshot, Workspace

CANARY = "canary-7f3a9c2b51d8"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "ws"
    folder.mkdir()
    (folder / ".env").write_text(f"DB_PASSWORD={CANARY}\n")
    (folder / "a.py").write_text("one\n")
    return folder


def taken(folder: Path, into: Path, secret: SecretFiles) -> Snapshot:
    snapshot = Workspace(folder).snapshot(into, secret=secret)
    assert isinstance(snapshot, Snapshot)
    return snapshot


def texts_below(top: Path) -> str:
    return "".join(path.read_bytes().decode("latin-1") for path in top.rglob("*") if path.is_file())


by_both = pytest.mark.parametrize(
    "secret", [SecretFiles(paths=frozenset({".env"})), SecretFiles(values=(CANARY.encode(),))]
)


@by_both
def test_a_change_of_a_secret_file_is_told_but_its_content_is_kept_nowhere(
    folder: Path, tmp_path: Path, secret: SecretFiles
):
    workspace, snapshot = Workspace(folder), taken(folder, tmp_path / "snap", secret)
    assert workspace.diff(snapshot) == ()
    (folder / ".env").write_text(f"DB_PASSWORD={CANARY}\nMORE={CANARY}\n")
    (folder / "a.py").write_text("two\n")
    assert [(one.path, one.kind, one.diff[:33]) for one in workspace.diff(snapshot)] == [
        (".env", "changed", "[secret, and not in the snapshot:"),
        ("a.py", "changed", "--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@"),
    ]
    save_attempt(workspace, snapshot)
    assert workspace.restore(snapshot) == Restored(changed=("a.py",), kept=(".env",))
    assert "MORE" in (folder / ".env").read_text()
    assert CANARY not in texts_below(tmp_path / "snap") + texts_below(folder / ".agent")


@by_both
@pytest.mark.parametrize("instead", ["nothing", "folder", "link"])
def test_what_takes_the_place_of_a_secret_file_is_left_alone(
    folder: Path, tmp_path: Path, secret: SecretFiles, instead: str
):
    workspace, snapshot = Workspace(folder), taken(folder, tmp_path / "snap", secret)
    (folder / ".env").unlink()
    if instead == "folder":
        (folder / ".env").mkdir()
    elif instead == "link":
        (folder / ".env").symlink_to("a.py")
    before = sorted(item.name for item in folder.iterdir())
    assert [one.kind for one in workspace.diff(snapshot)] == ["removed" if instead == "nothing" else "changed"]
    assert workspace.restore(snapshot).kept == (".env",)
    own = {path: signatures(workspace, snapshot).get(path, "") for path in signatures_at_start(workspace, snapshot)}
    assert restore_own(workspace, snapshot, own).kept == (".env",)
    assert sorted(item.name for item in folder.iterdir()) == before


def test_a_later_snapshot_shares_no_content_of_an_earlier_one_that_held_it(folder: Path, tmp_path: Path):
    taken(folder, tmp_path / "old", SecretFiles())
    secret = SecretFiles(paths=frozenset({".env"}))
    assert isinstance(Workspace(folder).snapshot(tmp_path / "new", like=tmp_path / "old", secret=secret), Snapshot)
    assert (tmp_path / "new" / ".env").read_bytes() == bytes(len(f"DB_PASSWORD={CANARY}\n"))


def test_an_ordinary_word_that_is_a_password_makes_no_file_secret(folder: Path):
    found = secret_files(folder, {}, {"DB_PASSWORD": "postgres", "TOKEN": CANARY})
    assert CANARY.encode() in found.values
    assert not any(value in b"POSTGRES_USER: postgres" for value in found.values)


@pytest.mark.parametrize("name", [".env", "./.env", "../ws/.env", "link"])
async def test_a_runs_folder_holds_nothing_of_a_file_in_secret_files(
    folder: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (folder / "link").symlink_to(".env")
    (folder / "copy.ini").write_text(f"[db]\npassword = {CANARY}\n")
    (folder / "task.yaml").write_text(f"prompt: Go.\nworkspace: .\nsecret_files: [{name}]\ntools: [write_file]\n")
    runs = tmp_path / "runs"
    model = ScriptedModel([calls(("write_file", {"path": ".env", "content": "x"})), says("Done.")])
    agent = Agent.from_task(load_task(folder / "task.yaml"), model, environ=os.environ, runs=runs)
    await agent.run("Go.")
    assert CANARY not in texts_below(runs)
    monkeypatch.setenv("AGENT_RUNS_DIR", str(runs))
    assert main(["diff", "last"]) == 0
    assert main(["undo", "last", "--yes"]) == 0
    assert ".env" in capsys.readouterr().out
    assert (folder / ".env").read_text() == "x"
    assert CANARY not in texts_below(runs)

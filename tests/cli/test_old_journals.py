"""Journals of earlier versions can be read, shown and resumed."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest

from agent.cli import main
from agent.testing import ScriptedServer, says

# Recorded on 2026-11-28 with version 0.1.0, before `agent/` was split into subpackages: two calls, an empty reply, a
# constrained re-ask, a failed verification, a climb with a fresh context, a repaired call; killed while waiting for the
# reply to its last request. Names in braces are placeholders for folders of that machine.
RECORDED = Path(__file__).parents[1] / "data" / "journals" / "before_the_rooms.jsonl"


@pytest.fixture
def run_folder(own_machine: None, tmp_path: Path) -> Path:
    """Create the journal and its folders where the commands look for them."""
    workspace = tmp_path / "task" / "project"
    folder = tmp_path / "state" / "tramontane" / "runs" / "20261128-150343-921b59"
    for place, text in ((workspace, "    return a + b\n"), (folder / "snapshot", "    return a - b\n")):
        place.mkdir(parents=True)
        (place / "calc.py").write_text("def add(a, b):\n" + text)
    lines: list[str] = []
    for line in RECORDED.read_text().splitlines():
        for name, path in (("{WORKSPACE}", workspace), ("{RUN}", folder), ("{TASK}", workspace.parent)):
            line = line.replace(name, str(path))
        bare = "{" + line.partition(",")[2]
        lines.append(f'{{"crc":"{zlib.crc32(bare.encode()):08x}",{bare[1:]}\n')
    (folder / "journal.jsonl").write_text("".join(lines))
    return folder


def test_a_run_of_version_0_1_0_is_resumed_and_verified(run_folder: Path, capsys: pytest.CaptureFixture[str]):
    with ScriptedServer([says("Done: add adds now.")]) as server:
        assert main(["run", "--resume", "last", "--base-url", server.url]) == 0
        (body,) = server.bodies
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "tool"]
    assert body["messages"][1]["content"].startswith("Mend add() in calc.py.\n\nAn earlier attempt at this task failed")
    assert [tool["function"]["name"] for tool in body["tools"]] == ["read_file", "edit_file", "run_shell"]
    last = json.loads((run_folder / "journal.jsonl").read_text().splitlines()[-1])
    assert (last["kind"], last["status"], last["spent"]["steps"]) == ("run_ended", "verified", 8)
    assert "verified" in capsys.readouterr().out


def test_a_run_of_version_0_1_0_is_listed_shown_and_diffed(run_folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["runs"]) == 0
    assert "unfinished" in capsys.readouterr().out
    assert main(["show", "last"]) == 0
    assert "constrained to edit_file" in capsys.readouterr().out
    assert main(["diff", "last"]) == 0
    assert "+    return a + b" in capsys.readouterr().out

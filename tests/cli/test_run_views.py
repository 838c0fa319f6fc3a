"""How `agent run` shows a run: at a terminal, whole, only its end, or as JSON."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pyte
import pytest
from pyte.modes import LNM

from agent.cli import main
from agent.testing import ScriptedServer, calls, says

pytestmark = pytest.mark.usefixtures("own_machine")

LONG = "word " * 100


def run(folder: Path, *options: str) -> int:
    """Run a task of two steps, and return the exit code."""
    (folder / "task.yaml").write_text("prompt: Look.\nworkspace: {path: ws, create: true}\ntools: [list_files]\n")
    with ScriptedServer([calls(("list_files", {}), reasoning=LONG), says("Nothing is there.")]) as server:
        return main(["run", str(folder / "task.yaml"), "--base-url", server.url, *options])


def test_quiet_shows_only_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(tmp_path, "-q") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["answer:", "    Nothing is there."]
    assert lines[2].startswith("finished  2 steps, 1 calls")
    assert lines[3:] == []


def test_verbose_shows_reasoning_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run(tmp_path)
    assert LONG.strip() not in capsys.readouterr().out
    run(tmp_path, "--verbose")
    assert LONG.strip() in capsys.readouterr().out


def test_quiet_of_a_folder_shows_only_the_totals(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "task.yaml").write_text("prompt: Hi.\n")
    with ScriptedServer([says("Hi."), says("Hi.")]) as server:
        assert main(["run", str(tmp_path), "--base-url", server.url, "-q"]) == 0
    assert capsys.readouterr().out.startswith("0 of 2 verified, 2 finished  ")


def test_only_one_way_to_show_a_run_can_be_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        run(tmp_path, "-q", "--json")
    assert ended.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err


def test_json_is_events_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run(tmp_path, "--json")
    kinds = [json.loads(line)["kind"] for line in capsys.readouterr().out.splitlines()]
    assert (kinds[0], kinds[-1]) == ("run_started", "run_ended")


class Terminal(io.StringIO):
    """A terminal of 80 columns."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_shows_the_same_lines_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, no_color: bool):
    terminal = Terminal()
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_COLOR", "1" if no_color else "")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert run(tmp_path) == 0
    screen = pyte.Screen(80, 60)
    screen.set_mode(LNM)
    pyte.Stream(screen).feed(terminal.getvalue())
    lines = [line.rstrip() for line in screen.display]
    at = lines.index("answer:")
    assert lines[at + 1] == "    Nothing is there."
    assert lines[at + 2].startswith("finished  2 steps")
    assert "  calls     list_files" in lines[at - 4]
    assert not any(line.startswith(("  run  ", "  reading", "  engine")) for line in lines), "what was redrawn is gone"
    assert ("\x1b[32m" in terminal.getvalue()) is not no_color

"""The view at a terminal: lines that stay, what is redrawn below them, and that nothing is left at the end."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from pathlib import Path

import pyte
import pytest
from pyte.modes import LNM

from agent import Agent, Outcome, tool
from agent.events import Event, TextDelta
from agent.testing import ScriptedModel, calls, says
from agent.view.terminal import TerminalView


class Screen(io.StringIO):
    """A terminal of 80 columns and 60 rows."""

    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        """What a user sees, from the first row to the last that is not empty."""
        screen = pyte.Screen(80, 60)
        screen.set_mode(LNM)  # as a terminal's driver does, a line feed also goes to the first column
        pyte.Stream(screen).feed(self.getvalue())
        return "\n".join(line.rstrip() for line in screen.display).rstrip().split("\n")


@pytest.fixture(autouse=True)
def a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)


@tool(read_only=True)
def look(path: str) -> str:
    """Look at a file."""
    return f"{path} is empty"


def watched(screen: Screen, before: Callable[[TerminalView], None] = lambda _: None) -> Outcome:
    """Run an agent of two steps with the view, and return its outcome."""
    model = ScriptedModel([calls(("look", {"path": "a"}), reasoning="Where is it?"), says("It is empty.")])
    with TerminalView(screen, load=lambda: "1 running, 0 waiting") as view:

        def observe(event: Event) -> None:
            before(view)
            view.show(event)

        return Agent(model, tools=[look]).run_sync("Look.", observe=observe)


def test_the_lines_of_a_run_stay_and_its_end_is_the_last_thing_on_the_screen():
    screen = Screen()
    assert watched(screen).status == "finished"
    shown = screen.lines
    begin, end = shown.index("task:"), next(at for at, line in enumerate(shown) if line.startswith("finished  2 steps"))
    assert shown[begin:end] == [
        "task:", "    Look.", "step 1  effort none", "  thinks    Where is it?", '  calls     look {"path": "a"}',
        "  ok        look  a is empty", "step 2  effort none",
        "  says      It is empty.", "answer:", "    It is empty.",
    ]  # fmt: skip
    assert end >= len(shown) - 2, "nothing follows but the rest of a long line"
    assert screen.getvalue().count("\x1b[?25l") == screen.getvalue().count("\x1b[?25h") > 0, "the cursor is shown again"


def test_what_happens_is_drawn_below_with_the_engine_in_the_last_line():
    screen, seen = Screen(), list[list[str]]()

    def draw(view: TerminalView) -> None:
        deadline = time.monotonic() + 10
        view.redraw()
        while not screen.lines[-1].startswith("  engine") and time.monotonic() < deadline:
            view.redraw()
        seen.append(screen.lines[-2:])

    watched(screen, draw)
    assert seen[0] == ["  run       starting", "  engine    1 running, 0 waiting"]
    used = "step 1/60, effort none, 0:00/30:00, output 0/200k, prompt 0/33k"
    assert used in [re.sub(r"\d:\d\d/", "0:00/", line.removeprefix("  run       ")) for line, _ in seen]


def test_a_question_has_the_terminal_to_itself():
    screen = Screen()
    with TerminalView(screen) as view:
        with view.paused():
            at = len(screen.getvalue())
            view.redraw()
            assert len(screen.getvalue()) == at
            assert screen.getvalue().count("\x1b[?25l") == screen.getvalue().count("\x1b[?25h")
        view.redraw()
        assert len(screen.getvalue()) > at


def test_long_lines_are_not_broken_by_the_view(tmp_path: Path):
    """A command to be copied would have line ends in it."""
    screen = Screen()
    word = "x" * 200
    with TerminalView(screen) as view:
        Agent(ScriptedModel([says(word)])).run_sync("Say it.", observe=view.show)
    assert word in screen.getvalue()


async def test_no_text_of_a_model_or_an_engine_controls_the_terminal():
    screen = Screen()
    evil = "\x1b[2J\x1b]52;c;cHduZWQ=\x07\x9b2J"

    @tool(read_only=True)
    def show() -> str:
        """Show a file."""
        return evil

    model = ScriptedModel([calls(("show", {}), reasoning=evil), says(evil + "Done.")])
    with TerminalView(screen, full=True, load=lambda: evil) as view:
        await Agent(model, tools=[show]).run(evil, observe=view.show, deltas=view.add)
        view.add(TextDelta(text=evil))
        view.redraw()
    assert not {"\x1b[2J", "\x1b]", "\x07", "\x9b"} & set(re.findall(r"\x1b\[2J|\x1b\]|\x07|\x9b", screen.getvalue()))
    assert "Done." in screen.getvalue()

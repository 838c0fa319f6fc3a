"""Nothing that a command prints controls the terminal, whichever way it is printed."""

from __future__ import annotations

import argparse
import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent import cli
from agent.cli import main
from agent.cli.progress import ProgressLine
from agent.errors import ConfigError
from agent.view.clean_output import CleanOutput, clean_output, unclean
from serving import Progress

EVIL = (
    "\x1b]0;title\x07\x1b[2J\x1b]52;c;aGk=\x07\x9b31m\rover\x08\u202eevil\u2066\u200f\u061c\u2028X\u200bY\u00ad\ufeff"
    "\U000e0041\x1b[8mhidden"
)
CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e0fff]"
)
ROOT = Path(__file__).parents[2]


def add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run")


def ends_badly(args: argparse.Namespace) -> int:
    print(EVIL)
    print(EVIL, file=sys.stderr, end="")
    sys.stdout.write(EVIL)
    sys.stderr.writelines([EVIL, EVIL])
    if args.run == "error":
        raise ConfigError(EVIL)
    if args.run == "bug":
        raise KeyError(EVIL)
    if args.run == "file":
        raise FileNotFoundError(2, EVIL, EVIL)
    return 0


@pytest.mark.parametrize("command", ["fine", "error", "bug", "file"])
def test_whatever_a_command_prints_is_cleaned(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Names of tools and models, errors of servers and answers of `serve` and `plan` were printed as they are."""
    fake = SimpleNamespace(add_arguments=add_run, main=ends_badly)
    monkeypatch.setattr(cli, "_module", {"show": fake}.get)
    assert main(["show", command]) == (0 if command == "fine" else 2)
    printed = capsys.readouterr()
    assert "evil" in printed.out
    assert "evil" in printed.err
    assert CONTROL.findall(printed.out + printed.err) == []


def test_a_wrong_argument_is_printed_clean(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["show", "--no-such" + EVIL])
    assert CONTROL.findall(capsys.readouterr().err) == []


def test_our_own_colors_and_line_ends_stay():
    out = io.StringIO()
    stream = CleanOutput(out)
    assert stream.write("\x1b[31mred\x1b[0m a\r\nb\tc\n") == 20
    stream.write("\x1b[32mgreen\x1b[8m hidden\x1b[0m\r")
    assert out.getvalue() == "\x1b[31mred\x1b[0m a\r\nb\tc\n\x1b[32mgreen\ufffd[8m hidden\x1b[0m\ufffd"


def test_streams_are_put_back_and_their_owner_can_be_reached(capsys: pytest.CaptureFixture[str]):
    before = sys.stdout
    with clean_output():
        assert unclean(sys.stdout) is before
        assert sys.stdout.isatty() == before.isatty()
        print("\x07", file=unclean(sys.stdout))
    assert sys.stdout is before
    assert unclean(before) is before
    assert capsys.readouterr().out == "\x07\n"


def test_the_line_of_a_servers_progress_is_redrawn_clean(capsys: pytest.CaptureFixture[str]):
    line = ProgressLine(str)
    with clean_output():
        line.show(Progress(phase="loading", elapsed_s=1.0, detail=EVIL))
        line.note(EVIL)
    printed = capsys.readouterr().err
    assert printed.count("\r\x1b[2K") == 2
    assert CONTROL.findall(printed.replace("\r\x1b[2K", "")) == []


def test_only_these_places_write_past_the_cleaning():
    """Whatever else is printed by a command is cleaned by `main`; text that must be exact is cleaned by its writer."""
    past = re.compile(r"\bunclean\(|sys\.__std|std(?:out|err)\.(?:buffer|fileno)|/dev/(?:tty|std)|os\.write\((?:1|2),")
    found = {
        str(path.relative_to(ROOT))
        for folder in ("cli", "view")  # elsewhere, the linter forbids to print
        for path in (ROOT / "agent" / folder).rglob("*.py")
        if path.name != "clean_output.py" and past.search(path.read_text())
    }
    assert found == {
        "agent/cli/__init__.py", "agent/cli/diff.py", "agent/cli/ending.py", "agent/cli/progress.py",
        "agent/view/terminal.py",
    }  # fmt: skip

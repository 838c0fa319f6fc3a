"""Render a command's terminal output as an SVG, as it looked on the screen; used for the image in the README.

    python tests/bench/screenshot.py examples/fix_bug/run.svg -- agent run examples/fix_bug/task.yaml

The command runs in its own pseudo-terminal, so it prints what a person would see, with colors. Start the pocket model
first (`agent serve pocket --keep`), so that the image shows the run and not the start of the engine.
"""

import argparse
import io
import os
import pty
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 118


def captured(argv: list[str]) -> bytes:
    """Run a command in a pseudo-terminal and return its output."""
    written = bytearray()

    def read(terminal: int) -> bytes:
        data = os.read(terminal, 65_536)
        written.extend(data)
        return data

    os.environ.update(COLUMNS=str(COLUMNS), TERM="xterm-256color")
    pty.spawn(argv, read)
    return bytes(written)


def main() -> None:
    """Run the command and write the image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("svg", type=Path, help="the SVG file to write")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the command, after --")
    args = parser.parse_args()
    argv: list[str] = args.command[1:] if args.command[:1] == ["--"] else args.command
    shown = captured(argv).decode(errors="replace").replace("\r\n", "\n")
    # Of a line that was overwritten, keep the last state.
    lines = [line.rpartition("\r")[2] for line in shown.rstrip("\n").split("\n")]
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(Text(f"$ {' '.join(argv)}", style="bold"))
    console.print(Text.from_ansi("\n".join(lines)))
    svg = console.export_svg(title=" ".join(argv))
    # Without the fonts of another host: the picture refers to nothing outside of itself.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    args.svg.write_text(svg + "\n", encoding="utf-8")
    sys.stderr.write(f"Wrote {args.svg}\n")


if __name__ == "__main__":
    main()

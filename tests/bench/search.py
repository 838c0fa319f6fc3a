"""Measure how much ripgrep speeds up the search tool as a prefilter, on the same searches without and with it.

    .venv/bin/python tests/bench/search.py [--files 10000] [--rounds 7]

The tree holds Python-like files of 5 KB, 100 in a folder. The patterns are a name found in five files, a name found in
none, and a pattern that rules no file out. Reports the wall time of a call, medians and quartiles in ms, and the ratio
of the medians.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from agent import ToolContext
from tools.search import search

PATTERNS = {
    "a name in five files": r"rare_name\w*",
    "a name in none": "no_such_name",
    "not filterable": "(?i)RARE_name",
}


def main() -> int:
    """Print the results as a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=10_000, help="files in the tree (default: 10000)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds per search (default: 7)")
    args = parser.parse_args()
    if shutil.which("rg") is None:
        print("ripgrep is not installed, so there is nothing to compare. Install `rg`.", file=sys.stderr)
        return 2
    with_it, without = os.environ["PATH"], ""
    taken: dict[tuple[str, str], list[float]] = {(name, path): [] for name in PATTERNS for path in (without, with_it)}
    with tempfile.TemporaryDirectory() as folder:
        _write_tree(Path(folder), args.files)
        for at in range(args.rounds + 1):
            for name, path in taken:
                os.environ["PATH"] = path
                began = time.perf_counter()
                found = asyncio.run(_search(Path(folder), PATTERNS[name]))
                if at:  # the first round warms the caches
                    taken[name, path].append((time.perf_counter() - began) * 1000)
                assert ("rare_name" in found) == (name != "a name in none"), found
    print(f"{args.files} files, {args.rounds} rounds, load average {os.getloadavg()[0]:.1f}\n")
    print("| search | without, ms | quartiles | with ripgrep, ms | quartiles | ratio |\n|---|---:|---:|---:|---:|---:|")
    for name in PATTERNS:
        cells: list[str] = []
        for path in (without, with_it):
            low, middle, high = statistics.quantiles(taken[name, path], n=4)
            cells.append(f"{middle:.0f} | {low:.0f} to {high:.0f}")
        ratio = statistics.median(taken[name, with_it]) / statistics.median(taken[name, without])
        print(f"| {name} | {' | '.join(cells)} | {ratio:.2f} |")
    return 0


async def _search(folder: Path, pattern: str) -> str:
    arguments = search.arguments.check(f'{{"pattern": "{pattern.replace(chr(92), chr(92) * 2)}"}}')
    return str(await search.body(arguments, ToolContext(workspace=folder)))


def _write_tree(folder: Path, count: int) -> None:
    rng = random.Random(7)
    words = [f"name_{number}" for number in range(500)]
    for number in range(count):
        into = folder / f"part{number // 100}"
        into.mkdir(exist_ok=True)
        lines = [f"    {rng.choice(words)} = {rng.choice(words)} + {number}" for _ in range(180)]
        if number % (count // 5) == 7:
            lines[90] = "    rare_name_here = 1"
        (into / f"module{number}.py").write_text("def f():\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())

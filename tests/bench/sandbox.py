"""Measure the overhead of each sandbox on a command: `true`, a shell and a Python start, interleaved with no sandbox.

Commands run as those of a run, which share /tmp and a network; "alone" is a command with its own, as a verification's.

    .venv/bin/python tests/bench/sandbox.py [--rounds 40] [--image python:3.12]

Wall time from the start of the process to its end, medians and quartiles in ms; the last column is the median minus the
median without a sandbox. Other load on the machine changes all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from agent import ConfigError, Rules, Sandbox, find_sandbox
from agent.sandbox import Isolation, Shared

COMMANDS = {"true": ["true"], "bash -c": ["bash", "-c", "cd . && true"], "python -c": ["python", "-c", "0"]}
ISOLATIONS: tuple[Isolation, ...] = ("none", "bubblewrap", "landlock", "container")


def main() -> int:
    """Print the results as a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=40, help="rounds per command (default: 40)")
    parser.add_argument("--image", default="", help="container image for docker; without it, no container is measured")
    args = parser.parse_args()
    rounds = args.rounds
    sandboxes: dict[str, Sandbox] = {}
    for isolation in ISOLATIONS:
        try:
            sandboxes[isolation] = find_sandbox(isolation, Rules(), image=args.image)
        except ConfigError as error:
            print(f"Skipping {isolation}: {error}", file=sys.stderr)
    shared: dict[str, Shared | None] = {name: Shared() for name in sandboxes}
    if "bubblewrap" in sandboxes:
        sandboxes["bubblewrap, alone"], shared["bubblewrap, alone"] = sandboxes["bubblewrap"], None
    env = {"PATH": f"{Path(sys.executable).parent}:{os.defpath}"}
    taken: dict[tuple[str, str], list[float]] = {(c, i): [] for c in COMMANDS for i in sandboxes}
    with tempfile.TemporaryDirectory() as folder:
        for at in range(rounds + 3):
            for command, argv in COMMANDS.items():
                for isolation, sandbox in sandboxes.items():
                    spent = _timed(sandbox, argv, Path(folder), env, shared[isolation])
                    if at >= 3:  # the first three rounds warm the caches
                        taken[command, isolation].append(spent)
    for used in filter(None, shared.values()):
        asyncio.run(used.aclose())
    print(f"{rounds} rounds, load average {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}\n")
    print("| command | isolation | ms, median | quartiles | more than none |\n|---|---|---:|---:|---:|")
    for (command, isolation), values in taken.items():
        low, middle, high = statistics.quantiles(values, n=4)
        more = middle - statistics.median(taken[command, "none"])
        print(f"| `{command}` | {isolation} | {middle:.1f} | {low:.1f} to {high:.1f} | {more:+.1f} |")
    return 0


def _timed(sandbox: Sandbox, argv: list[str], folder: Path, env: dict[str, str], shared: Shared | None) -> float:
    began = time.perf_counter()
    with sandbox.launch(argv, workspace=folder, env=env, shared=shared) as launch:
        subprocess.run(
            launch.argv, env=dict(launch.env), pass_fds=launch.pass_fds, cwd=folder, check=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    sys.exit(main())

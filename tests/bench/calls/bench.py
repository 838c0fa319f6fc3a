"""Put calls, schemas and servers of public corpora through the product and print what it makes of them.

Run it in the repository's root with PYTHONPATH=tests/bench:

    python -m calls.bench bfcl [--sample 100] [--seed 13] [--jobs 2]
    python -m calls.bench suite
    python -m calls.bench servers
    python -m calls.bench handmade
    python -m calls.bench all
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from calls.bfcl_report import print_bfcl, run_bfcl
from calls.handmade import print_handmade, run_handmade
from calls.servers_report import print_servers, run_servers
from calls.suite import print_suite, run_suite

PARTS = ("bfcl", "suite", "servers", "handmade")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables of one part, or of all, as Markdown."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument("--sample", type=int, help="functions of the leaderboard to use (default: all)")
    parser.add_argument("--seed", type=int, default=13, help="chooses the places of the mutations (default: 13)")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes (default: 2)")
    args = parser.parse_args(argv)
    parts = PARTS if args.part == "all" else (args.part,)
    began = time.monotonic()
    for part in parts:
        if part == "bfcl":
            print_bfcl(run_bfcl(sample=args.sample, seed=args.seed, jobs=args.jobs))
        elif part == "servers":
            print_servers(run_servers())
        elif part == "suite":
            print_suite(run_suite(), part="obligatory part")
            print_suite(run_suite("optional"), part="optional part")
        else:
            print_handmade(run_handmade())
    print(f"\n{time.monotonic() - began:.0f} s, load average {os.getloadavg()[0]:.1f}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

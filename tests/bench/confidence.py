"""Measure whether confidence in an edit tells right edits from wrong ones, and what asking again makes of it.

    python tests/bench/confidence.py TASKS --records confidence.jsonl --sample 100 --report serving/pocket/CARD.md
    python tests/bench/confidence.py TASKS --records confidence.jsonl --sample 100 --doubt lowest=-0.5
    python tests/bench/confidence.py --records confidence.jsonl --report serving/pocket/CARD.md

TASKS is a folder as for escalation.py, whose runs of them are in --ladder-records. The first command plays each task up
to the ladder's change of effort, and measures. The second plays whole runs with the rule that asks each edit below the
threshold again, one rung up; it plays the tasks in which the rule meets an edit of the first, since the others go as
they do without it. A restart makes only the missing plays. The report stands between two marks in its file, which keeps
all other text. Without --base-url the bench starts the pocket model.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import get_args

from confidence_calls import Player
from confidence_records import LOWEST, PLAY, Doubt, Measure, Play
from confidence_report import report
from escalation import RecordFile, get_json, setup_of, start_pocket
from escalation_runs import Arm, BenchTask, arms_of, read_tasks
from escalation_stats import SETUP, Record, Setup

from agent import Endpoint, Ladder, Limits
from agent.model.profiles import profile_for

BEGIN, END = "<!-- begin: confidence, written by a program -->", "<!-- end: confidence -->"
SAMPLE_SEED = 18
LADDER_RECORDS = Path(__file__).parent / "pocket-escalation.jsonl"


def main() -> int:
    """Make the missing plays, then write the report if one is requested."""
    args = _arguments()
    log = PlayFile(args.records)
    if args.tasks is not None:
        try:
            _measure(args, log)
        except KeyboardInterrupt:
            print(f"\nInterrupted. {len(log.plays)} plays are in {args.records}.", file=sys.stderr)
            return 130
    if args.report is not None:
        if not log.setups or not log.plays:
            print(f"{args.records} holds no plays, so there is nothing to report. Pass TASKS.", file=sys.stderr)
            return 2
        write_section(args.report, report(log.setups, log.plays, ladder_runs(args.ladder_records)))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tasks", type=Path, nargs="?", help="folder of tasks; without it only the report is written")
    parser.add_argument("--records", type=Path, default=Path("confidence.jsonl"), help="file of play records")
    parser.add_argument("--report", type=Path, help=f"write the report to this file, after the line {BEGIN}")
    parser.add_argument(
        "--ladder-records", type=Path, default=LADDER_RECORDS, help="runs that tokens are compared with"
    )
    parser.add_argument("--base-url", type=lambda text: text.rstrip("/"), help="a running engine of the pocket model")
    parser.add_argument("--sample", type=int, default=100, help=f"tasks, drawn with seed {SAMPLE_SEED} (default: 100)")
    parser.add_argument("--doubt", type=doubt_of, help="MEASURE=BELOW, such as lowest=-0.5: ask such edits again")
    parser.add_argument("--concurrency", type=int, default=8, help="concurrent plays (default: 8)")
    parser.add_argument("--steps", type=int, default=30, help="requests per play (default: 30)")
    parser.add_argument("--minutes", type=float, default=15.0, help="start no more plays after this (default: 15)")
    return parser.parse_args()


def doubt_of(text: str) -> Doubt:
    """Return the rule that `MEASURE=BELOW` writes.

    Raises:
        ArgumentTypeError: it is not one.
    """
    measure, _, below = text.partition("=")
    known: Sequence[Measure] = get_args(Measure)
    for one in known:
        if one == measure:
            return Doubt(measure=one, below=float(below))
    raise argparse.ArgumentTypeError(f"{measure!r} is not one of {', '.join(known)}")


def ladder_runs(path: Path) -> dict[str, Record]:
    """Return each task's undisturbed run with the default ladder, from the records of the escalation bench."""
    records = RecordFile(path).records
    return {one.task: one for one in records if (one.arm, one.fault_rate) == ("ladder", 0.0) and one.status != "error"}


def write_section(path: Path, text: str) -> None:
    """Write a report between the two marks of a file, or at its end if it has none."""
    before, found, rest = (path.read_text(encoding="utf-8") if path.exists() else "").partition(BEGIN)
    after = rest.partition(END)[2] if found else "\n"
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


@dataclass(kw_only=True)
class PlayFile:
    """All plays so far, and the file that new ones are appended to."""

    path: Path
    setups: list[Setup]
    plays: list[Play]

    def __init__(self, path: Path) -> None:
        self.path, self.setups, self.plays = path, [], []
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            data = json.loads(line)
            if data.pop("record") == "setup":
                self.setups.append(SETUP.validate_python(data))
            else:
                self.plays.append(PLAY.validate_python(data))

    def add(self, item: Setup | Play) -> None:
        """Append one line to the file at once, so that an interruption loses no finished play."""
        if isinstance(item, Setup):
            self.setups.append(item)
            data = {"record": "setup", **SETUP.dump_python(item, mode="json")}
        else:
            self.plays.append(item)
            data = {"record": "play", **PLAY.dump_python(item, mode="json")}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(data, ensure_ascii=False) + "\n")


def drawn(tasks: Sequence[BenchTask], count: int) -> list[BenchTask]:
    """Return a random sample of the tasks; a smaller one holds the first tasks of a larger one."""
    shuffled = list(tasks)
    Random(SAMPLE_SEED).shuffle(shuffled)
    return shuffled[:count]


def cheap_part(ladder: Ladder) -> Ladder:
    """Return a ladder that ends where this one changes the effort: only calls below have a rung above them."""
    return replace(ladder, rungs=tuple(rung for rung in ladder.rungs if rung.effort == LOWEST))


def _measure(args: argparse.Namespace, log: PlayFile) -> None:
    with ExitStack() as stack:
        url = args.base_url or start_pocket(stack)
        served = get_json(f"{url}/models")["data"][0]
        endpoint = Endpoint(url, patience_s=60.0)
        rule = "" if args.doubt is None else str(args.doubt)
        done = {play.task for play in log.plays if play.doubt == rule}
        tasks = [task for task in drawn(read_tasks(args.tasks), args.sample) if task.name not in done]
        if args.doubt is not None:
            found = {play.task for play in log.plays if args.doubt.is_met_in(play)}
            tasks = [task for task in tasks if task.name in found]
        print(f"{len(tasks)} plays to make, {len(done)} already done.", file=sys.stderr)
        ladder = arms_of(profile_for(served["id"]))["ladder"]
        arm = ladder if args.doubt is not None else Arm(name="cheap", ladder=cheap_part(ladder.ladder))
        log.add(setup_of(args, served, endpoint.base_url, [arm]))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        player = Player(
            model=endpoint,
            limits=Limits(steps=args.steps),
            scratch=scratch,
            salt=secrets.token_hex(8),
            ladder=arm.ladder,
            doubt=args.doubt,
        )
        asyncio.run(Plays(player=player, tasks=tasks, log=log, minutes=args.minutes).make(args.concurrency))


@dataclass(kw_only=True)
class Plays:
    """Makes plays until all are made or the time is up."""

    player: Player
    tasks: Sequence[BenchTask]
    log: PlayFile
    minutes: float
    began: float = field(default_factory=time.monotonic)

    async def make(self, concurrency: int) -> None:
        waiting = iter(self.tasks)
        async with self.player.model.open() as connection:
            await connection.served()

        async def work() -> None:
            for task in waiting:
                if time.monotonic() - self.began > 60 * self.minutes:
                    return
                play = await self.player.play(task)
                self.log.add(play)
                labels = ", ".join(edit.label for edit in play.edits)
                minutes = (time.monotonic() - self.began) / 60
                print(f"{minutes:.1f} min, {task.name}: {play.status}; {labels}", file=sys.stderr, flush=True)

        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(work())


if __name__ == "__main__":
    sys.exit(main())

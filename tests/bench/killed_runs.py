"""Kill runs with SIGKILL at random moments, resume them, and count the effects that were lost or repeated.

    .venv/bin/python tests/bench/killed_runs.py [--kills 200] [--seed 1] [--sandbox bubblewrap]

Each run makes 16 calls with effects: half by a tool of its own, half by sandboxed commands. It is `agent run`, then
`agent run --resume last`, in new processes, until it ends. An effect may be missing only if the model was told that its
call was interrupted; it may never be there twice. Then two and four resumes of one killed run are started at once.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.journal.journal import JOURNAL_NAME, read_journal
from agent.messages import Reply
from agent.testing import ScriptedServer, calls, says
from agent.testing.received import Received

CALLS = 16
_MOST_KILLS = 12
"""Of one run; then it may end."""
_WAIT_S = 60.0
_TOOL = '''
import os, time
from agent import tool

@tool
def put(n: int) -> str:
    """Append a number to a file outside of the workspace."""
    time.sleep(0.02)
    opened = os.open(os.environ["EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(opened, f"{n}\\n".encode())
    os.close(opened)
    time.sleep(0.02)
    return f"put {n}"
'''
_TASK = "prompt: Go.\nworkspace: workspace\ntools: [./mine.py, run_shell]\nsandbox: {{use: {sandbox}}}\n"


@dataclass(kw_only=True)
class Found:
    """What became of the runs that were killed."""

    runs: int = 0
    kills: int = 0
    calls: int = 0
    told_interrupted: int = 0
    """Calls of which the model was told that their effect is unknown."""
    done_though_interrupted: int = 0
    """Those of them whose effect is there."""
    repeated: list[str] = field(default_factory=list[str])
    """Effects that are there more than once."""
    lost: list[str] = field(default_factory=list[str])
    """Effects that are missing, although the model was told that the call succeeded."""
    wrong: list[str] = field(default_factory=list[str])
    """Everything else: runs that could not be resumed, journals that cannot be read or have two ends, tracebacks."""

    @property
    def is_good(self) -> bool:
        return not (self.repeated or self.lost or self.wrong)

    def __str__(self) -> str:
        lines = [
            f"{self.kills} kills of {self.runs} runs with {self.calls} calls: {len(self.repeated)} repeated, "
            f"{len(self.lost)} lost; {self.told_interrupted} told as interrupted, of which "
            f"{self.done_though_interrupted} had been done; {len(self.wrong)} other faults"
        ]
        return "\n".join([*lines, *self.repeated, *self.lost, *self.wrong])


class Killable:
    """One run in a folder of its own, started and resumed in processes that can be killed."""

    def __init__(self, folder: Path, url: str, *, sandbox: str) -> None:
        self.folder = folder
        self.url = url
        self.effects = folder / "effects"
        (folder / "workspace").mkdir()
        (folder / "mine.py").write_text(_TOOL)
        (folder / "task.yaml").write_text(_TASK.format(sandbox=sandbox))

    @property
    def journal(self) -> Path | None:
        """The journal, once a start of the run is in it."""
        found = next((self.folder / "runs").glob(f"*/{JOURNAL_NAME}"), None)
        return found if found is not None and b"\n" in found.read_bytes() else None

    def start(self) -> subprocess.Popen[str]:
        """Start the run, or resume it."""
        what = ["--resume", "last"] if self.journal else [str(self.folder / "task.yaml")]
        environ = {**os.environ, "EFFECTS": str(self.effects), "AGENT_RUNS_DIR": str(self.folder / "runs")}
        return subprocess.Popen(
            [sys.executable, "-m", "agent", "run", *what, "--base-url", self.url], env=environ, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def counts(self) -> Counter[int]:
        """Return how often each effect is there."""
        files = (self.effects, self.folder / "workspace" / "effects")
        return Counter(int(word) for file in files if file.exists() for word in file.read_text().split())


def answer(received: Received) -> Reply:
    """Ask for the next two calls, and end after all of them."""
    done = sum(message["role"] == "tool" for message in received.json["messages"])
    if done >= CALLS:
        return says("All done.")
    command = f"sleep 0.02; echo {done + 1} >> effects; sleep 0.02; echo put {done + 1}"
    return calls(("put", {"n": done}), ("run_shell", {"command": command}))


def kill_runs(kills: int, *, seed: int, sandbox: str = "auto") -> Found:
    """Kill runs at random moments until there were `kills` kills, and let each end."""
    chance, found = random.Random(seed), Found()
    while found.kills < kills and found.is_good:
        with (
            tempfile.TemporaryDirectory(prefix="killed-") as name,
            ScriptedServer(itertools.repeat(answer), window_tokens=None) as server,
        ):
            run = Killable(Path(name), server.url, sandbox=sandbox)
            _kill_until_it_ends(run, server, chance, found, kills)
            if found.is_good:
                _check(run, server.bodies[-1]["messages"], found)
        found.runs += 1
    return found


def _kill_until_it_ends(
    run: Killable, server: ScriptedServer, chance: random.Random, found: Found, kills: int
) -> None:  # fmt: skip
    for number in itertools.count():
        process = run.start()
        if number < _MOST_KILLS and found.kills < kills and _wait_for_a_moment(process, server, chance):
            process.kill()
            found.kills += 1
        output, _ = process.communicate(timeout=_WAIT_S)
        if process.returncode == 0 or "has already ended as 'finished'" in output:
            return
        if process.returncode != -9 or "Traceback" in output:
            found.wrong.append(f"exit code {process.returncode}: {output[-500:]}")
            return


def _wait_for_a_moment(process: subprocess.Popen[str], server: ScriptedServer, chance: random.Random) -> bool:
    """Wait until some moment of the start or of one of the next steps; return whether the process still runs."""
    if chance.random() < 0.15:
        time.sleep(chance.uniform(0.0, 0.9))
    else:
        wanted, until = len(server.bodies) + chance.choice((1, 1, 1, 2)), time.monotonic() + _WAIT_S
        while len(server.bodies) < wanted and process.poll() is None and time.monotonic() < until:
            time.sleep(0.002)
        time.sleep(chance.uniform(0.0, 0.25))
    return process.poll() is None


def _check(run: Killable, messages: Sequence[Mapping[str, Any]], found: Found) -> None:
    told = [str(message["content"]) for message in messages if message["role"] == "tool"]
    counts = run.counts()
    if len(told) != CALLS:
        found.wrong.append(f"the model has {len(told)} results of {CALLS} calls")
        return
    for number, text in enumerate(told):
        is_interrupted = text.startswith("Interrupted:")
        found.calls += 1
        found.told_interrupted += is_interrupted
        found.done_though_interrupted += is_interrupted and counts[number] == 1
        if counts[number] > 1:
            found.repeated.append(f"call {number}: {counts[number]} times, told {text!r}")
        if not counts[number] and not is_interrupted:
            found.lost.append(f"call {number}: told {text!r}")
    kinds = Counter(event.kind for event in read_journal(run.journal or Path()))
    if (kinds["run_started"], kinds["run_ended"]) != (1, 1):
        found.wrong.append(f"the journal has {kinds['run_started']} starts and {kinds['run_ended']} ends")


@dataclass(frozen=True, kw_only=True)
class Race:
    """How resumes of one killed run ended that were started at once."""

    exit_codes: tuple[int, ...]
    """Sorted."""
    refusals: tuple[str, ...]
    counts: Counter[int]
    told_interrupted: int

    @property
    def is_good(self) -> bool:
        """Whether one went on, the others were told who has the run, and no effect is there twice or missing."""
        owner = re.compile(
            rf"is running in another process, pid \d+ on this machine \('{socket.gethostname()}'\), since 2"
        )
        others = len(self.exit_codes) - 1
        return (
            self.exit_codes == (0, *[2] * others)
            and all(owner.search(" ".join(text.split())) for text in self.refusals)
            and len(self.refusals) == others
            and max(self.counts.values()) == 1
            and self.counts.total() + self.told_interrupted >= CALLS
        )


def race(resumes: int, *, sandbox: str = "auto") -> Race:
    """Kill a run in its middle, start resumes of it at once, and let all of them end."""
    may_go_on = threading.Event()

    def held(received: Received) -> Reply:
        if len(server.bodies) > 3:
            assert may_go_on.wait(_WAIT_S)
        return answer(received)

    server = ScriptedServer(itertools.repeat(held), window_tokens=None)
    with tempfile.TemporaryDirectory(prefix="killed-") as name, server:
        run = Killable(Path(name), server.url, sandbox=sandbox)
        first = run.start()
        while len(server.bodies) < 4 and first.poll() is None:
            time.sleep(0.002)
        first.kill()
        output, _ = first.communicate()
        assert len(server.bodies) >= 4, output
        processes = [run.start() for _ in range(resumes)]
        until = time.monotonic() + _WAIT_S
        while sum(process.poll() is None for process in processes) > 1 and time.monotonic() < until:
            time.sleep(0.01)
        may_go_on.set()
        ended = [(process.communicate(timeout=_WAIT_S)[0], process.returncode) for process in processes]
        told = [message["content"] for message in server.bodies[-1]["messages"] if message["role"] == "tool"]
        return Race(
            exit_codes=tuple(sorted(code for _, code in ended)),
            refusals=tuple(output for output, code in ended if code),
            counts=run.counts(),
            told_interrupted=sum(text.startswith("Interrupted:") for text in told),
        )


def main() -> int:
    """Print what was found; the exit code is 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sandbox", default="auto", help="of the commands: auto, bubblewrap, landlock or none")
    args = parser.parse_args()
    started = time.monotonic()
    found = kill_runs(args.kills, seed=args.seed, sandbox=args.sandbox)
    print(f"seed {args.seed}, sandbox {args.sandbox}, {time.monotonic() - started:.0f} s: {found}", flush=True)
    races = [race(resumes, sandbox=args.sandbox) for resumes in (2, 4)]
    for each in races:
        print(f"{len(each.exit_codes)} resumes at once: exit codes {each.exit_codes}")
        print("\n".join(text.strip() for text in each.refusals))
    return 0 if found.is_good and all(each.is_good for each in races) else 1


if __name__ == "__main__":
    sys.exit(main())

"""The journal writes each event completely or not at all, and reports where it is damaged."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import Agent, ConfigError, Limits, tool
from agent.journal.events import (
    CallEnded,
    CallStarted,
    Event,
    Moved,
    Noticed,
    Rejected,
    Replied,
    Requested,
    Resumed,
    RunEnded,
    RunStarted,
    Said,
    TurnTaken,
    VerifyEnded,
)
from agent.journal.journal import Journal, JournalWriteError, read_journal
from agent.journal.runs import find_run, list_runs, read_run, runs_folder, summarize
from agent.messages import AssistantMessage, Image, RawCall, Reply, ToolCall, ToolResult, Usage, UserMessage
from agent.policy.budget import Spent
from agent.policy.ladder import Ladder
from agent.testing import ScriptedModel, calls, says

IMAGE = Image(data="aGk=", media_type="image/png")
START = RunStarted(
    run="r1",
    at="2026-11-23T12:00:00+00:00",
    task={"name": "demo", "vars": {"x": [1, None, 2.5]}},
    base_url="http://x/v1",
    model="m",
    profile="mistral",
    window_tokens=None,
    ladder=Ladder(),
    limits=Limits(),
    tools=("add",),
    tools_digest="0" * 64,
    system="Be good.",
    prompt=UserMessage(content="Work.", images=(IMAGE,)),
    workspace="/w",
    snapshot=None,
)
CALL = ToolCall(id="call00000", name="add", arguments='{"a": 1}', repairs=("empty_arguments",))
RESULT = ToolResult(tool_call_id="call00000", name="add", content="ü\u2028\x00", status="error", images=(IMAGE,))
END = RunEnded(status="finished", reason="done", answer="3", output={"value": [3]}, spent=Spent(steps=2, wall_s=0.5))
EVENTS: tuple[Event, ...] = (
    START,
    Requested(step=1, rung=0, effort=None, constrained=None, max_tokens=9, prompt_tokens=3, wall_s=0.1),
    Replied(
        step=1,
        rung=0,
        reply=Reply(
            content="x\n",
            tool_calls=(RawCall(name="add", arguments="{"),),
            usage=Usage(cached_tokens=3),
            extra={"a": "b"},
        ),
        max_tokens=9,
        wire_bytes=50,
        elapsed_s=0.25,
        reask=True,
    ),
    Rejected(step=1, trigger="invalid_call", tool="add", reason="bad", raw="{", say="Again."),
    TurnTaken(
        step=1, turn=AssistantMessage(tool_calls=(CALL,)), reasoning_field="reasoning_content", answered=(RESULT,)
    ),
    CallStarted(step=1, tool_call_id="call00000", tool="add", arguments="{}"),
    CallEnded(step=1, result=RESULT, elapsed_s=0.5, fingerprint="f", traceback="Traceback"),
    Said(message=UserMessage(content="Go on.", images=(IMAGE,))),
    Moved(step=1, rung=2, effort="high", switches_effort=True),
    VerifyEnded(attempt=1, ok=False, exit_code=None, output="", elapsed_s=0.5, say="No."),
    Noticed(text="Look."),
    Resumed(wall_s=1.5, limits=Limits(steps=None)),
    END,
)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    journal = Journal(tmp_path / "r1")
    for event in EVENTS:
        journal.write(event)
    journal.close()
    return journal.path


def test_events_survive_a_round_trip(written: Path):
    assert read_journal(written) == EVENTS


def test_each_line_is_plain_json_with_a_checksum_before_the_event(written: Path):
    lines = written.read_bytes().splitlines()

    assert [json.loads(line)["kind"] for line in lines] == [event.kind for event in EVENTS]
    assert lines[10] == b'{"crc":"' + lines[10][8:16] + b'","text":"Look.","kind":"noticed"}'


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_is_detected_and_its_line_reported(tmp_path_factory: Any, place: float, bit: int):
    folder = tmp_path_factory.mktemp("flip")
    journal = Journal(folder)
    for event in EVENTS[:4]:
        journal.write(event)
    journal.close()
    data = bytearray(journal.path.read_bytes())
    at = int(place * (len(data) - 1))  # keep the final newline: without it the line counts as partial
    line = data[:at].count(b"\n") + 1
    data[at] ^= 1 << bit
    journal.path.write_bytes(data)

    with pytest.raises(ConfigError, match="The journal is damaged here") as caught:
        read_journal(journal.path)
    assert (caught.value.path, caught.value.line) == (journal.path, line)


def test_the_error_for_a_damaged_line_names_file_line_and_reason(written: Path):
    lines = written.read_bytes().split(b"\n")
    lines[2] = lines[2].replace(b"elapsed_s", b"elapsed_x")
    written.write_bytes(b"\n".join(lines))

    with pytest.raises(ConfigError) as caught:
        read_journal(written)
    assert str(caught.value) == (
        f"{written}:3: The journal is damaged here (checksum mismatch). `agent show` and `--resume` need every line "
        "intact."
    )


def test_a_missing_journal_is_an_error(tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        read_journal(tmp_path / "x")
    assert str(caught.value) == f"Cannot read the journal {tmp_path}/x: No such file or directory."


def test_a_journal_without_a_first_event_is_an_error(written: Path):
    assert read_run(written.parent) == (START, EVENTS)
    written.write_bytes(b"")
    with pytest.raises(ConfigError) as caught:
        read_run(written.parent)
    assert str(caught.value) == f"The journal {written} does not begin with the start of a run. Run the task again."


def test_opening_removes_a_partial_last_line_and_appends_after_it(written: Path):
    os.truncate(written, written.stat().st_size - 5)
    journal = Journal(written.parent)
    journal.write(Noticed(text="Back."))
    journal.close()
    journal.close()

    assert read_journal(written) == (*EVENTS[:-1], Noticed(text="Back."))


def test_a_journal_is_written_by_one_process_at_a_time(written: Path):
    first = Journal(written.parent)
    with pytest.raises(ConfigError) as caught:
        Journal(written.parent)
    first.close()
    Journal(written.parent).close()

    assert str(caught.value) == "Run 'r1' is running in another process. Wait for it to end, or stop it first."


def test_an_unwritable_folder_is_an_error(tmp_path: Path):
    (tmp_path / "runs").write_text("a file")

    with pytest.raises(ConfigError) as caught:
        Journal(tmp_path / "runs" / "r1")
    assert str(caught.value) == (
        f"Cannot write the journal {tmp_path}/runs/r1/journal.jsonl: Not a directory. Set AGENT_RUNS_DIR to a writable "
        "folder."
    )


# A full disk.


@pytest.fixture
def small_disk() -> Iterator[Any]:
    """Limit the size of files, as a full disk does; the write that crosses the limit is partial."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_leaves_complete_lines_only(tmp_path: Path, small_disk: Any):
    journal = Journal(tmp_path)
    journal.write(EVENTS[0])
    small_disk(journal.path.stat().st_size + 20)
    with pytest.raises(JournalWriteError) as caught:
        journal.write(EVENTS[1])
    with pytest.raises(JournalWriteError):
        journal.write(EVENTS[2])
    small_disk(1 << 20)
    journal.write(EVENTS[3])
    journal.close()

    assert read_journal(journal.path) == (EVENTS[0], EVENTS[3])
    assert str(caught.value) == (
        f"Cannot write the journal {journal.path}: File too large. It holds everything done so far. Free disk space, "
        "then resume the run."
    )


@pytest.mark.parametrize("at", ["requested", "replied", "turn_taken", "call_started", "call_ended", "run_ended"])
async def test_a_run_that_fills_the_disk_ends_as_an_error_and_can_be_resumed(tmp_path: Path, small_disk: Any, at: str):
    done: list[int] = []

    @tool
    async def add(a: int, b: int) -> int:
        """Add."""
        done.append(a)
        return a + b

    script = [calls(("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})), says("7"), says("7")]
    order = ["run_started", "requested", "replied", "turn_taken", "call_started", "call_ended", "progressed"]
    shown: list[str] = []

    def fill(event: Event) -> None:
        shown.append(event.kind)
        before = "turn_taken" if at == "run_ended" else order[order.index(at) - 1]
        if event.kind == before and shown.count(event.kind) == (2 if at == "run_ended" else 1):
            small_disk(next(tmp_path.glob("*/journal.jsonl")).stat().st_size + 10)

    agent = Agent(ScriptedModel(script), tools=[add], runs=tmp_path)
    outcome = await agent.run("Add.", observe=fill)
    small_disk(1 << 30)

    assert outcome.journal is not None
    assert (outcome.outcome, outcome.reason) == (
        "error",
        f"Cannot write the journal {outcome.journal}: File too large. It holds everything done so far. Free disk "
        "space, then resume the run.",
    )
    assert shown[-1] == "run_ended"
    assert read_journal(outcome.journal)[-1].kind != "run_ended"

    left = script[[e.kind for e in read_journal(outcome.journal)].count("replied") :]
    resumed = await Agent(ScriptedModel(left), tools=[add], runs=tmp_path).resume(outcome.journal.parent)
    assert (resumed.outcome, resumed.answer) == ("finished", "7")
    assert len(done) == len(set(done))


# Many runs.


def make(runs: Path, name: str, *events: Event) -> Path:
    journal = Journal(runs / name)
    for event in events:
        journal.write(event)
    journal.close()
    return journal.path


def test_runs_are_found_by_name_prefix_or_last(tmp_path: Path):
    for number, name in enumerate(["20261123-a", "20261123-b", "20261124-a"]):
        os.utime(make(tmp_path, name, START), (number, number))

    assert find_run(tmp_path, "last").name == "20261124-a"
    assert find_run(tmp_path, "20261124").name == "20261124-a"
    assert find_run(tmp_path, "20261123-a").name == "20261123-a"
    assert [folder.name for folder in list_runs(tmp_path)] == ["20261123-a", "20261123-b", "20261124-a"]
    with pytest.raises(ConfigError) as several:
        find_run(tmp_path, "20261123")
    assert str(several.value) == (
        "'20261123' matches more than one run: 20261123-a, 20261123-b. Give more characters of the name."
    )
    with pytest.raises(ConfigError) as none:
        find_run(tmp_path, "x")
    assert str(none.value) == f"No run 'x' in {tmp_path}. List the runs with `agent runs`."


@pytest.mark.parametrize(
    ("events", "torn_bytes", "status"),
    [
        ((START, END), 0, "finished"),
        ((START,), 0, "unfinished"),
        ((START, END), 5, "unfinished"),  # killed while writing; was once shown as damaged
        ((END,), 0, "damaged"),
        ((), 0, "damaged"),
    ],
)
def test_a_run_is_summarized_by_its_first_and_last_event(
    tmp_path: Path, events: tuple[Event, ...], torn_bytes: int, status: str
):
    path = make(tmp_path, "r1", *events)
    os.truncate(path, path.stat().st_size - torn_bytes)

    line = summarize(path.parent)
    assert (line.run, line.status) == ("r1", status)
    assert (line.task, line.model) == (("", "") if status == "damaged" else ("demo", "m"))
    assert line.at == ("" if status == "damaged" else "2026-11-23T12:00:00+00:00")


def test_a_run_that_ended_is_summarized_with_what_it_spent(written: Path):
    assert summarize(written.parent).spent == Spent(steps=2, wall_s=0.5)


def test_a_run_without_an_end_is_summarized_with_what_it_spent_so_far(tmp_path: Path):
    used = Usage(prompt_tokens=100, completion_tokens=20)
    replied = Replied(step=1, rung=0, reply=Reply(usage=used), max_tokens=9, wire_bytes=50, elapsed_s=0.25)
    said = Said(message=UserMessage(content='"kind":"replied"}'))
    path = make(tmp_path, "r1", START, EVENTS[1], replied, said, Resumed(wall_s=1.5), EVENTS[1], replied)
    assert summarize(path.parent).spent == Spent(steps=2, prompt_tokens=200, output_tokens=40, wall_s=0.35)


def test_a_run_is_running_while_a_process_writes_its_journal(tmp_path: Path):
    journal = Journal(tmp_path / "r1")
    journal.write(START)
    assert summarize(tmp_path / "r1").status == "running"
    assert summarize(tmp_path / "r1").status == "running", "looking must not release the lock"
    journal.close()
    assert summarize(tmp_path / "r1").status == "unfinished"


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"AGENT_RUNS_DIR": "/r", "XDG_STATE_HOME": "/s"}, "/r"),
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/tramontane/runs"),
        ({"HOME": "/h"}, "/h/.local/state/tramontane/runs"),
    ],
)
def test_the_runs_folder_follows_the_environment(environ: dict[str, str], folder: str):
    assert runs_folder(environ) == Path(folder)


def test_a_child_process_does_not_inherit_the_lock(written: Path):
    journal = Journal(written.parent)
    child = subprocess.Popen(["sleep", "1000"])
    journal.close()
    again = Journal(written.parent)  # the lock is free
    again.close()
    assert child.poll() is None
    assert read_journal(written) == EVENTS
    child.kill()
    child.wait()

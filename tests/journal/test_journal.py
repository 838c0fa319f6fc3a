"""The journal writes each event completely or not at all, and reports where it is damaged."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import socket
import subprocess
import threading
import zlib
from collections.abc import Iterator
from dataclasses import replace
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
    FilesChanged,
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
from agent.journal.journal import Journal, JournalWriteError, event_json, read_journal
from agent.journal.runs import find_run, list_runs, read_run, refuse_running, runs_folder, summarize
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
        step=1, turn=AssistantMessage(tool_calls=(CALL,), reasoning_field="reasoning_content"), answered=(RESULT,)
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


def test_each_line_is_plain_json_with_its_checksum_and_that_of_the_line_before(written: Path):
    lines = written.read_bytes().splitlines()
    own, before = lines[10][8:16], lines[9][8:16]

    assert [json.loads(line)["kind"] for line in lines] == [event.kind for event in EVENTS]
    assert lines[10] == b'{"crc":"' + own + b'","after":"' + before + b'","at":null,"text":"Look.","kind":"noticed"}'


def unchained(*events: Event) -> bytes:
    """Write events as versions before the chain did."""
    lines = [event_json(event) for event in events]
    return b"".join(b'{"crc":"%08x",' % zlib.crc32(line) + line[1:] + b"\n" for line in lines)


@pytest.mark.parametrize("change", ["removed", "doubled", "swapped"])
@pytest.mark.parametrize("at", [1, 5, 11])
def test_a_line_that_was_taken_out_of_the_journal_is_noticed(written: Path, change: str, at: int):
    lines = written.read_bytes().splitlines(keepends=True)
    one, two = lines[at : at + 1], lines[at + 1 : at + 2]
    middle = {"removed": two, "doubled": one + one + two, "swapped": two + one}[change]
    written.write_bytes(b"".join(lines[:at] + middle + lines[at + 2 :]))

    with pytest.raises(ConfigError) as caught:
        read_journal(written)
    line = at + 2 if change == "doubled" else at + 1
    assert str(caught.value) == (
        f"{written}:{line}: The journal is damaged here (it does not follow the line before it: lines were removed, "
        "added or moved). Showing and resuming the run need every line intact."
    )


def test_a_journal_written_before_the_chain_is_read_and_continued(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(unchained(*EVENTS[:4]))
    assert read_journal(path) == EVENTS[:4]
    journal = Journal(tmp_path)
    for event in EVENTS[4:]:
        journal.write(event)
    journal.close()

    assert read_journal(path) == EVENTS
    lines = path.read_bytes().splitlines(keepends=True)
    for at in (3, 6):  # the last line without a link, and one with
        path.write_bytes(b"".join(lines[:at] + lines[at + 1 :]))
        with pytest.raises(ConfigError, match="does not follow"):
            read_journal(path)
    path.write_bytes(b"".join(lines) + unchained(END))
    with pytest.raises(ConfigError, match="does not follow"):
        read_journal(path)


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
        f"{written}:3: The journal is damaged here (checksum mismatch). Showing and resuming the run need every "
        "line intact."
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


@pytest.fixture
def other() -> Iterator[int]:
    """The pid of another process that is alive."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process.pid
        process.kill()


def test_a_journal_is_written_by_one_process_at_a_time(written: Path):
    first = Journal(written.parent)
    owner = json.loads((written.parent / "owner.json").read_text())
    with pytest.raises(ConfigError) as caught:
        Journal(written.parent)
    first.close()
    Journal(written.parent).close()

    assert (owner["pid"], owner["host"]) == (os.getpid(), socket.gethostname())
    assert str(caught.value) == (
        f"Run 'r1' is running in this process, since {owner['since']}. Wait for it to end, or stop it first."
    )
    assert not (written.parent / "owner.json").exists()


@pytest.mark.parametrize(
    ("owner", "where", "stop"),
    [
        ({}, "another process, pid LIVING on this machine ('HERE')", "stop it first with `kill LIVING`"),
        ({"pid": 41, "host": "big"}, "another process, pid 41 on 'big'", "stop it there first"),
    ],
)
def test_a_run_in_another_process_is_refused_with_who_runs_it(
    written: Path, other: int, owner: dict[str, Any], where: str, stop: str
):
    named = {"pid": other, "host": socket.gethostname(), "since": "2026-11-28 20:52:09 UTC"} | owner
    journal = Journal(written.parent)
    (written.parent / "owner.json").write_text(json.dumps(named))

    with pytest.raises(ConfigError) as caught:
        refuse_running(written.parent)
    journal.close()
    refuse_running(written.parent)
    expected = f"Run 'r1' is running in {where}, since 2026-11-28 20:52:09 UTC. Wait for it to end, or {stop}."
    assert str(caught.value) == expected.replace("HERE", socket.gethostname()).replace("LIVING", str(other))


def test_the_owner_is_waited_for_where_only_a_killed_one_is_recorded_so_far(written: Path, other: int):
    """A process writes its name after it has the lock. A resume in between named the killed process, or nobody."""
    journal, owner = Journal(written.parent), written.parent / "owner.json"
    with subprocess.Popen(["true"]) as dead:
        pass
    named = {"pid": dead.pid, "host": socket.gethostname(), "since": "2026-11-28 20:52:09 UTC"}
    owner.write_text(json.dumps(named))
    writes = threading.Timer(0.1, owner.write_text, [json.dumps(named | {"pid": other})])
    writes.start()

    with pytest.raises(ConfigError, match=f"pid {other} on this machine"):
        refuse_running(written.parent)
    writes.join()
    journal.close()


@pytest.mark.parametrize(
    "text", [None, "", "[]", '{"pid": "x", "host": 1, "since": 2}', '{"pid": 0, "host": "HERE", "since": 2}', "\udcff"]
)
def test_a_run_whose_owner_is_not_known_is_refused_all_the_same(
    written: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
):
    monkeypatch.setattr("agent.journal.owner._WAIT_S", 0.0)
    journal = Journal(written.parent)
    owner = written.parent / "owner.json"
    if text is None:
        owner.unlink()
    else:
        owner.write_bytes(text.replace("HERE", socket.gethostname()).encode("utf-8", "surrogateescape"))

    with pytest.raises(ConfigError) as caught:
        Journal(written.parent)
    journal.close()
    assert str(caught.value) == "Run 'r1' is running in another process. Wait for it to end, or stop it first."


def test_a_look_at_a_run_does_not_keep_it_from_being_resumed(written: Path):
    """`agent runs` takes a shared lock for an instant; a resume at that moment was refused."""
    with written.open("rb") as look:
        fcntl.flock(look, fcntl.LOCK_SH)
        ends = threading.Timer(0.05, look.close)
        ends.start()
        Journal(written.parent).close()
        ends.join()


def test_a_journal_that_must_exist_is_not_created(tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        Journal(tmp_path / "r1", create=False)
    assert str(caught.value) == f"Cannot read the journal {tmp_path}/r1/journal.jsonl: No such file or directory."
    assert not (tmp_path / "r1").exists()


def test_an_unwritable_folder_is_an_error(tmp_path: Path):
    (tmp_path / "runs").write_text("a file")

    with pytest.raises(ConfigError) as caught:
        Journal(tmp_path / "runs" / "r1")
    assert str(caught.value) == (
        f"Cannot write the journal {tmp_path}/runs/r1/journal.jsonl: Not a directory. Choose a writable folder for "
        "`runs` (AGENT_RUNS_DIR)."
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
    assert (outcome.status, outcome.reason) == (
        "error",
        f"Cannot write the journal {outcome.journal}: File too large. It holds everything done so far. Free disk "
        "space, then resume the run.",
    )
    assert shown[-1] == "run_ended"
    assert read_journal(outcome.journal)[-1].kind != "run_ended"

    left = script[[e.kind for e in read_journal(outcome.journal)].count("replied") :]
    resumed = await Agent(ScriptedModel(left), tools=[add], runs=tmp_path).resume(outcome.journal.parent)
    assert (resumed.status, resumed.answer) == ("finished", "7")
    assert len(done) == len(set(done))


# Many runs.


def make(runs: Path, name: str, *events: Event) -> Path:
    journal = Journal(runs / name)
    for event in events:
        journal.write(event)
    journal.close()
    return journal.path


def test_last_is_the_newest_run_by_its_journal_not_by_the_time_of_the_file(tmp_path: Path):
    for day, name in ((24, "b"), (25, "a"), (23, "c")):
        path = make(tmp_path, name, replace(START, run=name, at=f"2026-11-{day}T12:00:00+00:00"))
        os.utime(path, (1e9 - day, 1e9 - day))
    make(tmp_path, "d")  # killed before its first line
    (tmp_path / "a" / "journal.jsonl").write_bytes(unchained(replace(START, run="a", at="2026-11-25T12:00:00+00:00")))

    assert [folder.name for folder in list_runs(tmp_path)] == ["d", "c", "b", "a"]
    assert find_run(tmp_path, "last").name == "a"


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


def test_a_path_that_is_not_utf_8_is_recorded_and_read_again_byte_for_byte(tmp_path: Path):
    path = os.fsdecode(b"caf\xe9/\xff")
    events = (START, FilesChanged(files={path: f"link 3 0 777 {path}"}, unsure=(path,)), Noticed(text="\ud800"))
    journal = Journal(tmp_path)
    for event in events:
        journal.write(event)
    journal.close()
    assert read_journal(journal.path) == events
    assert os.fsencode(path) == b"caf\xe9/\xff"

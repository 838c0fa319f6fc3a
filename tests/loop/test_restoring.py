"""What a failed verification puts back: only the run's own changes, never what is not saved, whoever works beside."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import Agent, Ladder, Limits, Outcome, Rung, Sandbox, ToolContext, ToolError, Verify, tool
from agent.journal.events import ContextRenewed, Event, FilesChanged, Noticed, VerifyEnded, VerifyStarted
from agent.journal.journal import read_journal
from agent.testing import ScriptedModel, calls, says
from agent.workspace.workspace import Snapshot, Workspace
from tools.changes import undo_change
from tools.files import edit_file, write_file
from tools.processes import read_process, start_process
from tools.shell import run_shell

ENV = {"PATH": os.environ["PATH"]}
LADDER = Ladder(rungs=(Rung(effort="none"), Rung(effort="none", fresh_context=True)))
VERIFY = Verify(command="exit 1", attempts=2)
DONE = says("Done.")


class Shared:
    """A folder in which a run and a user work at the same time."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        (self.folder / "a.txt").write_text("original\n")
        self.events: list[Event] = []
        self.settings: dict[str, Any] = {
            "instructions": "Be good.", "tools": [write_file, run_shell], "workspace": self.folder, "env": ENV,
            "verify": VERIFY, "ladder": LADDER, "sandbox": Sandbox(), **settings,
        }  # fmt: skip

    async def run(self, *script: Any, user: Callable[[Event], None] = lambda _: None) -> Outcome:
        """Run; `user` does something at an event."""

        def observe(event: Event) -> None:
            self.events.append(event)
            user(event)

        self.model = ScriptedModel(script)
        return await Agent(self.model, **self.settings).run("Go.", observe=observe)

    def write(self, path: str, content: str) -> None:
        (self.folder / path).parent.mkdir(exist_ok=True)
        (self.folder / path).write_text(content)

    @property
    def files(self) -> dict[str, str]:
        found = [path for path in self.folder.rglob("*") if path.is_file() and ".agent" not in path.parts]
        return {str(path.relative_to(self.folder)): path.read_text() for path in found}

    @property
    def renewed(self) -> ContextRenewed:
        (event,) = [event for event in self.events if isinstance(event, ContextRenewed)]
        return event

    @property
    def summary(self) -> str:
        return self.renewed.prompt.content.removeprefix("Go.\n\n")


def writes(path: str, content: str) -> Any:
    return calls(("write_file", {"path": path, "content": content}))


def at(kind: type, action: Callable[[], None]) -> Callable[[Event], None]:
    """Return an observer that does something once, at the first event of this kind."""
    done: list[Event] = []

    def observe(event: Event) -> None:
        if isinstance(event, kind) and not done:
            done.append(event)
            action()

    return observe


# In place, beside a user.


async def test_a_file_of_the_user_written_during_the_run_survives_a_restore(tmp_path: Path):
    """The restore removed it, and took back the user's own edit of another file."""
    shared = Shared(tmp_path)

    def user() -> None:
        shared.write("mine.txt", "typed by the user while it ran\n")
        shared.write("a.txt", "user edit\n")

    await shared.run(writes("b.txt", "by the run\n"), DONE, DONE, user=at(VerifyStarted, user))

    assert shared.files == {"mine.txt": "typed by the user while it ran\n", "a.txt": "user edit\n"}
    assert (shared.renewed.restored, shared.renewed.conflicts) == (("b.txt",), ())
    assert "mine.txt" not in shared.summary
    assert "user edit" not in shared.summary


async def test_a_file_of_the_user_written_while_a_command_of_the_run_runs_survives_a_restore(tmp_path: Path):
    """As in the field: the run sleeps in a shell while the user types."""
    shared = Shared(tmp_path)
    ready, typed = tmp_path / "ready", tmp_path / "typed"
    waits = f"touch {ready}; while ! test -e {typed}; do sleep 0.01; done"
    command = f"{waits}; echo by the run > run.txt; sed -i s/o/0/ a.txt"

    async def user() -> None:
        while not ready.exists():
            await asyncio.sleep(0.01)
        shared.write("mine.txt", "typed by the user while it ran\n")
        shared.write("notes/b.txt", "user edit\n")
        typed.touch()

    typing = asyncio.create_task(user())
    await shared.run(calls(("run_shell", {"command": command})), DONE, DONE)
    await typing

    assert shared.files == {
        "a.txt": "original\n", "mine.txt": "typed by the user while it ran\n", "notes/b.txt": "user edit\n",
    }  # fmt: skip
    assert (shared.renewed.restored, shared.renewed.conflicts) == (("a.txt", "run.txt"), ("mine.txt", "notes/b.txt"))
    assert shared.summary.startswith(
        "You have worked on this task before; the conversation was restarted because the work that you submitted "
        "failed the verification.\nYour changes did not pass the verification, so the files are back in their state at "
        "the start. Your changes are shown below and kept in .agent/attempts/1/changes.diff. These files were left as "
        "they are, because something else may have changed them too: mine.txt, notes/b.txt.\n\n"
    )
    patch = (shared.folder / shared.renewed.patch).read_text()
    assert "mine.txt" not in patch
    assert "typed by the user" not in shared.summary
    assert "+by the run\n" in patch


async def test_two_runs_at_once_do_not_throw_away_each_others_work(tmp_path: Path):
    """One run failed in slow calls while another, allowed then, and the user wrote files: all were removed."""
    shared = Shared(tmp_path)

    @tool
    async def wait_and_fail(number: int) -> str:
        """Fail."""
        if number == 1:
            shared.write("b.txt", "work of another run\n")
            shared.write("mine.txt", "typed by the user\n")
        msg = "no"
        raise ToolError(msg)

    shared.settings |= {
        "tools": [wait_and_fail],
        "verify": None,
        "ladder": replace(LADDER, triggers={"tool_error": 2}),
    }
    outcome = await shared.run(*[calls(("wait_and_fail", {"number": n})) for n in range(3)], DONE)

    assert outcome.status == "finished"
    assert shared.files == {
        "a.txt": "original\n", "b.txt": "work of another run\n", "mine.txt": "typed by the user\n",
    }  # fmt: skip
    assert shared.renewed.restored == ()


async def test_a_file_that_the_user_changed_after_the_run_did_is_left_alone_and_told(tmp_path: Path):
    shared = Shared(tmp_path)

    await shared.run(
        writes("a.txt", "by the run\n"), writes("b.txt", "b\n"), DONE, DONE,
        user=at(VerifyStarted, lambda: shared.write("a.txt", "by the user\n")),
    )  # fmt: skip

    assert shared.files == {"a.txt": "by the user\n"}
    assert (shared.renewed.restored, shared.renewed.conflicts) == (("b.txt",), ("a.txt",))
    assert "because something else may have changed them too: a.txt.\n" in shared.summary


async def test_a_file_that_the_user_had_changed_before_the_run_did_is_left_alone_and_told(tmp_path: Path):
    """To put the start back would take away the user's edit, which only the run has seen."""
    shared = Shared(tmp_path)

    await shared.run(
        writes("b.txt", "b\n"), writes("a.txt", "user edit, and by the run\n"), DONE, DONE,
        user=at(FilesChanged, lambda: shared.write("a.txt", "user edit\n")),
    )  # fmt: skip

    assert shared.files == {"a.txt": "user edit, and by the run\n"}
    assert (shared.renewed.restored, shared.renewed.conflicts) == (("b.txt",), ("a.txt",))


async def test_a_change_undone_and_made_again_is_put_back(tmp_path: Path):
    """`undo_change` names the file only in its result."""
    shared = Shared(tmp_path, tools=[write_file, edit_file, undo_change])
    edit = calls(("edit_file", {"path": "a.txt", "old": "original", "new": "changed"}))

    await shared.run(edit, calls(("undo_change", {})), edit, DONE, DONE)

    assert shared.files == {"a.txt": "original\n"}
    assert (shared.renewed.restored, shared.renewed.conflicts) == (("a.txt",), ())


async def test_if_all_changes_are_conflicts_nothing_is_put_back_and_the_model_reads_why(tmp_path: Path):
    shared = Shared(tmp_path)

    await shared.run(
        writes("a.txt", "by the run\n"), DONE, DONE,
        user=at(VerifyStarted, lambda: shared.write("a.txt", "by the user\n")),
    )  # fmt: skip

    assert (shared.renewed.restored, shared.renewed.patch, shared.renewed.conflicts) == ((), "", ("a.txt",))
    assert shared.summary == (
        "You have worked on this task before; the conversation was restarted because the work that you submitted "
        "failed the verification.\nYour changes did not pass the verification, but the files were left as they are, "
        "because something else may have changed them too: a.txt.\n\n"
        "Verification failed (attempt 1 of 2).\nCommand: exit 1\nExit code: 1\nOutput:\n(none)\nAttempts left: 1.\n\n"
        "What you wrote or thought, oldest first:\n> Done.\n\n"
        "Your changes so far:\n```diff\n--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-original\n+by the user\n```\n\n"
        "Your calls so far, oldest first:\n"
        '- write_file {"path": "a.txt", "content": "by the run\\n"} -> ok: Wrote 11 bytes to a.txt.\n'
        "- (you submitted your work: verification attempt 1 failed)\n\n"
        "Check which of your conclusions are proven, then take a step that you have not tried."
    )


async def test_what_a_verification_changes_in_a_shared_folder_is_not_taken_for_the_runs(tmp_path: Path):
    shared = Shared(tmp_path, verify=Verify(command="echo report > report.txt; exit 1", attempts=2))

    await shared.run(writes("b.txt", "b\n"), DONE, DONE)

    assert shared.files == {"a.txt": "original\n", "report.txt": "report\n"}
    assert (shared.renewed.restored, shared.renewed.conflicts) == (("b.txt",), ("report.txt",))


async def test_a_folder_that_cannot_be_listed_for_a_moment_makes_nothing_the_runs_own(tmp_path: Path):
    """All paths then seemed new, and the user's edits would have been put back with them."""
    shared = Shared(tmp_path)
    away = tmp_path / "away"

    @tool
    def come_back(names: str) -> str:
        """Rename the folder back."""
        away.rename(shared.folder)
        return f"renamed {names}"

    @tool
    def go_away() -> str:
        """Rename the folder."""
        shared.folder.rename(away)
        (away / "a.txt").write_text("user edit\n")
        return "renamed"

    shared.settings["tools"] = [go_away, come_back]
    await shared.run(calls(("go_away", {})), calls(("come_back", {"names": "a.txt"})), DONE, DONE)

    assert shared.files == {"a.txt": "user edit\n"}
    assert [event for event in shared.events if isinstance(event, FilesChanged)] == []


# What cannot be saved is not put back.


@pytest.mark.parametrize("mode", ["in_place", "copy"])
async def test_if_a_tool_planted_a_symlink_for_dot_agent_nothing_is_put_back(tmp_path: Path, mode: str):
    outside = tmp_path / "outside"
    outside.mkdir()
    command = f"ln -s {outside} .agent && echo by the run > a.txt"
    shared = Shared(tmp_path, workspace_mode=mode)

    outcome = await shared.run(calls(("run_shell", {"command": command})), DONE, DONE)

    (first,) = [event for event in shared.events if event.kind == "run_started"]
    assert (Path(shared.folder if mode == "in_place" else first.workspace) / "a.txt").exists() == (mode == "in_place")
    assert (shared.renewed.restored, shared.renewed.patch) == ((), "")
    assert "The files are as you left them, and they have not passed the verification.\n" in shared.summary
    assert list(outside.iterdir()) == []
    assert len(outcome.notices) == 1
    assert outcome.notices[0].startswith("The changes that failed the verification could not be saved ([Errno ")
    assert outcome.notices[0].endswith("), so they were not put back.")


# Restored, and killed.


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.mark.parametrize("restored_before", [False, True])
async def test_a_run_killed_while_it_restores_names_the_patch_when_it_is_resumed(tmp_path: Path, restored_before: bool):
    """The second time nothing differed from the start, so the model would never have heard of the patch."""
    shared = Shared(tmp_path, workspace_mode="copy", runs=tmp_path / "runs")

    def kill(event: Event) -> None:
        if isinstance(event, FilesChanged) and event.saved:
            raise Killed

    with pytest.raises(Killed):
        await shared.run(writes("b.txt", "b\n"), DONE, user=kill)
    (run,) = (tmp_path / "runs").glob("[!.]*")
    if restored_before:
        Workspace(run / "workspace").restore(Snapshot(tree=run / "snapshot"))
    shared.model = ScriptedModel([DONE])
    outcome = await Agent(shared.model, **shared.settings).resume(run, observe=shared.events.append)

    assert outcome.status == "verify_failed"
    assert not (run / "workspace" / "b.txt").exists()
    assert [path.name for path in (run / "workspace" / ".agent" / "attempts").iterdir()] == ["1"]
    assert shared.renewed.patch == ".agent/attempts/1/changes.diff"
    shown = "" if restored_before else "shown below and "
    assert f"the files are back in their state at the start. Your changes are {shown}kept in .agent/" in shared.summary
    assert "No file differs" not in shared.summary


async def test_what_a_killed_call_had_changed_is_not_put_back_but_told(tmp_path: Path):
    """Nobody knows whether the killed call or somebody else wrote it."""
    shared = Shared(tmp_path, runs=tmp_path / "runs")

    def kill(event: Event) -> None:
        if event.kind == "call_started":
            shared.write("b.txt", "half\n")
            raise Killed

    with pytest.raises(Killed):
        await shared.run(writes("b.txt", "b\n"), user=kill)
    (run,) = (tmp_path / "runs").glob("[!.]*")
    script = [writes("c.txt", "c\n"), DONE, DONE]
    await Agent(ScriptedModel(script), **shared.settings).resume(run, observe=shared.events.append)

    assert shared.files == {"a.txt": "original\n", "b.txt": "half\n"}
    assert (shared.renewed.restored, shared.renewed.conflicts) == (("c.txt",), ("b.txt",))


async def test_what_was_put_back_can_be_made_again_and_is_then_verified(tmp_path: Path):
    """The good part of a failed attempt, such as a test and a changelog entry, was gone for good."""
    shared = Shared(tmp_path, verify=Verify(command="test -e test.txt -a -e fix.txt", attempts=2))
    again = calls(("run_shell", {"command": "git apply .agent/attempts/1/changes.diff && echo fix > fix.txt"}))

    outcome = await shared.run(writes("test.txt", "good test\n"), DONE, again, DONE)

    assert outcome.status == "verified"
    assert shared.files == {"a.txt": "original\n", "test.txt": "good test\n", "fix.txt": "fix\n"}
    assert [(event.attempt, event.ok) for event in shared.events if isinstance(event, VerifyEnded)] == [
        (1, False), (2, True),
    ]  # fmt: skip


async def test_what_a_user_wrote_survives_when_a_run_in_place_is_resumed_by_an_agent_for_copies(tmp_path: Path):
    """The new agent's mode decided, so the whole folder was restored as if it were the run's own copy."""
    shared = Shared(tmp_path, runs=tmp_path / "runs", limits=Limits(steps=1))
    first = await shared.run(writes("b.txt", "b\n"))
    assert first.journal is not None
    shared.write("mine.txt", "typed by the user\n")

    settings = {**shared.settings, "workspace_mode": "copy", "limits": Limits()}
    await Agent(ScriptedModel([DONE, DONE]), **settings).resume(first.journal.parent, observe=shared.events.append)

    assert shared.files == {"a.txt": "original\n", "mine.txt": "typed by the user\n"}
    assert (shared.renewed.restored, shared.renewed.conflicts) == (("b.txt",), ())


async def test_background_commands_are_stopped_before_files_are_put_back_and_the_model_is_told(tmp_path: Path):
    """A command that still ran could swap folders for symlinks meanwhile, and files outside were deleted."""
    shared = Shared(
        tmp_path, tools=[write_file, start_process, read_process], verify=Verify(command="exit 1", attempts=3)
    )
    alive = "while true; do echo x >> log; sleep 0.01; done"
    await shared.run(
        calls(("start_process", {"command": alive, "wait_s": 1}), ("write_file", {"path": "a.txt", "content": "x"})),
        DONE, calls(("read_process", {"process": 1, "wait_s": 0})), DONE, DONE,
    )  # fmt: skip
    assert f"these background commands of yours were stopped: `{alive}`. Start them again" in shared.summary
    assert [event.text for event in shared.events if isinstance(event, Noticed)] == [
        f"Background commands were stopped before the verification: `{alive}`."
    ]
    (read,) = [message for message in shared.model.bodies[-1]["messages"] if message["role"] == "tool"]
    assert read["content"].startswith("Process 1 has ended (exit code 137 (killed by SIGKILL)).")
    assert shared.files["a.txt"] == "original\n"


async def test_the_model_is_told_what_was_stopped_for_a_verification_that_it_does_not_see(tmp_path: Path):
    stopped: list[str] = []

    @tool
    async def listen(context: ToolContext[Any]) -> str:
        """Listen."""

        async def stop() -> None:
            stopped.append(shared.files["a.txt"])

        context.track("a listener", is_running=lambda: not stopped, stop=stop)
        return ""

    triggers = {"empty_reply": 1, "verify_failed": 2}
    ladder = Ladder(rungs=(Rung(), Rung(fresh_context=True, restore="any")), triggers=triggers)
    shared = Shared(tmp_path, tools=[write_file, listen], ladder=ladder, verify=Verify(command="exit 1", attempts=2))
    await shared.run(writes("a.txt", "x"), DONE, calls(("listen", {})), says(""), DONE)
    assert (stopped[:1], shared.files["a.txt"]) == (["x"], "original\n")
    assert "Before the verification, these background commands of yours were stopped: a listener" in shared.summary


async def test_a_background_command_goes_on_if_nothing_is_put_back(tmp_path: Path):
    shared = Shared(tmp_path, tools=[start_process, read_process], verify=Verify(command="exit 0"))
    await shared.run(
        calls(("start_process", {"command": "sleep 60", "wait_s": 0})),
        calls(("read_process", {"process": 1, "wait_s": 0})), DONE,
    )  # fmt: skip
    last = shared.model.bodies[-1]["messages"][-1]
    assert last["content"].startswith("Process 1 is running.")


async def test_what_was_put_back_is_redacted_and_written_down_outside_the_event_loop(tmp_path: Path):
    """With 18,000 changed files, other runs of the same process stood still for 0.14 s."""
    on_loop: list[str] = []

    class Env(dict[str, str]):
        restoring = False

        def items(self) -> Any:
            if self.restoring and threading.current_thread() is threading.main_thread():
                on_loop.append("redacted")
            return super().items()

    env = Env(ENV)
    shared = Shared(tmp_path, env=env)

    def watch(event: Event) -> None:
        env.restoring = isinstance(event, FilesChanged) and bool(event.saved)

    await shared.run(writes("b.txt", "b\n"), DONE, DONE, user=watch)

    assert shared.renewed.restored == ("b.txt",)
    assert on_loop == []


async def test_names_that_are_not_utf_8_do_not_end_the_run_and_are_put_back(tmp_path: Path):
    shared = Shared(tmp_path, runs=tmp_path / "runs")
    command = "mkdir new && touch \"$(printf 'new/a\\377')\" && ln -s \"$(printf '\\377')\" new/link"
    await shared.run(calls(("run_shell", {"command": command})), DONE, DONE)

    assert shared.renewed.restored == ("new", os.fsdecode(b"new/a\xff"), "new/link")
    assert shared.files == {"a.txt": "original\n"}
    (journal,) = tmp_path.glob("runs/*/journal.jsonl")
    assert read_journal(journal) == tuple(shared.events)

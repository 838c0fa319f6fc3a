"""The summary that opens a renewed conversation, whole; and what runs put into it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent import Agent, EndpointRejected, Ladder, Outcome, Rung, Tool, ToolError, Verify, tool
from agent.journal.events import Event, VerifyEnded
from agent.loop.cutting import cut_middle
from agent.loop.prompts import SAME_AGAIN
from agent.loop.summary import Renewal, summary
from agent.loop.summary_calls import CallRecord
from agent.messages import Reply, ToolCall, ToolResult, ToolStatus
from agent.testing import ScriptedModel, calls, says
from agent.workspace.diff import Change
from tools.changes import apply_diff

ENV = {"PATH": os.environ["PATH"]}
FULL = (
    EndpointRejected("This model's maximum context length is 2048 tokens.", url="http://x/v1", status=400),
    says(""),
)
"""A refused prompt, and a model that does not sum up the conversation."""
CALL = ToolCall(id="call00001", name="read_file", arguments='{"path": "a.py"}')
FILLED = Renewal(reason="it filled the context window", is_failure=False, restored=False)


def record(name: str, content: str = "fine", status: ToolStatus = "ok", **arguments: object) -> CallRecord:
    call = ToolCall(id="call00000", name=name, arguments=json.dumps(arguments))
    return CallRecord(call=call, result=ToolResult(tool_call_id=call.id, name=name, content=content, status=status))


def failure(number: int, output: str = "1 failed") -> VerifyEnded:
    say = f"Verification failed (attempt {number} of 3).\nCommand: pytest -q\nExit code: 1\nOutput:\n{output}"
    return VerifyEnded(attempt=number, ok=False, exit_code=1, output=output, elapsed_s=0.1, say=say)


def added(path: str, *lines: str) -> Change:
    text = "\n".join(f"+{line}" for line in lines)
    diff = f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,{len(lines)} @@\n{text}"
    return Change(path=path, kind="added", diff=diff)


def summarized(renewal: Renewal, *, max_chars: int = 24_000, **parts: Any) -> str:
    return summary(renewal, **{"records": (), "texts": (), "verifications": (), **parts}, max_chars=max_chars)


# The text.


def test_the_summary_of_a_failed_attempt_holds_diff_verification_notes_files_and_calls():
    """It was a list of calls with the first line of each result."""
    renewal = Renewal(
        reason="the work that you submitted failed the verification",
        is_failure=True,
        restored=True,
        patch=".agent/attempts/1/changes.diff",
        conflicts=("notes.txt",),
        changes=(added("a.py", "x = 1"), Change(path="logo.png", kind="changed", diff="[not text, 9 bytes]")),
    )
    records = [
        record("read_file", path="a.py"),
        record("run_shell", "collecting\nE   assert 1 == 2\nexit code 1", command="pytest"),
        record("run_shell", "Killed\nexit code 137 (killed by SIGKILL), took 12 s", command="big"),
        record("read_file", "No file b.py.", "error", path="b.py"),
        "- (you submitted your work: verification attempt 1 failed)",
    ]

    assert summarized(
        renewal, records=records, texts=["The parser drops the last byte.", "Done."], verifications=[failure(1)]
    ) == (
        "You have worked on this task before; the conversation was restarted because the work that you submitted "
        "failed the verification.\n"
        "Your changes did not pass the verification, so the files are back in their state at the start. Your changes "
        "are shown below and kept in .agent/attempts/1/changes.diff. These files were left as they are, because "
        "something else may have changed them too: notes.txt.\n\n"
        "Verification failed (attempt 1 of 3).\nCommand: pytest -q\nExit code: 1\nOutput:\n1 failed\n"
        "Line numbers in this output are those of your changed files, not of the files as they are now.\n\n"
        "What you wrote or thought, oldest first:\n> The parser drops the last byte.\n> Done.\n\n"
        "The changes that did not pass:\n```diff\n--- /dev/null\n+++ b/a.py\n@@ -0,0 +1,1 @@\n+x = 1\n"
        "# changed logo.png: [not text, 9 bytes]\n```\n\n"
        "Your calls so far, oldest first:\n"
        '- read_file {"path": "a.py"} -> ok: fine\n'
        '- run_shell {"command": "pytest"} -> exit code 1: collecting | E   assert 1 == 2\n'
        '- run_shell {"command": "big"} -> exit code 137 (killed by SIGKILL): Killed\n'
        '- read_file {"path": "b.py"} -> error: No file b.py.\n'
        "- (you submitted your work: verification attempt 1 failed)\n\n"
        "Files you have read: a.py\n\n"
        "Find the cause of the failure first. Then bring back what was right in your changes, correct the rest, test "
        "it, and submit the work again."
    )


def test_a_full_window_is_not_told_as_a_failed_attempt():
    """It said "An earlier attempt at this task failed ... Take another way", though nothing had failed."""
    assert summarized(FILLED) == (
        "You are in the middle of this task; the conversation was restarted because it filled the context window. "
        "Nothing is known to be wrong with your last changes.\nThe files are as you left them.\n\n"
        "You have called nothing yet.\n\n"
        "Go on with the task from here. Read again only what you need."
    )


def test_a_failure_that_restored_nothing():
    renewal = Renewal(reason="your replies were empty", is_failure=True, restored=False, changes=())
    assert summarized(renewal) == (
        "You have worked on this task before; the conversation was restarted because your replies were empty.\n"
        "The files are as you left them.\n\nNo file differs from the start.\n\nYou have called nothing yet.\n\n"
        "Check which of your conclusions are proven, then take a step that you have not tried."
    )


def calls_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(("- ", "Your calls"))]


def test_the_same_two_lines_nine_times_are_folded():
    records = [record("read_file", path="a.py"), record("run_tests", "3 passed"), record("look", "at it")]
    records += [record("run_tests", "3 passed"), record("look", "at it")] * 8
    assert calls_of(summarized(FILLED, records=records)) == [
        "Your calls so far, oldest first:",
        '- read_file {"path": "a.py"} -> ok: fine',
        "- run_tests {} -> ok: 3 passed (9 times)",
        "- look {} -> ok: at it (9 times)",
    ]


def test_calls_before_and_after_a_verification_are_folded_apart():
    records = [record("run_tests", "1 failed"), "- (note)", record("run_tests", "1 failed")]
    assert calls_of(summarized(FILLED, records=records)) == [
        "Your calls so far, oldest first:",
        "- run_tests {} -> ok: 1 failed",
        "- (note)",
        "- run_tests {} -> ok: 1 failed",
    ]


def test_of_many_calls_the_last_sixty_are_shown():
    found = calls_of(summarized(FILLED, records=[record("look", str(n), at=n) for n in range(100)]))
    assert (found[0], found[1], len(found)) == (
        "Your calls so far, oldest first (40 earlier lines omitted):", '- look {"at": 40} -> ok: 40', 61,
    )  # fmt: skip


def test_a_long_call_and_a_long_result_are_cut():
    (_, line) = calls_of(summarized(FILLED, records=[record("write", "y" * 500, text="x" * 500)]))
    start = '- write {"text": "' + "x" * 164
    assert line == f"{start} [... 338 more characters] -> ok: {'y' * 134} [... 366 more characters]"


def test_a_long_verification_keeps_its_head_and_most_of_its_end():
    long = failure(2, output="first\n" + "x" * 9_000 + "\n1 failed, 2 passed")
    text = summarized(FILLED, verifications=[failure(1), long])
    assert "Verification failed (attempt 2 of 3).\nCommand: pytest -q\nExit code: 1\nOutput:\nfirst\nxxx" in text
    assert "characters omitted ...]\nxxx" in text
    assert "xxx\n1 failed, 2 passed\nLine numbers in" in text


def test_notes_keep_their_lines():
    text = summarized(FILLED, texts=["Two causes:\n\n- the parser\n- the writer", "Only one."])
    assert "oldest first:\n> Two causes:\n  - the parser\n  - the writer\n> Only one.\n\n" in text


def test_the_newest_words_of_the_model_are_whole_and_the_oldest_give_way():
    """The to-do list of the last reply was cut to save 66 characters, and its middle point was lost."""
    newest = "Remaining: " + ", ".join(f"({n}) do a thing in a file that has to be named" for n in range(20))
    texts = ["x" * 5_000, "y" * 400, "Short.", newest]
    text = summarized(FILLED, max_chars=7_000, texts=texts)
    assert f"> Short.\n> {newest}\n\n" in text
    assert "What you wrote or thought, oldest first (1 earlier one left out):\n> yyy" in text
    assert "\n  [... 200 characters omitted ...]\n  yyy" in text


def test_a_text_is_never_cut_to_save_less_than_the_note_about_it_takes():
    for length in range(300, 600):
        text = "".join(chr(97 + n % 26) for n in range(length))
        shown = cut_middle(text, 300)
        assert len(shown) <= 300
        assert shown == text or len(text) - len(shown) > 150


def test_a_diff_that_is_cut_names_how_to_see_the_rest():
    changes = (added("a.py", *["x" * 70] * 900), added("b.py", *["y" * 70] * 900))
    has_tool = Renewal(reason="r", is_failure=False, restored=False, changes=changes, has_diff_tool=True)
    note = "\n```\nCut or left out: a.py, b.py. "
    assert f'{note}Call diff with path="a.py" to see the whole change of a file.\n\n' in summarized(has_tool)
    assert f"{note}Read the files to see the rest.\n\n" in summarized(replace(has_tool, has_diff_tool=False))
    patch = ".agent/attempts/2/changes.diff"
    restored = replace(has_tool, is_failure=True, restored=True, patch=patch)
    assert f"{note}{patch} holds all of it.\n\n" in summarized(restored)


def test_of_too_many_files_only_the_names_are_told():
    changes = tuple(added(f"f{n}.py", "x" * 99) for n in range(200))
    text = summarized(Renewal(reason="r", is_failure=False, restored=False, changes=changes))
    names = ", ".join(f"f{n}.py" for n in range(20))
    assert f"Your changes so far:\n```diff\n# 200 files: {names} and 180 more\n```\nRead the files" in text


def test_after_a_restore_the_model_reads_where_its_changes_are_and_how_to_bring_them_back():
    """It read "read it, apply again what was right", though they were shown below, and no word of apply_diff."""
    patch = ".agent/attempts/2/changes.diff"
    renewal = Renewal(
        reason="r", is_failure=True, restored=True, patch=patch, changes=(added("a.py", "x"),), has_patch_tool=True
    )
    start = "so the files are back in their state at the start. Your changes are shown below and kept in"
    apply = f'apply_diff with diff_file="{patch}" brings'
    assert f"{start} {patch}: {apply} all of them back.\n" in summarized(renewal)
    image = Change(path="a.png", kind="added", diff="[not text, 9 bytes]")
    assert f"{apply} those to text files back.\n" in summarized(replace(renewal, changes=(image,)))
    assert f"{start} {patch}.\n" in summarized(replace(renewal, has_patch_tool=False))


def test_the_next_step_after_a_restore_does_not_forbid_what_the_text_asks_for():
    """It said "Find out why the verification failed before you change files again" below "apply again"."""
    text = summarized(Renewal(reason="r", is_failure=True, restored=True, patch="p", changes=(added("a.py", "x"),)))
    assert text.endswith(
        "\n\nFind the cause of the failure first. Then bring back what was right in your changes, correct the rest, "
        "test it, and submit the work again."
    )


def test_nothing_is_called_right_that_has_just_failed_the_verification():
    text = summarized(replace(FILLED, files_failed=True), verifications=[failure(1)])
    assert "Nothing is known to be wrong" not in text
    assert "\nThe files are as you left them, and they have not passed the verification.\n\n" in text


def test_calls_with_their_results_below_are_not_listed_twice():
    records = [record("look", "at it"), replace(record("read_file", path="a.py"), call=CALL)]
    text = summarized(FILLED, records=records, last_calls=records[1:], max_results_chars=900)
    assert text.endswith(
        "Your calls so far, oldest first:\n- look {} -> ok: at it\n\nFiles you have read: a.py\n\n"
        "Your last calls ran, but you have not seen their results yet. These are the results:\n\n"
        '=== read_file {"path": "a.py"} -> ok\nfine\n\nGo on with the task from here. Read again only what you need.'
    )


LONG = st.text(alphabet="ab \n", max_size=4_000)


@given(
    texts=st.lists(LONG, max_size=6),
    outputs=st.lists(LONG, max_size=4),
    changes=st.lists(LONG, max_size=30),
    results=st.lists(LONG, max_size=30),
    max_chars=st.integers(3_000, 24_000),
    restored=st.booleans(),
)
def test_a_summary_never_exceeds_its_bound(
    texts: list[str], outputs: list[str], changes: list[str], results: list[str], max_chars: int, restored: bool
):
    text = summarized(
        Renewal(
            reason="of it", is_failure=restored, restored=restored, patch=".agent/attempts/1/changes.diff",
            conflicts=tuple(f"{n}" * 99 for n in range(len(texts))),
            changes=tuple(added(f"{n}.py", *one.splitlines()) for n, one in enumerate(changes)),
        ),
        records=[record("read_file", content, path=content) for content in results],
        texts=texts,
        verifications=[failure(number, output) for number, output in enumerate(outputs)],
        max_chars=max_chars,
    )  # fmt: skip
    assert len(text) <= max_chars


# In a run.


class Project:
    """A project with tools that read, write and fail."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self.settings: dict[str, Any] = {"instructions": "Be good.", "env": ENV, **settings}
        self.more: list[Tool] = []

    def tools(self) -> list[Tool]:
        @tool(read_only=True)
        def read_file(path: str) -> str:
            """Read a file."""
            if not (self.folder / path).exists():
                msg = f"There is no file {path}."
                raise ToolError(msg)
            return (self.folder / path).read_text()

        @tool(exclusive=True)
        def write_file(path: str, content: str) -> str:
            """Write a file."""
            (self.folder / path).write_text(content)
            return f"wrote {path}"

        return [read_file, write_file, *self.more]

    async def run(self, *script: Any) -> Outcome:
        self.model = ScriptedModel(script)
        agent = Agent(self.model, tools=self.tools(), workspace=self.folder, **self.settings)
        return await agent.run("Go.", observe=self.events.append)

    def prompt(self, request: int) -> str:
        """Return the first user message of a request, without the task."""
        return str(self.model.bodies[request]["messages"][1]["content"]).removeprefix("Go.\n\n")


def writes(path: str, content: str, *, text: str = "") -> Reply:
    return calls(("write_file", {"path": path, "content": content}), text=text)


async def test_a_full_window_carries_the_failed_verification_over(tmp_path: Path):
    """The new context never mentioned the failure, so the same work was handed in again."""
    project = Project(tmp_path, verify=Verify(command="cat a.py; test ! -e a.py", attempts=3))

    await project.run(writes("a.py", "x = 1\n"), says("The parser is fixed."), *FULL, *[says("Again.")] * 2)

    assert project.prompt(4) == (
        "You are in the middle of this task; the conversation was restarted because it filled the context window.\n"
        "The files are as you left them, and they have not passed the verification.\n\n"
        "Verification failed (attempt 1 of 3).\nCommand: cat a.py; test ! -e a.py\nExit code: 1\nOutput:\nx = 1\n"
        "Attempts left: 2.\n\n"
        "What you wrote or thought, oldest first:\n> The parser is fixed.\n\n"
        "Your changes so far:\n```diff\n--- /dev/null\n+++ b/a.py\n@@ -0,0 +1 @@\n+x = 1\n```\n\n"
        "Your calls so far, oldest first:\n"
        '- write_file {"path": "a.py", "content": "x = 1\\n"} -> ok: wrote a.py\n'
        "- (you submitted your work: verification attempt 1 failed)\n\n"
        "Go on with the task from here. Read again only what you need."
    )


async def test_the_summary_adds_up_over_two_renewals(tmp_path: Path):
    """After the second renewal, the calls and thoughts of the first conversation were gone."""
    (tmp_path / "a.py").write_text("a = 1\n")
    project = Project(tmp_path)
    reads = [calls(("read_file", {"path": path}), reasoning=thought) for path, thought in (
        ("a.py", "The cause is in a.py, line 1."), ("b.py", ""),
    )]  # fmt: skip

    await project.run(
        reads[0], writes("a.py", "a = 2\n", text="I change a.py now."), *FULL, reads[1], reads[1], *FULL, says("Done.")
    )

    assert project.prompt(-1) == (
        "You are in the middle of this task; the conversation was restarted because it filled the context window. "
        "Nothing is known to be wrong with your last changes.\nThe files are as you left them.\n\n"
        "What you wrote or thought, oldest first:\n> The cause is in a.py, line 1.\n> I change a.py now.\n\n"
        "Your changes so far:\n```diff\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-a = 1\n+a = 2\n```\n\n"
        "Your calls so far, oldest first:\n"
        '- read_file {"path": "a.py"} -> a = 1\n'
        '- write_file {"path": "a.py", "content": "a = 2\\n"} -> ok: wrote a.py\n'
        '- read_file {"path": "b.py"} -> error: Error: There is no file b.py.\n\n'
        "Files you have read: a.py\n\n"
        "Your last calls ran, but you have not seen their results yet. These are the results:\n\n"
        '=== read_file {"path": "b.py"} -> error\nError: There is no file b.py.\n'
        f"{SAME_AGAIN}\n\n"
        "Go on with the task from here. Read again only what you need."
    )


async def test_secrets_of_a_diff_are_hidden_before_it_is_cut(tmp_path: Path):
    project = Project(tmp_path, secrets={"KEY": "hunter2hunter2"})

    await project.run(writes("a.py", "the key is hunter2hunter2\n"), *FULL, says("Done."))

    assert "+the key is [secret KEY]\n" in project.prompt(-1)
    assert "hunter2" not in project.prompt(-1).partition("=== write_file")[0]


async def test_without_a_snapshot_nothing_is_said_about_changes(tmp_path: Path):
    """It said "No file has been changed yet", which nobody had checked."""
    tools = Project(tmp_path).tools()
    model = ScriptedModel([writes("a.py", "x\n"), *FULL, says("Done.")])

    await Agent(model, tools=tools, instructions="Be good.").run("Go.")

    assert model.bodies[3]["messages"][1]["content"] == (
        "Go.\n\nYou are in the middle of this task; the conversation was restarted because it filled the context "
        "window. Nothing is known to be wrong with your last changes.\nThe files are as you left them.\n\n"
        "Your last calls ran, but you have not seen their results yet. These are the results:\n\n"
        '=== write_file {"path": "a.py", "content": "x\\n"} -> ok\nwrote a.py\n\n'
        "Go on with the task from here. Read again only what you need."
    )


RESULTS = "Your last calls ran, but you have not seen their results yet. These are the results:\n\n"


async def test_the_results_of_the_calls_that_filled_the_window_are_not_thrown_away(tmp_path: Path):
    """No request ever held them, but the summary listed the calls as done and their files as read."""
    (tmp_path / "a.py").write_text("a = 1\nb = 2\n")
    project = Project(tmp_path)

    await project.run(calls(("read_file", {"path": "a.py"}), ("read_file", {"path": "c.py"})), *FULL, says("Done."))

    assert project.prompt(-1).partition("The files are as you left them.\n\n")[2] == (
        "No file differs from the start.\n\nFiles you have read: a.py\n\n"
        f'{RESULTS}=== read_file {{"path": "a.py"}} -> ok\na = 1\nb = 2\n\n'
        '=== read_file {"path": "c.py"} -> error\nError: There is no file c.py.\n\n'
        "Go on with the task from here. Read again only what you need."
    )


async def test_results_that_were_carried_over_are_carried_over_again_until_the_model_takes_a_turn(tmp_path: Path):
    (tmp_path / "a.py").write_text("a = 1\n")
    ladder = Ladder(rungs=(Rung(), Rung(fresh_context=True)), triggers={"empty_reply": 1})
    project = Project(tmp_path, ladder=ladder)

    await project.run(calls(("read_file", {"path": "a.py"})), *FULL, says(""), says("Done."))

    assert '\n\nThe results of your last calls:\n\n=== read_file {"path": "a.py"} -> ok\na = 1\n\n' in project.prompt(4)


async def test_after_an_answer_no_results_are_carried_over(tmp_path: Path):
    project = Project(tmp_path, verify=Verify(command="exit 1", attempts=2))
    await project.run(writes("a.py", "x\n"), says("Done."), *FULL, says("Done."))
    assert "===" not in project.prompt(4)


async def test_a_renewed_conversation_has_room_to_work_in_a_small_window(tmp_path: Path):
    """Results and summary took all that the task and the tools left, so it was full again one step later."""
    project = Project(tmp_path)
    for number in range(6):
        (tmp_path / f"a{number}.py").write_text("x = 1\n" * 2_000)
    reads = [("read_file", {"path": f"a{number}.py"}) for number in range(6)]
    writing = [writes(f"b{number}.py", f"y_{number} = 1\n" * 200) for number in range(6)]
    full = EndpointRejected("This model's maximum context length is 16384 tokens.", url="http://x/v1", status=400)
    project.model = ScriptedModel(
        [*writing, calls(*reads), full, says("I found x. " * 200), says("Done.")], window_tokens=16_384
    )
    await Agent(project.model, tools=project.tools(), workspace=tmp_path, env=ENV).run("Go. " * 3_000)
    taken = len(project.prompt(-1)) - 12_000
    assert 8_000 < taken < (16_384 * 3 - 6_144 - 12_000) / 2


def test_what_the_model_wrote_for_the_restart_is_not_cut_for_its_notes():
    """With notes of half the summary, six tenths of 400 words were left."""
    own = "word " * 400
    text = summarized(
        FILLED, own=own, notes="n" * 3_000, max_chars=7_000, records=[record("read_file", path="a.py")] * 9
    )
    assert own.strip() in text
    assert len(text) <= 7_000


async def test_carried_results_take_no_room_that_a_long_task_needs(tmp_path: Path):
    """With a prompt of half the window, the renewed conversation would have been too long at once, and the run over."""
    (tmp_path / "a.py").write_text("x" * 9_000)
    project = Project(tmp_path)
    full = EndpointRejected("This model's maximum context length is 16384 tokens.", url="http://x/v1", status=400)
    shown: list[int] = []
    for prompt in ("Go.", "Go. " * 6400):
        project.model = ScriptedModel(
            [calls(("read_file", {"path": "a.py"})), full, says(""), says("Done.")], window_tokens=16_384
        )
        await Agent(project.model, tools=project.tools(), workspace=tmp_path, env=ENV).run(prompt)
        shown.append(project.prompt(-1).count("x"))
    assert 4_950 > shown[0] > 4_850  # whole, as the window limits a result
    assert 2_400 < shown[1] < 3_600


async def test_the_tool_that_brings_changes_back_is_named_only_if_the_run_has_it(tmp_path: Path):
    @tool(name="apply_diff")
    def other(text: str) -> str:
        """Do something else."""
        return text

    ladder = Ladder(rungs=(Rung(), Rung(fresh_context=True)))
    for number, tools in enumerate(([apply_diff], [other], [])):
        (tmp_path / str(number)).mkdir()
        project = Project(tmp_path / str(number), ladder=ladder, verify=Verify(command="exit 1", attempts=2))
        project.more = tools
        await project.run(writes("a.py", "x\n"), says("Done."), says("Done."))
        assert ('apply_diff with diff_file=".agent/attempts/1/changes.diff" brings' in project.prompt(2)) == (
            not number
        )


async def test_the_folder_of_the_saved_changes_has_the_number_of_the_attempt(tmp_path: Path):
    """It was `.agent/attempts/1` after the second attempt."""
    ladder = Ladder(rungs=(Rung(), Rung(), Rung(fresh_context=True)))
    project = Project(tmp_path, ladder=ladder, verify=Verify(command="exit 1", attempts=3))
    await project.run(writes("a.py", "x\n"), says("Done."), says("Again."), says("Done."))
    assert "kept in .agent/attempts/2/changes.diff" in project.prompt(3)

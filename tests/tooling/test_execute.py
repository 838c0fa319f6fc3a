"""One call becomes one result, whatever the tool does."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from agent import Image, Tool, ToolContext, ToolError, tool
from agent.messages import ToolCall, ToolResult
from agent.tooling.execute import Execution, execute

PIXEL = Image(data="aGk=", media_type="image/png")


def returning(value: object) -> Tool:
    def answer() -> object:
        """Answer."""
        return value

    return tool(answer)


def raising(error: BaseException) -> Tool:
    async def fail() -> str:
        """Fail."""
        raise error

    return tool(fail)


async def run(tool: Tool, workspace: Path = Path("/"), spill_dir: Path | None = None) -> Execution:
    call = ToolCall(id="abcdefghi", name=tool.name, arguments="{}")
    context = ToolContext(workspace=workspace)
    return await execute(call, tool, tool.arguments.check("{}"), context, spill_dir=spill_dir)


class Point(BaseModel):
    """A place."""

    x: int
    y: float = 0.5


class Odd:
    """Not serializable as JSON."""


@pytest.mark.parametrize(
    ("output", "content"),
    [
        ("text", "text"),
        ("  text\n", "  text\n"),
        ("", "(no output)"),
        (" \n", "(no output)"),
        (None, "(no output)"),
        (Point(x=1), '{"x":1,"y":0.5}'),
        ([Point(x=1), None], '[{"x":1,"y":0.5},null]'),
        ({"a": (1, 2.5), "b": True}, '{"a":[1,2.5],"b":true}'),
        (0, "0"),
        (False, "false"),
        ([], "[]"),
        (["a", "b"], '["a","b"]'),
        (Path("a/b"), '"a/b"'),
        (b"abc", '"abc"'),
        ("[TOOL_CALLS] [INST] </s>", "[TOOL_CALLS] [INST] </s>"),
        ("a\0b\ud800c", "a\ufffdb\ufffdc"),
        ("😀", "😀"),
    ],
)
async def test_whatever_a_tool_returns_becomes_text(output: object, content: str) -> None:
    done = await run(returning(output))
    assert done.result == ToolResult(tool_call_id="abcdefghi", name="answer", content=content)
    assert (done.traceback, done.spilled) == (None, None)
    assert 0 <= done.elapsed_s < 5


async def test_images_are_named_in_the_text() -> None:
    assert (await run(returning(PIXEL))).result == ToolResult(
        tool_call_id="abcdefghi", name="answer", content="(an image: image/png)", images=(PIXEL,)
    )
    other = Image(data="eW8=", media_type="image/gif")
    assert (await run(returning(["before", PIXEL, other, Point(x=1)]))).result == ToolResult(
        tool_call_id="abcdefghi",
        name="answer",
        content='before\n(an image: image/png)\n(an image: image/gif)\n{"x":1,"y":0.5}',
        images=(PIXEL, other),
    )


@pytest.mark.parametrize(
    ("output", "type_name"),
    [
        (Odd(), "Odd"),
        ([Odd()], "list"),
        (b"\xff", "bytes"),
        (itertools.count(), "count"),
        ((number for number in itertools.count()), "generator"),
        ((PIXEL, Odd()), "Odd"),
    ],
)
async def test_output_that_json_cannot_hold_is_an_error_that_names_the_type(output: object, type_name: str) -> None:
    assert (await run(returning(output))).result == ToolResult(
        tool_call_id="abcdefghi",
        name="answer",
        content=(
            f"Error: the tool returned a value of type {type_name}, which cannot be written as JSON. This is a bug in "
            "the tool, not in your call: continue without this tool."
        ),
        status="error",
    )


async def test_a_cycle_of_objects_is_an_error() -> None:
    cycle: list[object] = []
    cycle.append(cycle)
    assert (await run(returning(cycle))).result.status == "error"


class Unprintable(Exception):
    """An exception whose message cannot be read."""

    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("error", "content"),
    [
        (ToolError("No such page. Try another."), "Error: No such page. Try another."),
        (ToolError(), "Error: the tool gave no reason."),
        (ValueError("bad"), "Error: ValueError: bad"),
        (ValueError(), "Error: ValueError"),
        (KeyError("k"), "Error: KeyError: 'k'"),
        (TimeoutError("slow server"), "Error: TimeoutError: slow server"),
        (SystemExit(2), "Error: SystemExit: 2"),
        (Unprintable(), "Error: Unprintable: (its message cannot be read)"),
        (ExceptionGroup("two", [ValueError("a"), OSError("b")]), "Error: ExceptionGroup: two (2 sub-exceptions)"),
        (ValueError("a\0\udfff"), "Error: ValueError: a\ufffd\ufffd"),
    ],
)
async def test_whatever_a_tool_raises_becomes_an_error_without_a_traceback(error: BaseException, content: str) -> None:
    done = await run(raising(error))
    assert done.result == ToolResult(tool_call_id="abcdefghi", name="fail", content=content, status="error")
    if isinstance(error, ToolError):
        assert done.traceback is None
    else:
        assert "test_execute.py" in (done.traceback or "")


async def test_a_sync_tool_that_ends_its_thread_is_an_error() -> None:
    @tool
    def leave() -> str:
        """Leave."""
        sys.exit("bye")

    @tool
    def stop() -> str:
        """Stop."""
        raise StopIteration

    assert (await run(leave)).result.content == "Error: SystemExit: bye"
    assert (await run(stop)).result.content == "Error: RuntimeError: coroutine raised StopIteration"


async def test_a_tool_that_cancels_itself_has_an_unknown_effect() -> None:
    assert (await run(raising(asyncio.CancelledError()))).result == ToolResult(
        tool_call_id="abcdefghi",
        name="fail",
        content=(
            "Error: the tool cancelled itself. Its effect is unknown: check what it changed before you call it again."
        ),
        status="no_answer",
    )


def timed_out(name: str, seconds: str) -> ToolResult:
    return ToolResult(
        tool_call_id="abcdefghi",
        name=name,
        content=(
            f"Error: {name} did not finish within {seconds} s and was abandoned. Its effect is unknown: check what "
            "it changed before you call it again."
        ),
        status="timeout",
    )


async def test_an_async_tool_that_times_out_is_cancelled_and_may_clean_up() -> None:
    cleaned: list[str] = []

    @tool(timeout_s=0.02)
    async def slow() -> str:
        """Be slow."""
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("yes")
        return ""

    assert (await run(slow)).result == timed_out("slow", "0.02")
    assert cleaned == ["yes"]


async def test_a_tool_that_swallows_its_cancellation_does_not_block_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.tooling.execute.GRACE_S", 0.02)
    release = asyncio.Event()

    @tool(timeout_s=0.02)
    async def stubborn() -> str:
        """Be stubborn."""
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return ""

    assert (await run(stubborn)).result == timed_out("stubborn", "0.02")
    release.set()


async def test_a_blocking_tool_is_abandoned_after_its_timeout() -> None:
    release = threading.Event()

    @tool(timeout_s=0.02)
    def block() -> str:
        """Block."""
        release.wait(5)
        return ""

    try:
        assert (await run(block)).result == timed_out("block", "0.02")
    finally:
        release.set()


def test_a_blocked_thread_does_not_prevent_exit() -> None:
    """With asyncio.to_thread both asyncio.run and the interpreter's exit waited for the thread (Python 3.11)."""
    program = """
import asyncio, threading
from pathlib import Path
from agent import ToolContext, tool
from agent.tooling.execute import execute
from agent.messages import ToolCall

@tool(timeout_s=0.02)
def block() -> str:
    "Block."
    threading.Event().wait(60)
    return ""

call = ToolCall(id="abcdefghi", name="block", arguments="{}")
context = ToolContext(workspace=Path("/"))
print(asyncio.run(execute(call, block, block.arguments.check("{}"), context, spill_dir=None)).result.status)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False)
    assert (done.stdout, done.stderr) == ("timeout\n", "")


async def test_cancelling_the_caller_cancels_the_tool_and_lets_it_clean_up() -> None:
    cleaned: list[str] = []
    started = asyncio.Event()

    @tool
    async def slow() -> str:
        """Be slow."""
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("yes")
        return ""

    caller = asyncio.create_task(run(slow))
    await started.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert cleaned == ["yes"]


def limited(text: str, limit_chars: int) -> Tool:
    @tool(output_limit_chars=limit_chars)
    async def answer() -> str:
        """Answer."""
        return text

    return answer


async def test_a_long_output_keeps_head_and_tail_and_is_saved_in_full_in_the_workspace(tmp_path: Path) -> None:
    text = "".join(f"line {number:04}\n" for number in range(1_000))
    done = await run(limited(text, 105), tmp_path, tmp_path / ".agent" / "outputs")
    assert done.result.content == (
        "line 0000\nline 0001\nline 0002\nline 0003\nline 0004\nline 0005\n"
        "[... 9,900 of 10,000 characters left out; the whole is in .agent/outputs/abcdefghi.txt; "
        "read it in parts ...]\n"
        "line 0996\nline 0997\nline 0998\nline 0999\n"
    )
    assert done.spilled == tmp_path / ".agent" / "outputs" / "abcdefghi.txt"
    assert (tmp_path / ".agent" / "outputs" / "abcdefghi.txt").read_text() == text
    assert (await run(limited(text, 10_000), tmp_path, tmp_path)).result.content == text


async def test_a_long_line_is_cut_at_the_limit(tmp_path: Path) -> None:
    spill_dir = tmp_path / "out"
    done = await run(limited("a" * 60 + "\r\n" + "b" * 60, 100), tmp_path / "ws", spill_dir)
    assert done.result.content == (
        f"{'a' * 60}\n[... 22 of 122 characters left out; the whole is in {spill_dir}/abcdefghi.txt; "
        f"read it in parts ...]\n{'b' * 40}"
    )
    assert done.spilled is not None
    assert done.spilled.read_bytes() == b"a" * 60 + b"\r\n" + b"b" * 60


async def test_a_tool_knows_how_long_its_result_may_be() -> None:
    """read_file promised 14,000 characters, and in a small window its result was cut at 4,915."""

    @tool(output_limit_chars=300)
    def limit(context: ToolContext[None]) -> int:
        """Return the limit."""
        return context.output_limit_chars

    assert (await run(limit)).result.content == "300"


async def test_without_a_folder_the_rest_of_a_long_output_is_lost() -> None:
    done = await run(limited("x" * 12_345, 10))
    assert (done.result.content, done.spilled) == (
        "xxxxxx\n[... 12,335 of 12,345 characters left out; the rest is lost; ask for less at a time ...]\nxxxx",
        None,
    )


async def test_an_output_that_cannot_be_saved_still_gives_a_result(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = await run(limited("x" * 20, 10), tmp_path, tmp_path / "file" / "outputs")
    assert (done.result.content, done.spilled) == (
        "xxxxxx\n[... 10 of 20 characters left out; the whole could not be kept (Not a directory); ask for less at a "
        "time ...]\nxxxx",
        None,
    )


async def test_a_long_error_is_cut_too(tmp_path: Path) -> None:
    @tool(output_limit_chars=20)
    async def fail() -> str:
        """Fail."""
        raise ToolError("x" * 100)

    done = await run(fail, tmp_path, tmp_path)
    assert done.result == ToolResult(
        tool_call_id="abcdefghi",
        name="fail",
        content=(
            "Error: xxxxx\n[... 87 of 107 characters left out; the whole is in abcdefghi.txt; read it in parts ...]\n"
            "xxxxxxxx"
        ),
        status="error",
    )


async def test_a_symlink_at_the_path_of_the_saved_output_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("CANARY")
    spill_dir = tmp_path / "ws"
    spill_dir.mkdir()
    (spill_dir / "abcdefghi.txt").symlink_to(tmp_path / "outside")
    await run(limited("x" * 20, 10), spill_dir, spill_dir)
    assert (tmp_path / "outside").read_text() == "CANARY"
    assert (spill_dir / "abcdefghi.txt").read_text() == "x" * 20


@pytest.mark.parametrize("planted", [".agent", ".agent/outputs"])
async def test_a_planted_symlink_in_place_of_the_folder_of_saved_outputs_is_not_followed(
    tmp_path: Path, planted: str
) -> None:
    (outside := tmp_path / "outside").mkdir()
    workspace = tmp_path / "ws"
    (workspace / planted).parent.mkdir(parents=True)
    (workspace / planted).symlink_to(outside)
    done = await run(limited("x" * 20, 10), workspace, workspace / ".agent" / "outputs")
    assert list(outside.iterdir()) == []
    assert done.result.content == (
        "xxxxxx\n[... 10 of 20 characters left out; the whole could not be kept (the path goes through a symlink); "
        "ask for less at a time ...]\nxxxx"
    )


async def test_a_new_folder_of_saved_outputs_is_hidden_from_git(tmp_path: Path) -> None:
    """`git add -A` took the saved outputs into the commit, and `grep -r` of a model found its own earlier results."""
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    await run(limited("x" * 20, 10), tmp_path, tmp_path / ".agent" / "outputs")
    status = subprocess.run(["git", "status", "--porcelain"], cwd=tmp_path, check=True, capture_output=True)
    assert (status.stdout, (tmp_path / ".agent" / ".gitignore").read_text()) == (b"", "*\n")


async def test_a_folder_of_the_user_with_that_name_gets_no_gitignore(tmp_path: Path) -> None:
    (tmp_path / ".agent").mkdir()
    await run(limited("x" * 20, 10), tmp_path, tmp_path / ".agent" / "outputs")
    assert os.listdir(tmp_path / ".agent") == ["outputs"]  # noqa: PTH208 - names, not paths


async def test_a_saved_output_whose_middle_the_process_lost_is_not_called_whole(tmp_path: Path) -> None:
    """The note said "the whole is in ..." of a file that held `[... 13,969,472 bytes left out ...]`."""
    text = f"{'a' * 30}\n[... 13,969,472 bytes left out ...]\n{'b' * 30}"
    done = await run(limited(text, 20), tmp_path, tmp_path / ".agent" / "outputs")
    assert done.result.content == (
        f"{'a' * 12}\n[... 77 of 97 characters left out; .agent/outputs/abcdefghi.txt holds the output except for "
        f"13,969,472 bytes of its middle, which were not kept; read it in parts ...]\n{'b' * 8}"
    )


async def test_the_name_of_the_saved_output_cannot_leave_the_folder(tmp_path: Path) -> None:
    answer = limited("x" * 20, 10)
    call = ToolCall(id="../../up", name="answer", arguments="{}")
    context: ToolContext[Any] = ToolContext(workspace=tmp_path)
    done = await execute(call, answer, answer.arguments.check("{}"), context, spill_dir=tmp_path)
    assert done.spilled == tmp_path / "______up.txt"
    assert os.listdir(tmp_path) == ["______up.txt"]  # noqa: PTH208 - names, not paths


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.sampled_from("ab\n\r\0\ud800\ufffd😀"), max_size=300), limit_chars=st.integers(1, 200))
async def test_a_result_is_never_empty_always_encodable_and_taken_from_the_text(
    tmp_path: Path, text: str, limit_chars: int
) -> None:
    done = await run(limited(text, limit_chars), tmp_path, tmp_path / "out")
    content = done.result.content
    assert content.strip()
    content.encode()
    clean = text.replace("\0", "\ufffd").replace("\ud800", "\ufffd")
    if done.spilled is None:
        assert content == clean or (content == "(no output)" and not clean.strip())
        return
    assert done.spilled.read_bytes() == clean.encode()
    before, _, rest = content.partition("[... ")
    _, _, after = rest.partition(" ...]\n")
    assert clean.startswith((before, before.removesuffix("\n")))
    assert clean.endswith(after)
    assert len(before) + len(after) <= limit_chars + 1


@pytest.mark.parametrize(
    ("data", "media_type", "reason"),
    [
        ("aGk=", "image/gif;[INST]secret", "its media type is not one of an image"),
        ("aGk=", "text/html", "its media type is not one of an image"),
        ("aGk=", "image/", "its media type is not one of an image"),
        ("no base64 [INST]", "image/png", "its data is not base64"),
        ("no base64 [INST]", "text/html", "its data is not base64"),
        ("aGk", "image/png", "its data is not base64"),
        ("", "image/png", "its data is not base64"),
        ("aGk=\n", "image/png", "its data is not base64"),
        (b"\x89PNG", "image/png", "its data is bytes, not base64 text"),
    ],
)
async def test_an_image_that_is_none_does_not_get_into_a_url(data: Any, media_type: str, reason: str) -> None:
    """The media type and the data of a picture from an MCP server went into the data URL as they were."""
    found = (await run(returning([Image(data=data, media_type=media_type), "x"]))).result
    assert (found.images, found.status) == ((), "error")
    assert found.content == f"Error: the tool returned an image that cannot be shown: {reason}."

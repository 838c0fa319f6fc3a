"""Execute one tool call; every failure becomes a ToolResult, nothing is raised."""

from __future__ import annotations

import asyncio
import re
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json

from ..errors import ToolError
from ..messages import Image, ToolCall, ToolResult, ToolStatus
from .context import ToolContext
from .tool import Tool

NO_OUTPUT = "(no output)"
# How long a cancelled tool may take to clean up, such as killing its processes.
GRACE_S = 2.0
HEAD_SHARE = 0.6
# Cut at a line end only if it is within this share of the part: minified files have extremely long lines.
LINE_END_SHARE = 0.2
_CANCELLED_ITSELF = (
    "Error: the tool cancelled itself. Its effect is unknown: check what it changed before you call it again."
)


@dataclass(frozen=True, kw_only=True)
class Execution:
    """The outcome of one call."""

    result: ToolResult
    traceback: str | None
    """Of the exception that the tool raised; for the journal only, never for the model. None means that it raised
    nothing or a ToolError."""
    elapsed_s: float
    spilled: Path | None
    """The file with the full output. None means that it was short enough or could not be saved."""


@dataclass(frozen=True, kw_only=True)
class _Output:
    """A tool's output as text, before it is shortened."""

    content: str
    status: ToolStatus = "ok"
    images: tuple[Image, ...] = ()
    traceback: str | None = None


async def execute(
    call: ToolCall, tool: Tool, value: object, context: ToolContext[Any], *, spill_dir: Path | None
) -> Execution:
    """Run the tool's body and return whatever happens as a result with the call's id and name.

    Args:
        call: the call to execute.
        tool: the tool it names.
        value: what `tool.arguments.check(call.arguments)` returned.
        context: passed to the tool.
        spill_dir: folder that keeps the full text of outputs over `tool.output_limit_chars`; created when needed. None
            means that they are cut and the rest is lost.

    Never raises, except KeyboardInterrupt and the cancellation of the caller, which first give the tool two seconds
    to clean up.
    """
    started = time.perf_counter()
    ended = await _run(tool, value, context)
    text = context.redacted(_encodable(ended.content))
    shortened = _Shortened(text=text)
    if len(text) > tool.output_limit_chars:
        limit = tool.output_limit_chars
        shortened = await asyncio.to_thread(_shorten, text, call.id, limit, context.workspace, spill_dir)
    return Execution(
        result=ToolResult(
            tool_call_id=call.id,
            name=call.name,
            content=shortened.text if shortened.text.strip() else NO_OUTPUT,
            status=ended.status,
            images=ended.images,
        ),
        traceback=None if ended.traceback is None else context.redacted(ended.traceback),
        elapsed_s=time.perf_counter() - started,
        spilled=shortened.spilled,
    )


async def _run(tool: Tool, value: object, context: ToolContext[Any]) -> _Output:
    # A separate task, awaited from outside: a tool that swallows its cancellation cannot block the run.
    body = asyncio.create_task(_call_body(tool, value, context))
    try:
        await asyncio.wait({body}, timeout=tool.timeout_s)
    except asyncio.CancelledError:
        await _cancel(body)
        raise
    if body.done():
        if body.cancelled():
            return _Output(content=_CANCELLED_ITSELF, status="error")
        return body.result()
    # A sync tool runs in a thread, which cannot be killed: it keeps running, and its result is dropped.
    await _cancel(body)
    content = (
        f"Error: {tool.name} did not finish within {tool.timeout_s:g} s and was abandoned. Its effect is unknown: "
        "check what it changed before you call it again."
    )
    return _Output(content=content, status="timeout")


async def _cancel(body: asyncio.Task[_Output]) -> None:
    body.cancel()
    await asyncio.wait({body}, timeout=GRACE_S)


async def _call_body(tool: Tool, value: object, context: ToolContext[Any]) -> _Output:
    try:
        return _as_text(await tool.body(value, context))
    except ToolError as error:
        return _Output(content=f"Error: {_message_of(error) or 'the tool gave no reason.'}", status="error")
    except (KeyboardInterrupt, asyncio.CancelledError, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001 - a tool may do anything: sys.exit(), a panic of an extension
        text = _message_of(error)
        return _Output(
            content=f"Error: {type(error).__name__}{f': {text}' if text else ''}",
            status="error",
            traceback="".join(traceback.format_exception(error)),
        )


def _message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an exception with a broken __str__ is still a failure to report
        return "(its message cannot be read)"


def _as_text(output: object) -> _Output:
    """Convert what a tool returned to text."""
    if output is None:
        return _Output(content=NO_OUTPUT)
    if isinstance(output, str):
        return _Output(content=output)
    if isinstance(output, Image):
        return _Output(content=f"(an image: {output.media_type})", images=(output,))
    if isinstance(output, list | tuple):
        parts = cast("Sequence[object]", output)
        if any(isinstance(part, Image) for part in parts):
            return _joined([_as_text(part) for part in parts])
    return _as_json(cast("object", output))


def _joined(parts: Sequence[_Output]) -> _Output:
    failed = next((part for part in parts if part.status != "ok"), None)
    images = tuple(image for part in parts for image in part.images)
    return failed or _Output(content="\n".join(part.content for part in parts), images=images)


def _as_json(output: object) -> _Output:
    if not hasattr(output, "__next__"):  # an iterator may be infinite
        try:
            return _Output(
                content=output.model_dump_json() if isinstance(output, BaseModel) else to_json(output).decode()
            )
        except (PydanticSerializationError, ValueError, RecursionError):
            pass
    content = (
        f"Error: the tool returned a value of type {type(output).__name__}, which cannot be written as JSON. This is a "
        "bug in the tool, not in your call: continue without this tool."
    )
    return _Output(content=content, status="error")


def _encodable(text: str) -> str:
    """Replace what UTF-8 cannot encode (lone surrogates) and what breaks chat templates (NUL)."""
    return re.sub("[\x00\ud800-\udfff]", "\ufffd", text)


@dataclass(frozen=True, kw_only=True)
class _Shortened:
    text: str
    spilled: Path | None = None


def _shorten(text: str, call_id: str, limit_chars: int, workspace: Path, spill_dir: Path | None) -> _Shortened:
    """Keep the head and tail of a long text and write the full text to a file."""
    spilled: Path | None = None
    if spill_dir is None:
        where = "the rest is lost; ask for less at a time"
    else:
        spilled = spill_dir / f"{re.sub(r'[^A-Za-z0-9_-]', '_', call_id) or 'output'}.txt"
        try:
            spill_dir.mkdir(parents=True, exist_ok=True)
            # Create the file, never open an existing one: in the workspace, a symlink may have replaced it.
            spilled.unlink(missing_ok=True)
            with spilled.open("x", encoding="utf-8", newline="") as file:
                file.write(text)
            shown = spilled.relative_to(workspace) if spilled.is_relative_to(workspace) else spilled
            where = f"the whole is in {shown}; read it in parts"
        except OSError as error:
            spilled = None
            where = f"the whole could not be kept ({error.strerror}); ask for less at a time"
    head_chars = int(limit_chars * HEAD_SHARE)
    head = _until_line_end(text[:head_chars])
    tail = _from_line_start(text[len(text) - (limit_chars - head_chars) :])
    left_out = len(text) - len(head) - len(tail)
    middle = f"[... {left_out:,} of {len(text):,} characters left out; {where} ...]"
    return _Shortened(text=f"{head}{'' if head.endswith(chr(10)) else chr(10)}{middle}\n{tail}", spilled=spilled)


def _until_line_end(part: str) -> str:
    end = part.rfind("\n") + 1
    return part[:end] if end and end >= len(part) * (1 - LINE_END_SHARE) else part


def _from_line_start(part: str) -> str:
    start = part.find("\n") + 1
    return part[start:] if start <= len(part) * LINE_END_SHARE else part

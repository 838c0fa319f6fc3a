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
# How long a tool that was given up may take to clean up after itself, such as killing its processes.
GRACE_S = 2.0
HEAD_SHARE = 0.6
# A line end further away than this share of the part is not waited for: minified files have lines without end.
LINE_END_SHARE = 0.2


@dataclass(frozen=True, kw_only=True)
class Execution:
    """What one call came to."""

    result: ToolResult
    traceback: str | None
    """Of the exception the tool raised; for the journal only, the model never sees it. None: it raised none, or a
    ToolError."""
    elapsed_s: float
    spilled: Path | None
    """The file that holds the whole output. None: it was not too long, or could not be kept."""


@dataclass(frozen=True, kw_only=True)
class _Ended:
    """A tool's answer in words, before it is cut."""

    content: str
    status: ToolStatus = "ok"
    images: tuple[Image, ...] = ()
    traceback: str | None = None


async def execute(
    call: ToolCall, tool: Tool, value: object, context: ToolContext[Any], *, spill_dir: Path | None
) -> Execution:
    """Run the tool's body and put whatever happens into a result with the call's id and name.

    Args:
        call: the call to answer.
        tool: the tool it names.
        value: what `tool.arguments.check(call.arguments)` returned.
        context: passed on to the tool.
        spill_dir: where outputs over `tool.output_limit_chars` are kept whole; made when needed. None: they are cut,
            and the rest is lost.

    Never raises, except KeyboardInterrupt and the cancellation of the caller, which first give the tool two seconds
    to clean up.
    """
    started = time.perf_counter()
    ended = await _run(tool, value, context)
    text = context.redacted(_encodable(ended.content))
    kept: _Kept = _Kept(text=text)
    if len(text) > tool.output_limit_chars:
        kept = await asyncio.to_thread(_shorten, text, call.id, tool.output_limit_chars, context.workspace, spill_dir)
    return Execution(
        result=ToolResult(
            tool_call_id=call.id,
            name=call.name,
            content=kept.text if kept.text.strip() else NO_OUTPUT,
            status=ended.status,
            images=ended.images,
        ),
        traceback=None if ended.traceback is None else context.redacted(ended.traceback),
        elapsed_s=time.perf_counter() - started,
        spilled=kept.spilled,
    )


async def _run(tool: Tool, value: object, context: ToolContext[Any]) -> _Ended:
    # A task of its own, waited for from outside: a tool that swallows its cancellation cannot hold us up.
    body = asyncio.create_task(_guarded(tool, value, context))
    try:
        await asyncio.wait({body}, timeout=tool.timeout_s)
    except asyncio.CancelledError:
        await _give_up(body)
        raise
    if body.done():
        if body.cancelled():
            return _Ended(content="Error: the tool cancelled itself. Its effect is unknown.", status="error")
        return body.result()
    # A sync tool runs in a thread, which nothing can kill: it goes on unseen, and its answer is dropped.
    await _give_up(body)
    content = (
        f"Error: {tool.name} did not finish within {tool.timeout_s:g} s and was given up. Its effect is unknown: "
        "check what it did before you call it again."
    )
    return _Ended(content=content, status="timeout")


async def _give_up(body: asyncio.Task[_Ended]) -> None:
    body.cancel()
    await asyncio.wait({body}, timeout=GRACE_S)


async def _guarded(tool: Tool, value: object, context: ToolContext[Any]) -> _Ended:
    try:
        return _worded(await tool.body(value, context))
    except ToolError as error:
        return _Ended(content=f"Error: {_text_of(error) or 'the tool gave no reason.'}", status="error")
    except (KeyboardInterrupt, asyncio.CancelledError, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001 - a tool may do anything: sys.exit(), a panic of an extension
        text = _text_of(error)
        return _Ended(
            content=f"Error: {type(error).__name__}{f': {text}' if text else ''}",
            status="error",
            traceback="".join(traceback.format_exception(error)),
        )


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an exception with a broken __str__ is still a failure to report
        return "(its message cannot be shown)"


def _worded(output: object) -> _Ended:
    """Put what a tool returned into words."""
    if output is None:
        return _Ended(content=NO_OUTPUT)
    if isinstance(output, str):
        return _Ended(content=output)
    if isinstance(output, Image):
        return _Ended(content=f"(an image: {output.media_type})", images=(output,))
    if isinstance(output, list | tuple):
        parts = cast("Sequence[object]", output)
        if any(isinstance(part, Image) for part in parts):
            return _joined([_worded(part) for part in parts])
    return _as_json(cast("object", output))


def _joined(parts: Sequence[_Ended]) -> _Ended:
    failed = next((part for part in parts if part.status != "ok"), None)
    images = tuple(image for part in parts for image in part.images)
    return failed or _Ended(content="\n".join(part.content for part in parts), images=images)


def _as_json(output: object) -> _Ended:
    if not hasattr(output, "__next__"):  # an iterator may have no end
        try:
            return _Ended(
                content=output.model_dump_json() if isinstance(output, BaseModel) else to_json(output).decode()
            )
        except (PydanticSerializationError, ValueError, RecursionError):
            pass
    content = (
        f"Error: the tool returned a {type(output).__name__}, which cannot be written as JSON. This is a mistake in "
        "the tool, not in the call: go on without it."
    )
    return _Ended(content=content, status="error")


def _encodable(text: str) -> str:
    """Replace what JSON in UTF-8 cannot carry (lone surrogates) and what chat templates choke on (NUL)."""
    return re.sub("[\x00\ud800-\udfff]", "\ufffd", text)


@dataclass(frozen=True, kw_only=True)
class _Kept:
    text: str
    spilled: Path | None = None


def _shorten(text: str, call_id: str, limit_chars: int, workspace: Path, spill_dir: Path | None) -> _Kept:
    """Keep head and tail of a long text; the whole goes to a file."""
    spilled: Path | None = None
    if spill_dir is None:
        where = "the rest is lost; ask for less at a time"
    else:
        spilled = spill_dir / f"{re.sub(r'[^A-Za-z0-9_-]', '_', call_id) or 'output'}.txt"
        try:
            spill_dir.mkdir(parents=True, exist_ok=True)
            # Made anew, never opened: in the workspace a link may stand there by now.
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
    return _Kept(text=f"{head}{'' if head.endswith(chr(10)) else chr(10)}{middle}\n{tail}", spilled=spilled)


def _until_line_end(part: str) -> str:
    end = part.rfind("\n") + 1
    return part[:end] if end and end >= len(part) * (1 - LINE_END_SHARE) else part


def _from_line_start(part: str) -> str:
    start = part.find("\n") + 1
    return part[start:] if start <= len(part) * LINE_END_SHARE else part

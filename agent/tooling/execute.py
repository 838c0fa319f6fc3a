"""Execute one tool call; every failure becomes a ToolResult, nothing is raised."""

from __future__ import annotations

import asyncio
import re
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json

from ..errors import NoAnswer, ToolError
from ..messages import Image, ToolCall, ToolResult, ToolStatus
from .context import ToolContext
from .failures import described, message_of
from .shorten import Shortened, shorten
from .tool import Tool

NO_OUTPUT = "(no output)"
# How long a cancelled tool may take to clean up, such as killing its processes.
GRACE_S = 2.0
# From here on, redacting and checking a text is left to a thread: 50 MB take about a second.
LONG_CHARS = 1_000_000
_EFFECT_UNKNOWN = "Its effect is unknown: check what it changed before you call it again."
_CALL_UNKNOWN = "The call may have taken effect: check before you repeat it."


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
        context: passed to the tool, with the limit of its results.
        spill_dir: folder that keeps the full text of outputs over `tool.output_limit_chars`; created when needed. None
            means that they are cut and the rest is lost.

    Never raises, except KeyboardInterrupt and the cancellation of the caller, which first give the tool two seconds
    to clean up.
    """
    started = time.perf_counter()
    ended = await _run(tool, value, replace(context, output_limit_chars=tool.output_limit_chars))
    if len(ended.content) < LONG_CHARS:
        text = _clean(ended.content, context)
    else:
        text = await asyncio.to_thread(_clean, ended.content, context)
    shortened = Shortened(text=text)
    if len(text) > tool.output_limit_chars:
        shortened = await asyncio.to_thread(
            shorten, text, call_id=call.id, limit_chars=tool.output_limit_chars, workspace=context.workspace,
            spill_dir=spill_dir,
        )  # fmt: skip
    images = tuple([image for image in ended.images if context.redacted(image.data) == image.data])
    if len(images) < len(ended.images):
        shortened = replace(shortened, text=f"{shortened.text}\n(an image was left out: it holds a secret)")
    return Execution(
        result=ToolResult(
            tool_call_id=call.id,
            name=call.name,
            content=shortened.text if shortened.text.strip() else NO_OUTPUT,
            status=ended.status,
            images=images,
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
            return _Output(content=f"Error: the tool cancelled itself. {_EFFECT_UNKNOWN}", status="no_answer")
        return body.result()
    # A sync tool runs in a thread, which cannot be killed: it keeps running, and its result is dropped.
    await _cancel(body)
    content = f"Error: {tool.name} did not finish within {tool.timeout_s:g} s and was abandoned. {_EFFECT_UNKNOWN}"
    return _Output(content=content, status="timeout")


async def _cancel(body: asyncio.Task[_Output]) -> None:
    body.cancel()
    await asyncio.wait({body}, timeout=GRACE_S)


async def _call_body(tool: Tool, value: object, context: ToolContext[Any]) -> _Output:
    try:
        return _as_text(await tool.body(value, context))
    except NoAnswer as error:
        reason, newline, details = (message_of(error) or "There was no answer.").partition("\n")
        return _Output(content=f"Error: {reason} {_CALL_UNKNOWN}{newline}{details}", status="no_answer")
    except ToolError as error:
        return _Output(content=f"Error: {message_of(error) or 'the tool gave no reason.'}", status="error")
    except (KeyboardInterrupt, asyncio.CancelledError, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001 - a tool may do anything: sys.exit(), a panic of an extension
        return _Output(
            content=f"Error: {described(error)}",
            status="error",
            traceback="".join(traceback.format_exception(error)),
        )


def _as_text(output: object) -> _Output:
    """Convert what a tool returned to text."""
    if output is None:
        return _Output(content=NO_OUTPUT)
    if isinstance(output, str):
        return _Output(content=output)
    if isinstance(output, Image):
        return _image(output)
    if isinstance(output, list | tuple):
        parts = cast("Sequence[object]", output)
        if any(isinstance(part, Image) for part in parts):
            return _joined([_as_text(part) for part in parts])
    return _as_json(cast("object", output))


def _image(image: Image) -> _Output:
    """Return the image if it is one; an MCP server writes there what it likes."""
    what = image.problem()
    if not what:
        return _Output(content=f"(an image: {image.media_type})", images=(image,))
    return _Output(content=f"Error: the tool returned an image that cannot be shown: {what}.", status="error")


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


def _clean(text: str, context: ToolContext[Any]) -> str:
    """Replace what UTF-8 cannot encode (lone surrogates), what breaks chat templates (NUL), and secrets."""
    return context.redacted(re.sub("[\x00\ud800-\udfff]", "\ufffd", text))

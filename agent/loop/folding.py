"""Fold the oldest turns of a conversation that fills the window: lines in place of results, and no reasoning."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ..journal.events import Folded
from ..messages import ToolResult
from ..model.history import History
from ..tooling.shorten import keep_whole
from ..tooling.toolbox import can_read_files
from . import prompts
from .dependencies import RunDependencies
from .state import RunState
from .summary_calls import CallRecord, call_line
from .window import LIKELY_BYTES_PER_TOKEN

KEPT_TURNS = 4
"""At most so many of the last turns are never folded: the model is at work with their results."""
_KEPT_SHARE = 0.4
"""Of all turns: fewer stay if they take more, but always the last one, which the model has not answered yet.

Not of the prompt: where the tools and the system prompt take half of a small window, nearly all turns would stay.
"""
LEAST_CHARS = 600
"""A shorter result stays: the line in its place would free little."""
_LEFT = 0.6
"""A fold goes on, oldest first, until the prompt takes this share of what it took, so that folds are rare."""
_READ_AGAIN = 5.0
"""It is not made if the engine reads more tokens than this again for each one freed: all from the first folded one on.

So whatever a run does, folds make the engine read at most this many tokens again for each new one.
"""
_LINE_BYTES = 300
"""Of a line in place of a result, about. The result of a call that returned an image is shorter."""
_NO_IMAGES_BYTES = 120
"""Of the text in place of the images of a turn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The results to fold, and what it gains and costs."""

    records: Sequence[CallRecord]
    """Oldest first."""
    reasoning_before: int
    """Index of the message before which the reasoning of turns is dropped. 0 if there is none to drop."""
    first_message: int
    """Index of the first message that changes; what is before it stays in the engine's cache."""
    freed_bytes: int
    again_bytes: int


async def fold(state: RunState, deps: RunDependencies) -> Folded | None:
    """Return the event that folds the oldest turns, whose whole results are then in files. None if it does not pay.

    The window is taken for full, so that a share of the prompt is that share of the window.
    """
    if state.profile.trained_texts:
        return None  # the pocket model has never seen a folded result
    tools_bytes = len(deps.toolbox.definitions)
    found = choose(state.history, state.work.records, state.work.folded, tools_bytes=tools_bytes)
    if found is None:
        return None
    per_token = state.size.bytes_per_token(tools_bytes, most=LIKELY_BYTES_PER_TOKEN)
    return Folded(
        step=state.step,
        lines=await asyncio.to_thread(_lines, found.records, state.history, deps),
        reasoning_before=found.reasoning_before,
        first_message=found.first_message,
        freed_tokens=round(found.freed_bytes / per_token),
        prefilled_tokens=round(found.again_bytes / per_token),
    )


def choose(
    history: History, records: Sequence[CallRecord | str], folded: Collection[str], *, tools_bytes: int
) -> Choice | None:
    """Return which results to fold; pure. None if it does not pay.

    Args:
        history: the conversation.
        records: every call of the run.
        folded: ids of the calls whose results are folded already.
        tools_bytes: size of the tools' definitions, which the prompt holds too.
    """
    known = {record.call.id: record for record in records if isinstance(record, CallRecord)}
    total = history.wire_bytes + tools_bytes
    chosen, freed, first, reasoning_before = list[CallRecord](), 0, 0, 0
    for start, end in _foldable(history):
        if freed >= total * (1 - _LEFT):
            break
        if reasoning := history.reasoning_bytes(start):
            freed, first, reasoning_before = freed + reasoning, first or start, end
        turn, gain = dict[int, CallRecord](), 0
        for index in range(start + 1, end):
            message = history.messages[index]
            if not isinstance(message, ToolResult):
                gain += history.sizes[index] - _NO_IMAGES_BYTES  # the images of this turn, whose results are folded
                continue
            record = known.get(message.tool_call_id)
            is_long = len(message.content) >= LEAST_CHARS or message.images
            if record is None or message.tool_call_id in folded or not is_long:
                continue
            turn[index] = record
            gain += history.sizes[index] - _LINE_BYTES
        if turn and gain > 0:
            chosen += turn.values()
            freed += gain
            first = first or min(turn)
    again = sum(history.sizes[first:]) - freed
    if not first or again > freed * _READ_AGAIN:
        return None
    return Choice(
        records=chosen, reasoning_before=reasoning_before, first_message=first, freed_bytes=freed, again_bytes=again
    )


def _foldable(history: History) -> Sequence[tuple[int, int]]:
    """Return the turns before those that stay whole."""
    turns = history.turns()
    total = sum(history.sizes[turns[0][0] :]) if turns else 0
    kept, taken = 0, 0
    for start, end in reversed(turns[-KEPT_TURNS:]):
        taken += sum(history.sizes[start:end])
        if kept and taken > total * _KEPT_SHARE:
            break
        kept += 1
    return turns[: len(turns) - kept]


def _lines(records: Sequence[CallRecord], history: History, deps: RunDependencies) -> Mapping[str, str]:
    """Return by call id the lines that stand in for results; these are kept in files if the model can read files."""
    shown = {message.tool_call_id: message.content for message in history.messages if isinstance(message, ToolResult)}
    workspace = deps.context.workspace
    reads_files = can_read_files(deps.toolbox)
    lines: dict[str, str] = {}
    for record in records:
        call_id = record.call.id
        where = keep_whole(shown[call_id], call_id=call_id, workspace=workspace) if reads_files else ""
        kept_in = prompts.FOLDED_READ if record.call.name == "read_file" else prompts.FOLDED_IN
        rest = kept_in.format(file=where) if where else prompts.FOLDED
        lines[call_id] = f"{call_line(record)}\n{rest}"
    return lines

"""Assemble a streamed chat completion from its chunks, pure; parallel calls are kept apart whatever their index is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..messages import RawCall, Reply, Usage
from .deltas import CallDelta, Delta, ReasoningDelta, TextDelta
from .replies import (
    UnreadableReply,
    argument_text,
    call_parts,
    finish_reason_of,
    list_of,
    mapping_of,
    reasoning_of,
    text_of,
    usage_of,
)


@dataclass(kw_only=True, slots=True)
class _Call:
    """A call as far as it has arrived, or one piece of it."""

    index: int | None
    id: str
    name: str
    arguments: str

    @property
    def is_whole(self) -> bool:
        text = self.arguments.rstrip()
        if not text.endswith("}"):
            return False
        try:
            json.loads(text)
        except ValueError:
            return False
        return True


class StreamAssembler:
    """Assembles one streamed reply from its chunks: call `feed` in order, then `reply`."""

    def __init__(self, watch: Callable[[Delta], None] | None = None) -> None:
        """Create an assembler. `watch`: called with each part of the reply. None means that nobody watches."""
        self._watch = watch
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[_Call] = []
        self._finish: object = None
        self._usage: Usage | None = None
        self._model = ""
        self._field = ""
        self._started = False

    def feed(self, data: object) -> None:
        """Add one chunk; one without `choices`, such as a ping or the usage alone, adds nothing to the reply.

        Raises:
            UnreadableReply: The data is not a JSON object, or a part of it is malformed.
        """
        chunk = mapping_of(data, "a chunk")
        self._usage = usage_of(chunk.get("usage")) or self._usage
        self._model = str(chunk.get("model") or self._model)
        for item in list_of(chunk.get("choices"))[:1]:
            self._started = True
            choice = mapping_of(item, "a choice")
            self._finish = choice.get("finish_reason") or self._finish
            delta = mapping_of(choice.get("delta") or {}, "`delta`")
            self._content.append(text_of(delta.get("content")))
            reasoning, field = reasoning_of(delta)
            self._reasoning.append(reasoning)
            self._field = field or self._field
            placed: list[_Call] = []
            pieces = [_piece(mapping_of(part, "a tool call")) for part in call_parts(delta)]
            # A new call is a piece itself, which later pieces are added to.
            shown = [(piece.name, piece.arguments) for piece in pieces]
            for piece in pieces:
                placed.append(self._add(piece, placed))
            if self._watch is not None:
                self._show(self._watch, reasoning, self._content[-1], zip(placed, shown, strict=True))

    def reply(self) -> Reply:
        """Return the reply assembled so far.

        Raises:
            UnreadableReply: The stream contained no part of a reply.
        """
        if not self._started:
            msg = "got a stream without a reply"
            raise UnreadableReply(msg)
        # The index orders calls that are interleaved; where it is missing or the same for all, they stay in order.
        calls = sorted(self._calls, key=lambda call: call.index or 0)
        return Reply(
            content="".join(self._content),
            reasoning="".join(self._reasoning),
            tool_calls=tuple(RawCall(id=call.id, name=call.name, arguments=call.arguments) for call in calls),
            finish_reason=finish_reason_of(self._finish),
            usage=self._usage,
            model=self._model,
            extra={"reasoning_field": self._field} if self._field else {},
        )

    @property
    def finished(self) -> bool:
        """True once the server has sent a finish_reason."""
        return self._finish is not None

    def _show(
        self, watch: Callable[[Delta], None], reasoning: str, content: str,
        calls: Iterable[tuple[_Call, tuple[str, str]]],
    ) -> None:  # fmt: skip
        if reasoning:
            watch(ReasoningDelta(text=reasoning))
        if content:
            watch(TextDelta(text=content))
        for call, (name, arguments) in calls:
            number = next(index for index, one in enumerate(self._calls) if one is call)
            watch(CallDelta(index=number, name=name, arguments=arguments))

    def _add(self, piece: _Call, placed: list[_Call]) -> _Call:
        """Add a piece to the call it belongs to, or begin a call with it.

        Args:
            piece: from the current chunk.
            placed: the calls that earlier pieces of this chunk were added to; each call has one piece in a chunk.
        """
        call = self._named_call(piece, placed) if piece.name else self._unnamed_call(piece, placed)
        if call is None:
            self._calls.append(piece)
            return piece
        call.id = call.id or piece.id
        if not call.name:
            call.name = piece.name
        elif piece.name != call.name and not call.arguments:
            call.name += piece.name  # a name that arrives in parts
        call.arguments += piece.arguments
        return call

    def _unnamed_call(self, piece: _Call, placed: list[_Call]) -> _Call | None:
        """Return the call that a piece without a name continues.

        Its id may be a fresh one (vLLM before 0.8 makes one for each piece), and its index that of another call.
        """
        open_calls = [call for call in self._calls if all(call is not other for other in placed)]
        by_id = [call for call in open_calls if piece.id and call.id == piece.id]
        by_index = [call for call in open_calls if piece.index is not None and call.index == piece.index]
        if piece.index is None and not piece.id and placed:
            return open_calls[0] if open_calls else None
        both = [call for call in by_id if call.index == piece.index]
        found = both or by_id or by_index or open_calls
        return found[-1] if found else None

    def _named_call(self, piece: _Call, placed: list[_Call]) -> _Call | None:
        """Return the call that a piece with a name continues. None if it begins a new one."""
        if piece.id:
            found = [call for call in self._calls if call.id == piece.id and call.index in {piece.index, None}]
            late = [call for call in self._calls if not call.id and call.index == piece.index]
            found = found or [call for call in late if call.name in {"", piece.name}]
        elif piece.index is not None:
            found = [call for call in self._calls if call.index == piece.index]
        else:
            found = self._calls[-1:]
        call = found[-1] if found else None
        if call is None or any(call is other for other in placed):
            return None
        if call.is_whole and (piece.arguments.strip() or piece.name != call.name):
            return None  # a name after whole arguments begins a new call
        if call.arguments and call.name not in {"", piece.name}:
            return None
        return call


def _piece(part: Mapping[str, Any]) -> _Call:
    index = part.get("index")
    if isinstance(index, str) and index.isdecimal():
        index = int(index)
    function = mapping_of(part.get("function") or {}, "`function`")
    return _Call(
        index=index if isinstance(index, int) else None,
        id=str(part.get("id") or ""),
        name=str(function.get("name") or ""),
        arguments=argument_text(function.get("arguments")),
    )

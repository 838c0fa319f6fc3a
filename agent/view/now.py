"""What a run is doing right now, from its events and the parts of its replies; pure, draws nothing."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from ..journal.events import (
    CallEnded,
    CallStarted,
    ContextRenewed,
    Event,
    Replied,
    Requested,
    Resumed,
    Retried,
    RunEnded,
    RunStarted,
    VerifyEnded,
    VerifyStarted,
)
from ..model.deltas import CallDelta, Delta, ReasoningDelta, TextDelta
from ..names import on_its_line
from .text import on_one_line, printable, shorten

_KEPT_CHARS = 4_000
"""Of the end of a reply that streams; more lines than these fill are never shown."""
_BYTES_PER_TOKEN = 4
"""Of a reply whose tokens are not counted yet, about; only for the speed that is shown while it streams."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line to draw."""

    label: str
    """Empty if it continues the line above."""
    text: str
    is_dim: bool = False


class Now:
    """What a run is doing, and what it has used."""

    def __init__(self) -> None:
        self._started: RunStarted | None = None
        self._step = 0
        self._effort = ""
        self._began_s = 0.0
        self._doing = ""
        """What the run waits for. Empty if nothing but calls."""
        self._doing_since_s = 0.0
        self._tail: str = ""
        self._tail_label: str = ""
        self._streamed_chars = 0
        self._streamed_since_s = 0.0
        self._running: dict[str, tuple[str, float]] = {}
        """By id, the calls that run, and since when."""
        self._output_tokens = self._prompt_tokens = 0

    def apply(self, event: Event, now_s: float) -> None:
        """Record an event; `now_s` is the time of a clock that never goes back, in seconds."""
        match event:
            case RunStarted():
                self._started, self._began_s = event, now_s
            case Requested():
                self._step, self._effort = event.step, event.effort or ""
                self._forget_reply()
                self._do("reading", now_s)
            case Retried():
                self._forget_reply()
                self._do(f"waiting {event.wait_s:.0f} s: {on_one_line(event.reason)}", now_s)
            case Replied():
                self._forget_reply()
                self._do("", now_s)
                if event.reply.usage is not None:
                    self._output_tokens += event.reply.usage.completion_tokens
                    self._prompt_tokens = event.reply.usage.prompt_tokens
            case _:
                self._apply_work(event, now_s)

    def _apply_work(self, event: Event, now_s: float) -> None:
        match event:
            case CallStarted():
                call = f"{on_its_line(event.tool)} {_arguments(event.arguments)}"
                self._running[event.tool_call_id] = (call, now_s)
            case CallEnded():
                self._running.pop(event.result.tool_call_id, None)
            case VerifyStarted():
                self._do(f"verifying: {on_one_line(event.command)}", now_s)
            case VerifyEnded() | ContextRenewed() | Resumed():
                self._do("", now_s)
            case RunEnded():
                self._running.clear()
                self._do("", now_s)
            case _:
                pass

    def add(self, delta: Delta, now_s: float) -> None:
        """Record a part of the reply that streams."""
        match delta:
            case ReasoningDelta():
                self._extend("thinking", delta.text, now_s)
            case TextDelta():
                self._extend("writing", delta.text, now_s)
            case CallDelta():
                begin = f"\n{delta.name} " if delta.name else ""
                self._extend("calling", f"{begin}{delta.arguments}", now_s)

    def lines(self, *, columns: int, rows: int, now_s: float) -> Sequence[Line]:
        """Return what happens, at most `rows` lines, and a line about what the run has used.

        Args:
            columns: width of the text, without the labels.
            rows: at least 2.
            now_s: as for `apply`.
        """
        lines = [*self._reply(columns, rows - 1, now_s), *self._busy(columns, now_s)][: rows - 1]
        return [*lines, Line(label="run", text=shorten(self._used(now_s), columns), is_dim=True)]

    def _reply(self, columns: int, rows: int, now_s: float) -> Sequence[Line]:
        if not self._tail:
            return ()
        took_s = now_s - self._streamed_since_s
        pace = f" ({self._streamed_chars / _BYTES_PER_TOKEN / took_s:.0f} tokens/s)" if took_s > 1 else ""
        wrapped = [
            part
            for line in printable(self._tail).expandtabs(4).split("\n")
            for part in textwrap.wrap(line, columns, break_on_hyphens=False) or [""]
        ]
        shown = [line for line in wrapped if line.strip()][-max(1, rows - 1) :]
        head = Line(label=self._tail_label, text=f"{now_s - self._doing_since_s:.0f} s{pace}")
        return [head, *(Line(label="", text=line, is_dim=True) for line in shown)]

    def _busy(self, columns: int, now_s: float) -> Sequence[Line]:
        busy: list[Line] = []
        if self._doing and not self._tail:
            text = f"{now_s - self._doing_since_s:.0f} s"
            label, _, detail = self._doing.partition(" ")
            busy.append(Line(label=label.rstrip(":"), text=shorten(f"{detail} {text}".strip(), columns)))
        for call, since_s in self._running.values():
            text = f" {now_s - since_s:.0f} s"
            busy.append(Line(label="running", text=shorten(call, max(8, columns - len(text))) + text))
        return busy

    def _used(self, now_s: float) -> str:
        if self._started is None:
            return "starting"
        limits, window = self._started.limits, self._started.window_tokens
        took_s = int(now_s - self._began_s)
        parts = [
            _share(f"step {self._step}", limits.steps and str(limits.steps)),
            self._effort and f"effort {self._effort}",
            _share(_clock(took_s), limits.wall_s and _clock(int(limits.wall_s))),
            _share(f"output {_count(self._output_tokens)}", limits.output_tokens and _count(limits.output_tokens)),
            _share(f"prompt {_count(self._prompt_tokens)}", window and _count(window)),
        ]
        return ", ".join(part for part in parts if part)

    def _do(self, what: str, now_s: float) -> None:
        self._doing, self._doing_since_s = what, now_s

    def _forget_reply(self) -> None:
        self._tail = self._tail_label = ""
        self._streamed_chars = 0

    def _extend(self, label: str, text: str, now_s: float) -> None:
        if not self._streamed_chars:
            self._streamed_since_s = now_s
        if label != self._tail_label:
            self._tail, self._tail_label = "", label
        self._streamed_chars += len(text)
        self._tail = (self._tail + text)[-_KEPT_CHARS:]


def _share(used: str, limit: str | float | None) -> str:
    return f"{used}/{limit}" if limit else used


def _count(tokens: int) -> str:
    return f"{tokens:,}" if tokens < 10_000 else f"{tokens / 1_000:.0f}k"


def _clock(seconds: int) -> str:
    return f"{seconds // 60}:{seconds % 60:02}"


def _arguments(text: str) -> str:
    try:
        given: object = json.loads(text)
    except ValueError:
        return on_one_line(text)
    values = cast("dict[str, object]", given).values() if isinstance(given, dict) else [given]
    return " ".join(on_one_line(value if isinstance(value, str) else json.dumps(value)) for value in values)

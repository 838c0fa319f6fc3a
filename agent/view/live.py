"""Show a run as lines of text, live or from its journal; the lines are the same."""

from __future__ import annotations

import re
from typing import TextIO

from ..journal.events import (
    CallEnded,
    ContextRenewed,
    EffortSwitched,
    Event,
    Moved,
    Noticed,
    Rejected,
    Repaired,
    Replied,
    Requested,
    Rescued,
    Resumed,
    Retried,
    RunEnded,
    RunStarted,
    Said,
    Triggered,
    TurnTaken,
    VerifyEnded,
    VerifyStarted,
)
from ..messages import ToolResult

_WIDTH = 110
# Escape sequences in a tool's output could move the terminal's cursor, set its title or write to the clipboard.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

_RED, _GREEN, _YELLOW, _DIM, _BOLD = "31", "32", "33", "2", "1"


class LiveView:
    """Writes a few lines per event, and none for events that only programs need."""

    def __init__(self, out: TextIO, *, full: bool = False, color: bool | None = None) -> None:
        """Create a view; nothing is written yet.

        Args:
            out: the terminal or file.
            full: do not shorten texts; show tracebacks.
            color: None means only if `out` is a terminal.
        """
        self._out = out
        self._full = full
        self._color = out.isatty() if color is None else color

    def show(self, event: Event) -> None:
        """Write the lines for an event."""
        for line in self._lines(event):
            self._out.write(line.rstrip() + "\n")
        self._out.flush()

    def _lines(self, event: Event) -> list[str]:  # noqa: C901, PLR0911, PLR0912 - one flat arm per event of a closed set
        match event:
            case RunStarted():
                return self._started(event)
            case Resumed():
                sandbox = [f"sandbox: {event.sandbox}"] if event.sandbox else []
                return [self._paint(f"resumed, {event.wall_s:.0f} s already used", _DIM), *sandbox]
            case Requested():
                return self._requested(event)
            case Retried():
                return [self._mark("retry", f"in {event.wait_s:.1f} s: {event.reason}", _YELLOW)]
            case Replied():
                return self._reasoning(event)
            case Rescued():
                return [self._mark("rescued", f"a call in the {event.where} ({event.format} format)", _YELLOW)]
            case Repaired():
                return [self._mark("repaired", f"{event.tool}: {', '.join(event.repairs)}", _YELLOW)]
            case Rejected():
                return [self._mark("rejected", event.reason, _YELLOW)]
            case TurnTaken():
                return self._turn(event)
            case CallEnded():
                return self._result(event.result, event.elapsed_s, event.traceback)
            case Said():
                return [self._mark("message", event.message.content, _DIM)]
            case Triggered():
                return self._triggered(event)
            case Moved():
                effort = f", effort {event.effort}" if event.effort else ""
                return [self._mark("ladder", f"now on rung {event.rung}{effort}", _BOLD)]
            case EffortSwitched():
                note = "" if event.source == "engine" else " (estimated: the server does not report its cache)"
                text = f"prefilled {event.prefilled_tokens:,} of {event.prompt_tokens:,} prompt tokens again{note}"
                return [self._mark("switch", text, _DIM)]
            case ContextRenewed():
                restored = f", {len(event.restored)} paths restored" if event.restored else ""
                return [self._mark("ladder", f"fresh context with a summary{restored}", _BOLD)]
            case Noticed():
                return [self._mark("notice", event.text, _YELLOW, whole=True)]
            case VerifyStarted():
                return [self._mark("verify", event.command, _BOLD)]
            case VerifyEnded():
                return self._verified(event)
            case RunEnded():
                return self._ended(event)
            case _:
                return []

    def _started(self, event: RunStarted) -> list[str]:
        window = f", window {event.window_tokens:,} tokens" if event.window_tokens else ""
        lines = [
            self._paint(f"run {event.run}", _BOLD) + f"  {event.model} at {event.base_url}{window}",
            f"tools: {', '.join(event.tools) or 'none'}",
            f"workspace: {event.workspace}{f' ({event.worktree})' if event.worktree else ''}",
        ]
        if event.sandbox:
            lines.append(f"sandbox: {event.sandbox}")
        if event.note:
            lines.append(self._paint(f"no snapshot of the workspace: {event.note}", _YELLOW))
        return [*lines, *self._block("task", event.prompt.content)]

    def _requested(self, event: Requested) -> list[str]:
        how = f"effort {event.effort}" if event.effort else "no effort sent"
        if event.constrained is not None:
            how += f", constrained to {event.constrained or 'the tool list'}"
        reask = "re-ask, " if event.reask else ""
        return [self._paint(f"step {event.step}", _BOLD) + self._paint(f"  {reask}{how}", _DIM)]

    def _reasoning(self, event: Replied) -> list[str]:
        if not event.reply.reasoning.strip():
            return []
        return [self._mark("thinks", event.reply.reasoning, _DIM)]

    def _turn(self, event: TurnTaken) -> list[str]:
        lines = [self._mark("says", event.turn.content, "")] if event.turn.content.strip() else []
        for call in event.turn.tool_calls:
            lines.append(self._mark("calls", f"{call.name} {call.arguments}", ""))
        for result in event.answered:
            lines += self._result(result, 0.0, "")
        return lines

    def _result(self, result: ToolResult, elapsed_s: float, traceback: str) -> list[str]:
        color = _GREEN if result.status == "ok" else _RED
        took = f"  ({elapsed_s:.1f} s)" if elapsed_s >= 0.1 else ""
        line = self._mark(result.status, f"{result.content}{took}", color)
        return [line, *self._block("traceback", traceback)] if traceback and self._full else [line]

    def _triggered(self, event: Triggered) -> list[str]:
        if event.action == "stay":
            return []
        what = {"reask": "re-asking, constrained to the schema", "climb": "climbing", "stop": "stopping"}[event.action]
        return [self._mark("ladder", f"{event.trigger}: {what}", _BOLD)]

    def _verified(self, event: VerifyEnded) -> list[str]:
        if event.ok:
            return [self._mark("verify", f"passed ({event.elapsed_s:.1f} s)", _GREEN)]
        code = "no exit code" if event.exit_code is None else f"exit code {event.exit_code}"
        return [self._mark("verify", f"failed, {code}: {event.output}", _RED)]

    def _ended(self, event: RunEnded) -> list[str]:
        good = event.status in {"verified", "finished"}
        spent = event.spent
        cached = f" ({spent.cached_tokens:,} cached)" if spent.cached_tokens else ""
        reasoning = f" ({spent.reasoning_tokens:,} reasoning)" if spent.reasoning_tokens else ""
        facts = (
            f"{spent.steps} steps, {spent.tool_calls} calls, {spent.prompt_tokens:,} prompt tokens{cached}, "
            f"{spent.output_tokens:,} output tokens{reasoning}, {spent.wall_s:.1f} s"
        )
        lines = [] if event.output is None else self._block("result", str(event.output))
        if not good:
            lines += self._block("reason", event.reason)
        return [*lines, self._paint(event.status, _GREEN if good else _RED) + f"  {facts}"]

    def _mark(self, label: str, text: str, color: str, *, whole: bool = False) -> str:
        return f"  {self._paint(f'{label:<9}', color)} {self._one_line(text, whole=whole)}"

    def _block(self, label: str, text: str) -> list[str]:
        """Return a label with lines under it."""
        lines = [_clean(line) for line in text.strip().splitlines()]
        kept = lines if self._full else lines[:12]
        more = [f"    ... {len(lines) - len(kept)} more lines"] if len(lines) > len(kept) else []
        return [f"{label}:", *(f"    {line}" for line in kept), *more]

    def _one_line(self, text: str, *, whole: bool) -> str:
        if self._full:
            return _clean(text.strip()).replace("\n", "\n            ")
        line = _clean(" ".join(text.split()))
        return line if whole or len(line) <= _WIDTH else f"{line[: _WIDTH - 3]}..."

    def _paint(self, text: str, color: str) -> str:
        return f"\x1b[{color}m{text}\x1b[0m" if self._color and color else text


def _clean(text: str) -> str:
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)

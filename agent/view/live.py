"""Show a run as lines of text, live or from its journal; the lines are the same."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from typing import Literal, TextIO

from ..journal.events import (
    Adapted,
    BranchEnded,
    BranchesStarted,
    BranchTaken,
    CallEnded,
    CallStarted,
    ContextRenewed,
    Event,
    Folded,
    Loosened,
    Moved,
    Noticed,
    PrefixChanged,
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
    SummedUp,
    Triggered,
    TurnTaken,
    VerifyEnded,
    VerifyStarted,
)
from ..names import listed, on_its_line
from ..policy.budget import Spent
from ..policy.ladder import Phase
from .branches import branch_lines
from .prefix import folded, is_fault, prefix_changed
from .results import Results, Shown, exit_words
from .text import lines_of, on_one_line, shorten

_DEFAULT_COLUMNS = 122
"""Width of a line if the output is not a terminal."""
_STATUS_CHARS = 9
_MARK_CHARS = 12
_MIN_TEXT_CHARS = 24
_MAX_LABEL_CHARS = 40
_BLOCK_LINES = 12
_MAX_NAMES = 20

_PHASES: Mapping[Phase, str] = {
    "plan": "a plan is made",
    "work": "the plan is made",
    "hand_in": "before the work is handed in",
}
_ACTIONS = {
    "reask": "re-asking, constrained to the schema", "climb": "climbing", "branch": "branching", "stop": "stopping",
}  # fmt: skip
_RED, _GREEN, _YELLOW, _DIM, _BOLD = "31", "32", "33", "2", "1"


class LiveView:
    """Writes a few lines per event, and none for events that only programs need."""

    def __init__(
        self, out: TextIO, *, full: bool = False, color: bool | None = None, columns: int | None = None
    ) -> None:
        """Create a view; nothing is written yet.

        Args:
            out: the terminal or file.
            full: do not shorten texts; show tracebacks, and what only the makers of a server need.
            color: None means only if `out` is a terminal and NO_COLOR is not set.
            columns: width of a line. None means that of the terminal, or 122 if `out` is none.
        """
        self._out = out
        self._full = full
        self._color = out.isatty() and not os.environ.get("NO_COLOR") if color is None else color
        self._columns = columns
        self._results = Results()

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
                sandbox = [f"sandbox: {on_one_line(event.sandbox)}"] if event.sandbox else []
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
            case CallStarted():
                self._results.start(event)
                return []
            case CallEnded():
                return self._shown(self._results.end(event))
            case Said():
                return [self._mark("message", event.message.content, _DIM)]
            case Triggered():
                return self._triggered(event)
            case Moved():
                effort = f", effort {event.effort}" if event.effort else ""
                why = f": {_PHASES[event.phase]}" if event.phase else ""
                return [self._mark("ladder", f"now on rung {event.rung}{effort}{why}", _BOLD)]
            case PrefixChanged():
                return self._prefix_changed(event)
            case ContextRenewed():
                return self._renewed(event)
            case SummedUp():
                return [self._mark("summary", event.text or f"the model wrote none: {event.why_not}", _DIM)]
            case Folded():
                return [self._mark("folded", folded(event), _DIM)]
            case Noticed():
                return [self._mark("notice", event.text, _YELLOW, whole=True)]
            case Loosened() | Adapted():
                return [self._mark("notice", event.notice, _YELLOW, whole=True)]
            case BranchesStarted() | BranchEnded() | BranchTaken():
                return [self._mark("branch", line, _BOLD) for line in branch_lines(event)]
            case VerifyStarted():
                return [self._mark("verify", f"{_silent(event.attempt)}{event.command}", _BOLD)]
            case VerifyEnded():
                return self._verified(event)
            case RunEnded():
                return self._ended(event)
            case _:
                return []

    def _started(self, event: RunStarted) -> list[str]:
        window = f", window {event.window_tokens:,} tokens" if event.window_tokens else ""
        served = f"{event.model} at {event.base_url}{window}"
        worktree = f" ({on_one_line(event.worktree)})" if event.worktree else ""
        lines = [
            self._paint(f"run {on_its_line(event.run)}", _BOLD) + f"  {on_one_line(served)}",
            f"tools: {', '.join(map(on_its_line, event.tools)) or 'none'}",
            f"workspace: {on_its_line(event.workspace)}{worktree}",
        ]
        if event.sandbox:
            lines.append(f"sandbox: {on_one_line(event.sandbox)}")
        if event.instructions:
            lines.append(f"instructions: {on_its_line(event.instructions)}")
        if event.note:
            lines.append(self._paint(f"no snapshot of the workspace: {on_one_line(event.note)}", _YELLOW))
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
        lines += [self._mark("calls", f"{call.name} {call.arguments}", "") for call in event.turn.tool_calls]
        return [*lines, *self._shown(self._results.open(event))]

    def _shown(self, results: Iterable[Shown]) -> list[str]:
        return [line for result in results for line in self._result(result)]

    def _result(self, result: Shown) -> list[str]:
        color = {"ok": _GREEN, "duplicate": _YELLOW}.get(result.status, _RED)
        label = f"{result.label:<{min(self._results.label_chars, _MAX_LABEL_CHARS)}}"
        took = f"  ({result.elapsed_s:.1f} s)" if result.elapsed_s >= 0.1 else ""
        head = f"  {self._paint(f'{result.status:<{_STATUS_CHARS}}', color)} {label}"
        if not self._full:
            text = on_one_line(result.headline or result.text)
            taken = max(0, len(result.status) - _STATUS_CHARS) + len(label) + 2 + len(took)
            return [f"{head}  {shorten(text, self._text_chars(taken))}{took}"]
        first, *others = lines_of(result.text)
        lines = [f"{head}{took}", *_indented([first, *others])] if others else [f"{head}  {first}{took}"]
        return [*lines, *(self._block("traceback", result.traceback) if result.traceback else [])]

    def _prefix_changed(self, event: PrefixChanged) -> list[str]:
        if is_fault(event):
            return [self._mark("fault", prefix_changed(event), _YELLOW, whole=True)]
        # What it costs interests whoever tunes the ladder or the server.
        return [self._mark("prefix", prefix_changed(event), _DIM)] if self._full else []

    def _renewed(self, event: ContextRenewed) -> list[str]:
        count = len(event.restored)
        restored = f", {count} {'path' if count == 1 else 'paths'} restored" if count else ""
        lines = [self._mark("ladder", f"fresh context with a summary{restored}", _BOLD)]
        if event.patch:
            lines.append(self._mark("saved", f"the changes that were undone are in {event.patch}", "", whole=True))
        if event.conflicts:
            names = listed(event.conflicts, _MAX_NAMES)
            text = f"not restored, because something else may have changed them: {names}"
            lines.append(self._mark("kept", text, _YELLOW, whole=True))
        return lines

    def _triggered(self, event: Triggered) -> list[str]:
        if event.action == "stay":
            return []
        return [self._mark("ladder", f"{event.trigger}: {_ACTIONS[event.action]}", _BOLD)]

    def _verified(self, event: VerifyEnded) -> list[str]:
        silent, took = _silent(event.attempt), f"({event.elapsed_s:.1f} s)"
        if event.ok:
            return [self._mark("verify", f"{silent}passed {took}", _GREEN)]
        text = f"{silent}failed, {exit_words(event)} {took}"
        output = event.output if self._full else next(reversed(event.output.strip().splitlines()), "")
        return [self._mark("verify", f"{text}: {output}" if output.strip() else text, _RED)]

    def _ended(self, event: RunEnded) -> list[str]:
        good = event.status in {"verified", "finished"}
        lines = self._shown(self._results.rest())
        if event.output is not None:
            lines += self._block("result", json.dumps(event.output, ensure_ascii=False, indent=2), cut="nothing")
        elif event.answer.strip():
            answered = good or event.status == "verify_failed"
            lines += self._block("answer" if answered else "last text", event.answer, cut="nothing")
        if not good and event.reason.strip():
            # The output of a verification is long, and its end says the most.
            lines += self._block("reason", event.reason, cut="middle" if event.status == "verify_failed" else "nothing")
        return [*lines, self._paint(event.status, _GREEN if good else _RED) + f"  {_facts(event.spent)}"]

    def _mark(self, label: str, text: str, color: str, *, whole: bool = False) -> str:
        head = f"  {self._paint(f'{label:<{_STATUS_CHARS}}', color)} "
        if self._full:
            first, *others = lines_of(text.strip())
            return "\n".join([f"{head}{first}", *_indented(others)])
        line = on_one_line(text)
        return f"{head}{line if whole else shorten(line, self._text_chars())}"

    def _text_chars(self, taken: int = 0) -> int:
        """Return how many characters fit beside a mark, and `taken` others."""
        columns = self._columns
        if columns is None:
            size = (_DEFAULT_COLUMNS, 24)
            columns = shutil.get_terminal_size(size).columns if self._out.isatty() else _DEFAULT_COLUMNS
        return max(_MIN_TEXT_CHARS, columns - _MARK_CHARS - taken)

    def _block(self, label: str, text: str, *, cut: Literal["end", "middle", "nothing"] = "end") -> list[str]:
        """Return a label with lines under it."""
        lines = lines_of(text.strip())
        more = len(lines) - _BLOCK_LINES
        if self._full or more <= 0 or cut == "nothing":
            shown = lines
        elif cut == "end":
            shown = [*lines[:_BLOCK_LINES], f"... {more} more lines"]
        else:
            shown = [*lines[:2], f"... {more} more lines", *lines[2 + more :]]
        return [f"{label}:", *(f"    {line}" for line in shown)]

    def _paint(self, text: str, color: str) -> str:
        return f"\x1b[{color}m{text}\x1b[0m" if self._color and color else text


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"{' ' * _MARK_CHARS}{line}" for line in lines]


def _silent(attempt: int) -> str:
    """Return the mark of a verification that the model is not told of."""
    return "" if attempt else "(silent) "


def _facts(spent: Spent) -> str:
    about = "about " if spent.estimated_tokens else ""
    cached = f" ({spent.cached_tokens:,} cached)" if spent.cached_tokens else ""
    reasoning = f" ({spent.reasoning_tokens:,} reasoning)" if spent.reasoning_tokens else ""
    return (
        f"{spent.steps} steps, {spent.tool_calls} calls, {about}{spent.prompt_tokens:,} prompt tokens{cached}, "
        f"{about}{spent.output_tokens:,} output tokens{reasoning}, {spent.wall_s:.1f} s"
    )

"""Order and label the results of a turn's calls, which may end in any order; formats nothing for the terminal."""

from __future__ import annotations

import json
import re
import signal
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from ..journal.events import CallEnded, CallStarted, TurnTaken, VerifyEnded
from ..messages import ToolCall, ToolResult
from .text import on_one_line, shorten

_ARGUMENT_CHARS = 24
_NAME_CHARS = 40
# How run_shell and read_process write the end of a command, alone on the last line or in the first sentence.
_EXIT_LINE = re.compile(r"\[?exit code ([1-9]\d*)(?: \(killed by [^)]+\))?(?:, took [\d,]+ s)?\]?")
_PROCESS_ENDED = re.compile(r"Process \d+ has ended \(exit code (\d+)\b")
_TIMED_OUT = re.compile(r"(?:The command|pytest) did not end within [\d,.]+ s and was killed")
# The first paragraph of run_tests.
_TESTS_TIMED_OUT = re.compile(r"^pytest did not end within", re.MULTILINE)
_TESTS_FAILED = re.compile(r"^(?:\d+ (?:failed|errors?)\b|\d+ files? could not be|pytest exited early)", re.MULTILINE)
_ERROR = "Error: "


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """One result, ready to be shown."""

    status: str
    """`ok`, `exit 1`, `failed` for tests, or a status of a result."""
    label: str
    """The tool, and what tells the call from others of the same tool in its turn."""
    text: str
    """What the tool returned, without what `status` says already."""
    elapsed_s: float
    headline: str = ""
    """The line of `text` that says the most. Empty means its beginning."""
    traceback: str = ""


class Results:
    """The results of the turns of a run, in call order."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}
        self._waiting: list[str] = []
        """Ids of the turn's calls whose results were not returned yet, in call order."""
        self._ended: dict[str, Shown] = {}
        self._read_only: set[str] = set()

    @property
    def label_chars(self) -> int:
        """Length of the longest label of the turn."""
        return max((len(label) for label in self._labels.values()), default=0)

    def open(self, event: TurnTaken) -> list[Shown]:
        """Begin a turn; return its first results if they are known already."""
        calls = event.turn.tool_calls
        self._labels = labels_of(calls)
        self._waiting = [call.id for call in calls]
        self._ended = {result.tool_call_id: self._shown(result, 0.0, "") for result in event.answered}
        self._read_only = set()
        return self._next()

    def start(self, event: CallStarted) -> None:
        """Note that a call began."""
        if event.read_only:
            self._read_only.add(event.tool_call_id)

    def end(self, event: CallEnded) -> list[Shown]:
        """Add the result of a call; return it, and those that waited for it, once all earlier calls have ended."""
        shown = self._shown(event.result, event.elapsed_s, event.traceback)
        if event.result.tool_call_id not in self._waiting:  # a resumed run: the turn was taken in another process
            return [shown]
        self._ended[event.result.tool_call_id] = shown
        return self._next()

    def rest(self) -> list[Shown]:
        """Return the results that wait for a call which will not end now."""
        ended = [call_id for call_id in self._waiting if call_id in self._ended]
        self._waiting = [call_id for call_id in self._waiting if call_id not in self._ended]
        return [self._ended.pop(call_id) for call_id in ended]

    def _next(self) -> list[Shown]:
        shown: list[Shown] = []
        while self._waiting and self._waiting[0] in self._ended:
            shown.append(self._ended.pop(self._waiting.pop(0)))
        return shown

    def _shown(self, result: ToolResult, elapsed_s: float, traceback: str) -> Shown:
        label = self._labels.get(result.tool_call_id) or _name(result.name)
        text, status = result.content, str(result.status)
        if result.status == "error":
            text = text.removeprefix(_ERROR)
            status = "timeout" if _TIMED_OUT.match(text) else status
        elif result.status in {"timeout", "no_answer"}:
            text = text.removeprefix(_ERROR)
        elif result.status == "ok" and result.tool_call_id not in self._read_only:
            return _command(result, label, elapsed_s)
        return Shown(status=status, label=label, text=text, elapsed_s=elapsed_s, traceback=traceback)


def labels_of(calls: Sequence[ToolCall]) -> dict[str, str]:
    """Return a label for each call by its id: its tool and, if the tool is called more than once, an argument."""
    by_tool: defaultdict[str, list[ToolCall]] = defaultdict(list)
    for call in calls:
        by_tool[call.name].append(call)
    labels: dict[str, str] = {}
    for name, equal in by_tool.items():
        for call, argument in zip(equal, _distinguishing(equal), strict=True):
            labels[call.id] = f"{_name(name)} {argument}".rstrip()
    return labels


def _name(tool: str) -> str:
    """Return the name of a tool, which the model may have made up."""
    return shorten(on_one_line(tool), _NAME_CHARS)


def _distinguishing(calls: Sequence[ToolCall]) -> list[str]:
    """Return the first argument that differs between calls of one tool, numbered where it is the same for some."""
    if len(calls) == 1:
        return [""]
    arguments = [_arguments(call) for call in calls]
    keys = dict.fromkeys(key for given in arguments for key in given)
    columns = [[_short(given.get(key)) for given in arguments] for key in keys]
    chosen = next((column for column in columns if len(set(column)) > 1), [""] * len(calls))
    seen: Counter[str] = Counter()
    names: list[str] = []
    for text in chosen:
        seen[text] += 1
        names.append(text if text and seen[text] == 1 else f"{text} #{seen[text]}".lstrip())
    return names


def _arguments(call: ToolCall) -> dict[str, Any]:
    try:
        value: object = json.loads(call.arguments)
    except ValueError:  # of an invalid call
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _short(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        value = " ".join(str(item) for item in cast("list[object]", value))
    text = on_one_line(value if isinstance(value, str) else json.dumps(value))
    if len(text) > _ARGUMENT_CHARS and "/" in text and " " not in text:
        return f"...{text[3 - _ARGUMENT_CHARS :]}"  # of a path, the end tells the most
    return shorten(text, _ARGUMENT_CHARS)


def _command(result: ToolResult, label: str, elapsed_s: float) -> Shown:
    """Return the result of a tool that may have run a command, with the command's exit code as its status."""
    lines = result.content.rstrip().split("\n")
    for at in range(len(lines) - 1, max(-1, len(lines) - 3), -1):  # a note about a repeated call may follow
        if found := _EXIT_LINE.fullmatch(lines[at]):
            printed = [line for line in lines[:at] if line.strip()]
            return Shown(
                status=f"exit {found[1]}",
                label=label,
                text="\n".join(lines[:at] + lines[at + 1 :]),
                # Of a command that failed, the last line usually says why.
                headline=printed[-1] if printed else "(no output)",
                elapsed_s=elapsed_s,
            )
    status = "ok"
    if (found := _PROCESS_ENDED.match(result.content)) and found[1] != "0":
        status = f"exit {found[1]}"
    elif result.name == "run_tests":
        status = _tests(result.content.partition("\n\n")[0])
    return Shown(status=status, label=label, text=result.content, elapsed_s=elapsed_s)


def _tests(head: str) -> str:
    if _TESTS_TIMED_OUT.search(head):
        return "timeout"
    return "failed" if _TESTS_FAILED.search(head) else "ok"


def exit_words(event: VerifyEnded) -> str:
    """Return how the verification command ended, in the words that results of commands are labelled with."""
    if event.exit_code is None:
        return "not started" if event.output.startswith("The command could not be started") else "timeout"
    if event.exit_code >= 0:
        return f"exit {event.exit_code}"
    try:
        return f"exit {128 - event.exit_code} ({signal.Signals(-event.exit_code).name})"
    except ValueError:
        return f"exit {128 - event.exit_code}"

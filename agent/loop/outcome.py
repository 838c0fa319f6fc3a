"""The outcome of a run, and the exit codes of `agent run`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, cast

from pydantic import JsonValue
from typing_extensions import TypeVar

from ..errors import ConfigError, RunFailed
from ..journal.events import RunEnded, Status
from ..journal.redacted import redacted_record
from ..keywords import checked_keywords, unknown_attribute
from ..messages import Message
from ..model.conversation import to_chat
from ..policy.budget import Spent
from ..tooling.final_result import OutputSpec
from ..workspace.recorded_run import RecordedRun, diff_text, recorded_run, undo
from .state import RunState

OutputT = TypeVar("OutputT", default=str)

EXIT_CODES: Mapping[Status, int] = MappingProxyType(
    {"verified": 0, "finished": 0, "verify_failed": 1, "error": 2, "budget": 3, "stuck": 4, "interrupted": 130}
)
"""Exit codes of `agent run`; 2 also means an invalid task, configuration or endpoint before the run started."""

_ATTRIBUTES: Mapping[str, str] = MappingProxyType(
    {
        "data": "The result is `outcome.output`.",
        "result": "The result is `outcome.output`.",
        "response": "The result is `outcome.output`; the model's last text is `outcome.answer`.",
        "final_output": "The result is `outcome.output`.",
        "text": "The model's last text is `outcome.answer`.",
        "error": "Why the run ended is `outcome.reason`; raise_for_status() raises it.",
        "all_messages": "The messages are `outcome.messages`.",
        "all_messages_json": "Write json.dumps(outcome.to_chat()).",
        "cost": "Write outcome.usage.cost(Prices(...)).",
        "to_input_list": "Give the outcome as `history`: agent.run(prompt, history=outcome).",
        "history": "The messages are `outcome.messages`; agent.run(prompt, history=outcome) continues them.",
        "events": "The events are in the file `outcome.journal`; watch a run with agent.stream(prompt).",
    }
)
"""Attributes that people know from results of other libraries, and for each what to write here."""


@checked_keywords()
@dataclass(frozen=True, kw_only=True)
class Outcome(Generic[OutputT]):
    """The outcome of a run. Every run that started has one, even if it failed.

    Attributes:
        status: how the run ended: `verified`, `finished`, `verify_failed`, `budget`, `stuck`, `interrupted`, `error`.
        reason: why the run ended; after a failed verification, with its last output.
        answer: the model's last text; may be empty.
        usage: steps, tokens and seconds that the run took.
        run: name of the run, for `agent show` and `resume`.
        journal: file of the run's events. None means no journal was written.
        workspace: the folder that the run worked in. A copy without a journal is deleted when the run ends.
        notices: notices for the user, without duplicates.
        messages: the conversation at the end of the run, the system prompt and what `history` gave included.
        earlier_messages: how many of the messages are not of this run.
        rung: the rung of the ladder that the run ended on.
        server_failed: whether it ended because of the server; it can be resumed on another one.
    """

    status: Status
    reason: str
    answer: str
    usage: Spent
    run: str
    journal: Path | None
    workspace: Path
    notices: tuple[str, ...]
    messages: tuple[Message, ...] = field(repr=False)
    earlier_messages: int = field(repr=False)
    _arguments: JsonValue = field(repr=False)
    """Of the structured result. None if there is none."""
    _spec: OutputSpec | None = field(repr=False)
    rung: int = field(repr=False)
    server_failed: bool = field(repr=False)
    _diff: str | None = field(repr=False)
    """What the run changed, if its folder with the snapshot was not kept."""

    @property
    def output(self) -> OutputT:
        """The result, as the agent's `output_type`; the answer if that is `str`.

        Raises:
            RunFailed: The run ended without a result.
        """
        if self._spec is None:
            return cast("OutputT", self.answer)
        if self._arguments is None:
            raise RunFailed(self.status, self.reason)
        return cast("OutputT", self._spec.read(self._arguments))

    @property
    def output_json(self) -> JsonValue:
        """The result as JSON. None if the answer is text, or there is no result."""
        return self._arguments

    @property
    def steps(self) -> int:
        """Number of requests that got a reply."""
        return self.usage.steps

    @property
    def ok(self) -> bool:
        """Whether the status is `verified` or `finished`."""
        return EXIT_CODES[self.status] == 0

    @property
    def exit_code(self) -> int:
        """The exit code of `agent run` for this outcome."""
        return EXIT_CODES[self.status]

    def raise_for_status(self) -> Outcome[OutputT]:
        """Return this outcome if it is `verified` or `finished`.

        Raises:
            RunFailed: The outcome is another one.
        """
        if not self.ok:
            raise RunFailed(self.status, self.reason)
        return self

    def new_messages(self) -> tuple[Message, ...]:
        """Return the messages of this run alone, without the system prompt and what `history` gave."""
        return self.messages[self.earlier_messages :]

    def to_chat(self) -> list[dict[str, Any]]:
        """Return the conversation in OpenAI's chat completions format, to store it or to send it elsewhere."""
        return to_chat(self.messages)

    def diff(self) -> str:
        """Return what the run changed in its workspace, as a unified diff; compares the files as they are now.

        Raises:
            ConfigError: There is no snapshot to compare with, or the workspace is gone.
        """
        if self._diff is not None:
            return self._diff
        found = self._recorded()
        return diff_text(found.workspace, found.snapshot)

    def undo(self) -> tuple[str, ...]:
        """Restore the workspace to its state before the run, and return the paths; also undoes later changes.

        The state before the undo is saved in the run's folder.

        Raises:
            ConfigError: There is no snapshot, or the current state cannot be saved first.
        """
        restored, _ = undo(self._recorded())
        return restored.changed

    def _recorded(self) -> RecordedRun:
        if self.journal is None:
            msg = "This run kept no snapshot. Give the agent a folder for its runs: Agent(..., runs=runs_folder())."
            raise ConfigError(msg)
        return recorded_run(self.journal.parent.parent, self.run)

    if not TYPE_CHECKING:  # a type checker would accept every name

        def __getattr__(self, name: str) -> object:
            raise unknown_attribute(self, name, _ATTRIBUTES)

    @property
    def outcome(self) -> Status:
        """Return `status`; deprecated alias, in this release only."""
        warnings.warn(
            "Outcome.outcome is now Outcome.status; the old name works in this release only. Rename it.",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.status


def outcome_of(
    state: RunState, ended: RunEnded, journal: Path | None, notices: Sequence[str], redact: Callable[[str], str],
    *, output: OutputSpec | None, diff: str | None,
) -> Outcome[Any]:  # fmt: skip
    """Return the outcome of a run that has ended.

    Args:
        state: of the run.
        ended: its last event.
        journal: its file. None means that none was written.
        notices: those that came after its end.
        redact: removes secrets from a text.
        output: the structured result that was asked for. None means a text answer.
        diff: what the run changed, if its folder is not kept. None means that it is, or that nothing is known.
    """
    first = state.started
    return Outcome(
        status=ended.status,
        reason=ended.reason,
        answer=ended.answer,
        usage=ended.spent,
        run=first.run,
        journal=journal,
        workspace=Path(first.workspace),
        notices=(*sorted(state.notices), *notices),
        messages=redacted_record(tuple(state.history.messages), redact),
        earlier_messages=state.earlier_messages,
        _arguments=ended.output,
        _spec=output,
        rung=state.position.rung,
        server_failed=ended.cause == "endpoint",
        _diff=diff,
    )

"""What a run has done so far, across renewals of its conversation: calls, notes, verifications, changed files; pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import replace

from ..journal.events import (
    BranchTaken,
    CallEnded,
    CallStarted,
    ContextRenewed,
    FilesChanged,
    SummedUp,
    TurnTaken,
    VerifyEnded,
)
from ..messages import AssistantMessage, ToolCall, ToolResult
from ..policy.ladder import Ladder
from ..tooling.final_result import FINAL_TOOL
from .assessment import failure_of_turn, made_progress
from .pending import RecordFailure, RecordProgress
from .summary_calls import CallRecord

NOTES_TOOL = "write_notes"
"""The ready tool whose notes outlive every shortening of the conversation."""
_REASONING_CHARS = 1_200
_MAY_HAVE_EFFECT = frozenset({"ok", "timeout", "no_answer", "interrupted"})


class Work:
    """The work of a run; updated from its events."""

    def __init__(self, *, trained_texts: bool) -> None:
        self.records: list[CallRecord | str] = []
        """Every call with its result, oldest first, without images; between them, notes on verifications and restored
        files."""
        self.last_calls: Sequence[CallRecord] = ()
        """The calls of the last turn, until the model takes another one: it has not used their results yet."""
        self.texts: list[str] = []
        """What the model wrote beside its calls or thought before them, and its answers, oldest first."""
        self.notes = ""
        """What the model wrote with the tool for notes, last."""
        self.failed_attempts: list[VerifyEnded] = []
        self.own_changes: dict[str, str] = {}
        """Paths that the run itself changed, with their signatures; kept only in a folder that others may use."""
        self.unsure_changes: set[str] = set()
        """Paths that changed while the run's calls ran, but which something else may have changed."""
        self.saved_patch = ""
        """The patch of changes that are being restored. Empty if none are."""
        self.may_have_changed = False
        """True if a call may have changed files since the start, or since they were restored."""
        self.files_verification: VerifyEnded | None = None
        """The verification of the files as they are now. None if they may have changed since the last one."""
        self.stale_steps = 0
        """Consecutive steps without progress."""
        self.summed_up: SummedUp | None = None
        """What the model wrote for the conversation that begins next."""
        self.is_tight: bool | None = None
        """Whether the conversation began with the shortest summary. None if it is the first one."""
        self.folded: set[str] = set()
        """Ids of the calls whose results are folded."""
        self._trained_texts = trained_texts
        self._writing_calls: set[str] = set()
        self._fingerprints: dict[str, str] = {}
        self._seen: set[str] = set()
        """Fingerprints of all calls in the current conversation."""
        self._last = ""
        self._unchanged: set[str] = set()
        """Fingerprints of calls since something may have changed."""

    def start_call(self, event: CallStarted) -> None:
        """Record that a call is about to run."""
        if not event.read_only:
            self._writing_calls.add(event.tool_call_id)
            self.may_have_changed, self.files_verification = True, None
            self.saved_patch = ""

    def end_call(self, event: CallEnded) -> None:
        """Record the result of a call."""
        call_id, fingerprint = event.result.tool_call_id, event.fingerprint
        self._fingerprints[call_id] = fingerprint
        may_have_effect = call_id in self._writing_calls and event.result.status in _MAY_HAVE_EFFECT
        if may_have_effect and fingerprint not in self._seen:
            self._unchanged = set()  # after a new effect the same calls may give other results

    def change_files(self, event: FilesChanged) -> None:
        """Record which files the run changed, or where it saved its changes."""
        self.saved_patch = event.saved or self.saved_patch
        self.unsure_changes.update(event.unsure)
        self.own_changes.update(event.files)
        for path in event.unsure:
            self.own_changes.pop(path, None)

    def repeats(self, fingerprints: Sequence[str]) -> bool:
        """Return whether calls with these fingerprints repeat earlier ones, and nothing has changed since those."""
        if self._trained_texts:
            # The pocket model was trained on, and its ladder measured with, the repetition of one call alone.
            return len(fingerprints) == 1 and fingerprints[0] == self._last
        return bool(fingerprints) and set(fingerprints) <= self._unchanged

    def start_turn(self) -> None:
        """Record that the model has answered with a turn, so that it has used the results before it."""
        self.last_calls = ()
        self.summed_up = None

    def end_turn(
        self, turn_taken: TurnTaken, results: Sequence[ToolResult], ladder: Ladder
    ) -> RecordFailure | RecordProgress | None:
        """Record a turn whose calls all have their results; return what to report to the ladder."""
        # A call that was not executed or was interrupted has no fingerprint, so it never counts as repeated.
        fingerprints = [found for result in results if (found := self._fingerprints.get(result.tool_call_id))]
        progress = made_progress(results, self._fingerprints, seen=self._seen)
        self.stale_steps = 0 if progress else self.stale_steps + 1
        failure = failure_of_turn(
            turn_taken,
            results,
            progress=progress,
            repeated=not progress and self.repeats(fingerprints),
            stale_steps=self.stale_steps,
            no_progress_steps=ladder.no_progress_steps,
        )
        self._unchanged |= set(fingerprints)
        self._seen |= set(fingerprints)
        self._last = fingerprints[0] if len(fingerprints) == 1 else ""
        turn = turn_taken.turn
        done = list(zip(turn.tool_calls, results, strict=True))
        for call, result in done:
            if call.name == NOTES_TOOL and result.status == "ok":
                self.notes = str(json.loads(call.arguments).get("notes", ""))
        records = [self._record(call, result) for call, result in done if call.name != NOTES_TOOL]
        self.records += records
        self.last_calls = [record for record in records if record.call.name != FINAL_TOOL]
        self._note(_conclusion(turn))
        return failure or (RecordProgress() if progress else None)

    def end_verification(self, event: VerifyEnded, *, answer: str) -> None:
        """Record a verification; `answer` is what the model said when it submitted the work."""
        self.files_verification = event
        if not event.attempt:
            return  # a silent check, which the model does not know of
        # Repeating a call after a verification is a reaction to it, not a loop.
        self._last, self._unchanged = "", set()
        self._note(answer)
        if not event.ok:
            self.failed_attempts.append(event)
            self.records.append(f"- (you submitted your work: verification attempt {event.attempt} failed)")

    def start_conversation(self, event: ContextRenewed) -> None:
        """Record that the conversation was renewed, and whether the files were restored."""
        self.is_tight = event.is_tight
        self.stale_steps, self._seen = 0, set()
        self._last, self._unchanged = "", set()
        self.saved_patch = ""
        if event.restored or event.patch:
            self.records.append("- (the changes so far were put back)")
            self.own_changes, self.unsure_changes = {}, set()
            self.may_have_changed, self.files_verification = bool(event.conflicts), None

    def take_branch(self, event: BranchTaken) -> None:
        """Record that the changes of a branch are in the workspace, in place of the run's own."""
        self.saved_patch = ""
        self.own_changes, self.unsure_changes = dict(event.files), set(event.conflicts)
        self.may_have_changed, self.files_verification = True, None

    def fold(self, calls: Collection[str]) -> None:
        """Record that the model no longer sees the results of these calls, so that calling again is no repetition."""
        gone = {fingerprint for call in calls if (fingerprint := self._fingerprints.get(call))}
        self._seen -= gone
        self._unchanged -= gone
        self.folded.update(calls)
        self._last = "" if self._last in gone else self._last

    def told_after(self, reason: str) -> str:
        """Return the reason for an end with what became of the changes, if there may be some."""
        if not self.may_have_changed:
            return reason
        verdict = "were not verified" if self.files_verification is None else "did not pass the verification"
        return f"{reason.rstrip('.')}; the changes so far are in the workspace and {verdict}"

    def _record(self, call: ToolCall, result: ToolResult) -> CallRecord:
        return CallRecord(
            call=call,
            result=replace(result, images=()),
            is_read=call.id not in self._writing_calls,
            had_image=bool(result.images),
        )

    def _note(self, text: str) -> None:
        if text.strip() and text.strip() not in self.texts[-1:]:
            self.texts.append(text.strip())


def _conclusion(turn: AssistantMessage) -> str:
    """Return what the model wrote beside its calls, or the end of what it thought if it wrote nothing."""
    if turn.content.strip():
        return turn.content
    reasoning = turn.reasoning.strip()
    return reasoning if len(reasoning) <= _REASONING_CHARS else f"... {reasoning[-_REASONING_CHARS:]}"

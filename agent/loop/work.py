"""What a run has done so far, across renewals of its conversation: calls, notes, verifications, changed files; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..journal.events import CallEnded, CallStarted, TurnTaken, VerifyEnded
from ..messages import ToolResult
from ..policy.ladder import Ladder
from .assessment import failure_of_turn, made_progress
from .pending import RecordFailure, RecordProgress
from .summary import CallRecord


class Work:
    """The work of a run; updated from its events."""

    def __init__(self, *, trained_texts: bool) -> None:
        self.records: list[CallRecord] = []
        """Every call with its result, oldest first; images are left out."""
        self.texts: list[str] = []
        """What the model wrote beside its calls, and its answers, oldest first."""
        self.failed_attempts: list[VerifyEnded] = []
        self.own_changes: dict[str, str] = {}
        """Paths that the run itself changed, with their signatures; kept only in a folder that others may use."""
        self.may_have_changed = False
        """True if a call may have changed files since the start, or since they were restored."""
        self.files_verification: VerifyEnded | None = None
        """The verification of the files as they are now. None if they may have changed since the last one."""
        self.stale_steps = 0
        """Consecutive steps without progress."""
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

    def end_call(self, event: CallEnded) -> None:
        """Record the result of a call."""
        self._fingerprints[event.result.tool_call_id] = event.fingerprint

    def repeats(self, fingerprints: Sequence[str]) -> bool:
        """Return whether calls with these fingerprints repeat earlier ones, and nothing has changed since those."""
        if self._trained_texts:
            # The pocket model was trained on, and its ladder measured with, the repetition of one call alone.
            return len(fingerprints) == 1 and fingerprints[0] == self._last
        return bool(fingerprints) and set(fingerprints) <= self._unchanged

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
            repeated=self.repeats(fingerprints),
            stale_steps=self.stale_steps,
            no_progress_steps=ladder.no_progress_steps,
        )
        wrote = any(result.status == "ok" and result.tool_call_id in self._writing_calls for result in results)
        if wrote and progress:
            self._unchanged = set()  # after a new effect the same calls may give other results
        self._unchanged |= set(fingerprints)
        self._seen |= set(fingerprints)
        self._last = fingerprints[0] if len(fingerprints) == 1 else ""
        turn = turn_taken.turn
        self.records += [
            CallRecord(call=call, result=replace(result, images=()))
            for call, result in zip(turn.tool_calls, results, strict=True)
        ]
        if turn.content.strip():
            self.texts.append(turn.content.strip())
        return failure or (RecordProgress() if progress else None)

    def end_verification(self, event: VerifyEnded, *, answer: str) -> None:
        """Record a verification; `answer` is what the model said when it submitted the work."""
        self.files_verification = event
        if not event.attempt:
            return  # a silent check, which the model does not know of
        # Repeating a call after a verification is a reaction to it, not a loop.
        self._last, self._unchanged = "", set()
        if not event.ok:
            self.failed_attempts.append(event)
        if answer:
            self.texts.append(answer)

    def start_conversation(self, *, restored: bool) -> None:
        """Record that the conversation was renewed, and whether the files were restored."""
        self.stale_steps, self._seen = 0, set()
        self._last, self._unchanged = "", set()
        if restored:
            self.own_changes = {}
            self.may_have_changed, self.files_verification = False, None

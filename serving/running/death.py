"""Define the error for an engine that failed, with the doctor's diagnosis of its log."""

from pathlib import Path

from ..doctor import Diagnosis
from ..errors import EngineError


class EngineDied(EngineError):
    """An engine exited, stopped writing output or refused a request; its log may show why."""

    def __init__(self, what: str, *, diagnosis: Diagnosis | None, cause: str = "", do: str = "", log: Path) -> None:
        """Take the cause and the advice from the diagnosis if there is one.

        Args:
            what: what happened, one sentence.
            diagnosis: the doctor's root cause from the log. None means the log shows nothing.
            cause: used if there is no known diagnosis.
            do: what to do if there is no known diagnosis.
            log: the file with the engine's whole output.
        """
        self.diagnosis = diagnosis
        known = diagnosis is not None and diagnosis.symptom != "unknown"
        evidence = "" if diagnosis is None else diagnosis.evidence
        super().__init__(
            what,
            cause=f"{diagnosis.cause}\n{evidence}" if diagnosis is not None and known else cause or evidence,
            do=diagnosis.fix if diagnosis is not None and known else do,
            log=log,
        )

    @property
    def fatal(self) -> bool:
        """Whether the same configuration is known to fail again."""
        return self.diagnosis is not None and self.diagnosis.fatal

"""The error of an engine that ended by itself, with what the doctor sees in its log."""

from pathlib import Path

from ..doctor import Diagnosis
from ..errors import EngineError


class EngineDied(EngineError):
    """An engine ended, fell silent or refused to answer, and left a log that may say why."""

    def __init__(self, what: str, *, diagnosis: Diagnosis | None, cause: str = "", do: str = "", log: Path) -> None:
        """Take cause and advice from the diagnosis, where there is one.

        Args:
            what: what happened, one sentence.
            diagnosis: the root of it, as the doctor sees it in the log. None: the log shows nothing.
            cause: what is known without a diagnosis.
            do: what to do if no diagnosis says it.
            log: the file with everything the engine said.
        """
        self.diagnosis = diagnosis
        known = diagnosis is not None and diagnosis.symptom != "unknown"
        said = "" if diagnosis is None else diagnosis.evidence
        super().__init__(
            what,
            cause=f"{diagnosis.cause}\n{said}" if diagnosis is not None and known else cause or said,
            do=diagnosis.fix if diagnosis is not None and known else do,
            log=log,
        )

    @property
    def fatal(self) -> bool:
        """Tell whether it would happen again with the same configuration, as far as is known."""
        return self.diagnosis is not None and self.diagnosis.fatal

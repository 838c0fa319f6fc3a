"""The errors of serving: an engine could not be installed, started, kept up or stopped."""

from pathlib import Path

from .doctor.records import Diagnosis


class EngineError(Exception):
    """An engine could not be installed, started or stopped.

    The text says what happened, the cause as far as it is known, and what to do now.
    """

    def __init__(self, what: str, *, cause: str, do: str, log: Path | None = None) -> None:
        """Put the parts together to the message.

        Args:
            what: what happened, one sentence.
            cause: the most specific line known; may be several lines; empty: not known.
            do: what to do now, one or more sentences.
            log: the file with everything the engine or the installer said. None: there is no file.
        """
        self.what = what
        self.cause = cause
        self.do = do
        self.log = log
        lines = [what]
        if cause:
            lines.append("Cause: " + cause.replace("\n", "\n       "))
        if log is not None:
            lines.append(f"Log:   {log}")
        lines.append("Now:   " + do.replace("\n", "\n       "))
        super().__init__("\n".join(lines))


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

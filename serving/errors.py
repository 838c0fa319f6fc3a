"""Define EngineError, the base error of serving."""

from pathlib import Path


class EngineError(Exception):
    """An engine could not be planned, installed, started, kept running, stopped or queried.

    The text states what happened, the cause if known, and what to do.
    """

    def __init__(self, what: str, *, cause: str, do: str, log: Path | None = None) -> None:
        """Build the message from its parts.

        Args:
            what: what happened, one sentence.
            cause: the most specific cause known, one or more lines. Empty means unknown.
            do: what to do now, one or more sentences.
            log: the file with the whole output of the engine or installer. None means there is no file.
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

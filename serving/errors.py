"""The one error of serving: something could not be planned, installed, started, kept up, stopped or asked."""

from pathlib import Path


class EngineError(Exception):
    """Something could not be planned, installed, started, kept up, stopped or asked.

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

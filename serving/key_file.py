"""Read a key from its file; write it nowhere, and quote it in no error."""

import stat
from pathlib import Path

from .errors import EngineError


def read_key(file: Path) -> str:
    """Read a file that holds one key and nothing else.

    Args:
        file: one line; spaces around the key and the end of the line do not belong to it.

    Raises:
        EngineError: there is no such file, it cannot be read, others can read it, or it holds no key.
    """
    try:
        mode = file.stat().st_mode
        if stat.S_ISFIFO(mode):  # A shell's <(...) is one. We read it more than once, also at a restart.
            raise _no_key(file, "it is a pipe, which can be read only once")
        text = file.read_text(encoding="ascii")
    except OSError as error:
        raise EngineError(
            f"Cannot read the key file {str(file)!r}.",
            cause=error.strerror or str(error),
            do="Name a file that holds the key and that you may read.",
        ) from error
    except UnicodeDecodeError:
        # Not "from": the error quotes what it could not read.
        raise _no_key(file, "it holds characters that no key has") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise EngineError(
            f"Cannot use the key file {str(file)!r}: other users of this machine may use it too "
            f"(mode {stat.S_IMODE(mode):04o}).",
            cause="",
            do=f"Take their rights away: chmod 600 {file}",
        )
    key = text.strip()
    if not key:
        raise _no_key(file, "it is empty")
    # It travels in an HTTP header, where a space or a control character would end it.
    if any(not "!" <= character <= "~" for character in key):
        raise _no_key(file, "it holds more than one word")
    return key


def _no_key(file: Path, why: str) -> EngineError:
    return EngineError(
        f"Cannot use the key file {str(file)!r}: {why}.",
        cause="",
        do="Put the key into it, as its only line, without a space.",
    )

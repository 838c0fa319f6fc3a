"""Read an API key from a file; never writes the key or quotes it in an error."""

import stat
from pathlib import Path

from .errors import EngineError


def read_key(file: Path) -> str:
    """Read a file that contains one key and nothing else.

    Args:
        file: one line; whitespace around the key is ignored.

    Raises:
        EngineError: the file is missing, unreadable, accessible to other users, or contains no valid key.
    """
    try:
        mode = file.stat().st_mode
        if stat.S_ISFIFO(mode):  # For example a shell's <(...). The key is read more than once, also at each restart.
            raise _unusable(file, "it is a pipe, which can be read only once")
        text = file.read_text(encoding="ascii")
    except OSError as error:
        raise EngineError(
            f"Cannot read the key file {str(file)!r}.",
            cause=error.strerror or str(error),
            do="Give a file that contains the key and that you can read.",
        ) from error
    except UnicodeDecodeError:
        # "from None": the original error quotes the file's content.
        raise _unusable(file, "it contains characters that are not allowed in a key") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise EngineError(
            f"Cannot use the key file {str(file)!r}: other users on this machine can access it "
            f"(mode {stat.S_IMODE(mode):04o}).",
            cause="",
            do=f"Remove their access: chmod 600 {file}",
        )
    key = text.strip()
    if not key:
        raise _unusable(file, "it is empty")
    # The key is sent in an HTTP header, where whitespace or a control character would end it.
    if any(not "!" <= character <= "~" for character in key):
        raise _unusable(file, "it contains more than one word")
    return key


def _unusable(file: Path, why: str) -> EngineError:
    return EngineError(
        f"Cannot use the key file {str(file)!r}: {why}.",
        cause="",
        do="Write the key to it as the only line, without whitespace.",
    )

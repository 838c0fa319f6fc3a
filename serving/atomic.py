"""Write a file as a whole or not at all."""

import os
from pathlib import Path


def write_atomically(path: Path, text: str, *, mode: int | None = None) -> None:
    """Write the text to a temporary file beside `path` and rename it over `path`; create missing folders.

    Args:
        path: the file to create or replace.
        text: its whole content, written as UTF-8.
        mode: its permission bits. None means those of a new file.

    Raises:
        OSError: the file cannot be written; `path` is then unchanged.
        UnicodeEncodeError: the text holds a lone surrogate; `path` is then unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        if mode is not None:
            temporary.chmod(mode)
        temporary.replace(path)
    except (OSError, UnicodeEncodeError):
        temporary.unlink(missing_ok=True)
        raise

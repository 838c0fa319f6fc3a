"""Read the files that a task refers to; bounded, and through no symlink in the workspace that leads out of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from ..errors import ConfigError
from ..messages import Image
from ..sandbox.beneath import open_named, open_regular
from ..sandbox.inside import LeadsOut, find_inside

MAX_INPUT_BYTES = 256 * 1024
"""Size limit of each input file, prompt file, schema file and secret file."""
MAX_IMAGE_BYTES = 20_000_000


def read_text(path: Path, *, key: str, workspace: Path, may_lead_out: bool = False) -> str:
    """Read a text file that a key of the task refers to.

    Args:
        path: absolute.
        key: of the task, for the message.
        workspace: absolute path of the folder that runs of the task can change.
        may_lead_out: follow symlinks there that lead out of it; for a file whose content the model never gets.

    Raises:
        ConfigError: it cannot be read, is not UTF-8 text, or is too large.
    """
    try:
        with _opened(path, workspace, may_lead_out=may_lead_out) as file:
            content = file.read(MAX_INPUT_BYTES + 1)
        text = content.decode("utf-8-sig")
    except LeadsOut as error:
        raise ConfigError(_leads_out(path, key), key=key) from error
    except OSError as error:
        raise ConfigError(f"Cannot read {str(path)!r}: {error.strerror}. Check `{key}`.", key=key) from error
    except UnicodeDecodeError as error:
        msg = f"{str(path)!r} is not UTF-8 text. Give a text file; images belong under `inputs.images`."
        raise ConfigError(msg, key=key) from error
    if len(content) > MAX_INPUT_BYTES:
        msg = (
            f"{str(path)!r} is larger than {MAX_INPUT_BYTES} bytes, the limit for `{key}`. Use a smaller file; larger "
            "input belongs in the workspace, where the model can read it with a tool."
        )
        raise ConfigError(msg, key=key)
    return text


def read_image(path: Path, *, key: str, workspace: Path) -> Image:
    """Read an image that a key of the task refers to; see `read_text` for the arguments.

    Raises:
        ConfigError: it cannot be read, does not have the name of an image, or is too large.
    """
    try:
        with _opened(path, workspace) as file:
            size_bytes = os.fstat(file.fileno()).st_size
    except LeadsOut as error:
        raise ConfigError(_leads_out(path, key), key=key) from error
    except FileNotFoundError:
        size_bytes = 0  # reported below, after the name has been checked
    except OSError as error:
        raise ConfigError(f"Cannot read the image {str(path)!r}: {error.strerror}.", key=key) from error
    if size_bytes > MAX_IMAGE_BYTES:
        msg = f"The image {str(path)!r} is larger than {MAX_IMAGE_BYTES:,} bytes. Make a smaller copy of it."
        raise ConfigError(msg, key=key)
    try:
        return Image.from_file(path)
    except ConfigError as error:
        raise ConfigError(error.problem, key=key) from error


def _opened(path: Path, workspace: Path, *, may_lead_out: bool = False) -> BinaryIO:
    try:
        inside = find_inside(path, workspace)
    except LeadsOut:
        if not may_lead_out:
            raise
        inside = None
    return open_named(path) if inside is None else open_regular(workspace, inside)


def _leads_out(path: Path, key: str) -> str:
    return (
        f"Cannot read {str(path)!r}: a symlink in the workspace leads out of it, and a run may have made it. Remove "
        f"the symlink, or give the path of the file it leads to in `{key}`."
    )

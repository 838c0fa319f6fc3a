"""Read from a safetensors file's header which tensors it holds; loads none of them.

Format: https://huggingface.co/docs/safetensors, read 2026-11: the length of a JSON object in eight little-endian bytes,
the object, then the tensors' bytes at the offsets given in the object.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from os import SEEK_END
from pathlib import Path
from typing import Any

from ..errors import EngineError

# The format's limit; a larger number means that this is another kind of file.
_MAX_HEADER_BYTES = 100_000_000


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One tensor of a checkpoint."""

    name: str
    dtype: str
    """As in the header: `F8_E4M3`, `BF16`."""
    shape: tuple[int, ...]
    num_bytes: int


def read_tensors(files: Sequence[Path]) -> tuple[Tensor, ...]:
    """Read the headers of a checkpoint's files.

    Raises:
        EngineError: a file is not a safetensors file, or is incomplete.
    """
    return tuple(tensor for path in files for tensor in _tensors(path))


def _tensors(path: Path) -> list[Tensor]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, SEEK_END)
            file.seek(0)
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(_MAX_HEADER_BYTES, size - 8):
                raise _broken(path, f"it has {size:,} bytes, but it gives the header length as {length:,}")
            header: Any = json.loads(file.read(length))
        header.pop("__metadata__", None)
        found = [_tensor(name, entry) for name, entry in header.items()]
    except OSError as error:  # also a symlink of the client's cache whose target was deleted
        raise _broken(path, f"it cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _broken(path, f"its header is invalid ({type(error).__name__})") from error
    # According to the format, the offsets start at 0 and leave no gaps.
    expected = 8 + length + sum(tensor.num_bytes for tensor in found)
    if size < expected:
        raise _broken(path, f"it has {size:,} of {expected:,} bytes")
    return found


def _tensor(name: str, entry: dict[str, Any]) -> Tensor:
    start, end = entry["data_offsets"]
    shape = tuple(entry["shape"])
    if not all(isinstance(number, int) and number >= 0 for number in (start, end - start, *shape)):
        raise ValueError(name)
    return Tensor(name=name, dtype=str(entry["dtype"]), shape=shape, num_bytes=end - start)


def _broken(path: Path, cause: str) -> EngineError:
    return EngineError(
        f"{path} is not a complete safetensors file.",
        cause=cause + ".",
        do="Download it again; interrupted downloads and Git LFS pointers look like this.",
    )

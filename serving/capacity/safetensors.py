"""Read which tensors a safetensors file holds from its header; loads none of them.

Format: https://huggingface.co/docs/safetensors, read 2026-11: eight bytes, little-endian, the length of a JSON object;
the object; then the tensors' bytes at the offsets that the object names.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from os import SEEK_END
from pathlib import Path
from typing import Any

from ..errors import EngineError

# The format's own limit; a larger number is no length but some other file's first bytes.
_LONGEST_HEADER_BYTES = 100_000_000


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One tensor of a checkpoint."""

    name: str
    dtype: str
    """As the header says: `F8_E4M3`, `BF16`."""
    shape: tuple[int, ...]
    num_bytes: int


def read_tensors(files: Sequence[Path]) -> tuple[Tensor, ...]:
    """Read the headers of a checkpoint's files.

    Raises:
        EngineError: a file is no safetensors file, or not all of it is there.
    """
    return tuple(tensor for path in files for tensor in _tensors(path))


def _tensors(path: Path) -> list[Tensor]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, SEEK_END)
            file.seek(0)
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(_LONGEST_HEADER_BYTES, size - 8):
                raise _broken(path, f"it has {size:,} bytes, and its header should have {length:,}")
            header: Any = json.loads(file.read(length))
        header.pop("__metadata__", None)
        found = [_tensor(name, entry) for name, entry in header.items()]
    except OSError as error:  # a link of the client's cache whose content was deleted, too
        raise _broken(path, f"it cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _broken(path, f"its header cannot be read ({type(error).__name__})") from error
    # The offsets run from 0 on and leave no gaps: the format says so.
    whole = 8 + length + sum(tensor.num_bytes for tensor in found)
    if size < whole:
        raise _broken(path, f"it has {size:,} of {whole:,} bytes")
    return found


def _tensor(name: str, entry: dict[str, Any]) -> Tensor:
    start, end = entry["data_offsets"]
    shape = tuple(entry["shape"])
    if not all(isinstance(number, int) and number >= 0 for number in (start, end - start, *shape)):
        raise ValueError(name)
    return Tensor(name=name, dtype=str(entry["dtype"]), shape=shape, num_bytes=end - start)


def _broken(path: Path, cause: str) -> EngineError:
    return EngineError(
        f"{path} is not a whole safetensors file.",
        cause=cause + ".",
        do="Download it again; an interrupted download and a Git LFS pointer look like this.",
    )

"""Estimate how many tokens an image takes, by the pixels in the header of its file; pure, and decodes no image."""

from __future__ import annotations

import base64
import struct
from struct import unpack_from

from ..messages import Image

_PATCH = 28
"""Pixels of a token's side. Mistral Small 3.1: patches of 14, of which 2 x 2 are merged (params.json, read 2026-11)."""
_LARGEST = 1_540
"""Pixels of the longer side; a larger image is scaled down to it (as above)."""
_HEADER = 512 * 1024
"""Characters of base64 that are read: before the size, a JPEG may have a profile and a small copy of itself."""
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Kinds of the segments of a JPEG that hold its size."""


def image_tokens(image: Image) -> int:
    """Return the estimated tokens of an image: one per patch and one per row, or the most if its size is not read."""
    width, height = _pixels(image) or (_LARGEST, _LARGEST)
    scale = max(1.0, max(width, height) / _LARGEST)
    columns, rows = (max(1, -(-round(side / scale) // _PATCH)) for side in (width, height))
    return (columns + 1) * rows


def _pixels(image: Image) -> tuple[int, int] | None:
    """Return width and height. None for a header that is not known, or is broken."""
    try:
        data = base64.b64decode(image.data[:_HEADER])
        if data.startswith(b"\x89PNG\r\n"):
            return unpack_from(">II", data, 16)
        if data.startswith(b"GIF8"):
            return unpack_from("<HH", data, 6)
        if data.startswith(b"\xff\xd8"):
            return _jpeg_pixels(data)
        if data[8:12] == b"WEBP":
            return _webp_pixels(data)
    except (ValueError, IndexError, struct.error):
        pass
    return None


def _jpeg_pixels(data: bytes) -> tuple[int, int] | None:
    at = 2
    while data[at] == 0xFF:
        if data[at + 1] in _JPEG_SIZES:
            height, width = unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + unpack_from(">H", data, at + 2)[0]
    return None


def _webp_pixels(data: bytes) -> tuple[int, int] | None:
    match data[12:16]:
        case b"VP8X":
            return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
        case b"VP8L":
            bits = unpack_from("<I", data, 21)[0]
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            width, height = unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
        case _:
            return None

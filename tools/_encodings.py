"""Turn the bytes of a file into text and back, byte for byte; name what is no text. Pure, touches no file."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from agent import ToolError

# Binary files show a NUL early; git looks at the same length.
SNIFF_BYTES = 8_000
_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
# In one of the first two lines, as Python and editors read it: https://peps.python.org/pep-0263/.
_DECLARED = re.compile(rb"\A(?:.*\n)?.*?coding[:=][ \t]*([-\w.]+)")
# First bytes as file(1) knows them: https://github.com/file/file/tree/master/magic/Magdir.
_KINDS = (
    (b"\x7fELF", "an ELF program or library", "readelf -h"),
    (b"MZ", "a Windows program", "file"),
    (b"PK\x03\x04", "a zip archive (so is a wheel, jar or office document)", "unzip -l"),
    (b"\x1f\x8b", "gzip-compressed", "zcat"),
    (b"BZh", "bzip2-compressed", "bzcat"),
    (b"\xfd7zXZ\0", "xz-compressed", "xzcat"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed", "zstdcat"),
    (b"SQLite format 3\0", "an SQLite database", "sqlite3"),
    (b"%PDF-", "a PDF document", "pdftotext"),
    (b"\0asm", "a WebAssembly module", "wasm-objdump"),
    (b"\x93NUMPY", "a NumPy array", "python -c with numpy.load"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "h5ls"),
    (b"\xca\xfe\xba\xbe", "a Java class or a macOS program", "file"),
)


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """The text of a file, its byte-order mark and line endings as they are."""

    text: str
    encoding: str = "utf-8"
    """The codec that makes the same bytes of it again."""

    @property
    def note(self) -> str:
        """What is unusual about it, for whoever reads it; empty: nothing."""
        if self.encoding == "utf-8":
            return ""
        shown = "not UTF-8: each byte is shown as a Latin-1 character" if self.encoding == "latin-1" else self.encoding
        return f"[{shown}; edits keep it so]"


def is_binary(data: bytes) -> bool:
    """Say whether data looks like anything but text; a PDF file may begin with much of that."""
    marked = data.startswith(tuple(_MARKS)) and not data.startswith(codecs.BOM_UTF32_LE)
    return data.startswith(b"%PDF-") or (b"\0" in data[:SNIFF_BYTES] and not marked)


def decoded(data: bytes, shown: str) -> Decoded:
    """Return the text of a file: UTF-8, else what its mark or its first lines say, else Latin-1, which loses nothing.

    Raises:
        ToolError: it is binary; `shown` is the path to name.
    """
    if is_binary(data):
        kind, look = next(
            ((f", {kind}", look) for start, kind, look in _KINDS if data.startswith(start)), ("", "xxd | head")
        )
        msg = f'"{shown}" is a binary file{kind}, not text. Look at it with a command such as `{look}`.'
        raise ToolError(msg)
    marked = next((encoding for mark, encoding in _MARKS.items() if data.startswith(mark)), None)
    declared = _declared(data)
    # What is plain ASCII is as it is declared, for what will be added to it; what is UTF-8 beyond that is UTF-8.
    for encoding in (marked, declared if data.isascii() else "", "utf-8", declared):
        if encoding and (text := _text(data, encoding)) is not None:
            return Decoded(text=text, encoding=encoding)
    return Decoded(text=data.decode("latin-1"), encoding="latin-1")


def encoded(text: str, encoding: str, what: str) -> bytes:
    """Return the bytes of a text.

    Raises:
        ToolError: a character of it cannot be written so; `what` names the text.
    """
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        character = text[error.start]
        if "\ud800" <= character <= "\udfff":
            msg = f"{what} holds half a character (a lone surrogate) at position {error.start + 1}. Send it whole."
        else:
            msg = (
                f'{what} holds "{character}", which the encoding of the file, {encoding}, does not have. Write it '
                "without, or write the whole file anew with write_file, which writes UTF-8."
            )
        raise ToolError(msg) from error


def _declared(data: bytes) -> str:
    """Return the encoding that the first lines name; empty: none, or none that ASCII text looks the same in."""
    found = _DECLARED.match(data)
    if found is None or b"escape" in found[1]:  # Python's own, for what stands between quotes
        return ""
    ascii_text = bytes(range(128))
    try:
        encoding = codecs.lookup(found[1].decode()).name
        return encoding if ascii_text.decode(encoding) == ascii_text.decode() else ""
    except (LookupError, ValueError):
        return ""


def _text(data: bytes, encoding: str) -> str | None:
    """Decode data. None: it is not in this encoding, or would not become the same bytes again."""
    try:
        text = data.decode(encoding)
        return text if text.encode(encoding) == data else None
    except (LookupError, ValueError):  # an unknown name; no text
        return None

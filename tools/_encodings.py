"""Decode the bytes of a file and encode them again without losing one; refuse binary data. Pure, touches no file."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from agent import ToolError

# Binary files contain a NUL early; git checks the same length.
SNIFF_BYTES = 8_000
_BOM = "\ufeff"
_BOMS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
# In one of the first two lines, where Python and editors look for it: https://peps.python.org/pep-0263/.
_DECLARED = re.compile(rb"\A(?:.*\n)?.*?coding[:=][ \t]*([-\w.]+)")
# First bytes, as in file(1): https://github.com/file/file/tree/master/magic/Magdir.
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
    """The text of a file, with its byte-order mark and line endings unchanged."""

    text: str
    encoding: str = "utf-8"
    """The codec that encodes the text to the same bytes again."""

    @property
    def note(self) -> str:
        """A note on an encoding other than UTF-8; empty for UTF-8."""
        if self.encoding == "utf-8":
            return ""
        shown = "not UTF-8: each byte is shown as a Latin-1 character" if self.encoding == "latin-1" else self.encoding
        return f"[{shown}; edits keep it so]"


def is_binary(data: bytes) -> bool:
    """Return whether data is binary; a PDF file is, even if it begins with a lot of text."""
    has_bom = data.startswith(tuple(_BOMS)) and not data.startswith(codecs.BOM_UTF32_LE)
    return data.startswith(b"%PDF-") or (b"\0" in data[:SNIFF_BYTES] and not has_bom)


def decode(data: bytes, path: str) -> Decoded:
    """Decode a file: by its byte-order mark, else as UTF-8, else as its first lines declare, else as Latin-1.

    Latin-1 loses no byte. `path` names the file in the message.

    Raises:
        ToolError: the data is binary.
    """
    if is_binary(data):
        kind, command = next(
            ((f", {kind}", command) for start, kind, command in _KINDS if data.startswith(start)), ("", "xxd | head")
        )
        msg = f'"{path}" is a binary file{kind}, not text. Look at it with a command such as `{command}`.'
        raise ToolError(msg)
    from_bom = next((encoding for bom, encoding in _BOMS.items() if data.startswith(bom)), None)
    declared = _declared_encoding(data)
    # Plain ASCII takes the declared encoding, which later edits then use; anything else that is valid UTF-8 is UTF-8.
    for encoding in (from_bom, declared if data.isascii() else "", "utf-8", declared):
        if encoding and (text := _decode_exactly(data, encoding)) is not None:
            return Decoded(text=text, encoding=encoding)
    return Decoded(text=data.decode("latin-1"), encoding="latin-1")


def encode(text: str, encoding: str, what: str) -> bytes:
    """Encode a text; `what` names it in the message.

    Raises:
        ToolError: a character cannot be encoded.
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


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """The bytes of a text that replaces another."""

    data: bytes
    note: str
    """What was kept of the old file, to be appended to a sentence; empty if nothing is unusual."""


def encode_like(text: str, old: bytes, path: str) -> Encoded:
    r"""Encode the new text of a whole file, with the line ends, byte-order mark and encoding of the old one.

    A text with a \r keeps its own line ends, and one that declares an encoding is encoded so. What the encoding of the
    file does not have makes it UTF-8.

    Args:
        text: the new text; its errors are those of `content`.
        old: the old content; empty if there is none.
        path: names the file in messages.

    Raises:
        ToolError: the text holds half a character.
    """
    plain = encode(text, "utf-8", "content")
    if not old or is_binary(old):
        return Encoded(data=plain, note="")
    before, kept = decode(old, path), list[str]()
    if before.text.startswith(_BOM) and not text.startswith(_BOM):
        text, kept = f"{_BOM}{text}", ["byte-order mark"]
    if only_crlf(before.text) and "\n" in text and "\r" not in text:
        text, kept = text.replace("\n", "\r\n"), [*kept, "line ends (\\r\\n)"]
    encoding = before.encoding
    if encoding == _declared_encoding(old):  # then the new text has to declare it too
        encoding = _declared_encoding(plain) or "utf-8"
    try:
        data, lost = text.encode(encoding), ""
    except UnicodeEncodeError:
        data, lost = text.encode(), f", as UTF-8; it was {'not' if encoding == 'latin-1' else encoding} before"
    if data != text.encode():
        kept.append(f"encoding ({encoding})")
    former = f", with its former {' and '.join(kept)}" if kept else ""
    return Encoded(data=data, note=former + _other_ends(text, before.text) + lost)


def _other_ends(text: str, before: str) -> str:
    r"""Return a note on a text whose lines end in \n, where those before ended otherwise; empty if they did not."""
    if "\n" not in text or "\r" in text or "\r" not in before:
        return ""
    were = "mixed" if "\n" in before else "\\r"
    return f", with line ends \\n; they were {were} before"


def only_crlf(text: str) -> bool:
    r"""Return whether every newline of a text is \r\n, and there is one."""
    return "\r\n" in text and text.count("\n") == text.count("\r\n")


def _declared_encoding(data: bytes) -> str:
    """Return the encoding that the first lines declare; empty if there is none or it is not a superset of ASCII."""
    found = _DECLARED.match(data)
    if found is None or b"escape" in found[1]:  # unicode_escape and its kind are for Python string literals
        return ""
    ascii_text = bytes(range(128))
    try:
        encoding = codecs.lookup(found[1].decode()).name
        return encoding if ascii_text.decode(encoding) == ascii_text.decode() else ""
    except (LookupError, ValueError):
        return ""


def _decode_exactly(data: bytes, encoding: str) -> str | None:
    """Decode data. None means that it is not in this encoding, or would not encode to the same bytes again."""
    try:
        text = data.decode(encoding)
        return text if text.encode(encoding) == data else None
    except (LookupError, ValueError):  # an unknown codec, or one that does not decode to text
        return None

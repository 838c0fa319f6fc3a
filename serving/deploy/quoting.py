"""Quote text for shells, YAML and systemd so that it is read back unchanged; refuses control characters."""

import json
from collections.abc import Iterable

from ..errors import EngineError


def refuse_unprintable(texts: Iterable[str]) -> None:
    """Check that no text contains a line break or another unprintable character.

    Raises:
        EngineError: a text contains one.
    """
    for text in texts:
        if not text.isprintable():
            raise EngineError(
                f"Cannot write {text!r} to a file for another program: it contains unprintable characters.",
                cause="",
                do="Rename the file or folder, or give another name.",
            )


def yaml_text(text: str) -> str:
    """Quote printable text for YAML, where a JSON string is valid."""
    return json.dumps(text, ensure_ascii=False)


def dollars_doubled(text: str) -> str:
    """Escape `$` so that Docker Compose and Kubernetes do not expand variables.

    Source: compose-spec, 12-interpolation.md; Kubernetes, third_party/forked/golang/expansion. Read 2026-11.
    """
    return text.replace("$", "$$")


def systemd_word(text: str) -> str:
    r"""Quote one argument of an ExecStart= line.

    Source: systemd.service(5), command lines: `%` begins a specifier, `$` a variable, `\` an escape sequence.
    """
    return f'"{systemd_value(text)}"'.replace("$", "$$")


def systemd_value(text: str) -> str:
    """Escape text between double quotes in a setting without variable expansion, such as Environment=."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")


def comment(text: str, *, indent: str = "") -> str:
    """Format a comment line; all formats here use `#`."""
    # A trailing backslash would continue the line in a shell or a unit.
    return f"{indent}# {' '.join(text.split())}".rstrip("\\")

"""Write a text so that a shell, YAML or systemd reads back exactly that text; refuses what no line can hold."""

import json
from collections.abc import Iterable

from ..errors import EngineError


def refuse_unprintable(texts: Iterable[str]) -> None:
    """Let no text with a line break or another control character into a file that is made of lines.

    Raises:
        EngineError: one has such a character.
    """
    for text in texts:
        if not text.isprintable():
            raise EngineError(
                f"Cannot write {text!r} into a file for another program: it has characters that do not print.",
                cause="",
                do="Rename the file or folder, or give another name.",
            )


def yaml_text(text: str) -> str:
    """Quote a printable text for YAML, of which a JSON string is one way to write it."""
    return json.dumps(text, ensure_ascii=False)


def dollars_doubled(text: str) -> str:
    """Keep Docker Compose and Kubernetes from putting a variable's value in place of a `$`.

    Source: compose-spec, 12-interpolation.md; Kubernetes, third_party/forked/golang/expansion. Read 2026-11.
    """
    return text.replace("$", "$$")


def systemd_word(text: str) -> str:
    r"""Quote one argument of an ExecStart= line.

    Source: systemd.service(5), command lines: `%` begins a specifier, `$` a variable, `\` an escape.
    """
    return f'"{systemd_value(text)}"'.replace("$", "$$")


def systemd_value(text: str) -> str:
    """Escape what stands between double quotes in a setting that replaces no variables, such as Environment=."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")


def comment(text: str, *, indent: str = "") -> str:
    """Write a comment line, for all the formats here begin it with `#`."""
    # A backslash at the end would continue the line in a shell or a unit.
    return f"{indent}# {' '.join(text.split())}".rstrip("\\")

"""Format an engine's command as bash that can be pasted, each flag with its reason; runs nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from serving.engines.command import EngineCommand, Variable

_ALIGNED_CHARS = 56
"""Comments are aligned after lines up to this length; after a longer line the comment follows directly."""


def render(command: EngineCommand, *, python: Path | None = None) -> str:
    """Format the command as bash.

    A subshell limits the variables to the engine. The flags are in an array, because a continued line cannot have a
    comment. A key is read when the command runs, by `export`: it is a shell builtin, so no process gets the key as an
    argument.

    Args:
        command: what starts the engine.
        python: the interpreter that has the engine. None means that the engine's program is on the PATH.
    """
    program = command.program if python is None else (str(python), *command.module)
    variables = [_Line(_assignment(variable), variable.reason) for variable in command.environment]
    flags = [_Line(shlex.join(flag.words), flag.reason) for flag in command.flags]
    return "\n".join(
        [
            # On one line: text after a line break in a name would run as a command.
            " ".join(f"# {command.model} at {command.base_url}".split()),
            "(",
            *_commented(variables, indent="  "),
            "  flags=(",
            *_commented(flags, indent="    "),
            "  )",
            f'  {shlex.join(program)} "${{flags[@]}}"',
            ")",
        ]
    )


class _Line(NamedTuple):
    code: str
    reason: str


def _assignment(variable: Variable) -> str:
    if variable.secret_file is None:
        return f"export {variable.name}={shlex.quote(variable.value)}"
    # Without the second part, a missing file would start a server that requires no key.
    file = shlex.quote(str(variable.secret_file))
    return f'export {variable.name}="$(cat {file})"; : "${{{variable.name}:?its file holds no key}}"'


def _commented(lines: Iterable[_Line], *, indent: str) -> list[str]:
    rows = list(lines)
    width = max((len(row.code) for row in rows if len(row.code) <= _ALIGNED_CHARS), default=0)
    return [f"{indent}{row.code:<{width}}  # {row.reason}" for row in rows]

"""Show an engine's command as bash that can be pasted as it stands, each flag with its reason; run nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from serving.engines.command import EngineCommand, Variable

_WIDEST = 56
"""Characters up to which the comments stand below each other; a longer line has its own place for it."""


def render(command: EngineCommand, *, python: Path | None = None) -> str:
    """Write the command as bash.

    A subshell keeps the variables to the engine. The flags stand in an array, because no comment can follow a line that
    is continued. A key is read where the command runs: by `export`, which is no process and so has no argument list.

    Args:
        command: what starts the engine.
        python: the interpreter that has the engine. None: the engine's own program is on the PATH.
    """
    program = command.program if python is None else (str(python), *command.module)
    variables = [_Line(_assignment(variable), variable.reason) for variable in command.environment]
    flags = [_Line(shlex.join(flag.words), flag.reason) for flag in command.flags]
    return "\n".join(
        [
            # One line: what follows a line break in a name would be a command.
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
    # Without the second part a missing file would start a server that asks nobody for a key.
    file = shlex.quote(str(variable.secret_file))
    return f'export {variable.name}="$(cat {file})"; : "${{{variable.name}:?its file holds no key}}"'


def _commented(lines: Iterable[_Line], *, indent: str) -> list[str]:
    rows = list(lines)
    width = max((len(row.code) for row in rows if len(row.code) <= _WIDEST), default=0)
    return [f"{indent}{row.code:<{width}}  # {row.reason}" for row in rows]

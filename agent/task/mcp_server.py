"""Define an MCP server of a task, and what its files are; starts none."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import ConfigDict

from ..choices import check_choice
from ..errors import ConfigError
from ..keywords import checked_keywords
from ..policy.limits import check_positive
from ..sandbox import Launch, Sandbox, Shared
from ..sandbox.command_sources import command_sources
from ..sandbox.environments import implied_environments
from ..sandbox.pinned import Pinned
from ..sandbox.python_words import named_by
from ..sandbox.reach import runs_code_in
from .parts import CONFIG


@checked_keywords()
@dataclass(frozen=True, kw_only=True)
class McpServer:
    """An MCP (Model Context Protocol) server whose tools the run may call.

    Attributes:
        command: Program and arguments of a server to start for the run, in the task file's folder.
        url: URL of a server that is already running (Streamable HTTP); give this or `command`.
        env: Environment variables for `command`, in addition to a few such as PATH and HOME.
        tools: Use only these tools, in this order; all of them by default.
        timeout_s: Timeout of each call in seconds.
        sandbox: `auto`: in the sandbox of commands if the run can change code that `command` runs, else outside of it.
            `none`: always outside, with all that you can do; once something that it loads has changed, it is not used.
    """

    __pydantic_config__: ClassVar[ConfigDict] = CONFIG

    command: tuple[str, ...] = ()
    url: str = ""
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    tools: tuple[str, ...] = ()
    timeout_s: float = 60.0
    sandbox: Literal["auto", "none"] = "auto"

    def __post_init__(self) -> None:
        for name in ("command", "tools"):
            if isinstance(given := getattr(self, name), str):  # else each letter would be an argument
                words = tuple(shlex.split(given)) if given.count('"') % 2 == given.count("'") % 2 == 0 else (given,)
                msg = f"`mcp.{name}` is {given!r}, a single text. Write {name}={words!r}."
                raise ConfigError(msg, key="mcp")
        if bool(self.command) == bool(self.url):
            msg = "An MCP server needs either `command` (a list) or `url`, not both. Give one."
            raise ConfigError(msg, key="mcp")
        check_positive(self.timeout_s, key="mcp.timeout_s")
        check_choice(self.sandbox, ("auto", "none"), key="mcp.sandbox")

    def runs_code_in(self, folders: Sequence[Path], directory: Path) -> bool:
        """Return whether what lies in one of the folders decides what code `command` runs; true if in doubt.

        Args:
            folders: absolute.
            directory: absolute path of the folder that the command runs in.
        """
        return bool(self.command) and runs_code_in(folders, self.command, directory, self.env)

    def launch(
        self, sandbox: Sandbox, *, workspace: Path, directory: Path, env: Mapping[str, str],
        shared: Shared | None = None,
    ) -> AbstractContextManager[Launch]:  # fmt: skip
        """Prepare `command` to run in the sandbox of commands, where it sees its program and the files that it names.

        Of what lies beside these it sees nothing, except that of a program in a `bin`: this folder, with its libraries.

        Args:
            sandbox: of the commands.
            workspace: absolute; what commands may change.
            directory: absolute path of the folder that the command runs in; start it there.
            env: what it gets besides its own variables.
            shared: what the commands of the run share.
        """
        variables = {**env, **self.env}
        words = [value for word in self.command[1:] for value in named_by(word) if value]
        environments = implied_environments(self.command, directory, self.env)
        files = [path for value in words if (path := directory / value).is_file()]
        programs = [path for path in files if os.access(path, os.X_OK)]
        if "/" in self.command[0] and (path := directory / self.command[0]).exists():
            programs.insert(0, path)
        # What is on the PATH can be seen, with the libraries and interpreters that belong to it. A script may lie in a
        # home, of which the server sees that script only.
        folders = [path.parent for path in programs if _holds_programs(path.parent)]
        folders = dict.fromkeys([*folders, *(path for place in environments if (path := place / "bin").is_dir())])
        variables["PATH"] = os.pathsep.join([variables.get("PATH", os.defpath), *map(str, folders)])
        named = [part for name in self.env if name.endswith("PATH") for part in self.env[name].split(os.pathsep)]
        read = [path for path in (*programs, *files) if path.parent not in folders]
        read += [path for part in named if part and (path := directory / part).exists()]
        return sandbox.launch(
            self.command, workspace=workspace, env=variables, read=read, shared=shared, folder=directory
        )

    def pinned(self, directory: Path, writable: Sequence[Path]) -> Pinned:
        """Return what `command` loads as it is now, to notice a change, or a new module that hides another.

        Args:
            directory: absolute path of the folder that the command runs in.
            writable: folders that commands of a run may change; what lies elsewhere is not looked at.
        """
        return Pinned(command_sources(self.command, directory, writable, self.env), directory, writable)


def _holds_programs(folder: Path) -> bool:
    """Return whether a folder holds programs by its name, and no home lies there."""
    home = Path.home()
    return folder.name in {"bin", "sbin"} and not any(
        path.is_relative_to(place) for path in (home, home.resolve()) for place in (folder, folder.resolve())
    )

"""Define an MCP server of a task, and what its files are; starts none."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict

from ..errors import ConfigError
from ..keywords import checked_keywords
from ..policy.limits import check_positive
from ..sandbox.pinned import Pinned
from ..sandbox.sources import command_sources
from .parts import CONFIG


@checked_keywords()
@dataclass(frozen=True, kw_only=True)
class McpServer:
    """An MCP (Model Context Protocol) server whose tools the run may call. It is not sandboxed.

    Attributes:
        command: Program and arguments of a server to start for the run, in the task file's folder.
        url: URL of a server that is already running (Streamable HTTP); give this or `command`.
        env: Environment variables for `command`, in addition to a few such as PATH and HOME.
        tools: Use only these tools, in this order; all of them by default.
        timeout_s: Timeout of each call in seconds.
    """

    __pydantic_config__: ClassVar[ConfigDict] = CONFIG

    command: tuple[str, ...] = ()
    url: str = ""
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    tools: tuple[str, ...] = ()
    timeout_s: float = 60.0

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

    def pinned(self, directory: Path, writable: Sequence[Path]) -> Pinned:
        """Return what `command` loads as it is now, to notice a change, or a new module that hides another.

        Args:
            directory: absolute path of the folder that the command runs in.
            writable: folders that commands of a run may change; what lies elsewhere is not looked at.
        """
        return Pinned(command_sources(self.command, directory, writable, self.env), directory, writable)

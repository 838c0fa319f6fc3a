"""The context that a tool gets besides its arguments: workspace, caller's state, shared objects, commands."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, cast

from typing_extensions import TypeVar

from ..errors import ToolError
from ..keywords import checked_keywords, unknown_attribute
from ..sandbox import Launch, Sandbox, Shared, private_folder
from ..sandbox.process import CommandResult, Output, Process, start_process
from ..sandbox.programs import find_program, interpreter
from .not_started import check_started, not_started
from .redaction import redacted, secrets_in
from .resources import Resources, RunningCommands
from .shorten import DEFAULT_OUTPUT_CHARS

DepsT = TypeVar("DepsT", default=None)

WHOLE_HEAD_BYTES = 30_000_000
WHOLE_TAIL_BYTES = 20_000_000
"""How much is kept of the output of a command that runs to completion."""
_SHOWN_CHARS = 120


_ATTRIBUTES: Mapping[str, str] = MappingProxyType(
    {
        "context": "The object given as `deps` is `context.deps`.",
        "usage": "What the run used is `outcome.usage`.",
        "messages": "A tool gets no messages: what it needs is an argument, or in `context.deps`.",
        "prompt": "A tool gets no messages: what it needs is an argument, or in `context.deps`.",
        "retry": "A call does not know how often it was tried: raise ToolError, and the model may try again.",
    }
)
"""Attributes that people know from other libraries, and for each what to write here."""


@checked_keywords(renamed={"state": "deps"})
@dataclass(frozen=True, kw_only=True)
class ToolContext(Generic[DepsT]):
    """What a tool can use besides its arguments; a parameter with this annotation is hidden from the model.

    Attributes:
        workspace: The folder the run works in; absolute, exists.
        deps: The object given as `Agent(..., deps=...)`.
        env: The complete environment of the commands that a tool starts.
        resources: Objects that tools share between calls; closed when the run ends.
        sandbox: The sandbox for the commands that a tool starts.
        secrets: Values by name that are hidden from the model and the journal, besides those in `env` with secret-like
            names.
        snapshot: Copy of the workspace from the start of the run, for `changes_since`. None means there is none.
        no_snapshot: Why there is no snapshot. Empty if none was wanted: no tool changes files, or the folder was not
            named.
        model_family: Name of the model's profile, for a tool that words its results for a family.
        output_limit_chars: Longest result of this call that is not cut, for a tool that returns as much as has room and
            says how to go on. Smaller in a small context window.
        parent: The run that the tool was called by, for a tool that runs an agent of its own. None outside of a run.
        shared: The /tmp and the network that the commands of a run share. None means that each command has its own.
    """

    workspace: Path
    deps: DepsT = field(default=cast("DepsT", None))
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    resources: Resources = field(default_factory=Resources)
    sandbox: Sandbox = field(default_factory=Sandbox)
    secrets: Mapping[str, str] = field(default_factory=dict[str, str])
    snapshot: Path | None = None
    no_snapshot: str = ""
    model_family: str = "generic"
    output_limit_chars: int = DEFAULT_OUTPUT_CHARS
    parent: object = field(default=None, repr=False)
    shared: Shared | None = None

    if not TYPE_CHECKING:  # a type checker would accept every name

        def __getattr__(self, name: str) -> object:
            raise unknown_attribute(self, name, _ATTRIBUTES)

    @property
    def state(self) -> DepsT:
        """Return `deps`; deprecated alias, in this release only."""
        warnings.warn(
            "ToolContext.state is now ToolContext.deps; the old name works in this release only. Rename it.",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.deps

    @property
    def kept(self) -> Resources:
        """Return `resources`; deprecated alias, in this release only."""
        warnings.warn(
            "ToolContext.kept is now ToolContext.resources; the old name works in this release only. Rename it.",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.resources

    def redacted(self, text: str) -> str:
        """Replace each secret in a text with `[secret NAME]`; applied to everything that a tool returns."""
        return redacted(text, self._all_secrets)

    @cached_property
    def _all_secrets(self) -> Mapping[str, str]:
        return {**self.secrets, **secrets_in(self.env)}

    async def run(
        self, argv: Sequence[str], *, timeout_s: float, env: Mapping[str, str] | None = None,
        read: Sequence[Path] = (), write: Sequence[Path] = (),
    ) -> CommandResult:  # fmt: skip
        """Run a command to completion, sandboxed, in the workspace; its background processes end with it.

        The tool must be declared `@tool(commands=True)`. Cancellation kills the command too.

        Args:
            argv: the command and its arguments; not interpreted by a shell.
            timeout_s: seconds after which the command is killed.
            env: its complete environment. None means the run's environment.
            read: absolute; files and folders outside the workspace that it may read.
            write: absolute; files and folders outside the workspace that it may change.

        Raises:
            ToolError: the command could not be started.
        """
        output = Output(head_bytes=WHOLE_HEAD_BYTES, tail_bytes=WHOLE_TAIL_BYTES)
        process = await self._start(argv, env=env, read=read, write=write, output=output)
        result = await process.finish(timeout_s)
        check_started(result, argv, self.env if env is None else env)
        return result

    async def start(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, read: Sequence[Path] = (),
        write: Sequence[Path] = (),
    ) -> Process:  # fmt: skip
        """Start a long-running command, such as a server, sandboxed, in the workspace; takes the arguments of `run`.

        It is killed before the workspace is restored, and at the end of the run. Under bubblewrap, later commands reach
        its ports on localhost.

        Raises:
            ToolError: the command could not be started.
        """
        if self.shared is not None:
            self.shared.connect()
        return await self._start(argv, env=env, read=read, write=write, output=Output())

    def track(self, what: str, *, is_running: Callable[[], bool], stop: Callable[[], Awaitable[object]]) -> None:
        """Register something to stop before the workspace is restored and at the end of the run, as `start` does.

        For a program that a tool starts from a `Launch` and that outlives the call.

        Args:
            what: what it is, as the model is told that it was stopped.
            is_running: whether it has not ended.
            stop: ends it and all that it started; may be called more than once.
        """
        self.resources.get(RunningCommands).add(what, is_running=is_running, stop=stop)

    def running_commands(self) -> tuple[str, ...]:
        """Return the commands that have not ended and may change files of the workspace at any moment.

        They are those of the run, of the one that called it, and of agents that these have as tools.
        """
        return (*self.resources.get(RunningCommands).running(), *self.resources.running_elsewhere())

    async def _start(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None, read: Sequence[Path], write: Sequence[Path],
        output: Output,
    ) -> Process:  # fmt: skip
        if any("\0" in word for word in argv):
            msg = "The command holds a NUL character, which no command can. Send it without."
            raise ToolError(msg)
        try:
            with self.launch(argv, env=env, read=read, write=write) as launch:
                process = await start_process(launch, folder=self.workspace, output=output)
        except OSError as error:
            raise not_started(error, argv, self.env if env is None else env) from error
        self.track(f"`{_shown(argv)}`", is_running=lambda: process.is_running, stop=process.kill)
        return process

    def launch(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, read: Sequence[Path] = (),
        write: Sequence[Path] = (),
    ) -> AbstractContextManager[Launch]:  # fmt: skip
        """Prepare a command that runs sandboxed in the workspace; start the returned `Launch` inside this context.

        Args:
            argv: the command and its arguments.
            env: its complete environment. None means the run's environment.
            read: absolute; files and folders outside the workspace that it may read.
            write: absolute; files and folders outside the workspace that it may change.
        """
        environment = self.env if env is None else env
        return self.sandbox.launch(
            argv, workspace=self.workspace, env=environment, read=read, write=write, shared=self.shared
        )

    def find_program(self, name: str) -> str | None:
        """Return the path of a program that a tool itself starts, outside the sandbox. None if there is none.

        It is never one that commands may change: one in the workspace, such as in its `.venv/bin`, is skipped.

        Raises:
            OSError: the program was replaced while this process was running.
        """
        return find_program(name, untrusted=self.sandbox.untrusted(self.workspace))

    def interpreter(self) -> str:
        """Return the path of the Python of this process, for a helper started outside the sandbox with `-I -S`.

        Raises:
            OSError: it lies in a folder that commands may change.
        """
        return interpreter(untrusted=self.sandbox.untrusted(self.workspace))

    def private_folder(self) -> AbstractContextManager[Path]:
        """Create a folder for a tool's own files; it is removed at the end of the context.

        A command reaches it only if it is passed as `read` or `write`. Pass no folder in the machine's /tmp, where
        `tempfile` makes them: a command that reaches one does not have the /tmp of the run.
        """
        return private_folder() if self.shared is None else self.shared.private_folder()


def _shown(argv: Sequence[str]) -> str:
    """Return a command for a sentence: without the shell that runs it, and in one short line."""
    line = " ".join((argv[-1] if argv[1:2] == ("-c",) else " ".join(argv)).split())
    return line if len(line) <= _SHOWN_CHARS else f"{line[:_SHOWN_CHARS]}..."

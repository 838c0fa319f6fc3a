"""What a tool may know beyond its arguments: the workspace, the caller's state, how to start commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from ..sandbox import Launch, Sandbox
from .redaction import redacted, secrets_in
from .resources import Kept

StateT = TypeVar("StateT")


@dataclass(frozen=True, kw_only=True)
class ToolContext(Generic[StateT]):
    """What a tool may know beyond its arguments; a parameter with this annotation is hidden from the model."""

    workspace: Path
    """The folder the run works in; absolute, exists."""
    state: StateT
    """The object given as `Agent(..., state=...)`."""
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    """Environment for the commands that a tool starts; the whole of it."""
    kept: Kept = field(default_factory=Kept)
    """What tools remember from call to call; its end is that of the run."""
    sandbox: Sandbox = field(default_factory=Sandbox)
    """What isolates the commands that a tool starts."""
    secrets: Mapping[str, str] = field(default_factory=dict[str, str])
    """Values, by name, that the model and the journal do not get, beside those of `env` that are named like secrets."""

    def redacted(self, text: str) -> str:
        """Return a text with `[secret NAME]` in the place of each secret; what a tool returns goes through it."""
        return redacted(text, {**self.secrets, **secrets_in(self.env)})

    def launch(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, read: Sequence[Path] = (),
        write: Sequence[Path] = (),
    ) -> AbstractContextManager[Launch]:  # fmt: skip
        """Prepare a command that runs isolated in the workspace; start what it gives inside this context.

        Args:
            argv: the command and its arguments.
            env: its whole environment. None: that of the run.
            read: absolute; files and folders outside the workspace that it needs.
            write: the same, to change.
        """
        environment = self.env if env is None else env
        return self.sandbox.launch(argv, workspace=self.workspace, env=environment, read=read, write=write)

"""How a run's work is verified, as the user sets it; the loop runs the command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict

from ..errors import ConfigError
from ..keywords import checked_keywords
from .limits import check_positive


@checked_keywords()
@dataclass(frozen=True, kw_only=True)
class Verify:
    """The command that decides whether the task is done.

    Attributes:
        command: Run by /bin/sh in the workspace; exit code 0 means verified.
        timeout_s: Seconds.
        attempts: How often the model may submit its work; after each failure but the last it reads what `show` allows.
        show: What the model reads of a failure: the whole output; only the counts and the names of failing tests, so
            that expected values of hidden tests stay hidden; or only that it failed.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    command: str
    timeout_s: float = 300.0
    attempts: int = 3
    show: Literal["all", "summary", "nothing"] = "all"

    def __post_init__(self) -> None:
        if not self.command.strip():
            msg = "`verify.command` is empty. Give a shell command, such as: pytest -q"
            raise ConfigError(msg, key="verify.command")
        check_positive(self.timeout_s, key="verify.timeout_s")
        check_positive(self.attempts, key="verify.attempts")

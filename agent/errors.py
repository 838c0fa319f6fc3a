"""The errors of the library, each with its whole text; ToolError stands apart, because the model reads it.

AgentError
├── ConfigError            the caller's mistake, before the first request: file, line, key
├── EndpointError          the server's answer or its absence
│   ├── EndpointUnreachable
│   ├── EndpointTimeout
│   ├── EndpointRejected
│   └── EndpointUnreadable
└── RunFailed              from outcome.raise_for_status()

ToolError                  raised by tool authors, shown to the model
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class AgentError(Exception):
    """Base of everything this library raises on purpose."""


class ConfigError(AgentError):
    """Raised for a wrong task file, tool definition, tool reference or setting, before anything is sent."""

    def __init__(
        self, problem: str, *, path: Path | None = None, line: int | None = None, key: str | None = None
    ) -> None:
        self.problem = problem
        self.path = path
        """The file that holds the mistake. None: it was made in Python or on the command line."""
        self.line = line
        """Line of the mistake, from 1. None: unknown."""
        self.key = key
        """Dotted key of the mistake in that file, such as `budgets.steps`. None: the file as a whole."""
        place = "" if path is None else f"{path}:{line}: " if line is not None else f"{path}: "
        super().__init__(f"{place}{problem}")


class EndpointError(AgentError):
    """Base of the errors of talking to the model server."""

    def __init__(self, problem: str, *, url: str) -> None:
        self.problem = problem
        self.url = url
        super().__init__(problem)


class EndpointUnreachable(EndpointError):
    """Raised when no connection to the server could be made or kept."""

    def __init__(self, reason: str, *, url: str) -> None:
        self.reason = reason
        super().__init__(
            f"No answer from {url}: {reason}. Is the server up? Check the address, or start one with `agent serve`.",
            url=url,
        )


class EndpointTimeout(EndpointError):
    """Raised when the server accepted a request and then fell silent for too long."""

    def __init__(self, *, url: str, waited_s: float, phase: str) -> None:
        self.waited_s = waited_s
        self.phase = phase
        """`the first byte` or `the next part of the reply`."""
        super().__init__(
            f"{url} sent nothing for {waited_s:g} s while we waited for {phase}. The engine may be overloaded "
            "or stuck: look at its log and its /metrics.",
            url=url,
        )


class EndpointRejected(EndpointError):
    """Raised when the server answered with an HTTP error status."""

    def __init__(self, reason: str, *, url: str, status: int, retry_after_s: float | None = None) -> None:
        self.reason = reason
        """The server's own sentence, cut to one line; never the whole body."""
        self.status = status
        self.retry_after_s = retry_after_s
        """What the Retry-After header asked for, in seconds. None: the header was absent or unreadable."""
        super().__init__(f"{url} refused the request with HTTP {status}: {reason}", url=url)


class EndpointUnreadable(EndpointError):
    """Raised when the server answered 200 with something that is not a chat completion."""

    def __init__(self, reason: str, *, url: str) -> None:
        self.reason = reason
        super().__init__(
            f"{url} answered, but not as an OpenAI-compatible server does: {reason}. Is this the address of one, "
            "and does it end in /v1?",
            url=url,
        )


class RunFailed(AgentError):
    """Raised by `Outcome.raise_for_status()` for every outcome but `verified` and `finished`."""

    def __init__(self, status: str, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(f"The run ended as {status!r}: {reason}")


class ToolError(Exception):
    """Raised by a tool for a failure that the model should see and can react to; its text is what the model reads."""

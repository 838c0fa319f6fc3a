"""Define the library's errors with their texts; ToolError is separate, because the model reads its text.

AgentError
├── ConfigError            the caller's mistake, before the first request: file, line, key
├── EndpointError          the model server failed or did not answer
│   ├── EndpointUnreachable
│   ├── EndpointTimeout
│   ├── EndpointRejected
│   └── EndpointUnreadable
└── RunFailed              from outcome.raise_for_status()

ToolError                  raised by tools, shown to the model
└── NoAnswer
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .names import on_its_line

if TYPE_CHECKING:
    from pathlib import Path


class AgentError(Exception):
    """Base class of the errors that this library raises."""


class ConfigError(AgentError):
    """Raised for an invalid task file, tool definition, tool reference or setting, before anything is sent."""

    def __init__(
        self, problem: str, *, path: Path | None = None, line: int | None = None, key: str | None = None
    ) -> None:
        self.problem = problem
        self.path = path
        """The file with the mistake. None means the mistake is in Python code or on the command line."""
        self.line = line
        """Line of the mistake, from 1. None means unknown."""
        self.key = key
        """Dotted key of the mistake in the file, such as `limits.steps`. None means the whole file."""
        name = "" if path is None else on_its_line(str(path))
        place = f"{name}:{line}: " if name and line is not None else f"{name}: " if name else ""
        super().__init__(f"{place}{problem}")


class EndpointError(AgentError):
    """Base class of the errors of the connection to the model server."""

    def __init__(self, problem: str, *, url: str) -> None:
        self.problem = problem
        self.url = url
        super().__init__(problem)


class EndpointUnreachable(EndpointError):
    """Raised when a connection to the server could not be opened or was lost."""

    def __init__(self, reason: str, *, url: str, advice: str = "") -> None:
        self.reason = reason
        advice = advice or "Is the server up? Check the address, or start one with `agent serve`."
        super().__init__(f"No answer from {url}: {reason}. {advice}", url=url)


class EndpointTimeout(EndpointError):
    """Raised when the server accepted a request and then sent nothing for too long."""

    def __init__(self, *, url: str, waited_s: float, phase: str) -> None:
        self.waited_s = waited_s
        self.phase = phase
        """`the first byte` or `the next part of the reply`."""
        super().__init__(
            f"{url} timed out after {waited_s:g} s without {phase}. The engine may be overloaded or stuck: check its "
            "log and /metrics.",
            url=url,
        )


class EndpointRejected(EndpointError):
    """Raised when the server answered with an HTTP error status."""

    def __init__(
        self,
        reason: str,
        *,
        url: str,
        status: int,
        retry_after_s: float | None = None,
        code: str = "",
        advice: str = "",
        is_final: bool = False,
    ) -> None:
        self.reason = reason
        """The server's own sentence, on one line; never the whole body. Empty if it sent none."""
        self.status = status
        self.retry_after_s = retry_after_s
        """Value of the Retry-After header in seconds. None means the header was missing or invalid."""
        self.code = code
        """The server's code and type of the error, such as `context_length_exceeded`. Empty if it sent none."""
        self.is_final = is_final
        """True if the same request cannot succeed later, whatever the status says."""
        said = reason or "it gave no reason"
        end = "" if not advice else " " if said.endswith((".", "!", "?")) else ". "
        super().__init__(f"{url} refused the request with HTTP {status}: {said}{end}{advice}", url=url)


class EndpointUnreadable(EndpointError):
    """Raised when the server answered with HTTP 200, but not with a chat completion."""

    def __init__(self, reason: str, *, url: str, empty_stream: bool = False) -> None:
        self.reason = reason
        self.empty_stream = empty_stream
        """True if a stream was promised that then contained no part of a reply; a whole reply may still work."""
        end = "" if "/v1/" in url else ", and that it ends in /v1"
        super().__init__(
            f"{url} did not answer like an OpenAI-compatible server: {reason}. Check that this is the address of such "
            f"a server{end}.",
            url=url,
        )


class RunFailed(AgentError):
    """Raised by `Outcome.raise_for_status()` for every outcome except `verified` and `finished`."""

    def __init__(self, status: str, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(f"The run ended as {status!r}: {reason}")


class ToolError(Exception):
    """Raised by a tool for a failure that the model can react to; the model reads its text."""


class NoAnswer(ToolError):
    """Raised by a tool that sent something and got no answer, so that its effect is unknown.

    The model reads the first line of the text, that the call may have taken effect, and then the other lines.
    """

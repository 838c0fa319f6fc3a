"""Tell an error that a server answered with from a call that was sent and has no answer; sends nothing."""

from __future__ import annotations

# How the package mcp (2.3) begins the errors that it makes itself when a call was sent and no answer of the server
# arrived: the connection or the reply stream ended, a deadline of its own, or an answer that cannot be read, such as
# that of a proxy. Codes do not tell: servers use -32000 for errors of their own.
_NOT_OF_THE_SERVER = (
    "Connection closed",
    "Failed to parse ",
    "Request 'tools/call' timed out",
    "SSE stream ",
    "Server returned an error response",
    "Unexpected content type",
    "server answered a request with 202",
)


_ASKS = {
    "Elicitation not supported": "it asks a person for input, and no person can be asked in a run",
    "Sampling not supported": "it asks for an answer of the model itself, which a run does not give to servers",
    "List roots not supported": "it asks for the client's folders, which a run does not tell",
}
"""What the client itself answers to a server's questions, and what that means."""


def rejection(error: Exception) -> str:
    """Return why the server rejected a call, if it answered with this error; empty if its answer is unknown."""
    from mcp import MCPError

    if not isinstance(error, MCPError) or error.message.startswith(_NOT_OF_THE_SERVER):
        return ""
    return _ASKS.get(error.message) or error.message or f"error {error.code}"


def is_forgotten(error: Exception) -> bool:
    """Return whether the server no longer knows the session, such as after its restart, and so did nothing."""
    from mcp import MCPError

    return isinstance(error, MCPError) and error.message == "Session terminated"

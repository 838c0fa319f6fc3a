"""What an MCP server is given is redacted wherever the task has it: environment, URL or command."""

from __future__ import annotations

import pytest

from agent import McpServer
from agent.tooling.redaction import redacted, secrets_in
from tools._server_settings import named_settings

KEY = "canary-71b2c9d0"


@pytest.mark.parametrize(
    "server",
    [
        McpServer(command=("npx", "server"), env={"API_TOKEN": KEY}),
        McpServer(command=("npx", "server", "--api-key", KEY)),
        McpServer(command=("npx", "server", f"--access-token={KEY}", "--verbose")),
        McpServer(command=("env", f"TOKEN={KEY}", "server")),
        McpServer(url=f"https://host/mcp?api_key={KEY}&x=1"),
        McpServer(url=f"https://me:{KEY}@host/mcp"),
    ],
)
def test_a_secret_of_a_server_is_found_in_every_setting(server: McpServer):
    """A key in the URL or the command of a server stood in its error, which the model and the journal got."""
    secrets = secrets_in(named_settings(server))
    assert KEY not in redacted(f"({' '.join(server.command) or server.url}) did not start: {KEY}", secrets)


def test_other_settings_are_no_secrets():
    server = McpServer(command=("npx", "-y", "@scope/server", "--root", "/home/me/project", "--max-tokens", "10000000"))
    assert secrets_in(named_settings(server)) == {}
    assert secrets_in(named_settings(McpServer(url="https://host/mcp?version=20250101"))) == {}

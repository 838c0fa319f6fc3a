"""Tools of an MCP server for an agent. Run: python examples/07_mcp.py SERVER_PROGRAM [URL]. Needs the extra `mcp`."""

import sys

from agent import Agent, ConfigError, McpServer


def main(program: str, url: str = "http://127.0.0.1:8000/v1") -> int:
    """Add a note and list all notes; return an exit code."""
    try:
        agent = Agent(
            url,
            # Every tool's name begins with `notes_`. Give `url=` for a server that runs already.
            mcp={"notes": McpServer(command=(sys.executable, program), timeout_s=20)},
        )
        outcome = agent.run_sync("Add a note that says: buy bread. Then list all notes.")
    except ConfigError as error:  # the server does not start, or one of its tools cannot be used
        print(error)
        return 2
    print(f"{outcome.status}: {outcome.answer}")
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

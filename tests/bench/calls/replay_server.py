"""An MCP server over standard input that lists the tools of a file and runs none of them: FILE as its only argument."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Answer `initialize`, `tools/list` and `ping`; refuse everything else."""
    tools = json.loads(Path(sys.argv[1]).read_text())
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            answer = {"jsonrpc": "2.0", "id": message["id"], **_answer(message, tools)}
            print(json.dumps(answer), flush=True)


def _answer(message: dict[str, Any], tools: object) -> dict[str, Any]:
    if message["method"] == "initialize":
        return {
            "result": {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "replay", "version": "1"},
            }
        }
    if message["method"] == "tools/list":
        return {"result": {"tools": tools}}
    if message["method"] == "ping":
        return {"result": {}}
    return {"error": {"code": -32601, "message": f"{message['method']} is not supported"}}


if __name__ == "__main__":
    main()

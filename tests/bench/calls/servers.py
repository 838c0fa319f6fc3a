"""Install pinned MCP servers, ask each for its tools once, and keep the definitions in the user's cache."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from calls.downloads import cache
from calls.values import Json

_ANSWER_S = 60.0
_NO_KEY = "not-a-key"


@dataclass(frozen=True, kw_only=True)
class Server:
    """One server; it is started without network, and with a made-up key where it asks for one."""

    key: str
    package: str
    version: str
    registry: Literal["npm", "PyPI"] = "npm"
    arguments: tuple[str, ...] = ()
    """`{folder}` is an empty folder."""
    environ: Mapping[str, str] = field(default_factory=dict[str, str])
    also: tuple[str, ...] = ()
    """Other requirements, where the newest of its own do not work."""
    program: str | None = None
    """Name of its command. None means the only one of the package."""

    @property
    def folder_name(self) -> str:
        return f"{self.package.removeprefix('@').replace('/', '-')}-{self.version}"


_OFFICIAL = "@modelcontextprotocol/server-"
SERVERS = (
    Server(key="playwright", package="@playwright/mcp", version="0.0.83"),
    Server(key="firecrawl", package="firecrawl-mcp", version="3.26.0", environ={"FIRECRAWL_API_KEY": _NO_KEY}),
    Server(key="mongodb", package="mongodb-mcp-server", version="3.0.4"),
    Server(
        key="notion",
        package="@notionhq/notion-mcp-server",
        version="2.5.2",
        environ={"NOTION_TOKEN": _NO_KEY},
    ),
    Server(key="filesystem", package=f"{_OFFICIAL}filesystem", version="2026.8.31", arguments=("{folder}",)),
    Server(key="memory", package=f"{_OFFICIAL}memory", version="2026.8.31"),
    Server(key="thinking", package=f"{_OFFICIAL}sequential-thinking", version="2026.8.31"),
    Server(key="everything", package=f"{_OFFICIAL}everything", version="2026.8.31"),
    Server(
        key="github",
        package=f"{_OFFICIAL}github",
        version="2025.4.8",
        environ={"GITHUB_PERSONAL_ACCESS_TOKEN": _NO_KEY},
    ),
    Server(key="kubernetes", package="mcp-server-kubernetes", version="4.1.7"),
    Server(key="chrome", package="chrome-devtools-mcp", version="1.11.0", program="chrome-devtools-mcp"),
    Server(key="context7", package="@upstash/context7-mcp", version="4.1.1"),
    Server(key="tavily", package="tavily-mcp", version="0.2.22", environ={"TAVILY_API_KEY": _NO_KEY}),
    Server(key="exa", package="exa-mcp-server", version="3.4.1", environ={"EXA_API_KEY": _NO_KEY}),
    Server(key="chart", package="@antv/mcp-server-chart", version="0.9.10"),
    Server(key="commander", package="@wonderwhy-er/desktop-commander", version="0.2.52"),
    Server(key="puppeteer", package=f"{_OFFICIAL}puppeteer", version="2025.5.12"),
    Server(
        key="gitlab",
        package=f"{_OFFICIAL}gitlab",
        version="2025.4.25",
        environ={"GITLAB_PERSONAL_ACCESS_TOKEN": _NO_KEY},
    ),
    Server(
        key="slack",
        package=f"{_OFFICIAL}slack",
        version="2025.4.25",
        environ={"SLACK_BOT_TOKEN": _NO_KEY, "SLACK_TEAM_ID": "T0"},
    ),
    Server(
        key="figma",
        package="figma-developer-mcp",
        version="0.13.2",
        arguments=("--stdio", f"--figma-api-key={_NO_KEY}"),
    ),
    Server(key="time", package="mcp-server-time", version="2026.10.19", registry="PyPI"),
    Server(key="fetch", package="mcp-server-fetch", version="2026.10.24", registry="PyPI"),
    Server(key="git", package="mcp-server-git", version="2026.10.19", registry="PyPI"),
    Server(
        key="sqlite",
        package="mcp-server-sqlite",
        version="2025.4.25",
        registry="PyPI",
        arguments=("--db-path", "{folder}/x.db"),
        also=("mcp<2",),
    ),
)


class NotStarted(Exception):
    """Raised when a server cannot be installed or does not answer."""


def definitions(server: Server) -> Path:
    """Return the file of the server's tools as it lists them; installs and starts it if the cache has none.

    Raises:
        NotStarted: it cannot be installed, or it does not list its tools.
    """
    path = cache() / "definitions" / f"{server.folder_name}.json"
    if not path.exists():
        tools = asyncio.run(_list(_command(server), server))
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(tools, ensure_ascii=False, indent=1))
    return path


def _command(server: Server) -> list[str]:
    folder = cache() / "servers" / server.folder_name
    if not (folder / "installed").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _install(server, folder)
        (folder / "installed").touch()
    if server.registry == "PyPI":
        return [str(folder / "venv/bin" / (server.program or server.package))]
    package = folder / "node_modules" / server.package
    programs = json.loads((package / "package.json").read_text())["bin"]
    program = programs if isinstance(programs, str) else programs[server.program or next(iter(programs))]
    return ["node", str(package / program)]


def _install(server: Server, folder: Path) -> None:
    """Install without running the package's scripts, which would fetch browsers and the like."""
    if server.registry == "npm":
        if shutil.which("npm") is None:
            raise NotStarted("npm is not installed")
        commands = [
            ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder),
             f"{server.package}@{server.version}"]
        ]  # fmt: skip
    else:
        pip = [str(folder / "venv/bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        commands = [
            [sys.executable, "-m", "venv", str(folder / "venv")],
            [*pip, f"{server.package}=={server.version}", *server.also],
        ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotStarted(f"{' '.join(command)}: {(done.stdout + done.stderr).strip()[-300:]}")


async def _list(command: list[str], server: Server) -> list[Json]:
    """Return the tools byte for byte as the server lists them: a client library would refuse some of their schemas."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, tempfile.TemporaryFile("w+") as stderr:
        process = await asyncio.create_subprocess_exec(
            *command,
            *(argument.format(folder=folder) for argument in server.arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": folder, **server.environ},
            limit=2**24,
        )
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await _pages(process)
        except (TimeoutError, ValueError, OSError) as error:
            stderr.seek(0)
            raise NotStarted(f"{error!r}: {stderr.read().strip()[-300:]}") from error
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _pages(process: asyncio.subprocess.Process) -> list[Json]:
    client = {"name": "bench", "version": "1"}
    await _ask(process, 0, "initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client})
    await _send(process, {"method": "notifications/initialized"})
    tools: list[Json] = []
    cursor: dict[str, str] = {}
    for number in range(1, 50):
        page = await _ask(process, number, "tools/list", cursor)
        tools += page["tools"]
        if not page.get("nextCursor"):
            break
        cursor = {"cursor": page["nextCursor"]}
    return tools


async def _send(process: asyncio.subprocess.Process, message: Json) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
    await process.stdin.drain()


async def _ask(process: asyncio.subprocess.Process, number: int, method: str, parameters: Json) -> Json:
    assert process.stdout is not None
    await _send(process, {"id": number, "method": method, "params": parameters})
    while line := await process.stdout.readline():
        if not line.startswith(b"{"):
            continue
        message = json.loads(line)
        if message.get("id") == number and "method" not in message:
            if "error" in message:
                raise ValueError(message["error"])
            return message["result"]
    raise ValueError("it ended without an answer")

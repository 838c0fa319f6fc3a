"""List the tools of real MCP servers through tools/mcp.py, and compile what is sent of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from calls import replay_server
from calls.grammars import BACK_ENDS, Compiled, compile_all
from calls.servers import SERVERS, NotStarted, Server, definitions
from calls.values import Json

from agent import ConfigError, McpServer, Tool
from agent.tooling.toolbox import Toolbox
from tools.mcp import mcp_tools


@dataclass
class Found:
    """What became of one server's tools."""

    server: Server
    listed: int = 0
    made: list[Tool] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Messages."""
    whole: str = ""
    """The message, if the server as a whole was refused."""
    sent: list[Json] = field(default_factory=list)
    """The definitions of the tools as a request carries them."""
    compiled: list[Compiled] = field(default_factory=list)


def run_servers() -> list[Found]:
    """Return what becomes of every server that can be installed and started."""
    found: list[Found] = []
    for server in SERVERS:
        try:
            path = definitions(server)
        except NotStarted as error:
            print(f"{server.key} {server.version} is left out: {error}", file=sys.stderr)
            continue
        found.append(_through(server, path))
    schemas = [strict_schema(one) for each in found for one in each.sent]
    compiled = iter(compile_all([one for one in schemas if one is not None]))
    for each in found:
        each.compiled = [next(compiled) for one in each.sent if strict_schema(one) is not None]
    return found


def strict_schema(definition: Json) -> Json | None:
    """Return the schema that the engine compiles; None if the tool is sent loose."""
    function = definition["function"]
    return function["parameters"] if function.get("strict") else None


def _through(server: Server, path: Path) -> Found:
    offered = json.loads(path.read_text())
    found = Found(server=server, listed=len(offered))
    try:
        found.made = list(_list(server, path, ()))
    except ConfigError as error:
        found.whole = str(error)
        for one in offered:
            try:
                found.made += _list(server, path, (one["name"],))
            except ConfigError as alone:
                found.refused.append(str(alone))
    if not found.whole and len(found.made) < len(offered):
        made = {tool.name for tool in found.made}
        found.refused += [one["name"] for one in offered if not any(one["name"] in name for name in made)]
    found.sent = json.loads(Toolbox(found.made).definitions)
    return found


def _list(server: Server, path: Path, names: Sequence[str]) -> Iterable[Tool]:
    command = (sys.executable, str(Path(replay_server.__file__)), str(path))
    return mcp_tools({server.key: McpServer(command=command, tools=tuple(names))}, path.parent)


def print_servers(found: Sequence[Found]) -> None:
    """Print a row for each server, then what was refused, noted or does not compile."""
    print(f"## MCP servers ({len(found)}: {sum(one.server.registry == 'npm' for one in found)} npm, "
          f"{sum(one.server.registry == 'PyPI' for one in found)} PyPI)\n")  # fmt: skip
    heads = ("server", "version", "tools", "made", "refused", "with notes", "kB sent", "loose", *BACK_ENDS)
    print(f"| {' | '.join(heads)} |\n|---|---|{'---:|' * (len(heads) - 2)}")
    rows = [_row(one) for one in found]
    for one, row in zip(found, rows, strict=True):
        cells = [f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in row]
        print(f"| {one.server.key} | {one.server.version} | {' | '.join(cells)} |")
    sums = [sum(row[column] for row in rows) for column in range(len(rows[0]))]
    print(f"| all | | {' | '.join(f'{cell:.1f}' if isinstance(cell, float) else str(cell) for cell in sums)} |")
    print(f"\n{' and '.join(BACK_ENDS)}: schemas sent as strict that this back-end does not compile.\n")
    for line in dict.fromkeys(line for one in found for line in _told(one)):
        print(f"- {line}")


def _told(one: Found) -> Iterator[str]:
    """Yield what was refused, noted or does not compile, a line each."""
    for message in (one.whole, *one.refused):
        if message:
            yield f"{one.server.key}: refused: {_line(message)}"
    for tool in one.made:
        for note in getattr(tool, "notes", ()):
            yield f"{tool.name}: note: {note}"
    strict = [definition for definition in one.sent if strict_schema(definition) is not None]
    for definition, compiled in zip(strict, one.compiled, strict=True):
        for back_end, reason in compiled.items():
            if reason:
                yield f"{definition['function']['name']}: {back_end}: {_line(reason)}"


def _line(text: str) -> str:
    return " ".join(text.split())[:300]


def _row(found: Found) -> list[int | float]:
    failing = [sum(bool(one.get(back_end)) for one in found.compiled) for back_end in BACK_ENDS]
    size = len(json.dumps(found.sent, ensure_ascii=False, separators=(",", ":")).encode()) / 1000
    noted = sum(bool(getattr(tool, "notes", ())) for tool in found.made)
    loose = sum(strict_schema(one) is None for one in found.sent)
    return [found.listed, len(found.made), found.listed - len(found.made), noted, size, loose, *failing]

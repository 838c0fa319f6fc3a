"""Make tools of what MCP servers offer: unique names, and a note for each tool that cannot be used; calls nothing."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from agent import ConfigError, Tool

_MAX_NAME_CHARS = 64
_ILLEGAL_IN_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_LARGE_BYTES = 30_000  # the definitions of 19 real servers took 1.1 to 76.8 kB
_BYTES_PER_TOKEN = 4  # English text and code take 3 to 4 bytes per token with the tekken tokenizer


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """One tool that a server offers."""

    server: str
    """The server's name in the task."""
    tool: str
    """The tool's name at the server."""
    is_named: bool
    """True if the task names this tool, so that it cannot be left out."""
    make: Callable[[str], Tool]
    """Makes the tool under a name; raises ConfigError for a schema that cannot be used."""


def make_tools(
    offers: Sequence[Offer], *, taken: Iterable[str] = (), notes: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> tuple[Tool, ...]:
    """Make every tool that can be used; the first tool of a server carries the notes about it and its other tools.

    Args:
        offers: in the order of the tools.
        taken: names that none of the tools may have.
        notes: about each server, by its name.

    Raises:
        ConfigError: a tool that the task names cannot be used, or none of a server's tools can.
    """
    names = unique_names([(offer.server, offer.tool) for offer in offers], taken=taken)
    made: dict[str, list[Tool]] = {}
    left_out: dict[str, list[str]] = {}
    for offer, name in zip(offers, names, strict=True):
        tools = made.setdefault(offer.server, [])
        try:
            tools.append(_with_name_note(offer.make(name), offer))
        except ConfigError as error:
            problem = error.problem.removeprefix(f"Tool {name!r}: ").replace("`parameters`", "its `inputSchema`", 1)
            reason = f"the tool {offer.tool!r} cannot be used: {problem.rstrip('.')}"
            if offer.is_named:
                key = f"mcp.{offer.server}.tools"
                msg = f"MCP server `{offer.server}`: {reason}. Remove {offer.tool!r} from `{key}`."
                raise ConfigError(msg, key=key) from error
            left_out.setdefault(offer.server, []).append(reason)
    return tuple(
        tool
        for server, tools in made.items()
        for tool in _noted(server, tools, left_out.get(server, []), notes.get(server, ()))
    )


def unique_names(wanted: Sequence[tuple[str, str]], *, taken: Iterable[str] = ()) -> list[str]:
    """Return a legal name for each pair of server and tool; one that is not alone gets a suffix made of the pair.

    The suffix depends on the pair only, so a tool keeps its name when others come and go. Of tools that collide, the
    first whose own name is legal and short enough keeps it.
    """
    plain = [_legal(server, tool)[:_MAX_NAME_CHARS] for server, tool in wanted]
    used = set(taken)
    counts = Counter([*plain, *used])
    names: list[str] = []
    for (server, tool), name in zip(wanted, plain, strict=True):
        is_exact = name == f"{server}_{tool}" and name not in used
        if counts[name] > 1 and not is_exact:
            name = _suffixed(name, server, tool, used)
        used.add(name)
        names.append(name)
    return names


def _legal(server: str, tool: str) -> str:
    return _ILLEGAL_IN_NAME.sub("_", f"{server}_{tool}")


def _suffixed(name: str, server: str, tool: str, used: set[str]) -> str:
    digest = hashlib.sha256(f"{server}\0{tool}".encode()).hexdigest()
    for length in range(4, len(digest)):
        suffixed = f"{name[: _MAX_NAME_CHARS - length - 1]}_{digest[:length]}"
        if suffixed not in used:
            return suffixed
    return name  # the same tool twice, which the toolbox refuses


def _with_name_note(tool: Tool, offer: Offer) -> Tool:
    if tool.name == _legal(offer.server, offer.tool)[:_MAX_NAME_CHARS]:
        return tool
    note = f"mcp.{offer.server}: its tool {offer.tool!r} is called {tool.name}, since another tool has its name"
    return replace(tool, notes=(*tool.notes, note))


def _noted(server: str, tools: list[Tool], left_out: list[str], notes_on_it: Sequence[str]) -> Iterable[Tool]:
    if not tools:
        msg = f"MCP server `{server}`: none of its tools can be used; {left_out[0]}. Remove `mcp.{server}`."
        raise ConfigError(msg, key=f"mcp.{server}")
    way_out = f"`mcp.{server}.tools` can list those that the task needs"
    notes = [f"mcp.{server}: {note}" for note in notes_on_it]
    notes += [f"mcp.{server}: {reason}; it is left out ({way_out})" for reason in left_out]
    size = sum(len(json.dumps(tool.definition(), ensure_ascii=False, separators=(",", ":")).encode()) for tool in tools)
    if size > _LARGE_BYTES:
        notes.append(
            f"mcp.{server}: the definitions of its {len(tools)} tools take {size / 1000:.0f} kB of every prompt, about "
            f"{round(size / _BYTES_PER_TOKEN, -3):,.0f} tokens; {way_out}"
        )
    first, *others = tools
    return [replace(first, notes=(*notes, *first.notes)), *others]

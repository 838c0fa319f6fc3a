"""Name the settings of an MCP server, wherever a task has them, so that those that are secrets are redacted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, urlsplit

from agent import McpServer


def named_settings(server: McpServer) -> Mapping[str, str]:
    """Return its environment, its URL with the parameters in that, and the options of its command, by their names."""
    found = dict(_options(server.command[1:]))
    if server.url:
        found |= {"URL": server.url, **dict(parse_qsl(urlsplit(server.url).query))}
    return found | dict(server.env)


def _options(words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield `--name=value` and `--name value`; for a name without a value, the word after it, which harms nothing."""
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        if not name.startswith("-"):
            if equals:  # `env TOKEN=...`
                yield name, value
            continue
        if not equals:
            value = words[at + 1] if at + 1 < len(words) else ""
        yield name.lstrip("-").replace("-", "_"), value

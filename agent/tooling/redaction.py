"""Redact secret values, wherever they occur, from text for the model, the journal or a report."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from typing import cast

from ..messages import Reply
from .secret_forms import Named, encoded_forms, long_values, plain_forms, spread, without_parts
from .secret_names import is_long_enough, is_secret, is_secret_name
from .secret_shapes import in_place_of, mark_of, without_shapes

_PAIR = re.compile(
    r"""\s*(?:export\s+)?["']?(?P<name>[A-Za-z_][\w.-]*)["']?\s*[:=]"""
    r"""(?:\s*(?P<mark>["'])(?P<quoted>.*?)(?P=mark)|(?P<bare>(?!=).+?))\s*(?:,|\s\#.*)?$"""
)
"""A name and a value, optionally followed by a comment; does not match a line of a key that ends in = or ==."""
_MARK = re.compile(r"\[secret ([^\]\n]+)\]")
_MIN_CHARS = 8
"""Redacting shorter values would remove ordinary words from every text."""


def secrets_in(env: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment variables that are secrets, by their name, a password in a URL, or the form of a token."""
    return dict(_secrets_among(tuple(env.items())))


@lru_cache(maxsize=16)  # asked for each text that is journaled; this takes 0.1 ms for 30 variables
def _secrets_among(variables: Named) -> Named:
    return tuple((name, value) for name, value in variables if is_secret(name, value))


def secrets_of_file(text: str, name: str) -> dict[str, str]:
    """Return the values in a file by name: those of JSON and YAML, the text after a name, or whole lines.

    Args:
        text: `NAME=value` as in .env, JSON, YAML or INI, or lines such as those of a key.
        name: the file's name; used for values without a name.
    """
    named: list[tuple[str, str]] = []
    for line in text.splitlines():
        pair = _PAIR.match(line)
        if pair or not line.lstrip().startswith("#"):
            named.append((pair["name"], pair["quoted"] or pair["bare"]) if pair else (name, line))
    named += _leaves(text, name)
    labels: dict[str, str] = {}
    found: dict[str, str] = {}
    for label, value in ((label, value.strip()) for label, value in named):
        if _is_worth(label, value) and value not in labels:
            labels[value] = label if label not in found else f"{label} {len(found) + 1}"
            found[labels[value]] = value
    return found


def _is_worth(label: str, value: str) -> bool:
    """Return whether a value of a file can be a secret: a short one, such as `python3`, only by its name."""
    return len(value) >= _MIN_CHARS or (is_secret_name(label) and is_long_enough(value))


def _leaves(text: str, name: str) -> list[tuple[str, str]]:
    """Return the lines of each value in JSON or YAML with the nearest name above it; empty if the text is neither."""
    import yaml

    try:
        whole: object = yaml.BaseLoader(text).get_single_data()  # loads no types: numbers stay as written
    except (yaml.YAMLError, RecursionError):
        return []
    found: list[tuple[str, str]] = []
    waiting: list[tuple[str, object]] = [(name, whole)] if isinstance(whole, dict | list) else []
    seen: set[int] = set()  # YAML aliases can repeat a part so often that visiting each copy never ends
    while waiting:
        label, part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, dict):
            waiting += [(str(key), value) for key, value in cast("dict[object, object]", part).items()]
        elif isinstance(part, list):
            waiting += [(label, value) for value in cast("list[object]", part)]
        elif isinstance(part, str):
            found += [(label, line) for line in part.splitlines()]
    return found


def redacted(text: str, secrets: Mapping[str, str]) -> str:
    """Replace each value in the text with `[secret NAME]`, and each long line of one; longest first, as they nest.

    Values are also found as JSON, URLs, base64 and hexadecimal digits write them, backwards, with whitespace in
    between, and in parts of at least a third where the text was cut. What has the form of a secret, such as a private
    key, is replaced without being named. The text keeps its number of lines. Any other transformation hides a value:
    this is a net for accidents, not a wall.
    """
    named = tuple(secrets.items())
    return without_shapes(_without_values(text, named) if named else text)


def _without_values(text: str, named: Named) -> str:
    for name, form in plain_forms(named).perhaps_in(text):
        if form in text:
            text = text.replace(form, in_place_of(form, name))
    squeezed = "".join(text.split())
    for name, form in encoded_forms(named).perhaps_in(squeezed):
        if form in squeezed:
            text = spread(form).sub(partial(_in_place, name), text)
    for name, value in long_values(named).perhaps_in(text):
        text = without_parts(text, value, mark_of(name))
    return text


def _in_place(name: str, found: re.Match[str]) -> str:
    return in_place_of(found[0], name)


def filled(text: str, secrets: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return a redacted text with its secrets in it again, and the names of those that are not known."""
    names = _MARK.findall(text)
    known = {mark_of(name): value for name, value in secrets.items()}
    return _MARK.sub(lambda found: known.get(found[0], found[0]), text), [
        name for name in names if mark_of(name) not in known
    ]


def redacted_reply(reply: Reply, redact: Callable[[str], str]) -> Reply:
    """Return a reply without secrets in text and reasoning; the arguments of its calls stay, as they are executed."""
    content, reasoning = redact(reply.content), redact(reply.reasoning)
    return (
        reply
        if (content, reasoning) == (reply.content, reply.reasoning)
        else replace(reply, content=content, reasoning=reasoning)
    )


def with_secrets_in(envs: Iterable[Mapping[str, str]], secrets: Mapping[str, str]) -> Mapping[str, str]:
    """Return the secrets together with those in environments, such as those of MCP servers."""
    return {**{name: value for env in envs for name, value in secrets_in(env).items()}, **secrets}

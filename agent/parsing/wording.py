"""Word parts of what a model is told about a bad call: values, places, schemas, an example; decides nothing."""

from __future__ import annotations

import json

from pydantic import JsonValue

from ..tooling.arguments import Issue
from ..tooling.tool import Tool
from .schema_lookup import allowed_names, excerpt, least_example

SENT_CHARS = 200
"""Longer values are cut to this many characters of their JSON text."""


def issue_words(issue: Issue, tool: Tool) -> str:
    """Name the field, what was sent and what is expected, as a clause."""
    if issue.problem == "missing":
        return f"{issue.place} is required and missing"
    sent = shown(issue.sent)
    if issue.problem == "extra":
        names = allowed_names(tool.parameters, issue.path[:-1], like=str(issue.path[-1]))
        return f"{issue.place} is not a parameter, got {sent}; allowed: {', '.join(names) or 'none'}"
    return f"{issue.place} must be {issue.expected}, got {sent}"


def schema_words(issue: Issue, tool: Tool) -> str:
    """Add the schema of the field, at most 400 characters; nothing for a field that should not be there."""
    schema = "" if issue.problem == "extra" else excerpt(tool.parameters, issue.path)
    return f" (schema: {schema})" if schema else ""


def example_arguments(tool: Tool) -> str:
    """Return the least arguments that the tool accepts, as JSON; empty when none can be built from the schema alone."""
    text = json.dumps(least_example(tool.parameters), ensure_ascii=False)
    return "" if not text.startswith("{") or isinstance(tool.arguments.check(text), tuple) else text


def shown(value: JsonValue) -> str:
    """Return the value as JSON, cut to about 200 characters."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SENT_CHARS else f"{text[:SENT_CHARS]}… ({len(text)} characters)"


def quoted(text: str) -> str:
    """Return the text in double quotes, escaped as in JSON, cut to about 200 characters."""
    cut = text if len(text) <= SENT_CHARS else f"{text[:SENT_CHARS]}…"
    return json.dumps(
        cut.encode(errors="replace").decode(), ensure_ascii=False
    )  # half a surrogate pair breaks requests

"""Format parts of the feedback about an invalid call: values, issues, schemas, an example; decides nothing."""

from __future__ import annotations

import json

from pydantic import JsonValue

from ..tooling.arguments import Issue
from ..tooling.numbers import dumps
from ..tooling.tool import Tool
from .schema_lookup import allowed_names, excerpt, minimal_example

SENT_CHARS = 200
"""Longer values are cut to this many characters of their JSON text."""


def describe_issue(issue: Issue, tool: Tool) -> str:
    """Return a clause with the field, what was sent and what is expected."""
    if issue.problem == "missing":
        return f"{issue.place} is required and missing"
    sent = json_excerpt(issue.sent)
    if issue.problem == "extra":
        names = allowed_names(tool.parameters, issue.path[:-1], like=str(issue.path[-1]))
        return f"{issue.place} is not a parameter, got {sent}; allowed: {', '.join(names) or 'none'}"
    return f"{issue.place} must be {issue.expected}, got {sent}"


def schema_note(issue: Issue, tool: Tool) -> str:
    """Return the schema of the field, at most 400 characters; empty for a field that should not exist."""
    schema = "" if issue.problem == "extra" else excerpt(tool.parameters, issue.path)
    return f" (schema: {schema})" if schema else ""


def example_arguments(tool: Tool) -> str:
    """Return the smallest arguments that the tool accepts, as JSON; empty if the schema alone does not yield any."""
    text = json.dumps(minimal_example(tool.parameters), ensure_ascii=False)
    return "" if not text.startswith("{") or isinstance(tool.arguments.check(text), tuple) else text


def json_excerpt(value: JsonValue) -> str:
    """Return the value as JSON, cut to about 200 characters."""
    text = dumps(value)
    return text if len(text) <= SENT_CHARS else f"{text[:SENT_CHARS]}… ({len(text)} characters)"


def quoted(text: str) -> str:
    """Return the text in double quotes, escaped as in JSON, cut to about 200 characters."""
    cut = text if len(text) <= SENT_CHARS else f"{text[:SENT_CHARS]}…"
    # A lone surrogate in a request breaks it.
    return json.dumps(cut.encode(errors="replace").decode(), ensure_ascii=False)

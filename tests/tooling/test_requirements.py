"""A run whose tools need packages that are not installed is refused before it starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent import ConfigError, Tool, tool
from agent.task.tool_loading import load_all_tools, load_tools
from agent.tooling.requirements import check_requirements
from agent.tooling.toolbox import Toolbox

PARSER, DEBUGGER = {"no_such_parser": "mine[code]"}, {"no_such_debugger": "mine[code]"}
MY_TOOL = """\
from agent import tool


@tool(requires={"no_such_parser": "mine"})
def look(name: str) -> str:
    "Look a name up."
    return name
"""


def needing(name: str, requires: dict[str, str]) -> Tool:
    @tool(name=name, requires=requires)
    def body() -> str:
        """Do nothing."""
        return ""

    return body


def refusal(*tools: Tool) -> str:
    with pytest.raises(ConfigError) as caught:
        check_requirements(tools)
    return str(caught.value)


def test_a_tool_whose_package_is_missing_is_refused_with_both_ways_out(tmp_path: Path):
    """Its definition went with every request, and each call was answered with advice that the model cannot follow."""
    text = (
        "A package that tools need is not installed: look needs no_such_parser. "
        'Run pip install "mine", or leave these tools out of `tools`.'
    )
    (tmp_path / "mine.py").write_text(MY_TOOL)
    with pytest.raises(ConfigError) as caught:
        load_all_tools(["mine.py:look"], {}, directory=tmp_path, writable=[], sandbox=None)
    assert str(caught.value) == text
    with pytest.raises(ConfigError) as caught:
        Toolbox(load_tools(["mine.py:look"], directory=tmp_path))
    assert str(caught.value) == text


def test_several_missing_packages_are_refused_at_once():
    tools = needing("find", PARSER), needing("uses", PARSER), needing("step", DEBUGGER), needing("list", {})
    assert refusal(*tools) == (
        "Packages that tools need are not installed: find, uses need no_such_parser; step needs no_such_debugger. "
        'Run pip install "mine[code]", or leave these tools out of `tools`.'
    )


def test_the_ready_tools_name_the_extra_that_installs_what_they_need():
    ready = ("debug_evaluate", "debug_look", "debug_resume", "debug_start", "debug_stop", "find_definition",
             "find_references", "outline")  # fmt: skip
    tools = load_tools(ready, directory=Path())
    check_requirements(tools)
    debugger, parser = {"debugpy": "tramontane[coding]"}, {"jedi": "tramontane[coding]"}
    assert [dict(one.requires) for one in tools] == [debugger] * 5 + [parser] * 2 + [{}]
    assert refusal(replace(tools[5], requires=PARSER)).startswith(
        "A package that tools need is not installed: find_definition needs no_such_parser. "
    )

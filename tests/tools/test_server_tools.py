"""Tools of servers have unique, stable names; one that cannot be used costs itself only, and is noted."""

from __future__ import annotations

import pytest

from agent import ConfigError, Tool, tool_from_schema
from tools._server_tools import Offer, make_tools, unique_names


async def nothing(_arguments: dict) -> str:
    return ""


def offer(tool: str, schema: dict | None = None, *, server: str = "demo", is_named: bool = False) -> Offer:
    def make(name: str) -> Tool:
        return tool_from_schema(nothing, name=name, description="Do it.", parameters=schema or {})

    return Offer(server=server, tool=tool, is_named=is_named, make=make)


def test_names_that_collide_after_cleaning_get_a_suffix_made_of_what_they_are() -> None:
    wanted = [("demo", "page.get"), ("demo", "page_get"), ("demo", "page/get"), ("demo", "list")]
    assert unique_names(wanted) == ["demo_page_get_a430", "demo_page_get", "demo_page_get_0b39", "demo_list"]
    assert unique_names(wanted[::-1]) == ["demo_list", "demo_page_get_0b39", "demo_page_get", "demo_page_get_a430"]


def test_names_that_are_equal_in_64_characters_stay_legal() -> None:
    names = unique_names([("demo", "x" * 70), ("demo", "x" * 71)])
    assert len(set(names)) == 2
    assert [len(name) for name in names] == [64, 64]


def test_names_of_two_servers_do_not_collide() -> None:
    assert unique_names([("a_b", "c"), ("a", "b_c")]) == ["a_b_c", "a_b_c_662f"]


def test_a_name_of_another_tool_is_not_taken() -> None:
    (name,) = unique_names([("read", "file")], taken=["read_file"])
    assert name.startswith("read_file_")


def test_a_name_that_is_alone_has_no_suffix() -> None:
    assert unique_names([("demo", "odd name!"), ("demo", "y" * 80)]) == ["demo_odd_name_", f"demo_{'y' * 59}"]


def test_a_changed_name_is_noted() -> None:
    first, second = make_tools([offer("a.b"), offer("a_b")])
    assert first.notes == (f"mcp.demo: its tool 'a.b' is called {first.name}, since another tool has its name",)
    assert second.notes == ()


def test_a_tool_that_cannot_be_made_costs_itself_only() -> None:
    bad = {"type": "object", "properties": {"x": {"type": "dict"}}}
    first, second = make_tools([offer("bad", bad), offer("good"), offer("other")])
    assert [first.name, second.name] == ["demo_good", "demo_other"]
    assert first.notes == (
        "mcp.demo: the tool 'bad' cannot be used: its `inputSchema` is not a valid JSON Schema at "
        "$.properties.x.type: 'dict' is not a type; write \"object\". The types are array, boolean, integer, null, "
        "number, object and string; it is left out (`mcp.demo.tools` can list those that the task needs)",
    )


def test_a_tool_that_the_task_names_and_that_cannot_be_made_is_an_error_with_its_key() -> None:
    with pytest.raises(ConfigError) as caught:
        make_tools([offer("good"), offer("bad", {"type": "string"}, is_named=True)])
    assert caught.value.key == "mcp.demo.tools"
    assert str(caught.value) == (
        "MCP server `demo`: the tool 'bad' cannot be used: its `inputSchema` must be a JSON Schema with "
        "\"type\": \"object\", got 'string'. Remove 'bad' from `mcp.demo.tools`."
    )


def test_a_server_without_a_usable_tool_is_an_error() -> None:
    with pytest.raises(ConfigError) as caught:
        make_tools([offer("good"), offer("bad", {"type": "string"}, server="poor")])
    assert caught.value.key == "mcp.poor"
    assert str(caught.value) == (
        "MCP server `poor`: none of its tools can be used; the tool 'bad' cannot be used: its `inputSchema` must be a "
        'JSON Schema with "type": "object", got \'string\'. Remove `mcp.poor`.'
    )


def test_large_definitions_are_told_with_their_size_and_the_way_out() -> None:
    large = {"properties": {"x": {"description": "x" * 40_000}}}
    first, second = make_tools([offer("small"), offer("large", large)])
    assert first.notes == (
        "mcp.demo: the definitions of its 2 tools take 40 kB of every prompt, about 10,000 tokens; `mcp.demo.tools` "
        "can list those that the task needs",
    )
    assert second.notes == ()

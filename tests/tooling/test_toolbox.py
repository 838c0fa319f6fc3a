"""A toolbox keeps its tools in order, serializes to the same bytes, and finds similar names."""

import json
from dataclasses import replace

import pytest

from agent.errors import ConfigError
from agent.tooling.tool import Tool, tool
from agent.tooling.toolbox import Toolbox


def named(name: str) -> Tool:
    @tool(name=name)
    def body() -> str:
        """Do nothing."""
        return ""

    return body


FILES = Toolbox([named("read_file"), named("list_files"), named("Write-File")])


def test_the_order_is_kept() -> None:
    assert (FILES.names, len(FILES)) == (("read_file", "list_files", "Write-File"), 3)
    assert [known.name for known in FILES] == list(FILES.names)


def test_two_tools_with_the_same_name_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        Toolbox([named("add"), named("add")])
    assert str(caught.value) == "Two tools are named 'add'. Rename one: @tool(name=...)."


def test_definitions_are_the_same_bytes_every_time() -> None:
    again = Toolbox([named("read_file"), named("list_files"), named("Write-File")])
    assert FILES.definitions == again.definitions
    assert json.loads(FILES.definitions)[0] == {
        "type": "function",
        "function": {
            "name": "read_file",
            "description": "Do nothing.",
            "strict": True,
            "parameters": {"additionalProperties": False, "properties": {}, "type": "object"},
        },
    }


def test_loose_definitions_lack_only_strict() -> None:
    definitions = json.loads(FILES.definitions)
    for definition in definitions:
        del definition["function"]["strict"]
    assert json.loads(FILES.loose_definitions) == definitions


@tool
def described(description: str, limit: int = 3) -> str:
    """Describe.

    Args:
        description: what it is.
        limit: how much.
    """
    return description * limit


def test_a_toolbox_matches_a_reworded_description_but_not_changed_parameters() -> None:
    @tool(name="described")
    def reworded(description: str, limit: int = 3) -> str:
        """Describe it in other words.

        Args:
            limit: the bound.
        """
        return description * limit

    @tool(name="described")
    def changed(limit: int = 3) -> str:
        """Describe."""
        return str(limit)

    digest = Toolbox([described]).digest
    assert digest.startswith("2:")
    assert Toolbox([reworded]).matches(digest, ["described"])
    assert not Toolbox([changed]).matches(digest, ["described"])
    assert not Toolbox([described, named("add")]).matches(digest, ["described"])


def test_for_an_older_digest_only_the_names_are_compared() -> None:
    assert Toolbox([described]).matches("0" * 64, ["described"])
    assert not Toolbox([described]).matches("0" * 64, ["described", "add"])


def test_an_empty_toolbox_is_valid() -> None:
    assert (Toolbox().definitions, Toolbox().nearest("add"), Toolbox().get("add")) == (b"[]", (), None)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("raed_file", ("read_file", "Write-File", "list_files")),
        ("READ_FILE", ("read_file", "Write-File", "list_files")),
        ("read_file(path='a')", ("read_file", "Write-File", "list_files")),
        ("list", ("list_files",)),
        ("xyz", ()),
        ("", ()),
        ("é" * 1_000_000, ()),
    ],
)
def test_similar_names_come_closest_first(name: str, nearest: tuple[str, ...]) -> None:
    assert FILES.nearest(name) == nearest


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("git_diff", ("diff",)),
        ("git.Diff", ("diff",)),
        ("aply_diff", ("apply_diff",)),
        ("run_test", ("run_tests",)),
    ],
)
def test_git_diff_is_not_taken_for_the_tool_that_applies_a_diff(name: str, nearest: tuple[str, ...]) -> None:
    tools = Toolbox([named("apply_diff"), named("diff"), named("run_tests"), named("run")])
    assert tools.nearest(name)[:1] == nearest
    assert "apply_diff" not in tools.nearest(name)[1:]


def test_a_model_family_gets_its_own_variant_of_a_tool_with_the_limits_of_the_task() -> None:
    trained = replace(named("read_file"), description="As it was trained.")
    both = replace(named("read_file"), variants={"pocket": trained}, timeout_s=5, output_limit_chars=99)
    plain, pocket = (Toolbox([both], family=family).get("read_file") for family in ("generic", "pocket"))
    assert plain == both
    assert pocket == replace(trained, timeout_s=5, output_limit_chars=99)

"""Typos in the settings of an agent are refused, above all in those that protect something."""

from pathlib import Path
from typing import Any

import pytest

from agent import (
    Agent,
    ApprovalRequest,
    ConfigError,
    Ladder,
    ModelSettings,
    Permission,
    Rung,
    Sandbox,
    ToolContext,
    tool,
)
from agent.cli import main
from agent.journal.events import Noticed
from agent.testing import ScriptedModel, calls, says


@tool
def remove(path: str, note: str = "") -> str:
    """Remove a file."""
    Path(path).unlink()
    return note


def agent(**settings: Any) -> Agent[None, str]:
    return Agent(ScriptedModel([says("x")]), **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workspace_mode": "Copy"}, "`workspace_mode` cannot be 'Copy'. Did you mean `copy`?"),
        ({"workspace_mode": None}, "Known: in_place, create, copy, worktree."),
        ({"sandbox": "docker"}, "`sandbox` cannot be 'docker'. Known: auto, bubblewrap, landlock, container, none."),
        ({"sandbox": "Landlock"}, "Did you mean `landlock`?"),
        ({"project_instructions": "off"}, "`project_instructions` cannot be 'off'. Known: auto, none."),
    ],
)
def test_a_mode_with_a_typo_is_not_taken_for_the_default(settings: dict[str, Any], message: str):
    with pytest.raises(ConfigError) as caught:
        agent(**settings)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Rung, {"effort": "lots"}, "`ladder.rungs.effort` cannot be 'lots'. Known: none, low, medium, high."),
        (Rung, {"restore": "always"}, "`ladder.rungs.restore` cannot be 'always'."),
        (Ladder, {"triggers": {"tool_eror": 2}}, "`ladder.triggers` cannot be 'tool_eror'. Did you mean `tool_error`?"),
        (ModelSettings, {"temperature": 9}, "`model_settings.temperature` must be between 0 and 2, got 9."),
        (Permission, {"tool": "x", "do": "Deny"}, "`permissions.do` cannot be 'Deny'. Did you mean `deny`?"),
    ],
)
def test_a_value_that_a_task_file_refuses_is_refused_in_a_program(kind: Any, settings: dict[str, Any], message: str):
    with pytest.raises(ConfigError) as caught:
        kind(**settings)
    assert message in str(caught.value)


@pytest.mark.parametrize("answer", ["no", None, 1, [False]])
async def test_only_true_approves_a_call(tmp_path: Path, answer: object):
    file = tmp_path / "kept.txt"
    file.touch()

    def approve(_request: ApprovalRequest) -> Any:
        return answer

    seen: list[object] = []
    one = Agent(
        ScriptedModel([calls(("remove", {"path": str(file)})), says("x")]),
        tools=[remove], permissions=[Permission(tool="remove", do="ask")], approve=approve,
    )  # fmt: skip
    await one.run("Remove it.", observe=seen.append)
    assert file.exists()
    notices = [event.text for event in seen if isinstance(event, Noticed)]
    assert notices == [f"remove: denied, because `approve` returned {answer!r}. It must return True or False."]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            {"tool": "remov"},
            "`permissions` has a rule for the tool 'remov', but the run has no such tool. Did you mean `remove`?",
        ),
        (
            {"tool": "remove", "match": {"noet": "*"}},
            "`permissions` has a rule for 'remove' that matches 'noet', which is no argument of it. Did you mean "
            "`note`?",
        ),
        ({"tool": "remove", "match": {"command": "*"}}, "which is no argument of it. Known: note, path."),
        ({"tool": "*", "match": {"noet": "*"}}, "Did you mean `note`?"),
    ],
)
def test_a_rule_that_can_match_no_call_is_refused_when_the_agent_is_made(rule: dict[str, Any], message: str):
    with pytest.raises(ConfigError) as caught:
        agent(tools=[remove], permissions=[Permission(do="deny", **rule)], sandbox=Sandbox())
    assert message in str(caught.value)


def undocumented(number: int) -> int:
    return number


class Opaque:
    """Nothing that a model can write."""


def opaque(value: Opaque) -> str:
    """Return it."""
    return str(value)


def documented(number: int) -> int:
    """Return it."""
    return number


@tool
def counting(context: ToolContext[Opaque]) -> str:
    """Count."""
    return str(context.deps)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tools": [undocumented]}, "Tool 'undocumented' has no description"),
        ({"tools": [lambda: 3]}, "A lambda has no name, annotations or docstring."),
        ({"tools": [opaque]}, "Tool 'opaque': its parameters have no JSON Schema"),
        ({"tools": [documented, documented]}, "Two tools are named 'documented'. Rename one"),
        ({"tools": ["raed_file"]}, "No ready tool is named 'raed_file'. Did you mean `read_file`?"),
        ({"tools": [3]}, "Cannot make a tool of 3: it cannot be called."),
        ({"tools": [tool(documented, name="final_result")], "output_type": int}, "Two tools are named 'final_result'."),
        ({"tools": [counting], "deps": 3}, "Tool 'counting' needs `deps` of type Opaque, but they are of type int."),
    ],
)
def test_a_tool_that_cannot_work_is_refused_when_the_agent_is_made(settings: dict[str, Any], message: str):
    """It was refused only by the first run, which may be hours after the start of a service."""
    with pytest.raises(ConfigError) as caught:
        agent(**settings)
    assert str(caught.value).startswith(message)


def test_deps_may_be_given_to_the_run_alone():
    assert agent(tools=[counting]).run_sync("Go.", deps=Opaque()).output == "x"


@pytest.mark.parametrize(
    "rule",
    [
        {"tool": "delete_*"},
        {"tool": "run_shell"},
        {"tool": "*", "match": {"command": "rm *"}},
        {"tool": "remove", "match": {"path": "*.py"}},
    ],
)
def test_a_rule_for_tools_that_this_run_does_not_have_is_kept(rule: dict[str, Any]):
    assert agent(tools=[remove], permissions=[Permission(do="deny", **rule)]).run_sync("Go.").output == "x"


def test_validate_refuses_a_rule_with_a_typo(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    task = tmp_path / "task.yaml"
    task.write_text("name: x\nprompt: x\ntools: [read_file]\npermissions: [{tool: raed_file, do: deny}]\n")
    assert main(["validate", str(task)]) == 2
    assert "rule for the tool 'raed_file', but the run has no such tool. Did you mean `read_file`?" in (
        capsys.readouterr().err
    )

"""The default system prompt: what a model is told about its run, and what it is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent import Agent, CommandLimits, Endpoint, Rules, Sandbox, Verify, tool
from agent.journal.events import Event, RunStarted
from agent.loop.prompts import SYSTEM_PROMPT
from agent.loop.system_prompt import RunFacts, system_prompt
from agent.model.profiles import MISTRAL, POCKET
from agent.testing import ScriptedModel, calls, says
from agent.workspace.instructions import Instructions

OPENING = (
    "You work on a task with tools, on your own: nobody can answer questions. Do the whole task, check your work, then "
    "answer in a few sentences without calling a tool. That answer submits the work."
)
BUBBLEWRAP = Sandbox(isolation="bubblewrap", rules=Rules(limits=CommandLimits()))
FULL = RunFacts(
    workspace="/home/me/project",
    is_git=True,
    sandbox=BUBBLEWRAP,
    python="/usr/bin/python3",
    window_tokens=65_536,
    has_processes=True,
    verify=Verify(command="pytest -q"),
    can_renew=True,
    instructions=Instructions(path="AGENTS.md", text="Use tabs."),
)


def test_all_facts_of_a_run_in_a_repository():
    assert system_prompt(FULL) == (
        f"{OPENING}\n"
        "- Call several tools in one reply if the calls do not depend on each other; they run in order.\n"
        "- Read what you need: prefer search, outline and line ranges to whole files.\n"
        "- A long result is cut in the middle; it names the file under .agent/outputs that holds the whole, to be read "
        "in parts.\n"
        "- An error in a result is information: read it, then act on it. Do not repeat a call whose result you have.\n"
        "- After a change, test it and look at the diff before you answer.\n\n"
        "Instructions of this project (AGENTS.md):\nUse tabs.\n\n"
        "This run:\n"
        "- Folder: /home/me/project; paths are relative to it. It is a git repository: log, show, blame and diff work; "
        ".git is read-only, so commit, stash and checkout of another branch fail.\n"
        "- Commands: Each command starts anew in the folder, and its background processes end with it; use "
        "start_process for a server. There is no network: nothing can be installed. Only the folder and /tmp can be "
        "changed. /tmp is HOME too; it keeps its files until the run ends, then they are removed.\n"
        "- Python: /usr/bin/python3. Set PYTHONPATH for a script outside the folder that imports its packages.\n"
        "- Window: 65,536 tokens for the whole conversation. When it is full, old results are left "
        "out; then it restarts with a summary.\n"
        "- Verification: after your answer, `pytest -q` checks the work; you have 3 attempts. After repeated failures "
        "the changes may be taken back; they are then saved under .agent/attempts."
    )


def test_a_run_under_landlock_is_told_that_its_temporary_folder_is_not_tmp():
    told = system_prompt(RunFacts(workspace="/p", sandbox=Sandbox(isolation="landlock")))
    assert "Only the folder and $TMPDIR can be changed (not /tmp). $TMPDIR is HOME too; it keeps its files" in told


def test_runs_of_one_project_share_the_beginning_up_to_what_differs():
    one = system_prompt(FULL)
    other = system_prompt(
        RunFacts(workspace="/elsewhere", sandbox=BUBBLEWRAP, instructions=FULL.instructions, window_tokens=16_384)
    )
    shared, differing = one.split("/home/me/project", 1)
    assert shared.endswith("Use tabs.\n\nThis run:\n- Folder: ")
    assert other.startswith(f"{shared}/elsewhere")
    assert "65,536" in differing


def test_a_run_without_a_folder_is_told_nothing_of_files():
    assert system_prompt(RunFacts(workspace="")) == OPENING


def test_a_run_that_wants_a_result_is_told_how_to_submit_it():
    assert system_prompt(RunFacts(workspace="", wants_result=True)).endswith(
        "then call final_result with the result. That call submits the work."
    )


@pytest.mark.parametrize(
    "verify",
    [
        Verify(command='cd "$AGENT_TASK_DIR/hidden" && pytest', attempts=1),
        Verify(command="make", show="nothing", attempts=1),
    ],
)
def test_hidden_tests_are_announced_and_their_command_is_not_shown(verify: Verify):
    assert system_prompt(RunFacts(workspace="", verify=verify)) == (
        f"{OPENING}\n- Verification: after your answer, tests that you cannot see check the work; you have one "
        "attempt. "
        "They may check more than the task names."
    )


def test_long_instructions_do_not_take_a_quarter_of_a_small_window():
    """AGENTS.md with 14,000 characters took 4,100 of 16,384 tokens: the conversation restarted every few steps."""
    text = "# Guide\n\n" + "Use tabs.\n" * 1_000 + "\n## Tests\n\nRun them.\n"
    facts = replace(FULL, instructions=Instructions(path="AGENTS.md", text=text))
    small = system_prompt(replace(facts, window_tokens=16_384))
    assert len(small) < 16_384 * 3 * 0.1 + len(system_prompt(FULL)) + 200
    assert "Use tabs.\n[... the rest is cut: read the file for it. It is about: Tests]\n\nThis run:" in small
    assert text in system_prompt(facts)


def test_only_tools_of_the_run_are_recommended():
    """A run without start_process was told to use it."""
    assert "start_process" not in system_prompt(replace(FULL, has_processes=False))


def test_without_a_sandbox_nothing_is_claimed_about_one():
    text = system_prompt(RunFacts(workspace="/w", sandbox=Sandbox(isolation="none")))
    assert "network" not in text
    assert "It is not a git repository." in text


# In a run.


@tool
def put(name: str) -> str:
    """Put."""
    return name


async def started(agent: Agent) -> RunStarted:
    events: list[Event] = []
    await agent.run("Go.", observe=events.append)
    assert isinstance(events[0], RunStarted)
    return events[0]


async def test_the_project_s_instructions_are_read_and_named(tmp_path: Path):
    (tmp_path / "AGENTS.md").write_text("Use tabs.\n")
    first = await started(Agent(ScriptedModel([says("Done.")]), tools=[put], workspace=tmp_path))
    assert first.instructions == "AGENTS.md"
    assert "Instructions of this project (AGENTS.md):\nUse tabs.\n" in first.system


@pytest.mark.parametrize("settings", [{"project_instructions": "none"}, {"instructions": "Be brief."}])
async def test_instructions_can_be_turned_off(tmp_path: Path, settings: dict[str, str]):
    (tmp_path / "AGENTS.md").write_text("Use tabs.\n")
    first = await started(Agent(ScriptedModel([says("Done.")]), tools=[put], workspace=tmp_path, **settings))
    assert (first.instructions, "tabs" in first.system) == ("", False)


async def test_the_pocket_model_keeps_the_prompt_that_it_was_trained_on(tmp_path: Path):
    (tmp_path / "AGENTS.md").write_text("Use tabs.\n")
    model = ScriptedModel([says("Done.")], profile=POCKET)
    assert (await started(Agent(model, tools=[put], workspace=tmp_path))).system == SYSTEM_PROMPT


async def test_a_prompt_can_be_seen_before_the_run(tmp_path: Path):
    agent = Agent(Endpoint("http://127.0.0.1:1/v1", profile=MISTRAL), tools=[put], workspace=tmp_path)
    scripted = ScriptedModel([calls(("put", {"name": "a"})), says("Done.")])
    first = await started(Agent(scripted, tools=[put], workspace=tmp_path))
    assert agent.settings().system_prompt("any", window_tokens=first.window_tokens) == first.system

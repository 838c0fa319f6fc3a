"""Servers to fall back on: before the first reply, and in the middle of a run; nothing is done twice."""

import re
from pathlib import Path

import pytest

from agent import Agent, Endpoint, EndpointError, tool
from agent.cli import main
from agent.events import Event, Noticed, Resumed
from agent.testing import ScriptedServer, calls, says

NOWHERE = "http://127.0.0.1:9/v1"


def at(server: ScriptedServer) -> Endpoint:
    return Endpoint(server.url, patience_s=0.5, first_wait_s=0.05)


async def test_a_server_that_does_not_answer_is_passed_over_before_the_first_reply():
    with ScriptedServer([says("Hello.")]) as server:
        outcome = await Agent(NOWHERE, fallback=[at(server)]).run("Hi.")
    assert (outcome.status, outcome.answer) == ("finished", "Hello.")
    (notice,) = outcome.notices
    assert notice.startswith("No answer from http://127.0.0.1:9/v1/models: ")
    assert notice.endswith(f". The run continues with the server at {server.url}.")


async def test_a_run_whose_server_is_lost_goes_on_with_the_next_one_and_its_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    added: list[tuple[int, int]] = []

    @tool
    def add(a: int, b: int) -> int:
        """Add."""
        added.append((a, b))
        first.close()
        return a + b

    events: list[Event] = []
    with ScriptedServer([calls(("add", {"a": 1, "b": 2}))]) as first, ScriptedServer([says("3")], model="m2") as second:
        agent = Agent(at(first), fallback=[at(second)], tools=[add], runs=tmp_path)
        outcome = await agent.run("1 + 2?", observe=events.append)
        body = second.bodies[0]

    assert (outcome.status, outcome.answer, added) == ("finished", "3", [(1, 2)])
    assert (body["model"], [one["role"] for one in body["messages"]]) == (
        "m2", ["system", "user", "assistant", "tool"],
    )  # fmt: skip
    (resumed,) = [event for event in events if isinstance(event, Resumed)]
    assert (resumed.model, resumed.base_url) == ("m2", second.url)
    notice, costs = [event.text for event in events if isinstance(event, Noticed)]
    assert costs.startswith(f"The run goes on with m2 at {second.url}, after scripted at {first.url}. ")
    assert notice.startswith(f"No answer from {first.url}/chat/completions: ")
    assert notice.endswith(f". The run continues with the server at {second.url}.")
    assert outcome.notices == (notice, costs)
    assert main(["show", outcome.run, "--runs", str(tmp_path)]) == 0
    assert f"The run continues with the server at {second.url}." in capsys.readouterr().out.replace("\n  ", " ")


async def test_without_a_journal_a_lost_server_ends_the_run():
    with ScriptedServer([calls(("nothing", {}))]) as first, ScriptedServer([says("3")]) as second:
        outcome = await Agent(at(first), fallback=[at(second)]).run("Hi.")
        assert second.bodies == []
    assert (outcome.status, outcome.server_failed) == ("error", True)
    assert outcome.reason.endswith(f". The server at {second.url} did not continue it: this needs `runs`.")


@pytest.mark.parametrize("has_runs", [True, False])
async def test_a_server_that_dies_after_its_list_of_models_was_read_is_passed_over(has_runs: bool, tmp_path: Path):
    """The list is remembered for seconds, so the run starts; without a reply it has done nothing that could be lost."""
    with ScriptedServer([says("Hello.")]) as first, ScriptedServer([says("Hi again.")]) as second:
        agent = Agent(endpoint := at(first), fallback=[at(second)], runs=tmp_path if has_runs else None)
        async with endpoint.open():  # another run that goes on, so that the connections and the list are kept
            await agent.run("Hi.")
            first.close()
            outcome = await agent.run("Hi.")
    assert (outcome.status, outcome.answer) == ("finished", "Hi again.")
    assert outcome.notices[0].endswith(f". The run continues with the server at {second.url}.")


async def test_if_no_server_answers_the_error_names_them_all():
    with pytest.raises(EndpointError) as caught:
        await Agent(NOWHERE, fallback=["http://127.0.0.1:10/v1"]).run("Hi.")
    assert re.search(
        r"^No answer from \S+:9/v1.* The next server failed too: No answer from \S+:10/v1", str(caught.value)
    )
    assert caught.value.url.startswith("http://127.0.0.1:10/")


async def test_a_run_whose_servers_are_all_lost_names_them_all(tmp_path: Path):
    with ScriptedServer([calls(("nothing", {}))]) as first:
        agent = Agent(at(first), fallback=["http://127.0.0.1:10/v1"], runs=tmp_path)
        outcome = await agent.run("Hi.")
    assert (outcome.status, outcome.server_failed) == ("error", True)
    assert ". The next server failed too: No answer from http://127.0.0.1:10/v1" in outcome.reason

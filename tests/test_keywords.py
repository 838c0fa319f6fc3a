"""Keywords: old names go on with a warning, foreign ones and typos are told the right name."""

import asyncio
import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast, get_type_hints

import pytest
from pydantic import BaseModel

import agent
from agent import (
    Agent,
    CommandLimits,
    ConfigError,
    Endpoint,
    Image,
    Ladder,
    Limits,
    McpServer,
    ModelSettings,
    Permission,
    Prices,
    Rules,
    Rung,
    ToolContext,
    Verify,
    tool,
)
from agent.keywords import checked_keywords
from agent.old_names import RUN_ELSEWHERE, SESSION_ELSEWHERE
from agent.testing import ScriptedModel, calls, says

URL = "http://127.0.0.1:8000/v1"


class Report(BaseModel):
    number: int


def model(*replies: Any) -> ScriptedModel:
    return ScriptedModel(replies or [says("x")])


OLD: dict[str, tuple[str, Any]] = {"system": ("instructions", "Be brief."), "state": ("deps", 3)}


@pytest.mark.parametrize("name", OLD)
def test_an_old_name_goes_on_and_the_warning_names_the_new_one(name: str):
    new, value = OLD[name]
    with pytest.warns(DeprecationWarning, match=rf"^Agent\({name}=\.\.\.\) is now {new}=") as warned:
        agent = Agent(model(), **{name: value})
    assert getattr(agent, new) == value
    assert warned[0].filename == __file__


def test_an_old_result_stays_the_dict_of_the_call():
    keywords: Any = {"result": Report}
    with pytest.warns(DeprecationWarning, match="is now output_type="):
        old: Any = Agent(model(calls(("final_result", {"number": 3}))), **keywords)
    assert old.run_sync("x").output == {"number": 3}


@pytest.mark.parametrize("mode", ["auto", "none"])
def test_an_old_mode_of_instructions_is_not_taken_for_a_system_prompt(mode: str):
    with pytest.warns(DeprecationWarning, match=f"is now project_instructions={mode!r}") as warned:
        agent = Agent(model(), instructions=mode)
    assert (agent.instructions, agent.project_instructions) == (None, mode)
    assert warned[0].filename == __file__


def test_an_old_attribute_of_the_context_goes_on():
    @tool
    def look(context: ToolContext[int]) -> int:
        """Look."""
        return context.state + 1

    with pytest.warns(DeprecationWarning, match="ToolContext.state is now ToolContext.deps"):
        outcome = Agent(model(calls(("look", {})), says("x")), tools=[look], deps=41).run_sync("x")
    assert outcome.messages[3].content == "42"


def test_the_old_and_the_new_name_together_are_refused():
    both: Any = {"system": "a", "instructions": "b"}
    with pytest.raises(TypeError, match="cannot take both 'system' and 'instructions', its new name"):
        Agent(model(), **both)


FOREIGN = {
    "system_prompt": "The system prompt is `instructions`.",
    "mcp_servers": "Write mcp={'name': McpServer(command=(...))}.",
    "deps_type": "The type is that of `deps`: Agent(..., deps=...).",
    "usage_limits": "The limits are `limits`: Limits(steps=..., tokens=...).",
    "output_retries": "How often a failing call is tried follows from `ladder`.",
    "hooks": "Give a function that gets each event to `run`: run(prompt, observe=...).",
    "outptu_type": "Did you mean `output_type`?",
    "workspce": "Did you mean `workspace`?",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_name_of_another_library_and_a_typo_are_told_the_right_one(name: str):
    given: Any = {name: 1}
    with pytest.raises(TypeError) as caught:
        Agent(model(), **given)
    assert str(caught.value) == f"Agent() has no parameter {name!r}. {FOREIGN[name]}"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("message_history", "`history`"),
        ("max_turns", "Limits(steps=...)"),
        ("event_stream_handler", "Give `observe`: it is called with each event."),
        ("timeout", "Write limits=Limits(wall_s=...)."),
    ],
)
def test_names_of_a_run_are_told_too(name: str, advice: str):
    given: Any = {name: 1}
    with pytest.raises(TypeError) as caught:
        Agent(model()).run_sync("x", **given)
    assert f"run_sync() has no parameter {name!r}" in str(caught.value)
    assert advice in str(caught.value)


async def test_an_async_call_is_checked_too():
    given: Any = {"message_history": []}
    with pytest.raises(TypeError, match=r"run\(\) has no parameter 'message_history'. Give the earlier"):
        await Agent(model()).run("x", **given)


WRONG_KINDS: dict[str, tuple[Any, str]] = {
    "model": (None, "`model` is None, of type NoneType. Give an Endpoint, or the URL of a server."),
    "limits": (5, "`limits` is 5, of type int. Write Limits(steps=...)."),
    "model_settings": ({"temperature": 1}, "Write ModelSettings(temperature=...)."),
    "tools": ("read_file", "Give a list, such as [my_function, ready_tools.read_file]."),
    "workspace": (3, "`workspace` is 3, of type int. Give a path."),
    "verify": ("pytest -q", 'Write Verify(command="...").'),
    "permissions": ([{"tool": "x"}], "`permissions[0]` is {'tool': 'x'}, of type dict. Write Permission(tool="),
    "env": ({"A": 1}, "`env['A']` is of type int. Give a text, or None to remove the variable."),
    "secrets": ({"A": b"1"}, "`secrets['A']` is of type bytes. Give a text."),
    "fallback": ("http://x/v1", "`fallback` is 'http://x/v1', of type str. Give a list, such as [Endpoint(...)]."),
    "secret_files": ("a.env", "`secret_files` is 'a.env', of type str. Give a list, such as [\".env\"]."),
    "mcp": ({"a": "x.py"}, "`mcp['a']` is 'x.py', of type str. Write McpServer(command="),
    "approve": (True, "`approve` is True, of type bool. Give a function that returns True or False."),
    "instructions": (
        len,
        "of type builtin_function_or_method. Give a text. For a run of its own text: dataclasses.replace(agent, "
        "instructions=...).",
    ),
}


def test_items_of_another_type_are_refused_too():
    given: Any = {"fallback": [3]}
    with pytest.raises(ConfigError, match=r"`fallback\[0\]` is 3, of type int. Give an Endpoint, or the URL"):
        Agent(model(), **given)


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        (None, "`prompt` is None, of type NoneType. Give a text"),
        (
            ["a"],
            "`prompt` is ['a'], of type list. Give a text; images belong in `images`, earlier messages in `history`.",
        ),
        (["a" * 300], "`prompt` is of type list. Give a text"),
        ("", "`prompt` is empty. Say what the model is to do."),
        (" \n", "`prompt` is empty. Say what the model is to do."),
    ],
)
async def test_a_prompt_that_is_no_text_is_refused_before_anything_is_sent(prompt: Any, text: str):
    agent = Agent(model())
    for ask in (agent.run, agent.count, agent.session().run):
        with pytest.raises(ConfigError) as caught:
            await ask(prompt)
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Limits(steps=cast("Any", "3")), "`limits.steps` is '3', of type str. Give a number."),
        (lambda: Limits(wall_s=True), "`limits.wall_s` is True, of type bool. Give a number."),
        (lambda: ModelSettings(temperature=cast("Any", "0.2")), "`model_settings.temperature` is '0.2', of type str."),
        (lambda: Verify(command="x", timeout_s=cast("Any", "9")), "`verify.timeout_s` is '9', of type str."),
        (
            lambda: McpServer(command=cast("Any", "python x.py")),
            "`mcp.command` is 'python x.py', a single text. Write command=('python', 'x.py').",
        ),
        (lambda: Endpoint(cast("Any", 3)), "`endpoint.base_url` is 3, of type int. Give a text."),
        (lambda: Endpoint(URL, window=cast("Any", "32k")), "`endpoint.window` is '32k', of type str. Give a number."),
        (lambda: Endpoint(URL, reply_tokens=cast("Any", 0.5)), "is 0.5, of type float. Give a whole number."),
        (lambda: Endpoint(URL, api_key=cast("Any", b"hunter2")), "`endpoint.api_key` is of type bytes. Give a text."),
        (lambda: Endpoint(URL, headers={"A": cast("Any", 3)}), "`endpoint.headers['A']` is of type int. Give a text."),
        (lambda: Endpoint(URL, model=cast("Any", ["a"])), "`endpoint.model` is ['a'], of type list. Give a text."),
        (
            lambda: Endpoint(URL, stream=cast("Any", "no")),
            "`endpoint.stream` is 'no', of type str. Give True or",
        ),
        (lambda: Endpoint(URL, profile=cast("Any", "x")), "`endpoint.profile` is 'x', of type str. Give a Profile."),
        (lambda: Verify(command=cast("Any", ["a"])), "`verify.command` is ['a'], of type list. Give a text."),
        (lambda: Permission(tool=cast("Any", ["a"]), do="ask"), "`permission.tool` is ['a'], of type list."),
        (
            lambda: Permission(tool="a", match=cast("Any", "x"), do="ask"),
            "`permission.match` is 'x', of type str.",
        ),
        (
            lambda: Permission(tool="a", match={"x": cast("Any", ["1"])}, do="ask"),
            "`permission.match['x']` is of type list. Give a text.",
        ),
        (lambda: ModelSettings(extra_body=cast("Any", [1])), "`model_settings.extra_body` is [1], of type list. Give"),
        (lambda: ModelSettings(seed=cast("Any", 1.5)), "`model_settings.seed` is 1.5, of type float. Give a whole"),
        (lambda: Rung(constrained=cast("Any", "yes")), "`rung.constrained` is 'yes', of type str. Give True or False."),
        (lambda: Prices(prompt=cast("Any", "1"), output=1.0), "`prices.prompt` is '1', of type str. Give a number."),
        (lambda: cast("Any", Agent)(), "Agent() needs `model`. Write Agent(model=...)."),
        (lambda: cast("Any", Verify)(), "Verify() needs `command`. Write Verify(command=...)."),
    ],
)
def test_a_value_of_another_type_in_a_setting_is_refused(make: Callable[[], object], text: str):
    with pytest.raises(ConfigError) as caught:
        make()
    assert text in str(caught.value)


@pytest.mark.parametrize("kind", [getattr(agent, name) for name in agent.__all__])
def test_the_types_of_every_record_can_be_read(kind: Any):
    """One that is imported only for type checkers would be a NameError when the record is made."""
    if dataclasses.is_dataclass(kind) and kind not in {Agent, agent.Tool}:  # Agent checks its own; @tool makes a Tool
        assert get_type_hints(kind).keys() >= {field.name for field in dataclasses.fields(kind)}


@pytest.mark.parametrize("name", WRONG_KINDS)
def test_a_setting_of_another_type_is_refused_when_the_agent_is_made(name: str):
    value, text = WRONG_KINDS[name]
    given: Any = {"model": model(), name: value}
    with pytest.raises(ConfigError) as caught:
        Agent(**given)
    assert text in str(caught.value)


async def test_a_file_in_place_of_the_folder_of_runs_is_refused(tmp_path: Path):
    """The message was about the journal in it: "Not a directory. Set AGENT_RUNS_DIR"."""
    file = tmp_path / "runs"
    file.touch()
    agent = Agent(model(), runs=file)
    for use in (agent.session, agent.sessions, agent.settings):
        with pytest.raises(ConfigError, match=r"^`runs` is '.*/runs', which is not a folder. Give a folder; it is"):
            use()
    with pytest.raises(ConfigError, match="which is not a folder"):
        await agent.run("x")
    with pytest.raises(ConfigError, match=r"^`runs` is '.*/runs/mine', and '.*/runs' is not a folder. Give a folder; "):
        await Agent(model(), runs=file / "mine").run("x")


WRONG_CALLS: list[tuple[Callable[[Any], Any], str]] = [
    (lambda agent: agent.run_sync("x", limits=3), "`limits` is 3, of type int. Write Limits(steps=...)."),
    (
        lambda agent: agent.run_sync("x", model_settings={}),
        "`model_settings` is {}, of type dict. Write ModelSettings(",
    ),
    (lambda agent: agent.run_sync("x", name=3), "`name` is 3, of type int. Give a text."),
    (lambda agent: agent.session(limits=3), "`limits` is 3, of type int. Write Limits(steps=...)."),
    (lambda agent: agent.resume_sync(3), "`folder` is 3, of type int. Give the folder of a run, or its name."),
    (lambda agent: agent.resume_sync("none"), "There is no run 'none' here. Give its folder, or give the agent the"),
    (lambda agent: agent.run_sync("x", observe="p"), "`observe` is 'p', of type str. Give a function that takes an"),
    (lambda agent: asyncio.run(agent.session().run("x", observe=3)), "`observe` is 3, of type int. Give a function"),
    (lambda agent: agent.run_sync(), "run_sync() needs `prompt`. Write run_sync(prompt=...)."),
    (
        lambda agent: dataclasses.replace(agent, tools=[agent]),
        "An agent becomes a tool of another by a name: tools=[other.as_tool(name, description)].",
    ),
    (lambda agent: agent.as_tool("a", timeout_s=-1), "`timeout_s` must be more than 0, got -1."),
]


@pytest.mark.parametrize(("call", "text"), WRONG_CALLS)
def test_a_wrong_value_in_a_call_is_refused_with_what_to_write(call: Callable[[Any], Any], text: str):
    """Limits raised "must be called with a dataclass type or instance"."""
    with pytest.raises(ConfigError) as caught:
        call(Agent(model()))
    assert text in str(caught.value)


def test_limits_below_zero_are_refused():
    with pytest.raises(ConfigError, match=r"`limits\.steps` must be more than 0, got -1"):
        Limits(steps=-1)


def test_an_agent_stays_a_dataclass_with_its_signature_and_its_doc():
    agent = Agent(model(), instructions="a")
    assert dataclasses.replace(agent, instructions="b").instructions == "b"
    assert {"model", "tools", "output_type", "deps"} <= set(inspect.signature(Agent).parameters)
    assert "output_type: type of the result" in (Agent.__doc__ or "")


@pytest.mark.parametrize("kind", [getattr(agent, name) for name in agent.__all__])
def test_help_shows_no_private_parameter(kind: Any):
    """That of Agent ended with `_origin: TaskOrigin | None = None`, that of Endpoint with `_clients`."""
    if callable(kind) and not (isinstance(kind, type) and issubclass(kind, BaseException)):
        assert [name for name in inspect.signature(kind).parameters if name.startswith("_")] == []


def test_secrets_are_not_in_the_repr_of_an_agent():
    assert "hunter2" not in repr(Agent(model(), env={"PASSWORD": "hunter2"}, secrets={"A": "hunter2"}))


def test_the_name_of_the_caller_is_in_the_warning_of_a_function():
    @checked_keywords(renamed={"old": lambda value: ("new", value * 2)})
    def double(*, new: int) -> int:
        return new

    given: Any = {"old": 2}
    with pytest.warns(DeprecationWarning, match=r"^double\(old=\.\.\.\) is now new=") as warned:
        assert double(**given) == 4
    assert Path(warned[0].filename) == Path(__file__)


def test_an_old_name_in_a_replacement_is_told_the_new_one():
    changes: Any = {"result": int}
    with pytest.raises(TypeError, match="cannot take both 'result' and 'output_type', its new name"):
        dataclasses.replace(Agent(model()), **changes)


def test_the_parameters_that_a_wrong_name_is_answered_with_are_public():
    given: Any = {"zzz": 1}
    with pytest.raises(TypeError, match="Known: model, tools") as caught:
        Agent(model(), **given)
    assert "_origin" not in str(caught.value)


FOREIGN_SETTINGS: list[tuple[Any, dict[str, Any], str]] = [
    (Endpoint, {"base_url": "http://x/v1", "temperature": 0.2}, "Write Agent(..., model_settings=ModelSettings("),
    (Limits, {"max_steps": 3}, "The number of requests is `steps`."),
    (Permission, {"tool": "x", "action": "deny"}, "The decision is `do`: allow, ask or deny."),
    (ModelSettings, {"temprature": 0.2}, "Did you mean `temperature`?"),
    (Verify, {"comand": "true"}, "Did you mean `command`?"),
    (Rung, {"efort": "high"}, "Did you mean `effort`?"),
    (Ladder, {"rung": ()}, "Did you mean `rungs`?"),
    (McpServer, {"comand": ("x",)}, "Did you mean `command`?"),
    (Prices, {"promt": 1}, "Did you mean `prompt`?"),
    (Rules, {"netwrok": True}, "Did you mean `network`?"),
    (CommandLimits, {"memory": 1}, "Did you mean `memory_mb`?"),
    (Image, {"url": "http://x/a.png"}, "A run sends the data itself: download it, and write Image.from_file(path)."),
    (tool, {"max_retries": 3}, "How often a failing call is tried again follows from the agent's `ladder`."),
    (tool, {"is_enabled": True}, "Which tools a run has is decided by the agent: dataclasses.replace(agent, tools="),
    (Agent("http://x/v1").as_tool, {"tool_name": "a"}, "The name is the first argument."),
]


@pytest.mark.parametrize(("kind", "keywords", "advice"), FOREIGN_SETTINGS)
def test_a_wrong_keyword_of_a_setting_is_answered_with_the_right_one(kind: Any, keywords: dict[str, Any], advice: str):
    with pytest.raises(TypeError) as caught:
        kind(**keywords)
    assert f"{kind.__name__}() has no parameter" in str(caught.value)
    assert advice in str(caught.value)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("tool", "Give the tools when the agent is made: Agent(..., tools=[my_function])."),
        ("run_stream", "Write `async for event in agent.stream(prompt)`."),
        ("iter", "Write `async for event in agent.stream(prompt)`."),
        ("override", "Write dataclasses.replace(agent, model=...)."),
        ("run_snyc", "Did you mean `run_sync`?"),
    ],
)
def test_a_method_of_another_library_is_answered_with_ours(name: str, advice: str):
    with pytest.raises(AttributeError) as caught:
        getattr(Agent(model()), name)
    assert str(caught.value) == f"Agent has no attribute {name!r}. {advice}"


OTHER_ATTRIBUTES = [
    ("outcome", "data", "The result is `outcome.output`."),
    ("outcome", "final_output", "The result is `outcome.output`."),
    ("outcome", "all_messages", "The messages are `outcome.messages`."),
    ("outcome", "new_mesages", "Did you mean `new_messages`?"),
    ("outcome", "reson", "Did you mean `reason`?"),
    ("outcome", "cost", "Write outcome.usage.cost(Prices(...))."),
    ("context", "context", "The object given as `deps` is `context.deps`."),
    ("context", "messages", "A tool gets no messages: what it needs is an argument, or in `context.deps`."),
    ("context", "dep", "Did you mean `deps`?"),
    ("usage", "input_tokens", "The tokens of all prompts are `prompt_tokens`."),
    ("usage", "total_token", "Did you mean `total_tokens`?"),
    ("session", "run_sync", "A session is async: write `await session.run(prompt)`, or asyncio.run(session.run("),
    ("session", "session_id", "The name of a session is `session.name`."),
    ("session", "naem", "Did you mean `name`?"),
    ("session", "froks", "Did you mean `fork`?"),
    ("stream", "stream_text", "Write `async for event in stream`; a TextDelta has the next part of the text."),
    ("stream", "outcom", "Did you mean `outcome`?"),
]


@pytest.mark.parametrize(("owner", "name", "advice"), OTHER_ATTRIBUTES)
async def test_an_attribute_of_another_librarys_results_is_answered_with_ours(owner: str, name: str, advice: str):
    agent = Agent(model())
    outcome = await agent.run("x")
    owners = {
        "outcome": outcome, "usage": outcome.usage, "session": agent.session(), "stream": agent.stream("x"),
        "context": ToolContext(workspace=Path()),
    }  # fmt: skip
    with pytest.raises(AttributeError) as caught:
        getattr(owners[owner], name)
    assert str(caught.value).startswith(f"{type(owners[owner]).__name__} has no attribute {name!r}. {advice}")


def test_a_usage_that_is_called_is_answered_with_what_to_write():
    usage: Any = Agent(model()).run_sync("x").usage
    with pytest.raises(TypeError, match=r"^A usage cannot be called\. It is an attribute: write outcome\.usage\.$"):
        usage()


def made(kind: Any, *values: object) -> object:
    return kind(*values)


@pytest.mark.parametrize(
    ("call", "advice"),
    [
        (lambda: made(Verify, "pytest -q"), "Write the others by name: Verify(command=...)."),
        (lambda: made(Image, "a.png"), "Write the others by name: Image(data=...)."),
        (lambda: made(Permission, "run_shell", "ask"), "Write the others by name: Permission(tool=...)."),
        (lambda: Endpoint("http://x/v1", *["model"]), "Write the others by name: Endpoint(base_url, model=...)."),
        (lambda: Agent(model(), *[["read_file"]]), "Write the others by name: Agent(model, tools=...)."),
        (lambda: Agent(model()).run_sync("x", *[[]]), "Write the others by name: run_sync(prompt, history=...)."),
    ],
)
def test_a_value_without_a_name_is_answered_with_the_names(call: Callable[[], object], advice: str):
    with pytest.raises(TypeError) as caught:
        call()
    assert str(caught.value).endswith(f"got too many values without a name. {advice}")


def test_each_setting_of_an_agent_that_is_given_to_a_run_or_session_is_answered_with_replace():
    for field in dataclasses.fields(Agent):
        answer = f"It is a setting of the agent: dataclasses.replace(agent, {field.name}=...)."
        if not field.name.startswith("_"):
            assert (RUN_ELSEWHERE[field.name], SESSION_ELSEWHERE[field.name]) == (answer, answer)


def test_what_belongs_to_a_run_and_is_given_to_the_agent_is_answered_with_run():
    given: Any = {"observe": print}
    with pytest.raises(
        TypeError, match=r"^Agent\(\) has no parameter 'observe'. Give the function to `run`: run\(prompt, "
    ):
        Agent(model(), **given)


def test_a_model_that_is_no_url_is_refused_when_the_agent_is_made():
    with pytest.raises(ConfigError, match="gpt-4o"):
        Agent("gpt-4o")
    with pytest.raises(ConfigError, match="gpt-4o"):
        Agent(model(), fallback=["gpt-4o"])


async def test_a_printed_outcome_is_short():
    assert "SystemMessage" not in repr(await Agent(model()).run("x"))


async def test_a_copied_and_a_pickled_outcome_are_as_the_first():
    """An object that is made without its fields asks `__getattr__` for them."""
    outcome = await Agent(model()).run("x")
    assert copy.deepcopy(outcome) == pickle.loads(pickle.dumps(outcome)) == outcome

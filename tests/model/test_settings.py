"""Settings of the model's replies: what is sent, and what is refused before a run."""

from typing import Any

import pytest

from agent import Agent, ConfigError, ModelSettings
from agent.messages import Reply
from agent.testing import ScriptedModel, says


def test_what_is_set_replaces_the_profile_and_the_rest_stays():
    model = ScriptedModel([says("Hi.")])
    settings = ModelSettings(temperature=0.3, seed=7, max_tokens=99, extra_body={"top_k": 5})

    Agent(model, model_settings=settings).run_sync("Hello")

    sent = {key: value for key, value in model.bodies[0].items() if key not in {"messages", "tools", "model"}}
    assert sent == {
        "stream": False, "max_tokens": 99, "reasoning_effort": "none", "temperature": 0.3, "seed": 7, "top_k": 5,
    }  # fmt: skip


def test_a_run_may_have_settings_of_its_own():
    model = ScriptedModel([says("a"), says("b")])
    agent = Agent(model, model_settings=ModelSettings(temperature=0.3))

    agent.run_sync("Hello", model_settings=ModelSettings(temperature=0.9))
    agent.run_sync("Hello")

    assert [body["temperature"] for body in model.bodies] == [0.9, 0.3]


def test_a_reply_never_grows_beyond_the_set_length():
    """A truncated reply is asked for again with four times the room, but not with more than the user allows."""
    cut = Reply(content="It is", finish_reason="length")
    model = ScriptedModel([cut, cut, says("It is 5.")])

    outcome = Agent(model, model_settings=ModelSettings(max_tokens=50)).run_sync("What is 2 + 3?")

    assert outcome.answer == "It is 5."
    assert [body["max_tokens"] for body in model.bodies] == [50, 50, 50]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "temperature": ({"temperature": -0.1}, "`model_settings.temperature` must be between 0 and 2, got -0.1."),
    "top_p": ({"top_p": 1.5}, "`model_settings.top_p` must be between 0 and 1, got 1.5."),
    "max_tokens": ({"max_tokens": 0}, "`model_settings.max_tokens` must be 1 or more, got 0."),
    "seed in the body": (
        {"extra_body": {"seed": 3}},
        "`model_settings.extra_body` cannot set 'seed'. Use `seed` of the settings.",
    ),
    "messages in the body": (
        {"extra_body": {"messages": []}},
        "`model_settings.extra_body` cannot set 'messages'. The run sets it itself: remove it.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_what_is_allowed(name: str):
    given, text = REFUSED[name]
    with pytest.raises(ConfigError) as caught:
        ModelSettings(**given)
    assert str(caught.value) == text

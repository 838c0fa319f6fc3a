"""The advice that follows a refusal: what to do about the address, the model's name, the key, tools and proxies."""

import pytest

from agent import Agent, EndpointRejected
from agent.model.advice import advice_for
from agent.testing import ScriptedServer, says

CHAT = "/chat/completions"
NO_KEY = (
    "The request had no API key: export AGENT_API_KEY, or name the key's variable with `model: {api_key_env: NAME}`; "
    "in Python, Endpoint(api_key=...)."
)
NAME = "Check the model's name: `agent run --model NAME`, `model: {name: NAME}` or Endpoint(url, model=NAME)."


@pytest.mark.parametrize(
    ("status", "reason", "url", "advice"),
    [
        (404, "Not Found", f"http://a{CHAT}", "Most servers have their routes below /v1: try http://a/v1."),
        (404, "Not Found", "http://a/models", "Most servers have their routes below /v1: try http://a/v1."),
        (405, "Method Not Allowed", f"http://a/api{CHAT}", "Most servers have their routes below /v1: try http://a/api/v1."),
        (404, "Not Found", f"http://a/v1/x{CHAT}", "Check the address of the server."),
        (404, "Not Found", f"http://v1.a/v4{CHAT}", "Check the address of the server."),
        (404, "The model `m` does not exist.", f"http://a/v1{CHAT}", NAME),
        (404, "m does not support tools", f"http://a/v1{CHAT}", "Use a model that can call tools."),
        (400, "m does not support tools", f"http://a/v1{CHAT}",
         "Use a model that can call tools, or a server whose chat template has them."),
        (401, "Unauthorized", f"http://a/v1{CHAT}", NO_KEY),
        (400, "No connected db.", f"http://a/v1{CHAT}", NO_KEY),
        (400, "top_p is too large", f"http://a/v1{CHAT}", ""),
        (500, "out of memory", f"http://a/v1{CHAT}", ""),
    ],
)  # fmt: skip
def test_a_refusal_is_followed_by_what_to_do_about_it(status: int, reason: str, url: str, advice: str):
    assert advice_for(status, reason, url=url, has_key=False, proxy="") == advice


def test_a_key_that_is_refused_is_not_called_missing():
    advice = advice_for(403, "Forbidden", url=f"http://a/v1{CHAT}", has_key=True, proxy="")
    assert advice.startswith("The server did not accept the API key: export AGENT_API_KEY")


@pytest.mark.parametrize("status", [407, 502, 503, 504])
def test_a_proxy_that_answers_itself_is_named(status: int):
    advice = advice_for(status, "Bad Gateway", url=f"http://gpu1:8000/v1{CHAT}", has_key=False, proxy="http://p:3128")
    assert advice == "The request went through the proxy http://p:3128; no_proxy=gpu1 avoids it."


def test_an_address_without_v1_is_answered_with_the_one_that_works():
    with ScriptedServer([says("Hello.")]) as server:
        wrong = server.url.removesuffix("/v1")
        with pytest.raises(EndpointRejected) as caught:
            Agent(wrong).run_sync("Hi.")
        assert str(caught.value) == (
            f"{wrong}/models refused the request with HTTP 404: Not Found. Most servers have their routes below /v1: "
            f"try {server.url}."
        )
        assert Agent(server.url).run_sync("Hi.").answer == "Hello."

"""A run sends its name with every request, even after a resume, so that a router keeps it on one engine."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
import respx

from agent import Agent, Endpoint, Limits, tool
from agent.model.wire import Request
from agent.testing import ScriptedServer, calls, says

BASE = "http://engine.test:8000/v1"
REQUEST = Request(model="m", messages=[b'{"role":"user","content":"Hi"}'], tools=b"[]", max_tokens=8)


def sessions(server: ScriptedServer) -> list[tuple[str, str | None]]:
    return [(request.path, request.headers.get("x-session-id")) for request in server.requests]


async def test_every_request_of_a_run_carries_its_name(tmp_path: Path):
    @tool
    def ping() -> str:
        """Answer"""
        return "pong"

    with ScriptedServer([calls(("ping", {})), says("Done.")]) as server:
        agent = Agent(Endpoint(server.url, api_key="secret"), tools=[ping], workspace=tmp_path)
        outcome = await agent.run("Ping.")
    assert outcome.status == "finished"
    assert {path for path, _ in sessions(server)} >= {"/v1/models", "/v1/chat/completions"}
    assert {session for _, session in sessions(server)} == {outcome.run}
    assert "secret" not in outcome.run


async def test_a_resumed_run_keeps_its_session_and_another_run_has_another(tmp_path: Path):
    with ScriptedServer([says("One."), says("Two.")]) as server:
        cut_short = await Agent(Endpoint(server.url), limits=Limits(steps=0), runs=tmp_path / "runs").run("Hi.")
        assert cut_short.status == "budget"
        first = set(sessions(server))
        server.requests.clear()
        resumed = await Agent(Endpoint(server.url), limits=Limits(steps=1)).resume(tmp_path / "runs" / cut_short.run)
        assert resumed.status == "finished"
        assert {session for _, session in sessions(server)} == {cut_short.run} == {session for _, session in first}
        server.requests.clear()
        other = await Agent(Endpoint(server.url)).run("Hi.")
    assert {session for _, session in sessions(server)} == {other.run} != {cut_short.run}


FOR_OPENAI = {
    "OPENAI_API_KEY": "sk-of-openai",
    "OPENAI_ADMIN_KEY": "sk-admin-of-openai",
    "OPENAI_BASE_URL": "http://elsewhere.test/v1",
    "OPENAI_ORG_ID": "org",
    "OPENAI_PROJECT_ID": "project",
    "OPENAI_CUSTOM_HEADERS": "X-Gateway-Key: for OpenAI\nauthorization: Bearer sk-custom\nx-session-id: other",
}
"""What the openai package reads from the environment, and sends."""


@pytest.mark.parametrize("environment", [{}, FOR_OPENAI], ids=["nothing set", "set for OpenAI"])
@pytest.mark.parametrize("session", [None, "20261123-190000-ab12cd"])
async def test_a_request_has_exactly_these_headers(
    session: str | None, environment: dict[str, str], respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    route = respx_mock.post(f"{BASE}/chat/completions").respond(
        json={"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}
    )
    async with httpx.AsyncClient(verify=False) as client:
        endpoint = Endpoint(BASE, stream=False, api_key="secret", http_client=client)
        async with endpoint.open(session=session) as connection:
            await connection.ask(REQUEST)
    headers = dict(route.calls.last.request.headers)
    assert headers == {
        "user-agent": "tramontane",
        "host": "engine.test:8000",
        "accept": "application/json",
        "accept-encoding": headers["accept-encoding"],
        "connection": "keep-alive",
        "content-type": "application/json",
        "content-length": str(len(REQUEST.encode(stream=False))),
        "authorization": "Bearer secret",
    } | ({} if session is None else {"x-session-id": session})

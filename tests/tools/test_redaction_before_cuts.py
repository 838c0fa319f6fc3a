"""Tools redact before they cut: no page, line or tail of an output holds what is left of a secret."""

from __future__ import annotations

import random
import string
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from agent import Agent, Tool, ToolContext, Verify
from agent.testing import ScriptedModel, says
from tools.files import read_file
from tools.search import search
from tools.shell import run_shell
from tools.testing_tools import read_test_report
from tools.workspace_diff import diff

Called = Callable[..., Awaitable[str]]
CHANCE = random.Random(3)
BODY = ["".join(CHANCE.choices(string.ascii_letters + string.digits + "+/", k=64)) for _ in range(30)]
PEM = "\n".join(["-----BEGIN PRIVATE KEY-----", *BODY, "-----END PRIVATE KEY-----", ""])
TOKEN = "ghp_" + "".join(CHANCE.choices(string.ascii_letters + string.digits, k=36))


def leaked(text: str) -> list[str]:
    parts = [TOKEN[at : at + 8] for at in range(4, 33, 4)] + [line[at : at + 12] for line in BODY for at in (0, 26, 52)]
    return [part for part in parts if part in text]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    workspace = tmp_path / "ws"
    workspace.mkdir()
    (workspace / "id_key").write_text(PEM)
    (workspace / "long").write_text("x" * 13_985 + f" {TOKEN} " + "y" * 40_000)
    (workspace / "lines").write_text(f"one\n{TOKEN}\n" + "z\n" * 2_000)
    return workspace


@pytest.fixture
def call(workspace: Path, called: Called) -> Callable[..., Awaitable[str]]:
    (workspace.parent / "before").mkdir(exist_ok=True)
    python = "/usr/bin:/bin"

    async def call(tool: Tool, **arguments: object) -> str:
        context: ToolContext[Any] = ToolContext(
            workspace=workspace, env={"PATH": python}, snapshot=workspace.parent / "before"
        )
        return await called(tool, context, **arguments)

    return call


@pytest.mark.parametrize(("start_line", "line_count"), [(1, 400), (5, 4), (20, 100), (12, 1)])
async def test_part_of_a_private_key_tells_nothing_of_it(start_line: int, line_count: int, call: Called):
    """Lines 5 to 8 of a key that nobody named reached the model: without its first line it was no key."""
    text = await call(read_file, path="id_key", start_line=start_line, line_count=line_count)
    assert leaked(text) == []
    assert "of 32" in text or start_line == 1


async def test_a_line_that_is_cut_in_a_token_tells_nothing_of_it(call: Called):
    text = await call(read_file, path="long")
    assert text.startswith("1: xxx")
    assert leaked(text) == []


@pytest.mark.parametrize("pattern", [BODY[4][:6], "^[A-Za-z0-9+/]{64}$", TOKEN[:8], "PRIVATE", "."])
async def test_a_search_does_not_find_secrets(pattern: str, call: Called):
    text = await call(search, pattern=pattern.replace("+", r"\+"))
    assert leaked(text.replace(pattern, "")) == []


async def test_the_lines_after_a_secret_keep_their_numbers(call: Called, workspace: Path):
    (workspace / "id_key").write_text(f"{PEM}after\n")
    assert "33: after" in await call(read_file, path="id_key", start_line=30)
    assert "id_key:33" in await call(search, pattern="after")


async def test_a_diff_is_redacted_before_its_pages_are_cut(call: Called):
    for start_line in (1, 10, 30):
        assert leaked(await call(diff, path="id_key", start_line=start_line)) == []


async def test_a_report_is_redacted_before_its_messages_are_shortened(call: Called, workspace: Path):
    text = "\n".join(["head"] * 5) + f"\n{PEM}" + "\n".join(["tail"] * 5)
    (workspace / "report.xml").write_text(
        f"<testsuite><testcase name='a'><failure>{text}</failure><system-out>{PEM}</system-out></testcase></testsuite>"
    )
    for failure in ("", "a"):
        assert leaked(await call(read_test_report, path="report.xml", failure=failure)) == []


async def test_the_output_of_a_verification_is_redacted_before_its_middle_is_cut(workspace: Path, tmp_path: Path):
    """The part of a key after the cut reached the model: what was before it had the first line."""
    (workspace / "out").write_text("a" * 3_900 + "\n" + PEM + "b\n" * 6_000 + PEM)
    agent = Agent(
        ScriptedModel([says("Done.")] * 3), workspace=workspace, env={"PATH": "/usr/bin:/bin"}, runs=tmp_path / "runs",
        verify=Verify(command="cat out; exit 1", attempts=1), tools=[run_shell],
    )  # fmt: skip
    outcome = await agent.run("Go.")
    assert "bytes cut ...]" in outcome.reason
    assert leaked(outcome.reason) == []
    assert outcome.journal is not None
    assert leaked(outcome.journal.read_text()) == []

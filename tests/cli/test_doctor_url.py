"""`agent doctor --url`: what it prints, returns and stores; the probing itself is tested in tests/probe."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.cli.doctor_url import probe_url
from agent.errors import ConfigError
from agent.testing import ScriptedServer
from serving import EngineError
from serving.probe import TITLES, Capabilities, CheckResult, ProbeReport, write_cache
from serving.probe.cache import cache_path


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("AGENT_API_KEY", raising=False)
    return tmp_path / "tramontane"


def args(url: str, **more: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"url": url, "model": None, "api_key_env": None, "json": False, "fresh": False, **more})


def report(url: str, changed: Mapping[str, CheckResult] | None = None, **more: Any) -> ProbeReport:
    """A report just made, of a server without problems."""
    working = {name: CheckResult(check=name, verdict="works", detail="as it should") for name in TITLES}
    base = ProbeReport(
        base_url=url,
        kind="vllm",
        version="",
        model="scripted",
        window_tokens=32_768,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        elapsed_s=2.54,
        checks=tuple({**working, **(changed or {})}.values()),
        capabilities=Capabilities(),
    )
    return replace(base, **more)


def test_each_check_is_shown_on_a_line(state: Path, capsys: pytest.CaptureFixture[str]):
    with ScriptedServer() as server:
        changed = {
            "choice": CheckResult(
                check="choice", verdict="works", detail="alpha", warning="The other form is ignored."
            ),
            "speculative": CheckResult(check="speculative", verdict="not_offered", detail="no draft model runs"),
            "parallel": CheckResult(check="parallel", verdict="unknown", detail="the model made one call of two"),
        }
        stored = report(server.url, changed)
        write_cache(stored, state)

        assert probe_url(args(server.url)) == 0
    assert (
        capsys.readouterr().out
        == f"""\
{server.url}: 'scripted' on vLLM
(probed at {stored.at}; --fresh probes again)
  works        model list and window        as it should
  works        plain reply                  as it should
  works        tokenizer matches usage      as it should
  works        call under auto              as it should
  works        call under required          as it should
  works        call to a named tool         as it should
  works        strict schema enforced       as it should
  unknown      parallel calls               the model made one call of two
  works        streamed reply identical     as it should
  works        truncation reported          as it should
  works        tool result round trip       as it should
  works        reasoning separated          as it should
  works        effort has visible effect    as it should
  works        structured output            as it should
  works        choice enforced              alpha
  works        prefix cache hit             as it should
  works        metrics                      as it should
  not offered  speculative acceptance       no draft model runs
  works        request without key refused  as it should

Warnings:
  - choice enforced: The other form is ignored.

17 works, 1 not offered, 1 unknown; 2.5 s.
"""
    )


def test_a_broken_check_is_probed_again_and_shown_with_its_reason_and_its_fix(
    state: Path, capsys: pytest.CaptureFixture[str]
):
    with ScriptedServer() as server:  # without a script: no chat request is answered
        broken = {"auto": CheckResult(check="auto", verdict="broken", detail="an old reason", fix="an old fix")}
        write_cache(report(server.url, broken), state)

        assert probe_url(args(server.url)) == 1
    out = capsys.readouterr().out
    assert "an old reason" not in out
    assert "  BROKEN       plain reply                  see below\n" in out
    assert (
        "  unknown      call under auto              not tested: no chat request is answered (see: plain reply)\n"
        in out
    )
    assert (
        "\n\nBROKEN: plain reply\n"
        "  Why: the server refuses it: HTTP 410: The script has ended: no answer is left for this request.\n"
        "  Fix: Read the server's log.\n"
    ) in out


def test_fresh_probes_again(state: Path, capsys: pytest.CaptureFixture[str]):
    with ScriptedServer() as server:
        write_cache(report(server.url), state)

        assert probe_url(args(server.url, fresh=True)) == 1
        assert len(server.bodies) == 1
    assert "--fresh probes again" not in capsys.readouterr().out


def test_a_result_older_than_an_hour_is_probed_again(state: Path):
    with ScriptedServer() as server:
        before = datetime.now(UTC) - timedelta(hours=2)
        write_cache(report(server.url, at=before.isoformat(timespec="seconds")), state)

        assert probe_url(args(server.url)) == 1


def test_the_stored_result_is_what_json_prints(state: Path, capsys: pytest.CaptureFixture[str]):
    with ScriptedServer() as server:
        assert probe_url(args(server.url, json=True)) == 1

        printed = json.loads(capsys.readouterr().out)
        stored = json.loads(cache_path(server.url, state).read_text())
    assert stored == {"format": 1, **printed}
    assert (printed["base_url"], printed["model"], len(printed["checks"])) == (server.url, "scripted", len(TITLES))


def test_json_of_a_stored_result_is_the_same(state: Path, capsys: pytest.CaptureFixture[str]):
    with ScriptedServer() as server:
        stored = report(server.url)
        write_cache(stored, state)

        assert probe_url(args(server.url, json=True)) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(asdict(stored)))


def test_the_key_is_read_from_the_given_variable(state: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MY_KEY", "s3cret-key")
    with ScriptedServer() as server:
        probe_url(args(server.url, api_key_env="MY_KEY"))

        assert server.requests[0].headers["authorization"] == "Bearer s3cret-key"
        assert "s3cret-key" not in cache_path(server.url, state).read_text()


def test_a_variable_that_is_not_set_is_refused(state: Path):
    with pytest.raises(ConfigError) as caught:
        probe_url(args("http://127.0.0.1:9/v1", api_key_env="NO_SUCH_KEY"))

    assert str(caught.value) == "--api-key-env names NO_SUCH_KEY, which is not set. Export it, or omit the flag."


def test_a_result_that_cannot_be_stored_is_still_shown(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    state.write_text("a file where the folder belongs")
    with ScriptedServer() as server:
        assert probe_url(args(server.url)) == 1
    out, err = capsys.readouterr()
    assert "BROKEN: plain reply" in out
    assert err.startswith("agent: cannot store the result for `agent run`: [Errno ")


def test_an_address_where_nothing_answers_is_an_error(state: Path):
    with ScriptedServer() as server:
        url = server.url
    with pytest.raises(EngineError, match="No server answers at "):
        probe_url(args(url))

"""`agent doctor --url`: what it prints, returns and stores; the probing itself is tested in tests/probe."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from agent.cli.doctor_url import probe_url
from agent.errors import ConfigError
from agent.messages import Reply
from agent.testing import Answer, Received, ScriptedServer
from agent.testing.faults import stall
from serving import EngineError
from serving.probe import TITLES, Capabilities, CheckResult, ProbeReport, write_cache
from serving.probe.cache import cache_path


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("AGENT_API_KEY", raising=False)
    return tmp_path / "tramontane"


def args(url: str, **more: Any) -> argparse.Namespace:
    given = {
        "url": url,
        "model": None,
        "api_key_env": None,
        "json": False,
        "fresh": False,
        "check": [],
        "timeout": None,
    }
    return argparse.Namespace(**{**given, **more})


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
  works        tools reach the prompt       as it should
  works        call under auto              as it should
  works        call under required          as it should
  works        a call of a named tool       as it should
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

18 works, 1 not offered, 1 unknown; 2.5 s.
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


@pytest.mark.parametrize("variable", [None, "MY_KEY"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_printed(
    state: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None
):
    """The error of the HTTP client, which holds the key, was printed."""
    name = variable or "AGENT_API_KEY"
    monkeypatch.setenv(name, "top-se\ncret")
    with pytest.raises(ConfigError) as caught:
        probe_url(args("http://127.0.0.1:9/v1", api_key_env=variable))

    assert str(caught.value) == (
        f"The API key in {name} cannot be sent: at character 7 it has a line end. Set {name} to the key alone."
    )


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


def test_a_check_without_an_answer_in_time_is_not_silently_a_success(state: Path, capsys: pytest.CaptureFixture[str]):
    late = CheckResult(
        check="strict", verdict="unknown", detail="not tested: the time limit came first", answered=False
    )

    def answer(received: Received) -> Answer:
        return stall() if len(server.bodies) > 1 else Reply(content="quixotic")

    with ScriptedServer(repeat(answer)) as server:
        write_cache(report(server.url, {"strict": late}), state)

        assert probe_url(args(server.url, timeout=1.0)) == 3
    out = capsys.readouterr().out
    assert "probed at" not in out
    assert " checks got no answer in time: the server is busy or slow. Try again, or with a larger --timeout.\n" in out


def test_only_the_checks_that_are_named_are_shown_and_count(state: Path, capsys: pytest.CaptureFixture[str]):
    chosen = CheckResult(check="parallel", verdict="unknown", detail="the model made one call of two")
    with ScriptedServer() as server:
        write_cache(report(server.url, {"parallel": chosen}), state)

        assert probe_url(args(server.url, check=["auto", "strict"])) == 0
        assert probe_url(args(server.url, check=["parallel"])) == 3
    out = capsys.readouterr().out
    assert "call under auto" in out
    assert "call under required" not in out
    assert "1 unknown; 2.5 s." in out


def test_a_check_that_does_not_exist_is_refused(state: Path):
    with pytest.raises(ConfigError) as caught:
        probe_url(args("http://127.0.0.1:9/v1", check=["paralel"]))

    assert str(caught.value) == "There is no check 'paralel' for --check. Did you mean `parallel`?"


@pytest.mark.parametrize("given", ["0", "-5", "soon", "nan", "99999"])
def test_a_timeout_that_is_no_number_of_seconds_is_refused(given: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["doctor", "--url", "http://127.0.0.1:9/v1", "--timeout", given])

    assert f"argument --timeout: must be a number of seconds from 1 to 3600, got '{given}'" in capsys.readouterr().err


def test_flags_of_the_probe_are_refused_with_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    log = tmp_path / "engine.log"
    log.write_text("INFO 01-01 10:00:00 [x.py:1] vLLM API server version 0.20.0\n", encoding="utf-8")

    assert main(["doctor", "--log", str(log), "--timeout", "9"]) == 2
    assert "--check and --timeout are for a running server, not for a log." in capsys.readouterr().err

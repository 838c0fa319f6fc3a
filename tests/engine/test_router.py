"""Test two real engines behind a real vllm-router: a run stays on one engine and survives its death."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent import Agent, Endpoint, Outcome
from agent.journal.events import CallEnded, Event, Replied, Retried
from agent.journal.journal import read_journal
from agent.task.load import load_task
from serving import pocket_engine
from serving.deploy.records import DeployOptions, Place
from serving.deploy.routing import MODULE, router_flags
from serving.running.process_group import free_port

if TYPE_CHECKING:
    from conftest import LiveEngine

pytestmark = pytest.mark.engine

EXAMPLE = Path(__file__).parents[2] / "examples" / "first_task"


@dataclass(frozen=True, kw_only=True)
class Routed:
    """Two engines behind a router."""

    url: str
    engines: Mapping[str, LiveEngine]
    """`shared` serves all engine tests and must not be stopped; `own` belongs to this module and may be killed."""
    own_group: int
    """The process group of `own`."""
    log: Path
    """The router's log."""

    def count(self, metric: str) -> dict[str, float]:
        """Read a counter of each engine."""
        return {name: engine.metric(metric) for name, engine in self.engines.items()}


ANSWERED = "vllm:request_success_total"
CACHED = "vllm:prefix_cache_hits_total"


@pytest.fixture(scope="module")
def routed(engine: LiveEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Routed]:
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path_factory.mktemp("state"))}
    with pocket_engine(environ=environ) as second:
        record = second.start()
        engines = {"shared": engine, "own": replace(engine, base_url=record.base_url)}
        log = tmp_path_factory.mktemp("router") / "router.log"
        with router(engines, log) as url:
            yield Routed(url=url, engines=engines, own_group=record.pid, log=log)


@contextmanager
def router(engines: Mapping[str, LiveEngine], log: Path) -> Generator[str]:
    """Run the router as rendered for users, but with other ports."""
    port, metrics = free_port(), free_port()
    places = [
        Place(name=name, port=0, gpus=(), url=engine.base_url.removesuffix("/v1")) for name, engine in engines.items()
    ]
    flags = router_flags(places, DeployOptions(router_port=port), host="127.0.0.1")
    words = [word for flag in flags for word in flag.words]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, *MODULE, *words, "--prometheus-port", str(metrics)], stdout=output, stderr=output
        ) as process,
    ):
        try:
            wait_for(lambda: ready(port), f"the router is not ready, see {log}")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()


def ready(port: int) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/readiness", timeout=5) as reply:
            return json.load(reply) == {"status": "ready", "healthy_workers": 2, "total_workers": 2}
    except OSError:
        return False


def wait_for(condition: Callable[[], bool], problem: str) -> None:
    until = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < until, problem
        time.sleep(0.1)


async def run_task(
    routed: Routed, folder: Path, word: str, observe: Callable[[Event], None] = lambda _: None
) -> Outcome:
    """Run a task that writes a word and verifies it; retries are off, so only the router can recover from errors."""
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("out"))
    task = load_task(folder / "task.yaml", {"word": word})
    endpoint = Endpoint(routed.url, model="pocket", patience_s=0.0)
    agent = Agent.from_task(task, endpoint, environ=os.environ, runs=folder / "runs")
    return await agent.run(task.rendered_prompt(), observe=observe)


def replies(outcome: Outcome) -> list[Replied]:
    assert outcome.journal is not None
    return [event for event in read_journal(outcome.journal) if isinstance(event, Replied)]


def difference(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in after}


async def test_a_run_stays_on_one_engine_and_finishes_on_the_other_when_that_is_killed(routed: Routed, tmp_path: Path):
    # One test, because the second part leaves only one engine.
    await check_that_a_run_stays_on_one_engine_and_the_next_uses_the_other(routed, tmp_path)
    await check_that_a_run_finishes_on_the_other_engine_when_its_own_is_killed(routed, tmp_path)


async def check_that_a_run_stays_on_one_engine_and_the_next_uses_the_other(routed: Routed, tmp_path: Path) -> None:
    homes: list[str] = []
    for word in ("second", "third"):
        answered, cached = routed.count(ANSWERED), routed.count(CACHED)
        outcome = await run_task(routed, tmp_path / word, word)
        assert outcome.status == "verified"
        took = difference(routed.count(ANSWERED), answered)
        (home,) = [name for name, requests in took.items() if requests]
        assert took[home] == len(replies(outcome)) >= 2
        # Each step reused the previous one from the cache; the engine's counter and the run's usage agree.
        hits = difference(routed.count(CACHED), cached)
        reported = sum(event.reply.usage.cached_tokens or 0 for event in replies(outcome) if event.reply.usage)
        assert hits[home] == reported > 0
        homes.append(home)
    assert sorted(homes) == ["own", "shared"]


async def check_that_a_run_finishes_on_the_other_engine_when_its_own_is_killed(routed: Routed, tmp_path: Path) -> None:
    group = routed.own_group
    accidents: list[threading.Thread] = []

    def die() -> None:
        time.sleep(2)  # by now the run has sent its next request and waits for the reply
        os.killpg(group, signal.SIGKILL)

    async def run(word: str) -> Outcome:
        before = routed.count(ANSWERED)

        def stop_its_engine(event: Event) -> None:
            if isinstance(event, CallEnded) and not accidents and routed.count(ANSWERED)["own"] > before["own"]:
                os.killpg(group, signal.SIGSTOP)
                accidents.append(threading.Thread(target=die))
                accidents[0].start()

        return await run_task(routed, tmp_path / word, word, stop_its_engine)

    # The router picks the least loaded engine: if the first run went to `shared`, the second goes to `own`.
    outcome = await run("fourth")
    if not accidents:
        outcome = await run("apple")
    accidents[0].join()

    assert outcome.status == "verified"
    assert len(replies(outcome)) >= 2
    assert outcome.journal is not None
    assert not [event for event in read_journal(outcome.journal) if isinstance(event, Retried)]
    # The router retried the request and removed the dead engine.
    log = routed.log.read_text(errors="replace")
    assert "Circuit breaker state transition" in log
    assert f"worker_url={routed.engines['own'].base_url.removesuffix('/v1')}" in log

    # The next run goes to the other engine immediately.
    answered = routed.engines["shared"].metric(ANSWERED)
    outcome = await run_task(routed, tmp_path / "fifth", "fifth")
    assert outcome.status == "verified"
    assert routed.engines["shared"].metric(ANSWERED) - answered == len(replies(outcome))

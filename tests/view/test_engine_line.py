"""One line about the engine, from two readings of its metrics."""

from __future__ import annotations

from itertools import count

from agent.view.engine_line import EngineLine
from serving.metrics import EngineMetrics

VLLM = EngineMetrics(
    engine="vllm", running=2, waiting=1, kv_usage=0.344, prefix_queries=1_000, prefix_hits=100, prefix_hit_rate=0.1,
    generation_tokens=5_000,
)  # fmt: skip


def texts(*readings: EngineMetrics | None) -> list[str]:
    """Return the line after each reading, two seconds apart."""
    left, clock = iter(readings), count(0, 2)
    line = EngineLine(lambda: next(left), lambda: next(clock))
    return [line.text() for _ in readings]


def test_rates_are_those_since_the_last_reading():
    later = EngineMetrics(
        engine="vllm", running=3, waiting=0, kv_usage=0.5, prefix_queries=1_500, prefix_hits=550, prefix_hit_rate=0.4,
        generation_tokens=5_820,
    )  # fmt: skip
    assert texts(VLLM, later, later) == [
        "2 running, 1 waiting, KV cache 34% used, prefix hits 10%",
        "3 running, 0 waiting, KV cache 50% used, prefix hits 90%, 410 tokens/s",
        "3 running, 0 waiting, KV cache 50% used, prefix hits 40%, 0 tokens/s",
    ]


def test_an_engine_that_was_started_again_has_no_negative_speed():
    again = EngineMetrics(engine="vllm", running=0, waiting=0, generation_tokens=3)
    assert texts(VLLM, again)[1] == "0 running, 0 waiting, 0 tokens/s"


def test_a_server_that_tells_nothing_has_no_line():
    assert texts(None, EngineMetrics(engine="unknown"), VLLM) == [
        "", "", "2 running, 1 waiting, KV cache 34% used, prefix hits 10%",
    ]  # fmt: skip

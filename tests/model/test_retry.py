"""Which errors are retried, how long the waits are, and when retries end; with a simulated clock."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from tenacity import RetryCallState

from agent.errors import (
    ConfigError,
    EndpointError,
    EndpointRejected,
    EndpointTimeout,
    EndpointUnreachable,
    EndpointUnreadable,
)
from agent.model.retry import is_journaled, retrying, worth_retrying

NEVER = 10_000
URL = "http://127.0.0.1:8000/v1/chat/completions"


def rejected(status: int, retry_after_s: float | None = None) -> EndpointRejected:
    return EndpointRejected("no", url=URL, status=status, retry_after_s=retry_after_s)


UNREACHABLE = EndpointUnreachable("refused", url=URL)
SILENT = EndpointTimeout(url=URL, waited_s=1.0, phase="the first byte")
UNREADABLE = EndpointUnreadable("a page", url=URL)


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_a_temporary_status_is_worth_retrying(status: int) -> None:
    assert worth_retrying(rejected(status))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 413, 422])
def test_a_client_error_status_is_not_worth_retrying(status: int) -> None:
    assert not worth_retrying(rejected(status))


@pytest.mark.parametrize("error", [UNREACHABLE, SILENT, UNREADABLE])
def test_a_missing_or_unreadable_answer_is_worth_retrying(error: EndpointError) -> None:
    assert worth_retrying(error)


@pytest.mark.parametrize("error", [ConfigError("wrong"), ValueError("wrong"), KeyboardInterrupt()])
def test_other_errors_are_not_worth_retrying(error: BaseException) -> None:
    assert not worth_retrying(error)


class Clock:
    """A clock that only `sleep` advances."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.waits: list[float] = []
        self.retries: list[tuple[int, float]] = []

    def monotonic(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now_s += seconds

    def record_retry(self, state: RetryCallState) -> None:
        self.retries.append((state.attempt_number, state.upcoming_sleep))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("random.random", lambda: 1.0)
    return made


async def attempts(
    clock: Clock, error: Exception, *, patience_s: float = 900.0, succeeds_at: int = NEVER, first_wait_s: float = 0.5
) -> int:
    """Return the number of tries; the error is raised until the given try."""
    tried = 0

    async def step() -> str:
        nonlocal tried
        tried += 1
        if tried < succeeds_at:
            raise error
        return "ok"

    policy = retrying(
        patience_s=patience_s,
        first_wait_s=first_wait_s,
        clock=clock.monotonic,
        sleep=clock.sleep,
        before_sleep=clock.record_retry,
    )
    if succeeds_at == NEVER:
        with pytest.raises(type(error)) as raised:
            await policy(step)
        assert raised.value is error, "the original error, not one of tenacity"
    else:
        assert await policy(step) == "ok"
    return tried


async def test_waits_double_up_to_thirty_seconds_plus_jitter_of_up_to_the_first_wait(clock: Clock) -> None:
    assert await attempts(clock, UNREACHABLE, succeeds_at=10) == 10
    assert clock.waits == [1.0, 1.5, 2.5, 4.5, 8.5, 16.5, 30.5, 30.5, 30.5]
    assert clock.retries == list(enumerate(clock.waits, start=1))


async def test_the_first_wait_is_configurable(clock: Clock) -> None:
    await attempts(clock, UNREACHABLE, succeeds_at=4, first_wait_s=0.0)
    assert clock.waits == [0.0, 0.0, 0.0]


async def test_waits_never_exceed_patience(clock: Clock) -> None:
    await attempts(clock, UNREACHABLE, patience_s=900.0)
    assert 870.0 < clock.now_s <= 900.0


async def test_time_in_a_suspended_process_takes_no_patience(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an hour between Ctrl-Z and `fg`, a run gave its server up at the next failure."""
    hours = iter(range(0, 3_600 * NEVER, 3_600))
    monkeypatch.setattr("tenacity.time", SimpleNamespace(monotonic=lambda: float(next(hours))))
    assert await attempts(clock, UNREACHABLE, patience_s=60.0, succeeds_at=3) == 3


async def test_zero_patience_means_one_try(clock: Clock) -> None:
    assert await attempts(clock, UNREACHABLE, patience_s=0.0) == 1


async def test_retry_after_is_honoured_exactly(clock: Clock) -> None:
    assert await attempts(clock, rejected(429, 7.0), succeeds_at=3) == 3
    assert clock.waits == [7.0, 7.0]


@pytest.mark.parametrize("asked_s", [0.0, -5.0, 1e-6, 0.9, float("nan"), float("-inf")])
async def test_a_server_cannot_ask_for_waits_shorter_than_our_own(clock: Clock, asked_s: float) -> None:
    await attempts(clock, rejected(429, asked_s), succeeds_at=5)
    assert clock.waits == [1.0, 1.5, 2.5, 4.5]


async def test_a_server_that_always_asks_for_no_wait_gets_few_requests(clock: Clock) -> None:
    assert await attempts(clock, rejected(503, 0.0)) < 40


@pytest.mark.parametrize("asked_s", [float("inf"), 1e300])
async def test_an_absurd_wait_is_five_minutes(clock: Clock, asked_s: float) -> None:
    await attempts(clock, rejected(429, asked_s), succeeds_at=2)
    assert clock.waits == [300.0]


def test_a_server_that_is_down_for_a_year_does_not_fill_the_journal() -> None:
    recorded = [attempt for attempt in range(1, 1_000_000) if is_journaled(attempt)]
    assert recorded[:40] == list(range(1, 41))
    assert len(recorded) == 54


async def test_retry_after_is_honoured_up_to_five_minutes(clock: Clock) -> None:
    await attempts(clock, rejected(503, 3_600.0), succeeds_at=2)
    assert clock.waits == [300.0]


async def test_a_wait_longer_than_patience_is_not_started(clock: Clock) -> None:
    assert await attempts(clock, rejected(429, 3_600.0), patience_s=60.0) == 1
    assert clock.waits == []


@pytest.mark.parametrize("error", [rejected(500), UNREADABLE], ids=["500", "unreadable"])
async def test_an_error_that_the_model_may_cause_gets_six_tries(clock: Clock, error: EndpointError) -> None:
    assert await attempts(clock, error) == 6


@pytest.mark.parametrize("error", [rejected(503), SILENT, UNREACHABLE], ids=["503", "silent", "unreachable"])
async def test_a_restarting_engine_is_retried_until_patience_ends(clock: Clock, error: EndpointError) -> None:
    assert await attempts(clock, error) > 30


async def test_an_error_of_the_caller_gets_one_try(clock: Clock) -> None:
    assert await attempts(clock, rejected(400)) == 1
    assert await attempts(clock, ValueError("wrong")) == 1

"""Which errors are tried again, how long is waited, and when patience ends; time is the test's own."""

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
from agent.model.retry import retrying, worth_retrying

NEVER = 10_000
URL = "http://127.0.0.1:8000/v1/chat/completions"


def rejected(status: int, retry_after_s: float | None = None) -> EndpointRejected:
    return EndpointRejected("no", url=URL, status=status, retry_after_s=retry_after_s)


UNREACHABLE = EndpointUnreachable("refused", url=URL)
SILENT = EndpointTimeout(url=URL, waited_s=1.0, phase="the first byte")
UNREADABLE = EndpointUnreadable("a page", url=URL)


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_a_status_that_may_pass_is_worth_it(status: int) -> None:
    assert worth_retrying(rejected(status))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 413, 422])
def test_a_status_that_is_our_own_fault_is_not(status: int) -> None:
    assert not worth_retrying(rejected(status))


@pytest.mark.parametrize("error", [UNREACHABLE, SILENT, UNREADABLE])
def test_a_server_that_says_nothing_sensible_is_worth_it(error: EndpointError) -> None:
    assert worth_retrying(error)


@pytest.mark.parametrize("error", [ConfigError("wrong"), ValueError("wrong"), KeyboardInterrupt()])
def test_other_errors_are_not(error: BaseException) -> None:
    assert not worth_retrying(error)


class Clock:
    """A clock that only sleep moves; tenacity reads it in place of time.monotonic."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.waits: list[float] = []
        self.told: list[tuple[int, float]] = []

    def monotonic(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now_s += seconds

    def tell(self, state: RetryCallState) -> None:
        self.told.append((state.attempt_number, state.upcoming_sleep))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("tenacity.time", SimpleNamespace(monotonic=made.monotonic))
    monkeypatch.setattr("random.random", lambda: 1.0)
    return made


async def attempts(
    clock: Clock, error: Exception, *, patience_s: float = 900.0, succeeds_at: int = NEVER, first_wait_s: float = 0.5
) -> int:
    """Return how often it was tried; the error is raised until the given try."""
    tried = 0

    async def step() -> str:
        nonlocal tried
        tried += 1
        if tried < succeeds_at:
            raise error
        return "ok"

    policy = retrying(patience_s=patience_s, first_wait_s=first_wait_s, sleep=clock.sleep, before_sleep=clock.tell)
    if succeeds_at == NEVER:
        with pytest.raises(type(error)) as raised:
            await policy(step)
        assert raised.value is error, "the error itself, not tenacity's"
    else:
        assert await policy(step) == "ok"
    return tried


async def test_waits_double_up_to_thirty_seconds_and_jitter_by_the_first(clock: Clock) -> None:
    assert await attempts(clock, UNREACHABLE, succeeds_at=10) == 10
    assert clock.waits == [1.0, 1.5, 2.5, 4.5, 8.5, 16.5, 30.5, 30.5, 30.5]
    assert clock.told == list(enumerate(clock.waits, start=1))


async def test_the_first_wait_is_the_endpoints(clock: Clock) -> None:
    await attempts(clock, UNREACHABLE, succeeds_at=4, first_wait_s=0.0)
    assert clock.waits == [0.0, 0.0, 0.0]


async def test_patience_is_never_exceeded_by_a_wait(clock: Clock) -> None:
    await attempts(clock, UNREACHABLE, patience_s=900.0)
    assert 870.0 < clock.now_s <= 900.0


async def test_no_patience_means_one_try(clock: Clock) -> None:
    assert await attempts(clock, UNREACHABLE, patience_s=0.0) == 1


async def test_retry_after_is_obeyed_to_the_second(clock: Clock) -> None:
    assert await attempts(clock, rejected(429, 7.0), succeeds_at=3) == 3
    assert clock.waits == [7.0, 7.0]


async def test_retry_after_of_nothing_is_no_wait(clock: Clock) -> None:
    await attempts(clock, rejected(429, 0.0), succeeds_at=2)
    assert clock.waits == [0.0]


async def test_retry_after_is_obeyed_for_five_minutes_at_most(clock: Clock) -> None:
    await attempts(clock, rejected(503, 3_600.0), succeeds_at=2)
    assert clock.waits == [300.0]


async def test_a_wait_longer_than_patience_is_not_begun(clock: Clock) -> None:
    assert await attempts(clock, rejected(429, 3_600.0), patience_s=60.0) == 1
    assert clock.waits == []


@pytest.mark.parametrize("error", [rejected(500), UNREADABLE], ids=["500", "unreadable"])
async def test_what_may_be_the_models_own_doing_gets_six_tries(clock: Clock, error: EndpointError) -> None:
    assert await attempts(clock, error) == 6


@pytest.mark.parametrize("error", [rejected(503), SILENT, UNREACHABLE], ids=["503", "silent", "unreachable"])
async def test_an_engine_that_restarts_is_waited_for_with_all_patience(clock: Clock, error: EndpointError) -> None:
    assert await attempts(clock, error) > 30


async def test_what_is_our_own_fault_gets_one_try(clock: Clock) -> None:
    assert await attempts(clock, rejected(400)) == 1
    assert await attempts(clock, ValueError("wrong")) == 1

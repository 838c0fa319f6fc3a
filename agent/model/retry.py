"""Decide which failed requests to retry and how long to wait; a policy for tenacity, no I/O."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tenacity import AsyncRetrying, RetryCallState, wait_exponential, wait_random

from ..errors import EndpointError, EndpointRejected, EndpointUnreadable

# 408, 409, 425 and 429 mean "try again later"; 5xx are server failures; the other 4xx are our mistakes.
_RETRYABLE_4XX = frozenset({408, 409, 425, 429})
# Some engines answer malformed model output with a 500 (vLLM PR 54844): a few new samples may help, many will not.
_MAX_TRIES_OF_500 = 6
_MAX_RETRY_AFTER_S = 300.0
_ALL_JOURNALED = 40
"""Attempts of a request that are each recorded; 900 s of patience have room for 33."""


def worth_retrying(error: BaseException) -> bool:
    """Return whether the same request may succeed if it is sent again."""
    if isinstance(error, EndpointRejected):
        return not error.is_final and (error.status in _RETRYABLE_4XX or error.status >= 500)
    return isinstance(error, EndpointError)


def retrying(
    *,
    patience_s: float,
    first_wait_s: float = 0.5,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
    before_sleep: Callable[[RetryCallState], None],
) -> AsyncRetrying:
    """Return the retry policy: retry for up to `patience_s` seconds, then raise the last error.

    The wait starts at `first_wait_s` seconds and doubles up to 30 s, with jitter. A longer one in a Retry-After header
    is honoured up to 300 s; a shorter one is not, since a server could ask for requests without end. `clock` stands
    still in a suspended process, which tenacity's own does not.
    """
    began_s = clock()
    # Not wait_exponential_jitter: tenacity 9.2 warns about a parameter that older versions need.
    backoff = wait_exponential(multiplier=first_wait_s, max=30.0) + wait_random(0.0, first_wait_s)

    def wait(state: RetryCallState) -> float:
        error = _error(state)
        asked_s = (error.retry_after_s or 0.0) if isinstance(error, EndpointRejected) else 0.0
        return max(backoff(state), min(asked_s, _MAX_RETRY_AFTER_S))

    def stop(state: RetryCallState) -> bool:
        error = _error(state)
        probably_permanent = isinstance(error, EndpointUnreadable) or (
            isinstance(error, EndpointRejected) and error.status == 500
        )
        if probably_permanent and state.attempt_number >= _MAX_TRIES_OF_500:
            return True
        return clock() - began_s + state.upcoming_sleep > patience_s

    return AsyncRetrying(
        retry=lambda state: (error := _error(state)) is not None and worth_retrying(error),
        wait=wait,
        stop=stop,
        sleep=sleep,
        before_sleep=before_sleep,
        reraise=True,
    )


def is_journaled(attempt: int) -> bool:
    """Return whether to record a failed attempt: the first 40, then ever fewer; a server may be down for days.

    Args:
        attempt: from 1.
    """
    return attempt <= _ALL_JOURNALED or attempt & (attempt - 1) == 0


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None

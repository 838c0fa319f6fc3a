"""When a request is worth sending again, and how long to wait before; policy over tenacity, no I/O."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tenacity import AsyncRetrying, RetryCallState, wait_exponential, wait_random

from ..errors import EndpointError, EndpointRejected, EndpointUnreadable

# 408, 409, 425 and 429 say "again later"; 5xx are the server's own trouble; 400 and its kin are ours.
_AGAIN_LATER = frozenset({408, 409, 425, 429})
# Some engines answer malformed model output with a 500 (vLLM pull 54844): a few new samples may cure it, many will not.
_TRIES_OF_A_500 = 6
_MAX_RETRY_AFTER_S = 300.0


def worth_retrying(error: BaseException) -> bool:
    """Tell whether sending the same request again may succeed."""
    if isinstance(error, EndpointRejected):
        return error.status in _AGAIN_LATER or error.status >= 500
    return isinstance(error, EndpointError)


def retrying(
    *,
    patience_s: float,
    first_wait_s: float = 0.5,
    sleep: Callable[[float], Awaitable[None]],
    before_sleep: Callable[[RetryCallState], None],
) -> AsyncRetrying:
    """Return the policy: retry what is worth it until `patience_s` seconds have passed, then raise the last error.

    Waits `first_wait_s` seconds, doubling to 30 s, with jitter; a Retry-After header is obeyed up to 300 s.
    """
    # Not wait_exponential_jitter: tenacity 9.2 warns of the parameter that older ones need.
    backoff = wait_exponential(multiplier=first_wait_s, max=30.0) + wait_random(0.0, first_wait_s)

    def wait(state: RetryCallState) -> float:
        error = _error(state)
        asked = error.retry_after_s if isinstance(error, EndpointRejected) else None
        return min(asked, _MAX_RETRY_AFTER_S) if asked is not None else backoff(state)

    def stop(state: RetryCallState) -> bool:
        error = _error(state)
        permanent = isinstance(error, EndpointUnreadable) or (
            isinstance(error, EndpointRejected) and error.status == 500
        )
        if permanent and state.attempt_number >= _TRIES_OF_A_500:
            return True
        return (state.seconds_since_start or 0.0) + (state.upcoming_sleep or 0.0) > patience_s

    return AsyncRetrying(
        retry=lambda state: (error := _error(state)) is not None and worth_retrying(error),
        wait=wait,
        stop=stop,
        sleep=sleep,
        before_sleep=before_sleep,
        reraise=True,
    )


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None

"""Check settings that have a closed set of values, so that a typo in one is refused and never taken for a default."""

from __future__ import annotations

from collections.abc import Iterable

from .errors import ConfigError
from .nearest import did_you_mean


def check_choice(value: object, known: Iterable[str], *, key: str) -> None:
    """Check that a setting has one of its known values.

    Raises:
        ConfigError: it has another; the message gives the nearest value, or all of them.
    """
    options = tuple(known)
    if value not in options:
        msg = f"`{key}` cannot be {value!r}.{did_you_mean(str(value), options)}"
        raise ConfigError(msg, key=key)

"""Check the values of settings, so that a typo or a value of another type is refused and never taken for another."""

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


def check_number(value: object, *, key: str) -> None:
    """Check that a setting is a number, or None.

    Raises:
        ConfigError: it has another type.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        msg = f"`{key}` is {value!r}, of type {type(value).__name__}. Give a number."
        raise ConfigError(msg, key=key)

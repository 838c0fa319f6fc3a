"""Describe exceptions of foreign code in words; never raises."""

from __future__ import annotations


def message_of(error: BaseException) -> str:
    """Return the message of an exception; empty if it has none."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an exception with a broken __str__ is still a failure to report
        return "(its message cannot be read)"


def described(error: BaseException) -> str:
    """Return the class and the message of an exception."""
    text = message_of(error)
    return f"{type(error).__name__}{f': {text}' if text else ''}"

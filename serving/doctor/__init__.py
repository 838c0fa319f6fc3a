"""Say what is wrong with an engine from what it says; pure over text, starts and asks nothing."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .records import Diagnosis

if TYPE_CHECKING:
    from .diagnosing import LogReading, diagnose, read_log
    from .replies import diagnose_http

__all__ = ["Diagnosis", "LogReading", "diagnose", "diagnose_http", "read_log"]

_HOMES = {
    "LogReading": ".diagnosing",
    "diagnose": ".diagnosing",
    "diagnose_http": ".replies",
    "read_log": ".diagnosing",
}


def __getattr__(name: str) -> object:
    # Late: the engines' modules, which the doctor reads, know EngineError, and EngineError knows Diagnosis.
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

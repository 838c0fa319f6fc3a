"""Say what is wrong with an engine from what it says; pure over text, starts and asks nothing."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .records import Diagnosis

if TYPE_CHECKING:
    from .diagnosing import diagnose

__all__ = ["Diagnosis", "diagnose"]


def __getattr__(name: str) -> object:
    # Late: the engines' modules, which the doctor reads, know EngineError, and EngineError knows Diagnosis.
    if name == "diagnose":
        return importlib.import_module(".diagnosing", __name__).diagnose
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

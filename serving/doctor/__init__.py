"""Say what is wrong with an engine from what it says; pure over text, starts and asks nothing."""

from .records import Diagnosis

__all__ = ["Diagnosis"]

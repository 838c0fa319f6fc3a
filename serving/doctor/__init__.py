"""Say what is wrong with an engine from what it says; pure over text, starts and asks nothing."""

from .diagnosing import LogReading, diagnose, read_log
from .records import Diagnosis
from .replies import diagnose_http

__all__ = ["Diagnosis", "LogReading", "diagnose", "diagnose_http", "read_log"]

"""Diagnose an engine from its log or its HTTP errors; a pure function of text that starts and asks nothing."""

from .http_errors import diagnose_http
from .log_diagnosis import LogReading, diagnose, read_log
from .records import Diagnosis

__all__ = ["Diagnosis", "LogReading", "diagnose", "diagnose_http", "read_log"]

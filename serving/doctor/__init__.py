"""Diagnose an engine from its log or its HTTP errors; pure over text, contacts no server."""

from .http_errors import diagnose_http
from .log_diagnosis import LogReading, diagnose, read_log
from .records import Diagnosis

__all__ = ["Diagnosis", "LogReading", "diagnose", "diagnose_http", "read_log"]

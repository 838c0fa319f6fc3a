"""Test which features of a live endpoint work; changes nothing on the server.

The result is stored in `<state dir>/probes/<host-port-path>-<8 hex digits>.json`; the digits are the first of the
SHA-256 of the base URL without its trailing slash. Other programs may read the file without this package. Its content,
format 1:

    {"format": 1, "base_url": "http://127.0.0.1:8000/v1", "kind": "vllm" | "sglang" | "generic", "version": "0.32.0",
     "model": "pocket", "window_tokens": 8192 | null, "at": "2026-11-23T19:00:00+00:00", "elapsed_s": 4.2,
     "checks": [{"check": "auto", "verdict": "works" | "broken" | "not_offered" | "unknown", "detail": "…",
                 "fix": "…", "warning": "…", "answered": true}, …],
     "capabilities": {"strict_works": true | false | null, …}}

The capabilities are the fields of `Capabilities`; null means the probe could not determine the value. The result is
valid for that version and model only: if the server now reports another one, ignore the file. The file is replaced
atomically, so a reader never sees a partial one.
"""

from .cache import read_cache, write_cache
from .lookup import find_report
from .records import TITLES, Capabilities, CheckResult, ProbeReport
from .run import DEADLINE_S, probe

__all__ = [
    "DEADLINE_S",
    "TITLES",
    "Capabilities",
    "CheckResult",
    "ProbeReport",
    "find_report",
    "probe",
    "read_cache",
    "write_cache",
]

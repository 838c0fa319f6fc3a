"""Try what a live endpoint can do, and say which of it works; changes nothing there.

What was found is kept in `<state dir>/probes/<host-port-path>-<8 hex digits>.json`, the digits being the beginning of
the SHA-256 of the base URL without its last slash. Who asks a server may read the file without this package. Its
content, format 1:

    {"format": 1, "base_url": "http://127.0.0.1:8000/v1", "kind": "vllm" | "sglang" | "generic", "version": "0.32.0",
     "model": "pocket", "window_tokens": 8192 | null, "at": "2026-11-23T19:00:00+00:00", "elapsed_s": 4.2,
     "checks": [{"check": "auto", "verdict": "works" | "broken" | "not_offered" | "unknown", "detail": "…",
                 "fix": "…", "warning": "…"}, …],
     "capabilities": {"strict_works": true | false | null, …}}

The capabilities are the fields of `Capabilities`; null: the probe could not tell. What was found holds for that
version and that model: if the server names another one by now, the file is out of date and to be ignored. The file is
replaced as a whole, so that a reader never meets half of it.
"""

from .cache import read_cache, write_cache
from .lookup import find_report
from .records import TITLES, Capabilities, CheckResult, ProbeReport
from .run import probe

__all__ = [
    "TITLES",
    "Capabilities",
    "CheckResult",
    "ProbeReport",
    "find_report",
    "probe",
    "read_cache",
    "write_cache",
]

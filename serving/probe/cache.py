"""Store and load probe results, one file per server; an invalid file counts as missing."""

import hashlib
import json
import re
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from ..atomic import write_atomically
from .records import TITLES, Capabilities, CheckResult, ProbeReport

FORMAT_VERSION = 1


def cache_path(base_url: str, state: Path) -> Path:
    """Return the path of a server's file in a state folder."""
    address = base_url.rstrip("/")
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", address.partition("://")[2]).strip("-")[:60]
    return state / "probes" / f"{readable}-{hashlib.sha256(address.encode()).hexdigest()[:8]}.json"


def write_cache(report: ProbeReport, state: Path) -> Path:
    """Replace the server's file atomically; create missing folders; return its path.

    Raises:
        OSError: it cannot be written.
    """
    path = cache_path(report.base_url, state)
    write_atomically(path, json.dumps({"format": FORMAT_VERSION, **asdict(report)}, indent=1) + "\n")
    return path


def read_cache(base_url: str, state: Path) -> ProbeReport | None:
    """Read the stored result for a server; None if there is none that this version can read."""
    try:
        found: Any = json.loads(cache_path(base_url, state).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict):
        return None
    values = cast("dict[str, Any]", found)
    if values.pop("format", None) != FORMAT_VERSION:
        return None
    try:
        values["checks"] = tuple(CheckResult(**check) for check in values["checks"])
        values["capabilities"] = Capabilities(**values["capabilities"])
        report = ProbeReport(**values)
        has_offset = datetime.fromisoformat(report.at).tzinfo is not None
    except (TypeError, KeyError, ValueError):
        return None
    names = tuple(check.check for check in report.checks)
    return report if has_offset and names == tuple(TITLES) and report.base_url == base_url.rstrip("/") else None

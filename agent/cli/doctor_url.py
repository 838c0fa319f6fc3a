"""`agent doctor --url`: probe a live endpoint and print the result of each check; fixes nothing."""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..errors import ConfigError

if TYPE_CHECKING:
    from serving.probe import CheckResult, ProbeReport

_SHOWN = {"works": "works", "broken": "BROKEN", "not_offered": "not offered", "unknown": "unknown"}
_KINDS = {"vllm": "vLLM", "sglang": "SGLang", "generic": "a server of unknown kind"}
_FRESH_S = 3600.0
"""How long a stored result without a broken check is reused, in seconds; one with a broken check never is, since the
server may have been fixed."""


def probe_url(args: argparse.Namespace) -> int:
    """Probe the endpoint `args.url` and print the results; return 0 if no check is broken, otherwise 1.

    Raises:
        ConfigError: the variable named by `--api-key-env` is not set.
        EngineError: there is nothing to probe at this address.
    """
    from serving.directories import state_dir  # imported only when a command needs it
    from serving.probe import find_report, probe, write_cache

    key, state = _key(args.api_key_env), state_dir()
    report = None if args.fresh else find_report(args.url, model=args.model, api_key=key, state=state)
    reused = report is not None and _is_reusable(report)
    if report is None or not reused:
        report = probe(args.url, model=args.model, api_key=key)
        try:
            write_cache(report, state)
        except OSError as error:
            print(f"agent: cannot store the result for `agent run`: {error}", file=sys.stderr)
    print(json.dumps(asdict(report), indent=1) if args.json else "\n".join(_lines(report, reused=reused)))
    return 1 if any(check.verdict == "broken" for check in report.checks) else 0


def _key(variable: str | None) -> str:
    if variable is None:
        return os.environ.get("AGENT_API_KEY", "")
    if variable not in os.environ:
        msg = f"--api-key-env names {variable}, which is not set. Export it, or omit the flag."
        raise ConfigError(msg)
    return os.environ[variable]


def _is_reusable(report: ProbeReport) -> bool:
    age_s = (datetime.now(UTC) - datetime.fromisoformat(report.at)).total_seconds()
    return 0 <= age_s < _FRESH_S and all(check.verdict != "broken" for check in report.checks)


def _lines(report: ProbeReport, *, reused: bool) -> Iterator[str]:
    from serving.probe import TITLES

    version = f" {report.version}" if report.version else ""
    yield f"{report.base_url}: {report.model!r} on {_KINDS[report.kind]}{version}"
    if reused:
        yield f"(probed at {report.at}; --fresh probes again)"
    width = max(map(len, TITLES.values()))
    for check in report.checks:
        yield f"  {_SHOWN[check.verdict]:11}  {TITLES[check.check]:{width}}  {_detail(check)}"
    broken = [check for check in report.checks if check.verdict == "broken"]
    for check in broken:
        yield f"\nBROKEN: {TITLES[check.check]}"
        yield from _wrapped("Why: ", check.detail)
        yield from _wrapped("Fix: ", check.fix)
    warned = [check for check in report.checks if check.warning]
    if warned:
        yield "\nWarnings:"
    for check in warned:
        yield from _wrapped("- ", f"{TITLES[check.check]}: {check.warning}")
    counts = {verdict: sum(check.verdict == verdict for check in report.checks) for verdict in _SHOWN}
    summary = ", ".join(f"{count} {_SHOWN[verdict]}" for verdict, count in counts.items() if count)
    yield f"\n{summary}; {report.elapsed_s:.1f} s."


def _detail(check: CheckResult) -> str:
    return "see below" if check.verdict == "broken" else check.detail


def _wrapped(mark: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, 110, initial_indent=f"  {mark}", subsequent_indent=" " * (2 + len(mark)), break_on_hyphens=False
    )

"""`agent doctor --url`: probe a live endpoint and print the result of each check; fixes nothing."""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..errors import ConfigError
from ..model.address import checked_key
from ..nearest import did_you_mean

if TYPE_CHECKING:
    from serving.probe import CheckResult, ProbeReport

_SHOWN = {"works": "works", "broken": "BROKEN", "not_offered": "not offered", "unknown": "unknown"}
_KINDS = {"vllm": "vLLM", "sglang": "SGLang", "generic": "a server of unknown kind"}
_FRESH_S = 3600.0
"""How long a stored result is reused, in seconds. One with a broken check never is, since the server may have been
fixed, nor one with a check that got no answer."""


def probe_url(args: argparse.Namespace) -> int:
    """Probe the endpoint `args.url` and print the results.

    Return 1 if a check is broken, 3 if one got no answer in time or a check named by `--check` is unknown, otherwise 0.

    Raises:
        ConfigError: the variable named by `--api-key-env` is not set or holds no key, or `--check` names no check.
        EngineError: there is nothing to probe at this address.
    """
    from serving.directories import state_dir  # imported only when a command needs it
    from serving.probe import DEADLINE_S, TITLES, find_report, probe, write_cache

    wanted: list[str] = args.check
    _refuse_unknown_names(wanted, TITLES)
    key, state = _key(args.api_key_env), state_dir()
    report = None if args.fresh else find_report(args.url, model=args.model, api_key=key, state=state)
    reused = report is not None and _is_reusable(report)
    if report is None or not reused:
        report = probe(args.url, model=args.model, api_key=key, deadline_s=args.timeout or DEADLINE_S)
        try:
            write_cache(report, state)
        except OSError as error:
            print(f"agent: cannot store the result for `agent run`: {error}", file=sys.stderr)
    shown = replace(report, checks=tuple(check for check in report.checks if not wanted or check.check in wanted))
    print(json.dumps(asdict(shown), indent=1) if args.json else "\n".join(_lines(shown, reused=reused)))
    if any(check.verdict == "broken" for check in shown.checks):
        return 1
    unanswered = (check for check in shown.checks if not check.answered or (wanted and check.verdict == "unknown"))
    return 3 if any(unanswered) else 0


def _refuse_unknown_names(wanted: Iterable[str], titles: Collection[str]) -> None:
    for name in wanted:
        if name not in titles:
            msg = f"There is no check {name!r} for --check.{did_you_mean(name, titles)}"
            raise ConfigError(msg)


def _key(variable: str | None) -> str:
    if variable is None and not os.environ.get("AGENT_API_KEY"):
        return ""
    if variable is not None and variable not in os.environ:
        msg = f"--api-key-env names {variable}, which is not set. Export it, or omit the flag."
        raise ConfigError(msg)
    name = variable or "AGENT_API_KEY"
    return checked_key(os.environ[name], source=name)


def _is_reusable(report: ProbeReport) -> bool:
    age_s = (datetime.now(UTC) - datetime.fromisoformat(report.at)).total_seconds()
    return 0 <= age_s < _FRESH_S and all(check.verdict != "broken" and check.answered for check in report.checks)


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
    unanswered = sum(not check.answered for check in report.checks)
    if unanswered:
        yield (
            f"\n{unanswered} check{'s' if unanswered > 1 else ''} got no answer in time: the server is busy or slow. "
            "Try again, or with a larger --timeout."
        )
    summary = ", ".join(f"{count} {_SHOWN[verdict]}" for verdict, count in counts.items() if count)
    yield f"\n{summary}; {report.elapsed_s:.1f} s."


def _detail(check: CheckResult) -> str:
    return "see below" if check.verdict == "broken" else check.detail


def _wrapped(mark: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, 110, initial_indent=f"  {mark}", subsequent_indent=" " * (2 + len(mark)), break_on_hyphens=False
    )

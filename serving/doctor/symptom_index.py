"""Bring together what the engines' modules know of their logs, for one engine or for all; adds nothing of its own."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..capacity.sizing import EngineName
from ..engines import library_failures, mistral_failures
from ..engines.log_patterns import LogPattern
from ..engines.log_summary import Telltale
from ..engines.sglang import log as sglang_log
from ..engines.vllm import failures as vllm_failures
from ..engines.vllm import log as vllm_log


@dataclass(frozen=True, kw_only=True)
class SymptomIndex:
    """What to look for in a log."""

    engine: EngineName | None
    """None: nobody knows whose log it is."""
    patterns: tuple[LogPattern, ...]
    """In the order in which they are tried; a line is what the first that fits says."""
    death: re.Pattern[str]
    """Lines that say only that the engine ended."""
    quoting: re.Pattern[str]
    """Lines that hold what a user or the model said."""
    banner: re.Pattern[str]
    ready: re.Pattern[str]
    stopped: re.Pattern[str]
    start: tuple[Telltale, ...]
    load: tuple[Telltale, ...]
    flags: tuple[str, ...]
    """Those that people give."""


VLLM = SymptomIndex(
    engine="vllm",
    patterns=(
        *vllm_failures.LOG_PATTERNS,
        *mistral_failures.LOG_PATTERNS,
        *library_failures.LOG_PATTERNS,
        *vllm_failures.FIELD_PATTERNS,
    ),
    death=vllm_failures.DEATH,
    quoting=vllm_log.QUOTING,
    banner=vllm_log.BANNER,
    ready=vllm_log.READY,
    stopped=vllm_log.STOPPED,
    start=vllm_log.START,
    load=vllm_log.LOAD,
    flags=vllm_failures.FLAGS,
)
SGLANG = SymptomIndex(
    engine="sglang",
    patterns=(*sglang_log.LOG_PATTERNS, *mistral_failures.LOG_PATTERNS, *library_failures.LOG_PATTERNS),
    death=sglang_log.DEATH,
    quoting=sglang_log.QUOTING,
    banner=sglang_log.BANNER,
    ready=sglang_log.READY,
    stopped=sglang_log.STOPPED,
    start=sglang_log.START,
    load=sglang_log.LOAD,
    flags=sglang_log.FLAGS,
)
_NOBODYS = replace(
    VLLM,
    engine=None,
    patterns=tuple(pattern for pattern in VLLM.patterns if pattern.symptom not in library_failures.GENERAL),
    start=(),
    load=(),
)
"""A few lines of an engine, or the log of another program."""

# Also the form of vLLM's lines, and what its help says where the program is called by its module.
_ENGINE = re.compile(
    r"(?P<sglang>(?i:sglang)|server_args=ServerArgs|usage: launch_server\.py)|(?i:vllm)|EngineCore|APIServer pid=|"
    r"(?:DEBUG|INFO|WARNING|ERROR) \d\d-\d\d \d\d:\d\d:\d\d \[\S+:\d+\] |\{chat,complete,serve,"
)


def recognise(lines: Iterable[str]) -> EngineName | None:
    """Tell whose log it is by the first line that shows it; None: none does."""
    found = next((found for line in lines if (found := _ENGINE.search(line))), None)
    if found is None:
        return None
    return "sglang" if found["sglang"] else "vllm"


def symptom_index(engine: EngineName | None) -> SymptomIndex:
    """Choose what is known of one engine; None: what can be no other program's words."""
    match engine:
        case "vllm":
            return VLLM
        case "sglang":
            return SGLANG
        case None:
            return _NOBODYS

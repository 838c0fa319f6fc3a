"""Collect the log patterns of the engines' modules, for one engine or for an unknown one; adds none of its own."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..capacity.sizing import EngineName
from ..engines import build_failures, library_failures, mistral_failures, model_failures, network_failures
from ..engines.log_patterns import LogPattern
from ..engines.log_summary import ValuePattern
from ..engines.sglang import log as sglang_log
from ..engines.vllm import failures as vllm_failures
from ..engines.vllm import log as vllm_log


@dataclass(frozen=True, kw_only=True)
class SymptomIndex:
    """What to look for in a log."""

    engine: EngineName | None
    """None if the log's engine is unknown."""
    patterns: tuple[LogPattern, ...]
    """In the order in which they are tried; the first match decides."""
    death: re.Pattern[str]
    """Matches lines that report only that the engine ended."""
    quoting: re.Pattern[str]
    """Matches lines that quote a user or the model."""
    banner: re.Pattern[str]
    ready: re.Pattern[str]
    stopped: re.Pattern[str]
    start: tuple[ValuePattern, ...]
    load: tuple[ValuePattern, ...]
    flags: tuple[str, ...]
    """Flags in common use, for suggesting the nearest."""


# Compilers and networks before libraries: their forms of "no such file" and "connection" are more specific.
_SHARED = (
    *model_failures.LOG_PATTERNS,
    *mistral_failures.LOG_PATTERNS,
    *build_failures.LOG_PATTERNS,
    *network_failures.LOG_PATTERNS,
    *library_failures.LOG_PATTERNS,
)
VLLM = SymptomIndex(
    engine="vllm",
    patterns=(
        *vllm_failures.LOG_PATTERNS,
        *_SHARED,
        *vllm_failures.FIELD_PATTERNS,
    ),
    death=vllm_failures.DEATH,
    quoting=vllm_log.QUOTING,
    banner=vllm_log.BANNER,
    ready=vllm_log.READY,
    stopped=vllm_log.STOPPED,
    start=vllm_log.START_VALUES,
    load=vllm_log.LOAD_VALUES,
    flags=vllm_failures.FLAGS,
)
SGLANG = SymptomIndex(
    engine="sglang",
    patterns=(*sglang_log.LOG_PATTERNS, *_SHARED),
    death=sglang_log.DEATH,
    quoting=sglang_log.QUOTING,
    banner=sglang_log.BANNER,
    ready=sglang_log.READY,
    stopped=sglang_log.STOPPED,
    start=sglang_log.START_VALUES,
    load=sglang_log.LOAD_VALUES,
    flags=sglang_log.FLAGS,
)
_UNKNOWN_ENGINE = replace(
    VLLM,
    engine=None,
    patterns=tuple(pattern for pattern in VLLM.patterns if pattern.symptom not in library_failures.GENERAL),
    start=(),
    load=(),
)
"""For an excerpt that does not show its engine, or the log of another program."""

# What only one of the engines writes.
_CERTAIN = re.compile(
    r"(?P<sglang>server_args=ServerArgs|usage: launch_server\.py|sglang\.launch_server|/sglang/srt/|"
    r"fired up and ready)|vLLM API server version|EngineCore|APIServer pid=|\{chat,complete,serve,"
)
# Also matches the form of vLLM's lines; SGLang up to 0.4 imports vLLM, whose first lines are then in its log.
_LIKELY = re.compile(
    r"(?P<sglang>(?i:sglang|sgl[-_]kernel))|(?i:vllm)|RayWorkerWrapper pid=|"
    r"(?:DEBUG|INFO|WARNING|ERROR) \d\d-\d\d \d\d:\d\d:\d\d (?:\[\S+:\d+\]|\w+\.py:\d+\]) "
)


def detect_engine(lines: Iterable[str]) -> EngineName | None:
    """Return the engine of the first line that only one writes, or of the first that one likely writes.

    Returns None if no line shows an engine.
    """
    likely: re.Match[str] | None = None
    for line in lines:
        if found := _CERTAIN.search(line):
            return "sglang" if found["sglang"] else "vllm"
        likely = likely or _LIKELY.search(line)
    if likely is None:
        return None
    return "sglang" if likely["sglang"] else "vllm"


def symptom_index(engine: EngineName | None) -> SymptomIndex:
    """Return the index of an engine; for None, one without patterns that other programs' logs also match."""
    match engine:
        case "vllm":
            return VLLM
        case "sglang":
            return SGLANG
        case None:
            return _UNKNOWN_ENGINE

"""Know what the lines of vLLM's log say; read no file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from serving.progress import Phase


@dataclass(frozen=True, kw_only=True)
class StartFact:
    """What one log line tells of a start."""

    phase: Phase
    """The part of the start that has begun."""
    detail: str
    """One line for people."""


def read_start_line(line: str) -> StartFact | None:
    """Read one line of vLLM's log; None: it says nothing about how far the start is."""
    for pattern, phase, detail in _START:
        found = pattern.search(line)
        if found:
            return StartFact(phase=phase, detail=detail.format(**found.groupdict()))
    return None


def cause_of_death(lines: Sequence[str]) -> str:
    """Find the line that says why the engine ended; empty: the log says nothing.

    vLLM's last lines are nearly always "Engine core initialization failed", so the search goes upwards.

    Args:
        lines: the log, in its order.
    """
    said = [_PREFIX.sub("", line).strip() for line in lines]
    for patterns in (_KNOWN_CAUSES, (_ANY_ERROR,)):
        for line in reversed(said):
            if not _VAGUE.search(line) and any(pattern.search(line) for pattern in patterns):
                return line
    return next((line for line in reversed(said) if line), "")


READY = re.compile(r"Starting vLLM server on |Application startup complete")
"""The server listens."""

BANNER = re.compile(r" version \d\S*$|vLLM API server version \d")
"""The first words of a start."""

_PREFIX = re.compile(r"^(?:\([^)]*pid=\d+\) )?(?:(?:ERROR|CRITICAL|WARNING|INFO) [\d-]+ [\d:]+ \[[^\]]+\] ?)?")

# (what the line looks like, the phase it opens, what to say). Seen in vLLM 0.32.0 on the CPU, 0.33 by its source.
_START: tuple[tuple[re.Pattern[str], Phase, str], ...] = (
    (re.compile(r"version (?P<version>\d\S*)$"), "importing", "vLLM {version}: reading the settings"),
    (re.compile(r"Resolved architecture: (?P<arch>\w+)"), "importing", "{arch}: starting the engine's process"),
    (re.compile(r"Initializing a V1 LLM engine"), "importing", "starting the worker"),
    (re.compile(r"Starting to load model"), "loading weights", "reading the checkpoint"),
    (re.compile(r"Loading weights took (?P<s>[\d.]+) seconds"), "loading weights", "weights read in {s} s"),
    (re.compile(r"Model loading took (?P<gib>[\d.]+) GiB"), "loading weights", "weights take {gib} GiB"),
    (
        re.compile(r"KV cache size: (?P<tokens>[\d,]+) tokens"),
        "warming up",
        "KV cache holds {tokens} tokens",
    ),
    (re.compile(r"init engine .* took (?P<s>[\d.]+) s"), "warming up", "engine ready after {s} s, starting the server"),
    (re.compile(r"Starting vLLM server on (?P<url>\S+)"), "warming up", "server starts on {url}"),
)

_VAGUE = re.compile(
    r"Engine core initialization failed|EngineCore failed to start|WorkerProc (?:initialization )?failed|"
    r"EngineCore encountered a fatal error|resource_tracker|died unexpectedly"
)

_KNOWN_CAUSES = tuple(
    re.compile(text)
    for text in (
        r"To serve at least one request with the model's max seq len",
        r"No available memory for the cache blocks",
        r"Free memory on device .* is less than desired",
        r"not enough GPU memory|OutOfMemoryError|CUDA out of memory|Not enough memory|Cannot allocate memory",
        r"User-specified max_model_len",
        r"World size \(\d+\) is larger than the number of available GPUs",
        r"Address already in use",
        r"unrecognized arguments|: error: ",
        r"get_lark_from_jinja\(\) missing",
        r"No module named|PackageNotFoundError|operator torchvision::\w+ does not exist",
        r"^Value error, ",
    )
)

_ANY_ERROR = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception|Interrupt): ?\S?")

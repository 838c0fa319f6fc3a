"""Know vLLM: its flags, its environment, what its log lines say, which endpoints tell its health; start nothing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from serving.progress import Phase

HEALTH = "/health"
CHAT = "/v1/chat/completions"


@dataclass(frozen=True, kw_only=True)
class VllmSettings:
    """The flags of `vllm serve`, each field spelt as its flag; None: the flag is not given, vLLM decides.

    The defaults of this record are those of a Mistral model with tools.
    Source: `vllm serve --help`, 0.32.0, 2026-11-23.
    """

    model: str
    """A folder, or a name on the Hugging Face Hub; stands on the command line without a flag."""
    host: str = "127.0.0.1"
    """vLLM alone would bind all interfaces."""
    port: int = 8000
    served_model_name: str | None = None
    """What requests call the model. None: as `model`."""
    tokenizer_mode: str | None = "mistral"
    config_format: str | None = "mistral"
    load_format: str | None = "mistral"
    tool_call_parser: str | None = "mistral"
    enable_auto_tool_choice: bool | None = True
    reasoning_parser: str | None = "mistral"
    max_model_len: int | None = None
    """Tokens of prompt and answer together."""
    max_num_seqs: int | None = None
    """Requests at once."""
    enforce_eager: bool | None = None
    enable_prefix_caching: bool | None = True
    enable_prompt_tokens_details: bool | None = True
    """Without it the usage of a reply does not say how many prompt tokens came from the cache."""

    def command(self, python: Path) -> tuple[str, ...]:
        """Build the arguments of the process.

        Args:
            python: an interpreter that has vLLM.
        """
        # By module and not by the `vllm` script, whose first line names the folder it was installed in.
        # -P: the folder we stand in may hold a file named like one of vLLM's imports.
        start = (str(python), "-P", "-m", "vllm.entrypoints.cli.main", "serve", self.model)
        named = [field.name for field in fields(self) if field.name != "model"]
        return (*start, *(word for name in named for word in _flag(name, getattr(self, name))))

    @property
    def base_url(self) -> str:
        """Name the root of the OpenAI-compatible endpoints."""
        return f"http://{self.host}:{self.port}/v1"


def environment(*, cache: Path, kv_cache_gib: int = 1) -> dict[str, str]:
    """List the variables to set for a vLLM on the CPU that serves a local folder.

    Args:
        cache: where vLLM keeps what it can make again.
        kv_cache_gib: memory for the KV cache, GiB.
    """
    return {
        "VLLM_CPU_KVCACHE_SPACE": str(kv_cache_gib),
        "VLLM_CACHE_ROOT": str(cache / "vllm"),
        # Nothing is to be fetched and nothing told about the user.
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        # Its own environment only: neither the user's site-packages, nor a module of the folder we stand in.
        "PYTHONNOUSERSITE": "1",
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
    }


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


def _flag(name: str, value: object) -> tuple[str, ...]:
    words = name.replace("_", "-")
    if value is None:
        return ()
    if isinstance(value, bool):
        return (f"--{words}" if value else f"--no-{words}",)
    return (f"--{words}", str(value))


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

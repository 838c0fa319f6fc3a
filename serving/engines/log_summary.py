"""Extract values of the start and the load from an engine's log; contains no engine's patterns."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ..capacity.sizing import EngineName
from ..progress import Phase


@dataclass(frozen=True, kw_only=True)
class StartFact:
    """The progress of a start that one log line shows."""

    phase: Phase
    """The phase of the start that has begun."""
    detail: str
    """One line for people."""


PhasePattern = tuple[re.Pattern[str], Phase, str]
"""A pattern, the phase that a matching line begins, and the detail to show; `{name}` is a group of the pattern."""


def find_start_fact(line: str, phases: Iterable[PhasePattern]) -> StartFact | None:
    """Return the progress that one line shows; None if it shows none."""
    for pattern, phase, detail in phases:
        found = pattern.search(line)
        if found:
            return StartFact(phase=phase, detail=detail.format(**found.groupdict()))
    return None


@dataclass(frozen=True, kw_only=True)
class StartSummary:
    """The values of the engine's last start in a whole log; of several ranks, those of the one with the least memory.

    None means that the log does not show the value.
    """

    engine: EngineName
    version: str | None = None
    model: str | None = None
    architecture: str | None = None
    max_model_len: int | None = None
    max_num_batched_tokens: int | None = None
    utilization: float | None = None
    requested_gib: float | None = None
    """What the engine may use of a GPU."""
    weights_gib: float | None = None
    """Per GPU, as loaded."""
    consumed_gib: float | None = None
    """Weights and memory outside torch, after profiling."""
    non_torch_gib: float | None = None
    """Memory outside torch: NCCL, buffers. Logged separately up to about vLLM 0.26, later part of `consumed_gib`."""
    activation_gib: float | None = None
    """Peak of one forward pass."""
    graph_gib: float | None = None
    """CUDA graphs, as captured."""
    graph_estimated_gib: float | None = None
    """CUDA graphs, as estimated when the KV cache was sized."""
    available_kv_gib: float | None = None
    kv_tokens: int | None = None
    max_concurrency: float | None = None
    """Concurrent requests of the full `max_model_len`."""
    load_s: float | None = None
    compile_s: float | None = None
    compiled: bool | None = None
    """True: all compiled graphs came from the engine's cache. False: some were compiled."""
    capture_s: float | None = None
    init_s: float | None = None
    """Profiling, KV cache, compilation and capture together."""
    url: str | None = None
    ready: bool = False
    """The server listens."""


@dataclass(frozen=True, kw_only=True)
class LoadSummary:
    """The values of the engine's load in a whole log. None means that the log does not show the value."""

    running: int | None = None
    """Most requests running at once."""
    waiting: int | None = None
    """Most requests waiting at once."""
    kv_usage_percent: float | None = None
    """Highest usage of the KV cache."""
    prefix_hit_percent: float | None = None
    """Share of prompt tokens that came from the cache, last value."""
    acceptance_length: float | None = None
    """Tokens per step with speculative decoding, last value."""


Fold = Literal["first", "last", "min", "max"]


@dataclass(frozen=True, kw_only=True)
class ValuePattern:
    """A pattern of log lines that contain values; its named groups are fields of a summary."""

    regex: re.Pattern[str]
    fold: Fold = "last"
    """Which of several values to use."""


def value_pattern(regex: str, fold: Fold = "last") -> ValuePattern:
    """Build a ValuePattern from its regular expression as text."""
    return ValuePattern(regex=re.compile(regex), fold=fold)


class Values:
    """The values found in the lines so far, by group name."""

    def __init__(self, patterns: tuple[ValuePattern, ...]) -> None:
        """Create an empty collection.

        Args:
            patterns: the patterns to search for; one line may match several.
        """
        self._patterns = patterns
        self._found: dict[str, str] = {}

    def read(self, text: str) -> None:
        """Read one line."""
        for one in self._patterns:
            if found := one.regex.search(text):
                for name, value in found.groupdict().items():
                    if value is not None:
                        self._fold(name, value, one.fold)

    def __bool__(self) -> bool:
        return bool(self._found)

    def text(self, name: str) -> str | None:
        """Return a value as text; None if it was not found."""
        return self._found.get(name)

    def number(self, name: str) -> float | None:
        """Return a value as a number; None if it was not found."""
        return _number(self._found[name]) if name in self._found else None

    def count(self, name: str) -> int | None:
        """Return a value as an integer; None if it was not found."""
        return int(_number(self._found[name])) if name in self._found else None

    def _fold(self, name: str, value: str, fold: Fold) -> None:
        old = self._found.get(name)
        match fold:
            case "first":
                better = old is None
            case "last":
                better = True
            case "min":
                better = old is None or _number(value) < _number(old)
            case "max":
                better = old is None or _number(value) > _number(old)
        if better:
            self._found[name] = value


def start_summary_of(values: Values, engine: EngineName) -> StartSummary | None:
    """Build the summary of the start; None if no value was found."""
    if not values:
        return None
    return StartSummary(
        engine=engine,
        version=values.text("version"),
        model=values.text("model"),
        architecture=values.text("architecture"),
        max_model_len=values.count("max_model_len"),
        max_num_batched_tokens=values.count("max_num_batched_tokens"),
        utilization=values.number("utilization"),
        requested_gib=values.number("requested_gib"),
        weights_gib=values.number("weights_gib"),
        consumed_gib=values.number("consumed_gib"),
        non_torch_gib=values.number("non_torch_gib"),
        activation_gib=values.number("activation_gib"),
        graph_gib=values.number("graph_gib"),
        graph_estimated_gib=values.number("graph_estimated_gib"),
        available_kv_gib=values.number("available_kv_gib"),
        kv_tokens=values.count("kv_tokens"),
        max_concurrency=values.number("max_concurrency"),
        load_s=values.number("load_s"),
        compile_s=values.number("compile_s"),
        compiled=_compiled(values),
        capture_s=values.number("capture_s"),
        init_s=values.number("init_s"),
        url=values.text("url"),
        ready=values.text("ready") is not None,
    )


def _compiled(values: Values) -> bool | None:
    if values.text("compiles") is not None:
        return False
    return True if values.text("finds_compiled") is not None else None


def load_summary_of(values: Values) -> LoadSummary | None:
    """Build the summary of the load; None if no value was found."""
    if not values:
        return None
    return LoadSummary(
        running=values.count("running"),
        waiting=values.count("waiting"),
        kv_usage_percent=values.number("kv_usage_percent"),
        prefix_hit_percent=values.number("prefix_hit_percent"),
        acceptance_length=values.number("acceptance_length"),
    )


def summarize_start(
    lines: Iterable[str], patterns: tuple[ValuePattern, ...], engine: EngineName
) -> StartSummary | None:
    """Build the summary of the start from a whole log; None if the log shows none."""
    values = Values(patterns)
    for line in lines:
        values.read(line.rstrip())
    return start_summary_of(values, engine)


def _number(text: str) -> float:
    return float(text.replace(",", ""))

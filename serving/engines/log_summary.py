"""What an engine's log tells of its start and of its load, as records; knows no engine's words."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ..capacity.sizing import EngineName
from ..progress import Phase


@dataclass(frozen=True, kw_only=True)
class StartFact:
    """What one log line tells of a start."""

    phase: Phase
    """The part of the start that has begun."""
    detail: str
    """One line for people."""


Opening = tuple[re.Pattern[str], Phase, str]
"""What a line looks like, the phase it opens, and what to say of it; `{name}` stands for a group of the pattern."""


def fact_of(line: str, openings: Iterable[Opening]) -> StartFact | None:
    """Read one line; None: it says nothing about how far a start is."""
    for pattern, phase, detail in openings:
        found = pattern.search(line)
        if found:
            return StartFact(phase=phase, detail=detail.format(**found.groupdict()))
    return None


@dataclass(frozen=True, kw_only=True)
class StartSummary:
    """What a whole log tells of the engine's last start; of several ranks the one that has the least room.

    None: the log does not say.
    """

    engine: EngineName
    version: str | None = None
    model: str | None = None
    architecture: str | None = None
    max_model_len: int | None = None
    max_num_batched_tokens: int | None = None
    utilization: float | None = None
    requested_gib: float | None = None
    """What the engine may take of a GPU."""
    weights_gib: float | None = None
    """Per GPU, as loaded."""
    consumed_gib: float | None = None
    """Weights and what lies outside of torch, after profiling."""
    non_torch_gib: float | None = None
    """What lies outside of torch: NCCL, buffers. Told by itself up to vLLM 0.26 or so, later within `consumed_gib`."""
    activation_gib: float | None = None
    """Peak of one pass."""
    graph_gib: float | None = None
    """CUDA graphs, as captured."""
    graph_estimated_gib: float | None = None
    """CUDA graphs, as foreseen when the KV cache was sized."""
    available_kv_gib: float | None = None
    kv_tokens: int | None = None
    max_concurrency: float | None = None
    """Requests of the whole `max_model_len` at once."""
    load_s: float | None = None
    compile_s: float | None = None
    capture_s: float | None = None
    init_s: float | None = None
    """Profiling, KV cache, compilation and capture together."""
    url: str | None = None
    ready: bool = False
    """The server listens."""


@dataclass(frozen=True, kw_only=True)
class LoadSummary:
    """What a whole log tells of the engine at work. None: the log does not say."""

    running: int | None = None
    """Most requests at once."""
    waiting: int | None = None
    """Most requests that waited at once."""
    kv_usage_percent: float | None = None
    """Fullest KV cache."""
    prefix_hit_percent: float | None = None
    """Share of prompt tokens that came from the cache, as last said."""
    acceptance_length: float | None = None
    """Tokens per step with speculative decoding, as last said."""


Fold = Literal["last", "least", "most"]


@dataclass(frozen=True, kw_only=True)
class Telltale:
    """A line that tells values: its named groups are fields of a summary."""

    pattern: re.Pattern[str]
    fold: Fold = "last"
    """Which of several values counts."""


def telltale(pattern: str, fold: Fold = "last") -> Telltale:
    """Build a telltale from the text of its pattern."""
    return Telltale(pattern=re.compile(pattern), fold=fold)


class Values:
    """The values that the lines so far have told, each under the name of its group."""

    def __init__(self, telltales: tuple[Telltale, ...]) -> None:
        """Begin with none.

        Args:
            telltales: the lines to look for; one line may tell several.
        """
        self._telltales = telltales
        self._found: dict[str, str] = {}

    def take(self, text: str) -> None:
        """Read one line."""
        for one in self._telltales:
            if found := one.pattern.search(text):
                for name, value in found.groupdict().items():
                    if value is not None:
                        self._keep(name, value, one.fold)

    def __bool__(self) -> bool:
        return bool(self._found)

    def text(self, name: str) -> str | None:
        """Read a value as it stands."""
        return self._found.get(name)

    def number(self, name: str) -> float | None:
        """Read a value as a number."""
        return _number(self._found[name]) if name in self._found else None

    def count(self, name: str) -> int | None:
        """Read a value as a whole number."""
        return int(_number(self._found[name])) if name in self._found else None

    def _keep(self, name: str, value: str, fold: Fold) -> None:
        old = self._found.get(name)
        better = (
            old is None
            or fold == "last"
            or (_number(value) < _number(old) if fold == "least" else _number(value) > _number(old))
        )
        if better:
            self._found[name] = value


def start_of(values: Values, engine: EngineName) -> StartSummary | None:
    """Sum up the start; None: nothing was told of one."""
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
        capture_s=values.number("capture_s"),
        init_s=values.number("init_s"),
        url=values.text("url"),
        ready=values.text("ready") is not None,
    )


def load_of(values: Values) -> LoadSummary | None:
    """Sum up the load; None: nothing was told of any."""
    if not values:
        return None
    return LoadSummary(
        running=values.count("running"),
        waiting=values.count("waiting"),
        kv_usage_percent=values.number("kv_usage_percent"),
        prefix_hit_percent=values.number("prefix_hit_percent"),
        acceptance_length=values.number("acceptance_length"),
    )


def summarize(lines: Iterable[str], telltales: tuple[Telltale, ...], engine: EngineName) -> StartSummary | None:
    """Read a whole log for what it tells of the start."""
    values = Values(telltales)
    for line in lines:
        values.take(line.rstrip())
    return start_of(values, engine)


def _number(text: str) -> float:
    return float(text.replace(",", ""))

"""Print all recorded starts of vLLM on GPUs, planned against printed; reads only logs, starts nothing.

    python tests/bench/starts.py [FOLDER ...]

A log ends in .log or .log.xz and begins with the command (`$ vllm serve ...`) or holds vLLM's line of non-default
arguments. Each is planned from these alone, the version, the model runner, and whether the compiled graphs were in the
engine's cache; all of this is known before a start. Nothing is taken from what a log prints about memory.
"""

import ast
import lzma
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from serving import EngineError
from serving.capacity.arithmetic import size_up
from serving.capacity.beyond_share import taken_before, taken_beyond
from serving.capacity.catalogue import draft_for
from serving.capacity.hardware import GIB, Gpu, GpuSet, known_gpus
from serving.capacity.overhead import estimate_overhead
from serving.capacity.planner import complete, find_model
from serving.capacity.sizing import Overhead, Plan, PlanOptions

LOGS = Path(__file__).parents[1] / "data" / "engine_logs"
RECORDED = (LOGS / "cuda", LOGS / "h200", LOGS / "vllm-0.26.0-cuda")
OFF_PERCENT = 1.0
"""How far the plan may be off, in percent of the printed tokens..."""
WIDE_PERCENT = 8.0
"""... unless they are inside a range that is at most this wide."""

Kind = Literal["first", "later", "eager"]

# As PyTorch reported the card; the catalogue has 139.81 GiB.
H200 = Gpu(
    name="h200",
    title="NVIDIA H200",
    memory_bytes=150_109_880_320,
    bandwidth_bytes_s=4.8e12,
    compute_capability=(9, 0),
)
_MODELS = {"medium-3.5-128b": "Mistral-Medium-3.5-128B", "small-24b": "Mistral-Small-3.2-24B-Instruct-2506"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One recorded start and its plan."""

    name: str
    kind: Kind
    plan: Plan
    printed_tokens: int
    """As printed; of a start that was refused, what the printed bytes would have held, negative if nothing."""
    refused: bool
    ran_out: bool
    """Whether the GPU had too little memory left for CUDA graphs, after the KV cache was allocated."""
    available_gib: float
    """For the KV cache, as printed."""

    @property
    def off_percent(self) -> float:
        """Return how many more tokens were planned, in percent of the printed ones."""
        planned = self.plan.kv_tokens if self.plan.kv_bytes > 0 else self.plan.kv_bytes // self.plan.kv_bytes_per_token
        return 100 * (planned - self.printed_tokens) / abs(self.printed_tokens)

    @property
    def wide_percent(self) -> float:
        """Return the width of the planned range, in percent of the printed tokens."""
        share = self.plan.activation_bytes
        return 100 * (share.high - share.low) / self.plan.kv_bytes_per_token / abs(self.printed_tokens)

    @property
    def inside(self) -> bool:
        """Return whether the printed memory lies in the planned range."""
        share, left = self.plan.activation_bytes, self.available_gib * GIB
        rounded = GIB // 200  # it is printed with two decimals
        return (
            self.plan.kv_bytes - (share.high - share.likely) - rounded
            <= left
            <= self.plan.kv_bytes + (share.likely - share.low) + rounded
        )

    @property
    def good(self) -> bool:
        """Return whether the plan is near enough, and does not say yes to a start that failed."""
        near = abs(self.off_percent) <= OFF_PERCENT or (self.inside and self.wide_percent <= WIDE_PERCENT)
        return near and not ((self.refused or self.ran_out) and self.plan.starts == "yes")


def recorded_starts(folders: Sequence[Path]) -> Iterator[Row]:
    """Plan each start that a log in these folders shows.

    A log without the memory of a start is skipped, and one of a model that cannot be planned too, with a line about it.
    """
    for folder in folders:
        for path in sorted([*folder.glob("*.log"), *folder.glob("*.log.xz")]):
            name = f"{folder.name}/{path.name.partition('.')[0]}"
            try:
                row = read_start(name, _text(path))
            except EngineError as error:
                sys.stderr.write(f"{name} is left out: {error.what}\n")
                continue
            if row is not None:
                yield row


def read_start(name: str, log: str) -> Row | None:
    """Plan the start that a log shows; None if it shows none that got as far as the KV cache."""
    available = re.search(r"Available KV cache memory: (-?[\d.]+) GiB", log)
    given = _arguments(log)
    if available is None or given is None:
        return None
    kind = _kind(log, given)
    plan = _planned(log, given, kind)
    printed = re.search(r"GPU KV cache size: ([\d,]+) tokens", log)
    available_gib = float(available[1])
    return Row(
        name=name,
        kind=kind,
        plan=plan,
        printed_tokens=int(printed[1].replace(",", ""))
        if printed
        else int(available_gib * GIB / plan.kv_bytes_per_token),
        refused=printed is None,
        ran_out=printed is not None and "OutOfMemoryError" in log,
        available_gib=available_gib,
    )


def table(rows: Sequence[Row]) -> str:
    """Format the starts as a table with one line each, and the count of those that are good."""
    lines = [f"{'start':42} {'kind':5}  {'printed':>8}  {'planned':>8}  {'off':>6}  {'range':>6}  plan says  engine"]
    lines += [
        f"{row.name:42} {row.kind:5}  {row.printed_tokens:8,}  {row.printed_tokens * (1 + row.off_percent / 100):8,.0f}"
        f"  {row.off_percent:+5.1f}%  {row.wide_percent:5.1f}%  {row.plan.starts:9}  "
        f"{'refused' if row.refused else 'ran out' if row.ran_out else 'started'}{'' if row.good else '  WRONG'}"
        for row in rows
    ]
    good = sum(row.good for row in rows)
    worst = max((abs(row.off_percent) for row in rows), default=0.0)
    return "\n".join([*lines, f"{good} of {len(rows)} good; the plan is off by at most {worst:.1f} %."])


def _text(path: Path) -> str:
    raw = path.read_bytes()
    return (lzma.decompress(raw) if path.suffix == ".xz" else raw).decode(errors="replace")


def _arguments(log: str) -> Mapping[str, object] | None:
    """Return the arguments of `vllm serve`, by their names in Python; None if the log shows none."""
    if log.startswith("$ "):
        words = shlex.split(log.splitlines()[0][2:])
        rest = words[words.index("serve") + 1 :]
        found: dict[str, object] = {"model": rest[0], "first_runner": "VLLM_USE_V2_MODEL_RUNNER=0" in words}
        for number, word in enumerate(rest):
            if word.startswith("--"):
                value = rest[number + 1] if number + 1 < len(rest) else "--"
                found[word[2:].replace("-", "_")] = True if value.startswith("--") else value
        return found
    line = re.search(r"non-default args: \{(.*)\}", log)
    if line is None:
        return None
    pairs = re.findall(r"'(\w+)': ('[^']*'|True|False|None|[\d.]+|\{[^{}]*\})[,}]", line[1] + "}")
    return {name: ast.literal_eval(value) for name, value in pairs}


def _kind(log: str, given: Mapping[str, object]) -> Kind:
    if given.get("enforce_eager"):
        return "eager"
    return "first" if "Compiling a graph for compile range" in log else "later"


def _gpu(log: str) -> Gpu:
    """Return the card whose total memory vLLM printed; an H200 if it printed none."""
    found = re.search(r"Free memory on device [^(]*\([\d.]+/([\d.]+) GiB\)", log)
    total = float(found[1]) if found else 139.8
    if total == 139.8:
        return H200
    near = min(known_gpus(), key=lambda gpu: abs(gpu.memory_bytes / GIB - total))
    return replace(near, memory_bytes=int(total * GIB))


def _planned(log: str, given: Mapping[str, object], kind: Kind) -> Plan:
    written = str(given["model"])
    model = find_model(_MODELS.get(written.rpartition("/")[2], written))
    split = int(str(given.get("tensor_parallel_size", 1)))
    version = re.search(r"█  version (\S+)", log)
    length = given.get("max_model_len")
    request = complete(
        PlanOptions(
            model=model,
            gpus=GpuSet(gpu=_gpu(log), count=split, measured=True),
            tensor_parallel_size=split,
            max_model_len=None if length is None else int(str(length)),
            # vLLM's defaults for a server on a card of 70 to 160 GiB: 0.33.0, engine/arg_utils.py.
            max_num_seqs=int(str(given.get("max_num_seqs", 1024))),
            max_num_batched_tokens=int(str(given.get("max_num_batched_tokens", 8192))),
            gpu_memory_utilization=float(str(given.get("gpu_memory_utilization", 0.92))),
            language_model_only=bool(given.get("language_model_only")),
            enforce_eager=kind == "eager",
            kv_cache_dtype="fp8" if given.get("kv_cache_dtype") == "fp8" else "auto",
            draft=draft_for(model) if given.get("speculative_config") else None,
            engine_version=version[1] if version else None,
            first_model_runner=bool(given.get("first_runner")) or "gpu_model_runner.py" in log,
        )
    )
    compiled = kind != "first"
    share = estimate_overhead(request, compiled=compiled)
    return size_up(
        request, Overhead(share=share, before=taken_before(request), beyond=taken_beyond(request), compiled=compiled)
    )


if __name__ == "__main__":
    starts = list(recorded_starts([Path(folder) for folder in sys.argv[1:]] or RECORDED))
    print(table(starts))
    sys.exit(0 if all(row.good for row in starts) else 1)

"""The records of a plan: what to plan for, what a GPU needs, and what was found; calculates nothing."""

from dataclasses import dataclass, field
from typing import Literal

from .catalogue import MEDIUM
from .hardware import GpuSet
from .models import DraftShape, ModelShape, WeightFormat
from .speed_records import Speeds

EngineName = Literal["vllm", "sglang"]
KvCacheDtype = Literal["auto", "fp8"]
Starts = Literal["yes", "no", "unsure"]
"""`unsure` means it depends on where in its range the activation memory turns out to be."""


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """What to plan for. A field that is None is decided by `plan()`; the field says how.

    Fields are named after the engine's flag if there is one.
    """

    model: str | ModelShape = MEDIUM
    """A Hugging Face Hub name from the catalogue, a folder, or `pocket`."""
    gpus: str | GpuSet
    """A kind and a number, such as `h100:4`, or `cpu`."""
    tensor_parallel_size: int | None = None
    """GPUs that share one copy of the model. None means as many of `gpus` as the model can be split over."""
    max_model_len: int | None = None
    """Tokens of prompt and answer together. None means the longest usual length at which `concurrency` requests fit."""
    concurrency: int | None = None
    """Requests of full `max_model_len` that the KV cache should hold at once; the engine does not enforce it.

    None means 1, or 4 while `max_model_len` is being chosen.
    """
    weights: WeightFormat | None = None
    """None means the format that the model ships in."""
    kv_cache_dtype: KvCacheDtype = "auto"
    """`auto` takes two bytes per number, `fp8` one."""
    draft: str | DraftShape | None = None
    """`eagle` for the model's own draft, or the folder of a draft. None means no speculative decoding."""
    engine: EngineName = "vllm"
    """The engine whose arithmetic is used."""
    # The model card's 0.8 is for eight 80 GB GPUs, with memory to spare; the engine's default of 0.92 leaves too little
    # for a peak that the profile run did not reach.
    gpu_memory_utilization: float = 0.85
    """Share of each GPU's total memory that the engine may use, above 0 and at most 1."""
    # The model card of Mistral Medium 3.5 128B: https://huggingface.co/mistralai/Mistral-Medium-3.5-128B, 2026-11.
    max_num_batched_tokens: int = 16384
    """Tokens computed in one pass; peak activation memory grows with it."""
    max_num_seqs: int | None = None
    """Requests computed in one pass.

    None means 128, or `concurrency` if that is more, but at most `max_num_batched_tokens`.
    """
    language_model_only: bool = False
    """True means that the vision tower is not loaded."""
    enforce_eager: bool = False
    """True means no CUDA graphs."""
    block_size: int | None = None
    """Tokens per block of the KV cache. None means the engine's default."""
    kv_cache_memory_bytes: int | None = None
    """KV cache per GPU; if it is given, the engine profiles nothing. None means what is left, and 1 GiB on the CPU."""
    kv_offloading_size: float | None = None
    """GiB of CPU memory, for all GPUs together, for keys and values that leave the GPUs. None means no offloading."""
    other_bytes: int | None = None
    """What one GPU needs besides weights and KV cache. None means measured if possible, else estimated."""
    engine_version: str | None = None
    """The version of the engine, as it prints it. None means not known: an estimate then covers all versions."""
    first_model_runner: bool = False
    """True means that vLLM is told to use its first model runner (VLLM_USE_V2_MODEL_RUNNER=0)."""


@dataclass(frozen=True, kw_only=True)
class PlanRequest(PlanOptions):
    """The options with every choice made: all inputs of a plan."""

    # Without `field()` the defaults of PlanOptions would be inherited, and a request could be built with no model.
    model: ModelShape = field()
    gpus: GpuSet
    tensor_parallel_size: int = field()
    max_model_len: int = field()
    concurrency: int = 1
    weights: WeightFormat = field()
    draft: DraftShape | None = None
    max_num_seqs: int = field()
    block_size: int = 16

    @property
    def on_cpu(self) -> bool:
        """Whether the engine computes on the CPU, of whose memory only the KV cache is planned."""
        return self.gpus.gpu.name == "cpu"


@dataclass(frozen=True, kw_only=True)
class ByteRange:
    """An amount of memory that is known only within bounds; bytes. All three are equal if it was measured or given."""

    low: int
    likely: int
    high: int


@dataclass(frozen=True, kw_only=True)
class StartMeasurement:
    """What a real start of exactly this configuration needed besides weights and KV cache."""

    other_bytes: int
    engine_version: str
    compiled: bool | None
    """True means that the compiled graphs came from the engine's cache, False that they were compiled.

    None means that nothing is compiled, or that it was not recorded.
    """


@dataclass(frozen=True, kw_only=True)
class Overhead:
    """What one GPU needs besides weights and KV cache."""

    share: ByteRange
    """Taken from the engine's share of the GPU."""
    before: ByteRange = ByteRange(low=0, likely=0, high=0)
    """Taken before the engine looks at the memory: with it, the share must not exceed the GPU."""
    beyond: ByteRange = ByteRange(low=0, likely=0, high=0)
    """Beyond the share when the last CUDA graph is captured, `before` included."""
    measurement: StartMeasurement | None = None
    """The start that `share` comes from. None means that it is estimated or given."""
    compiled: bool = True
    """False means that it is for a start that compiles, which needs more than the later ones."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change to a request that makes it fit."""

    request: PlanRequest
    what: str
    """What changes, for people: `cap the context at 38,064 tokens`."""
    option: str
    """The same change as options of `agent plan`: `--context 38064`."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The result of planning a request. Amounts are per GPU."""

    request: PlanRequest
    starts: Starts
    requested_bytes: int
    """What the engine may use of a GPU: total memory times utilisation, rounded up."""
    weights_bytes: int
    """Includes the draft."""
    activation_bytes: ByteRange
    """Peak of one pass, buffers of CUDA and its libraries, and CUDA graphs if the engine reserves them."""
    taken_before_bytes: int
    """Taken by the CUDA context and NCCL before the engine looks at the memory; not part of its share."""
    beyond_bytes: ByteRange
    """Taken beyond the share when the last CUDA graph is captured, `taken_before_bytes` included."""
    measurement: StartMeasurement | None
    """The real start that `activation_bytes` comes from. None means that it is estimated or given."""
    first_start: bool
    """True means that the plan is for a start that compiles; later ones have `later_kv_tokens`."""
    kv_bytes: int
    """What is left for the KV cache with the likely activation; negative if weights and activation alone do not fit."""
    kv_bytes_per_token: int
    num_blocks: int
    kv_tokens: int
    """As the engine prints it."""
    kv_tokens_low: int
    """The same with the high end of `activation_bytes`."""
    kv_tokens_high: int
    """The same with its low end."""
    later_kv_tokens: int
    """`kv_tokens` of a start that finds the compiled graphs in the engine's cache."""
    offloaded_tokens: int
    """Tokens that the CPU memory of `kv_offloading_size` holds; they are read back, not attended to there."""
    concurrency: float
    """Requests of full `max_model_len` that fit at once, as the engine prints it."""
    missing_bytes: int
    """Memory that is missing for a start; 0 if nothing is missing."""
    longest_max_model_len: int
    """The longest context that starts; 0 if none does."""
    changes: tuple[Change, ...]
    """Changes that make it fit, cheapest for the user first; empty if it fits."""
    speeds: Speeds | None
    """Estimated, or measured on the same hardware. None means that the bandwidth is not known, or not asked for."""
    decode_tokens_s_bound: float | None
    """Upper bound for one request, from memory bandwidth; not a forecast. None means the bandwidth is not known."""
    decode_tokens_s_bound_full: float | None
    """The same with the full `max_model_len` in the KV cache."""
    notes: tuple[str, ...]
    """Remarks on this plan for people, one sentence each."""

    @property
    def measured(self) -> bool:
        """Return whether `activation_bytes` comes from a real start of this configuration."""
        return self.measurement is not None

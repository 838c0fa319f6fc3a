"""Estimate how fast a planned server decodes and reads prompts; measures nothing.

A roofline: bytes over bandwidth and operations over arithmetic, times the efficiencies that one and two H200s showed
with vLLM 0.26.0 (2026-11-28; recorded_speeds.py). Of those measurements, decoding for 1 and 8 requests is within 1 %,
for 32 and 64 within 11 %, and prompts within 7 %. Of figures that others published (facts sheet, 2026-11), it gives 65
and 1,706 tokens/s for 1 and 32 requests on 4 x H100 with vLLM (66 and 1,682), and 82 on 4 x H200 with SGLang (69).
"""

from dataclasses import replace

from .arithmetic import bytes_of_token, bytes_read
from .models import ModelShape
from .recorded_speeds import RECORDED, RecordedSpeed
from .sizing import PlanRequest
from .speed_records import Decode, DraftSpeed, Prompt, Range, Speeds

BATCHES = (1, 8, 32, 64)
PROMPTS = (1_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000)
SWITCH_TOKENS = 20_000
"""Length of the conversation for which the price of a new reasoning effort is given."""
SHORT_CONTEXT = 256
PUBLISHED_ACCEPTANCE = 1.72
"""Tokens per step with EAGLE: SGLang's cookbook, random text, 3 proposals, read 2026-11. None else is published."""


def speeds_of(request: PlanRequest, kv_tokens: int) -> Speeds | None:
    """Estimate the speeds of a configuration, or return those that were measured.

    Args:
        request: the configuration.
        kv_tokens: what its KV cache holds, which limits how many requests run together.

    Returns:
        None if the GPU's bandwidth is not known, or for a mixture of experts, of which no speed was measured.
    """
    if not request.gpus.gpu.bandwidth_bytes_s or request.model.experts or bytes_read(request, 0) <= 0:
        return None
    recorded = next((known for known in RECORDED if _applies(known, request)), None)
    together = [count for count in BATCHES if count <= min(request.max_num_seqs, kv_tokens // SHORT_CONTEXT)]
    decode = [_decode(request, count, SHORT_CONTEXT, recorded) for count in together]
    full = min(request.max_model_len, kv_tokens)
    if full > SHORT_CONTEXT:
        decode.append(_decode(request, 1, full, recorded))
    reads = bool(_flops(request))
    lengths = [tokens for tokens in PROMPTS if tokens <= request.max_model_len] if reads else []
    return Speeds(
        measured=recorded.where if recorded else None,
        decode=tuple(decode),
        prompts=tuple(_prompt(request, tokens, recorded) for tokens in lengths),
        effort_switch=_prompt(request, min(SWITCH_TOKENS, request.max_model_len), recorded) if reads else None,
        draft=_draft(request),
        eager_share=_step_s(request, 1, SHORT_CONTEXT, graphs=True) / _step_s(request, 1, SHORT_CONTEXT, graphs=False)
        if request.enforce_eager
        else None,
    )


# Of the data sheet's bandwidth, as streaming kernels reach it; attention reads the cache less evenly.
_READ, _READ_CACHE = 0.9, 0.75
# What is left of a step of 32.8 ms (one GPU) and 19.5 ms (two) after reading, per layer; PCIe has no measurement here.
_LAYER_S, _SPLIT_LAYER_S, _PCIE_LAYER_S = 44e-6, 57e-6, 100e-6
# 17.3 tokens/s without CUDA graphs on two H200s, where the CPU starts each kernel.
_EAGER_LAYER_S = 650e-6
# A step of 32 or 64 requests took 1.32 and 1.15 times one of a single request, with a context of 256 tokens.
_LARGE_BATCH, _LARGE_FROM = 1.2, 16
# 5,213 tokens/s of a prompt are 64 % of 1,979 TFLOP/s; the rest grows with its square, at 70 % of BF16's 989.
_MATRICES, _ATTENTION = 0.64, 0.7
# Bytes per second of an all-reduce: what prompts on two H200s leave for it (NVLink); PCIe 4.0 x16, without measurement.
_NVLINK, _PCIE = 211e9, 20e9
_DRAFT_S = 0.5e-3
_REQUEST_S = 0.01


def _applies(known: RecordedSpeed, request: PlanRequest) -> bool:
    return (
        (known.gpu, known.model) == (request.gpus.gpu.name, request.model.name)
        and known.tensor_parallel_size == request.tensor_parallel_size
        and (request.weights, request.engine, request.kv_cache_dtype) == ("fp8", "vllm", "auto")
        and request.draft is None
        and not request.enforce_eager
    )


def _decode(request: PlanRequest, count: int, context: int, recorded: RecordedSpeed | None) -> Decode:
    if recorded is not None and context <= SHORT_CONTEXT and count in recorded.decode_tokens_s:
        measured = count * recorded.decode_tokens_s[count]
        return Decode(requests=count, context_tokens=context, tokens_s=_around(measured, 0.95, 1.05))
    if request.draft is not None and context > request.draft.max_model_len:
        request = replace(request, draft=None)  # it proposes nothing there
    step = _step_s(request, count, context, graphs=not request.enforce_eager)
    accepted = 1.0 if request.draft is None else PUBLISHED_ACCEPTANCE
    likely = count * accepted / step
    if request.draft is not None:
        most = 1 + request.draft.num_speculative_tokens
        return Decode(
            requests=count,
            context_tokens=context,
            tokens_s=Range(low=0.9 * count / step, likely=likely, high=1.1 * count * most / step),
        )
    least = 0.9 if recorded else 0.7 if request.gpus.gpu.nvlink or request.tensor_parallel_size == 1 else 0.55
    return Decode(requests=count, context_tokens=context, tokens_s=_around(likely, least, 1.1 if recorded else 1.15))


def _prompt(request: PlanRequest, tokens: int, recorded: RecordedSpeed | None) -> Prompt:
    estimate = _prompt_s(request, tokens)
    if recorded is None:
        return Prompt(tokens=tokens, seconds=_around(estimate, 0.75, 1.6))
    # Between two measured lengths the estimate has the right shape, and the nearer one its size.
    near = min(recorded.prompt_s, key=lambda known: abs(known - tokens))
    measured = estimate * recorded.prompt_s[near] / _prompt_s(request, near)
    return Prompt(tokens=tokens, seconds=_around(measured, 0.95, 1.05 if tokens <= 1.1 * near else 1.15))


def _step_s(request: PlanRequest, count: int, context: int, *, graphs: bool) -> float:
    """Return the seconds of one decoding step of `count` requests."""
    gpu, model, split = request.gpus.gpu, request.model, request.tensor_parallel_size
    layers = model.num_layers * _layer_s(request)
    reading = bytes_read(request, 0) / (_READ * gpu.bandwidth_bytes_s)
    if count >= _LARGE_FROM:
        reading = (reading + layers) * _LARGE_BATCH - layers
    cache = count * context * bytes_of_token(request) / (_READ_CACHE * gpu.bandwidth_bytes_s)
    verified = 1 if request.draft is None else 1 + request.draft.num_speculative_tokens
    flops = _flops(request)
    computing = 2 * _parameters(model) * count * verified / (_MATRICES * flops * split) if flops else 0.0
    step = max(reading + cache, computing) + layers + _draft_s(request)
    return step if graphs else max(step, model.num_layers * _EAGER_LAYER_S)


def _layer_s(request: PlanRequest) -> float:
    if request.tensor_parallel_size == 1:
        return _LAYER_S
    return _SPLIT_LAYER_S if request.gpus.gpu.nvlink else _PCIE_LAYER_S


def _draft_s(request: PlanRequest) -> float:
    """Return what proposing adds to a step: the draft and the output matrix are read once per proposal."""
    draft, model, split = request.draft, request.model, request.tensor_parallel_size
    if draft is None:
        return 0.0
    read = draft.weights.per_gpu(split, model.num_kv_heads) + model.vocab_size * model.hidden_size * 2 // split
    once = read / (_READ * request.gpus.gpu.bandwidth_bytes_s) + draft.num_layers * _layer_s(request)
    return draft.num_speculative_tokens * once + _DRAFT_S


def _draft(request: PlanRequest) -> DraftSpeed | None:
    if request.draft is None:
        return None
    step, added = _step_s(request, 1, SHORT_CONTEXT, graphs=True), _draft_s(request)
    return DraftSpeed(lost=added / step, pays_from=step / (step - added))


def _prompt_s(request: PlanRequest, tokens: int) -> float:
    gpu, model, split = request.gpus.gpu, request.model, request.tensor_parallel_size
    matrices = 2 * _parameters(model) * tokens / (_MATRICES * _flops(request) * split)
    width = model.num_heads * model.head_dim
    attention = 2 * tokens**2 * width * model.num_layers / (_ATTENTION * gpu.bf16_flops_s * split)
    moved = 2 * model.num_layers * tokens * model.hidden_size * 2 * 2 * (split - 1) / split
    return _REQUEST_S + matrices + attention + moved / (_NVLINK if gpu.nvlink else _PCIE)


def _parameters(model: ModelShape) -> int:
    """Return the parameters of attention and MLP, each of which a token is multiplied with."""
    attention = 2 * model.hidden_size * (model.num_heads + model.num_kv_heads) * model.head_dim
    return model.num_layers * (attention + 3 * model.hidden_size * model.intermediate_size)


def _flops(request: PlanRequest) -> float:
    """Return the arithmetic of one GPU for these weights; they are widened to BF16 where there is none for them.

    What FP4 gains over FP8 was not measured, so it is not counted.
    """
    gpu = request.gpus.gpu
    narrow = request.weights in ("fp8", "int8") or (request.weights == "fp4" and gpu.compute_capability >= (10, 0))
    return gpu.fp8_flops_s if narrow and gpu.fp8_flops_s else gpu.bf16_flops_s


def _around(value: float, low: float, high: float) -> Range:
    return Range(low=value * low, likely=value, high=value * high)

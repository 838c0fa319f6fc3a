"""Speeds of real servers, data only; what others measured of other models and GPUs is not in here.

Each was measured with vLLM 0.26.0 and weights of the true shape (2026-11-28): random prompts of 128 tokens and 128 to
256 tokens of answer; a prompt's time is that of a request with one token of answer and nothing cached.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from .catalogue import MEDIUM


@dataclass(frozen=True, kw_only=True)
class RecordedSpeed:
    """The speeds of one configuration."""

    where: str
    """Such as `1 x H200`."""
    gpu: str
    model: str
    tensor_parallel_size: int
    decode_tokens_s: Mapping[int, float]
    """By the requests that run together: tokens per second of one of them (the median)."""
    prompt_s: Mapping[int, float]
    """By the tokens of the prompt: seconds."""


RECORDED = (
    RecordedSpeed(
        where="1 x H200",
        gpu="h200",
        model=MEDIUM,
        tensor_parallel_size=1,
        decode_tokens_s={1: 30.54, 8: 30.13, 32: 23.15, 64: 26.58},
        prompt_s={1000: 0.192, 4000: 0.835, 7900: 1.739, 16000: 3.937, 20437: 4.943, 24000: 6.199},
    ),
    RecordedSpeed(
        where="2 x H200",
        gpu="h200",
        model=MEDIUM,
        tensor_parallel_size=2,
        decode_tokens_s={1: 51.24, 8: 50.67, 32: 37.92, 64: 43.69},
        prompt_s={
            1000: 0.128,
            4000: 0.491,
            7900: 1.002,
            16000: 2.237,
            20361: 3.001,
            24000: 3.635,
            32000: 5.245,
            60000: 12.621,
        },
    ),
)

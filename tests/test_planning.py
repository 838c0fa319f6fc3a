"""The plan's arithmetic against the figures worked out from the engine's source, cell by cell."""

import pytest

from serving.hardware import GIB
from serving.planner import plan

# Predicted tokens for Mistral Medium 3.5 128B in FP8 with its vision tower, BF16 KV cache, 4 GiB beside weights and KV
# cache, and 79.11, 139.81 and 178.35 GiB as the engine sees H100, H200 and B200, for a context of 262,144 tokens.
# (GPUs, utilisation, EAGLE, tokens, requests of 262,144 at once)
STARTS = [
    ("h100:4", 0.92, False, 445_808, 1.70),
    ("h100:4", 0.8, False, 332_688, 1.27),
    ("h100:4", 0.92, True, 427_568, 1.63),
    ("h100:8", 0.92, False, 1_261_248, 4.81),
    ("h100:8", 0.8, False, 1_035_024, 3.95),
    ("h100:8", 0.92, True, 1_224_896, 4.67),
    ("h200:2", 0.92, False, 370_784, 1.41),
    ("h200:2", 0.8, False, 270_832, 1.03),
    ("h200:2", 0.92, True, 354_224, 1.35),
    ("h200:4", 0.92, False, 1_111_216, 4.24),
    ("h200:4", 0.8, False, 911_312, 3.48),
    ("h200:4", 0.92, True, 1_078_192, 4.11),
    ("h200:8", 0.92, False, 2_592_080, 9.89),
    ("h200:8", 0.8, False, 2_192_256, 8.36),
    ("h200:8", 0.92, True, 2_526_160, 9.64),
    ("b200:2", 0.92, False, 582_032, 2.22),
    ("b200:2", 0.8, False, 454_528, 1.73),
    ("b200:2", 0.92, True, 560_768, 2.14),
    ("b200:4", 0.92, False, 1_533_712, 5.85),
    ("b200:4", 0.8, False, 1_278_688, 4.88),
    ("b200:4", 0.92, True, 1_491_296, 5.69),
    ("b200:8", 0.92, False, 3_437_072, 13.11),
    ("b200:8", 0.8, False, 2_927_024, 11.17),
    ("b200:8", 0.92, True, 3_352_352, 12.79),
]

# (GPUs, utilisation, EAGLE, the longest context that would start)
DOES_NOT_START = [
    ("h100:2", 0.92, False, 38_064),
    ("h100:2", 0.8, False, 0),
    ("h100:2", 0.92, True, 28_896),
    ("h200:1", 0.92, False, 560),
    ("h200:1", 0.8, False, 0),
    ("h200:1", 0.92, True, 0),
    ("h200:2", 0.8, True, 256_464),
]


@pytest.mark.parametrize(("gpus", "utilisation", "eagle", "tokens", "at_once"), STARTS)
def test_the_predicted_tokens_are_those_of_the_engines_arithmetic(
    gpus: str, utilisation: float, eagle: bool, tokens: int, at_once: float
):
    found = plan(
        gpus=gpus,
        max_model_len=262_144,
        gpu_memory_utilization=utilisation,
        draft="eagle" if eagle else None,
        other_bytes=4 * GIB,
    )
    assert (found.starts, found.missing_bytes, found.kv_tokens) == ("yes", 0, tokens)
    assert round(found.concurrency, 2) == at_once


@pytest.mark.parametrize(("gpus", "utilisation", "eagle", "longest"), DOES_NOT_START)
def test_a_start_that_the_engine_would_refuse_is_foreseen_with_the_length_it_would_offer(
    gpus: str, utilisation: float, eagle: bool, longest: int
):
    found = plan(
        gpus=gpus,
        max_model_len=262_144,
        gpu_memory_utilization=utilisation,
        draft="eagle" if eagle else None,
        other_bytes=4 * GIB,
    )
    assert (found.starts, found.longest_max_model_len) == ("no", longest)
    assert found.missing_bytes > 0

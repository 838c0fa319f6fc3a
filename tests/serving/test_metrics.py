"""Test parsing of /metrics: vLLM, SGLang, and text that is neither."""

from hypothesis import given
from hypothesis import strategies as st

from serving.metrics import EngineMetrics, parse_metrics

# Lines from vLLM 0.32.0 on the CPU with a draft model, 2026-11-23; values changed.
VLLM = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="pocket"} 3.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="pocket"} 2.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="pocket"} 0.25
# TYPE vllm:prefix_cache_queries_total counter
vllm:prefix_cache_queries_total{engine="0",model_name="pocket"} 1000.0
# TYPE vllm:prefix_cache_queries_created gauge
vllm:prefix_cache_queries_created{engine="0",model_name="pocket"} 1.7954e+09
# TYPE vllm:prefix_cache_hits_total counter
vllm:prefix_cache_hits_total{engine="0",model_name="pocket"} 750.0
# TYPE vllm:num_preemptions_total counter
vllm:num_preemptions_total{engine="0",model_name="pocket"} 4.0
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="pocket"} 1200.0
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="pocket"} 340.0
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="128",cache_dtype="auto",engine="0",num_gpu_blocks="512"} 1.0
"""

DRAFT = """\
# TYPE vllm:spec_decode_num_drafts_total counter
vllm:spec_decode_num_drafts_total{engine="0",model_name="pocket"} 100.0
# TYPE vllm:spec_decode_num_draft_tokens_total counter
vllm:spec_decode_num_draft_tokens_total{engine="0",model_name="pocket"} 300.0
# TYPE vllm:spec_decode_num_accepted_tokens_total counter
vllm:spec_decode_num_accepted_tokens_total{engine="0",model_name="pocket"} 72.0
"""

# Names from SGLang 0.5.23 (docs/references/production_metrics.md); values made up.
SGLANG = """\
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{model_name="m"} 5.0
# TYPE sglang:num_queue_reqs gauge
sglang:num_queue_reqs{model_name="m"} 1.0
# TYPE sglang:token_usage gauge
sglang:token_usage{model_name="m"} 0.5
# TYPE sglang:cache_hit_rate gauge
sglang:cache_hit_rate{model_name="m"} 0.75
# TYPE sglang:num_retracted_reqs gauge
sglang:num_retracted_reqs{model_name="m"} 2.0
# TYPE sglang:spec_accept_length gauge
sglang:spec_accept_length{model_name="m"} 1.72
# TYPE sglang:prompt_tokens_total counter
sglang:prompt_tokens_total{model_name="m"} 8.128902e+06
# TYPE sglang:generation_tokens_total counter
sglang:generation_tokens_total{model_name="m"} 7.557572e+06
"""


def test_vllm_metrics_are_parsed():
    assert parse_metrics(VLLM) == EngineMetrics(
        engine="vllm",
        running=3,
        waiting=2,
        kv_usage=0.25,
        kv_tokens=65_536,
        preemptions=4,
        prompt_tokens=1200,
        generation_tokens=340,
        prefix_queries=1000,
        prefix_hits=750,
        prefix_hit_rate=0.75,
    )


def test_a_kv_cache_of_unknown_size_is_no_value():
    assert parse_metrics(VLLM.replace('num_gpu_blocks="512"', 'num_gpu_blocks="None"')).kv_tokens is None


def test_the_acceptance_length_counts_the_models_own_token():
    found = parse_metrics(VLLM + DRAFT)

    assert (found.drafts, found.accepted_tokens, found.acceptance_length) == (100, 72, 1.72)


def test_before_the_first_draft_there_is_no_acceptance_length():
    found = parse_metrics(DRAFT.replace(" 100.0", " 0.0").replace(" 72.0", " 0.0"))

    assert (found.drafts, found.accepted_tokens, found.acceptance_length) == (0, 0, None)


def test_sglang_metrics_are_parsed():
    assert parse_metrics(SGLANG) == EngineMetrics(
        engine="sglang",
        running=5,
        waiting=1,
        kv_usage=0.5,
        preemptions=2,
        prompt_tokens=8_128_902,
        generation_tokens=7_557_572,
        prefix_hit_rate=0.75,
        acceptance_length=1.72,
    )


def test_sglang_without_a_draft_has_no_acceptance_length():
    assert parse_metrics("sglang:spec_accept_length 0.0\n").acceptance_length is None


def test_two_engines_behind_one_address_are_combined():
    text = (
        'vllm:num_requests_running{engine="0"} 3\nvllm:num_requests_running{engine="1"} 4\n'
        'vllm:kv_cache_usage_perc{engine="0"} 0.1\nvllm:kv_cache_usage_perc{engine="1"} 0.9\n'
    )

    assert parse_metrics(text) == EngineMetrics(engine="vllm", running=7, kv_usage=0.9)


def test_nan_and_inf_count_as_absent():
    text = "vllm:num_requests_running NaN\nvllm:num_requests_waiting +Inf\n"

    assert parse_metrics(text) == EngineMetrics(engine="vllm")


def test_metrics_of_another_program_have_no_values():
    assert parse_metrics("go_goroutines 8\n") == EngineMetrics(engine="unknown")


def test_text_that_is_not_metrics_has_no_values():
    assert parse_metrics("<html><body>502 Bad Gateway</body></html>") == EngineMetrics(engine="unknown")


@given(st.text() | st.text(alphabet='vllm:num_{}="\\# \n0.9e', max_size=80).map(lambda text: "vllm:" + text))
def test_no_text_raises(text: str):
    assert parse_metrics(text).engine in {"vllm", "sglang", "unknown"}


def test_counts_whose_sum_overflows_count_as_absent():
    text = 'vllm:prompt_tokens_total{engine="0"} 1e308\nvllm:prompt_tokens_total{engine="1"} 1e308\n'

    assert parse_metrics(text) == EngineMetrics(engine="vllm")


def test_an_infinite_share_counts_as_absent():
    assert parse_metrics("vllm:kv_cache_usage_perc +Inf\n") == EngineMetrics(engine="vllm")
    assert parse_metrics("sglang:cache_hit_rate +Inf\n") == EngineMetrics(engine="sglang")

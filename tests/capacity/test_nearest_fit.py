"""After a start that ran out of memory, the engine's measurements decide what fits."""

from dataclasses import replace

from serving.capacity.nearest_fit import nearest_fit
from serving.capacity.planner import plan
from serving.capacity.sizing import PlanOptions
from serving.engines.vllm.failures import longest_that_fits

PLANNED = plan(PlanOptions(gpus="h200:2", max_model_len=131072))


def test_the_engine_s_own_estimate_is_used_rounded_down_to_whole_blocks():
    log = "larger than the available KV cache memory. the estimated maximum model length is 53110."
    change = nearest_fit(PLANNED, symptom="kv_too_small", longest_tokens=longest_that_fits(log), available_kv_gib=9.0)
    assert change is not None
    assert (change.what, change.option) == ("cap the context at 53,104 tokens", "--context 53104")
    assert change.request == replace(PLANNED.request, max_model_len=53104)


def test_without_an_estimate_the_plan_uses_the_measured_memory_once():
    change = nearest_fit(PLANNED, symptom="kv_too_small", longest_tokens=None, available_kv_gib=9.0)
    assert change is not None
    # 9.0 was printed with two decimals; 8.995 GiB hold 53,589 tokens of 180,224 bytes, and one block stays empty.
    assert (change.option, change.request.other_bytes) == ("--context 53568", None)


def test_a_context_too_short_for_an_agent_is_not_offered():
    log = "larger than the available KV cache memory. the estimated maximum model length is 569."
    change = nearest_fit(PLANNED, symptom="kv_too_small", longest_tokens=longest_that_fits(log), available_kv_gib=0.1)
    assert change is not None
    assert change.option.startswith("--kv fp8 --language-model-only")


def test_a_short_context_is_better_than_nothing():
    alone = plan(PlanOptions(model="pocket", gpus="cpu", max_model_len=8192, kv_cache_memory_bytes=10**9))
    log = "the estimated maximum model length is 384."
    change = nearest_fit(alone, symptom="kv_too_small", longest_tokens=longest_that_fits(log), available_kv_gib=None)
    assert change is not None
    assert change.option == "--context 384"


def test_no_memory_left_needs_more_than_a_shorter_context():
    change = nearest_fit(PLANNED, symptom="no_kv", longest_tokens=None, available_kv_gib=-1.0)
    assert change is not None
    assert change.option.startswith("--kv fp8 --language-model-only")


def test_a_start_that_died_before_measuring_is_planned_with_the_high_estimate():
    unsure = plan(PlanOptions(gpus="h100:2", max_model_len=8192))
    assert unsure.starts == "unsure"
    change = nearest_fit(unsure, symptom="torch_oom", longest_tokens=None, available_kv_gib=None)
    assert change is not None
    assert change.request != unsure.request


def test_failures_without_memory_pressure_get_no_smaller_plan():
    assert nearest_fit(PLANNED, symptom="bad_flag", longest_tokens=None, available_kv_gib=None) is None
    # The plan had memory to spare.
    assert nearest_fit(PLANNED, symptom="load_oom", longest_tokens=None, available_kv_gib=None) is None

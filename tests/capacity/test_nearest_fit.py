"""After a start that ran out of memory: what the engine measured decides what fits."""

from dataclasses import replace

from serving.capacity.nearest_fit import nearest_fit
from serving.capacity.planner import plan
from serving.capacity.sizing import PlanOptions
from serving.engines.vllm.failures import longest_that_fits

PLANNED = plan(PlanOptions(gpus="h200:2", max_model_len=131072))


def test_the_engine_s_own_estimate_counts_most_down_to_whole_blocks():
    said = "larger than the available KV cache memory. the estimated maximum model length is 53110."
    change = nearest_fit(PLANNED, symptom="kv_too_small", longest_tokens=longest_that_fits(said), available_kv_gib=9.0)
    assert change is not None
    assert (change.what, change.option) == ("cap the context at 53,104 tokens", "--context 53104")
    assert change.request == replace(PLANNED.request, max_model_len=53104)


def test_without_an_estimate_the_measured_room_is_planned_anew_and_not_kept():
    change = nearest_fit(PLANNED, symptom="kv_too_small", longest_tokens=None, available_kv_gib=9.0)
    assert change is not None
    # Printed are two decimals. 8.995 GiB hold 53,589 tokens of 180,224 bytes; one block stays empty.
    assert (change.option, change.request.other_bytes) == ("--context 53568", None)


def test_a_context_that_no_agent_can_work_with_is_no_fit():
    said = "larger than the available KV cache memory. the estimated maximum model length is 569."
    change = nearest_fit(PLANNED, symptom="kv_too_small", longest_tokens=longest_that_fits(said), available_kv_gib=0.1)
    assert change is not None
    assert change.option.startswith("--kv fp8 --language-model-only")


def test_a_short_context_is_better_than_nothing():
    alone = plan(PlanOptions(model="pocket", gpus="cpu", max_model_len=8192, kv_cache_memory_bytes=10**9))
    said = "the estimated maximum model length is 384."
    change = nearest_fit(alone, symptom="kv_too_small", longest_tokens=longest_that_fits(said), available_kv_gib=None)
    assert change is not None
    assert change.option == "--context 384"


def test_no_room_at_all_takes_more_than_a_shorter_context():
    change = nearest_fit(PLANNED, symptom="no_kv", longest_tokens=None, available_kv_gib=-1.0)
    assert change is not None
    assert change.option.startswith("--kv fp8 --language-model-only")


def test_a_start_that_died_before_it_measured_needed_more_than_was_likely():
    unsure = plan(PlanOptions(gpus="h100:2", max_model_len=8192, language_model_only=True))
    assert unsure.starts == "unsure"
    change = nearest_fit(unsure, symptom="torch_oom", longest_tokens=None, available_kv_gib=None)
    assert change is not None
    assert change.request != unsure.request


def test_what_is_not_about_memory_is_not_mended_by_a_smaller_plan():
    assert nearest_fit(PLANNED, symptom="bad_flag", longest_tokens=None, available_kv_gib=None) is None
    assert (
        nearest_fit(PLANNED, symptom="load_oom", longest_tokens=None, available_kv_gib=None) is None
    )  # By plan there was room to spare.

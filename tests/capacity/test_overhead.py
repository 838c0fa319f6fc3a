"""The estimate of what a GPU needs besides weights and KV cache, against every recorded start on H200s.

The logs are from vLLM 0.26.0 with weights of the true shapes; `tests/bench/starts.py` plans them and prints the table.
vLLM 0.26 does not reserve the null block in its check, 0.32 does.
"""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from starts import RECORDED, Row, read_start, recorded_starts, table

from serving.capacity.catalogue import draft_for
from serving.capacity.cuda_graphs import draft_buffer, graphs_outside
from serving.capacity.hardware import GIB, Gpu, GpuSet
from serving.capacity.next_start import expected_overhead
from serving.capacity.overhead import estimate_overhead
from serving.capacity.planner import complete, plan
from serving.capacity.sizing import PlanOptions, PlanRequest, StartMeasurement

STARTS = {row.name: row for row in recorded_starts(RECORDED)}


def options(**changes: object) -> PlanRequest:
    return replace(complete(PlanOptions(gpus="h200:1", max_num_batched_tokens=8192, max_model_len=8192)), **changes)


@pytest.mark.parametrize("name", sorted(STARTS))
def test_each_recorded_start_is_planned_within_one_percent(name: str):
    row = STARTS[name]
    assert abs(row.off_percent) <= 1.0
    assert row.inside


@pytest.mark.parametrize("name", sorted(name for name, row in STARTS.items() if not row.refused))
def test_the_range_of_a_start_that_succeeded_is_at_most_8_percent_wide(name: str):
    assert STARTS[name].wide_percent <= 8.0


@pytest.mark.parametrize("name", sorted(name for name, row in STARTS.items() if row.refused))
def test_the_plan_says_yes_to_no_start_that_the_engine_refused(name: str):
    assert STARTS[name].plan.starts == "no"


def test_the_plan_says_yes_to_no_start_that_ran_out_while_graphs_were_captured():
    ran_out = {name: row.plan.starts for name, row in STARTS.items() if row.ran_out}
    assert ran_out == {"h200/1x_eagle_2048_97_later": "unsure", "h200/1x_2048_99_later": "unsure"}
    doubtful = {name for name, row in STARTS.items() if row.plan.starts == "unsure"} - set(ran_out)
    assert doubtful == {"h200/1x_eagle_2048_97_first"}  # the same settings, which ran out at their second start


def test_no_recorded_start_is_left_out():
    logs = [path for folder in RECORDED for path in folder.glob("*.log") if "Available KV" in path.read_text()]
    assert len(STARTS) == len(logs) == 49


def test_the_table_has_each_start_and_counts_those_that_are_right():
    lines = table(list(STARTS.values())).splitlines()
    assert len(lines) == 1 + 49 + 1
    assert lines[-1].startswith("49 of 49 good; ")
    (fit,) = (line for line in lines if line.startswith("h200/1x_fit "))
    assert fit.split()[:3] == ["h200/1x_fit", "first", "34,368"]


def test_a_start_that_the_plan_gets_wrong_is_marked_in_the_table():
    row = STARTS["h200/1x_fit"]
    wrong: Row = replace(row, printed_tokens=30_000, available_gib=5.03)
    assert table([wrong]).splitlines()[1].endswith("started  WRONG")
    refused: Row = replace(row, refused=True)
    assert not refused.good


@pytest.mark.parametrize("name", sorted(STARTS))
def test_the_tokens_follow_exactly_from_the_bytes_that_are_left(name: str):
    """The engine prints the bytes to a hundredth of a GiB, so its tokens lie within what these bytes can hold."""
    row = STARTS[name]
    if row.refused:
        return
    page = row.plan.kv_bytes_per_token * 16
    least, most = ((row.available_gib * GIB + half * GIB / 100) // page * 16 for half in (-0.5, 0.5))
    assert least <= row.printed_tokens <= most


def test_a_log_that_ends_before_the_kv_cache_is_no_row():
    command = "$ vllm serve small-24b --max-num-seqs 8 --max-num-batched-tokens 2048"
    assert read_start("x", command) is None
    assert read_start("x", "Available KV cache memory: 3.0 GiB") is None


def test_the_first_start_of_the_128b_was_said_to_hold_a_quarter_more_than_it_does():
    """The plan had 43,920 tokens where vLLM printed 34,368: compiling copies the embedding and scales no layer."""
    small = options(language_model_only=True, max_num_batched_tokens=2048, engine_version="0.26.0")
    larger = replace(small, max_num_batched_tokens=4096)
    first, more = (estimate_overhead(request, compiled=False).likely for request in (small, larger))
    assert more - first == 5 * 12288 * 2048
    table_bytes = 131072 * 12288 * 2
    later = estimate_overhead(small, compiled=True).likely
    layer = 2048 * (8 * 12288 + 5 * 28672)
    assert first - later == table_bytes + 5 * 12288 * 2048 - layer


def test_with_images_a_first_start_needs_no_more_than_a_later_one():
    seeing = options()
    assert estimate_overhead(seeing, compiled=False) == estimate_overhead(seeing, compiled=True)


def test_split_over_gpus_each_copies_its_part_of_the_embedding():
    two = options(tensor_parallel_size=2, language_model_only=True, max_num_batched_tokens=2048)
    first = estimate_overhead(two, compiled=False).likely
    one = estimate_overhead(replace(two, tensor_parallel_size=1), compiled=False).likely
    assert one - first > 131072 * 12288


def test_an_engine_that_compiles_nothing_has_no_first_start():
    eager = options(enforce_eager=True, language_model_only=True)
    assert estimate_overhead(eager, compiled=False) == estimate_overhead(eager, compiled=True)
    assert expected_overhead(eager, None).compiled


def test_a_draft_takes_three_times_the_graphs():
    """The plan had 0.675 GiB; 2.85 and 2.56 were printed."""
    plain = options(engine_version="0.26.0", language_model_only=True)
    with_draft = replace(plain, draft=draft_for(plain.model))
    assert graphs_outside(plain).low / GIB < 0.97 < graphs_outside(plain).high / GIB
    found = graphs_outside(with_draft)
    assert found.low / GIB < 2.56 < 2.85 < found.high / GIB


@pytest.mark.parametrize(
    ("version", "first_runner", "reserved"),
    [
        ("0.26.0", False, False),
        ("0.26.0", True, True),
        ("0.33.0", False, True),
        ("0.32.1rc1", False, True),
        ("0.21.0", False, True),
        ("0.10.1", False, False),
    ],
)
def test_graphs_are_taken_from_the_share_by_the_versions_that_reserve_them(
    version: str, *, first_runner: bool, reserved: bool
):
    request = options(engine_version=version, first_model_runner=first_runner)
    none = replace(request, engine_version="0.26.0", first_model_runner=False)
    more = estimate_overhead(request, compiled=True).likely - estimate_overhead(none, compiled=True).likely
    assert (more > 0, graphs_outside(request).likely == 0) == (reserved, reserved)


@pytest.mark.parametrize("compiled", [True, False])
def test_a_version_that_is_not_known_has_a_range_that_covers_all(*, compiled: bool):
    versions = (None, "0.7.3", "0.26.0", "0.33.0")
    requests = [options(engine_version=version, language_model_only=True) for version in versions]
    unknown, *known = [estimate_overhead(request, compiled=compiled) for request in requests]
    assert unknown.low <= min(found.low for found in known)
    assert unknown.high == max(found.high for found in known)


def test_a_version_before_torch_compile_has_no_first_start():
    old = options(engine_version="0.7.3", language_model_only=True)
    assert estimate_overhead(old, compiled=False) == estimate_overhead(old, compiled=True)
    assert expected_overhead(old, None).compiled


def test_after_a_start_that_compiled_the_next_is_planned_with_less():
    """The second start was planned with the first one's figures: 36,960 tokens where 41,792 were printed."""
    first, second = STARTS["h200/1x_graphs1"], STARTS["h200/1x_graphs2"]
    request = first.plan.request
    page = first.plan.kv_bytes_per_token * 16
    needed = first.plan.requested_bytes - first.plan.weights_bytes - first.printed_tokens // 16 * page
    known = StartMeasurement(other_bytes=needed, engine_version="0.26.0", compiled=False)
    overhead = expected_overhead(request, known)
    left = first.plan.requested_bytes - first.plan.weights_bytes - overhead.share.likely
    assert left // page * 16 == pytest.approx(second.printed_tokens, rel=0.002)
    assert overhead.share.high == needed
    found = expected_overhead(request, replace(known, compiled=True)).share
    assert (found.low, found.likely, found.high) == (needed, needed, needed)


def test_a_log_without_settings_is_planned_with_the_engines_defaults():
    log = (
        "(APIServer pid=1) INFO 11-28 [api_utils.py:345]  ▄▄ ▄█ █     █     █ ▀▄▀ █  version 0.26.0\n"
        "(APIServer pid=1) INFO 11-28 [api_utils.py:273] non-default args: {'model_tag': 'x', 'model': "
        "'mistralai/Mistral-Small-3.2-24B-Instruct-2506', 'speculative_config': None}\n"
        "INFO [gpu_worker.py:560] Available KV cache memory: 20.00 GiB\n"
        "INFO [gpu_worker.py:857] Free memory on device (78.60/79.11 GiB) on startup.\n"
    )
    row = read_start("x", log)
    assert row is not None
    request = row.plan.request
    assert (request.gpus.gpu.name, request.max_num_seqs, request.max_num_batched_tokens) == ("h100", 1024, 8192)
    assert (request.gpu_memory_utilization, request.draft, row.kind) == (0.92, None, "later")


def test_a_log_of_a_model_that_cannot_be_planned_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    log = "$ vllm serve someone/model --port 8000\nAvailable KV cache memory: 3.0 GiB\n"
    (tmp_path / "other.log").write_text(log, encoding="utf-8")
    assert list(recorded_starts([tmp_path])) == []
    assert "/other is left out: Unknown model 'someone/model'" in capsys.readouterr().err


CROWDED = PlanOptions(
    gpus="h200:1",
    language_model_only=True,
    draft="eagle",
    max_model_len=8192,
    max_num_batched_tokens=8192,
    gpu_memory_utilization=0.975,
    engine_version="0.26.0",
)
"""Near the edge of a GPU: what lies beside the engine's share decides."""


def test_a_share_that_leaves_no_room_for_graphs_is_pointed_out():
    notes = plan(CROWDED).notes
    assert any("or under load. --gpu-memory-utilization 0.97 leaves room." in note for note in notes)
    roomy = plan(replace(CROWDED, gpu_memory_utilization=0.97)).notes
    assert not any("under load. --gpu" in note for note in roomy)


def test_a_start_with_eagle_that_ran_out_while_graphs_were_captured_was_said_to_start():
    """The first start succeeded; the second had a larger KV cache and 547 MiB left where it needed 768."""
    tried = replace(CROWDED, max_model_len=16_384, max_num_batched_tokens=2048, gpu_memory_utilization=0.97)
    found = plan(tried)
    assert found.starts == "unsure"
    assert 0 < found.missing_bytes < GIB
    assert "--gpu-memory-utilization 0.95" in [change.option for change in found.changes]
    for changed in (
        replace(tried, gpu_memory_utilization=0.96),
        replace(tried, draft=None),
        replace(tried, max_num_batched_tokens=8192),
        replace(tried, enforce_eager=True),
    ):
        assert plan(changed).starts == "yes", changed


def test_the_buffer_of_a_draft_is_what_the_engine_asked_for_in_vain():
    request = options(language_model_only=True, draft=draft_for(options().model), max_num_batched_tokens=2048)
    assert draft_buffer(request) == 768 * 2**20
    assert draft_buffer(replace(request, tensor_parallel_size=2)) == 384 * 2**20
    assert draft_buffer(replace(request, max_num_seqs=64)) == 384 * 2**20
    ampere = Gpu(name="a100-80", title="A100", memory_bytes=80 * GIB, bandwidth_bytes_s=2e12, compute_capability=(8, 0))
    for without in (
        replace(request, draft=None),
        replace(request, enforce_eager=True),
        replace(request, gpus=GpuSet(gpu=ampere, count=1, measured=False)),
    ):
        assert draft_buffer(without) == 0


def test_the_script_is_the_one_that_the_readme_of_the_logs_names():
    text = (Path(__file__).parents[1] / "data" / "engine_logs" / "README.md").read_text(encoding="utf-8")
    assert re.search(r"`python tests/bench/starts\.py`", text)

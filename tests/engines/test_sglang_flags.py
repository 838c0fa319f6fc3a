"""SGLang's command line from a plan, checked against the flags of SGLang 0.5.23; no SGLang is started."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from serving import EngineError
from serving.capacity.catalogue import SMALL
from serving.capacity.planner import plan
from serving.capacity.sizing import PlanOptions
from serving.engines import engine_command
from serving.engines.command import EngineCommand, ServeOptions

DOCUMENTED: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data/sglang_flags.json").read_text())["flags"]


def command(options: ServeOptions | None = None, **changes: Any) -> EngineCommand:
    planned = plan(
        PlanOptions(
            **{"gpus": "h200:4", "max_model_len": 32768, "engine": "sglang", "other_bytes": 4 * 2**30} | changes
        )
    )
    return engine_command(planned, options or ServeOptions())


def test_the_command_for_the_large_model_on_four_gpus():
    made = command()

    assert made.program == (
        *("python", "-m", "sglang.launch_server", "--model-path", "mistralai/Mistral-Medium-3.5-128B"),
    )
    assert made.module == ("-P", *made.program[1:])
    assert made.arguments == (
        *("--host", "127.0.0.1", "--port", "8000", "--tensor-parallel-size", "4", "--context-length", "32768"),
        *("--max-running-requests", "128", "--chunked-prefill-size", "16384", "--mem-fraction-static", "0.821"),
        *("--tool-call-parser", "mistral", "--reasoning-parser", "mistral", "--enable-metrics"),
        *("--enable-cache-report",),
    )
    assert (made.model, made.base_url, made.health_url, made.uses) == (
        "mistralai/Mistral-Medium-3.5-128B",
        "http://127.0.0.1:8000/v1",
        "http://127.0.0.1:8000/health",
        frozenset({"mistral_parser"}),
    )


def test_a_draft_adds_the_flags_of_the_cookbook():
    made = command(draft="eagle", kv_cache_dtype="fp8", enforce_eager=True)

    assert made.arguments[10:] == (
        *("--chunked-prefill-size", "16384", "--cuda-graph-backend-decode", "disabled"),
        *("--cuda-graph-backend-prefill", "disabled", "--mem-fraction-static", made.arguments[17]),
        *("--kv-cache-dtype", "fp8_e4m3", "--dtype", "bfloat16", "--speculative-algorithm", "EAGLE"),
        *("--speculative-draft-model-path", "mistralai/Mistral-Medium-3.5-128B-EAGLE"),
        *("--speculative-num-steps", "3", "--speculative-eagle-topk", "1", "--speculative-num-draft-tokens", "4"),
        *("--tool-call-parser", "mistral", "--reasoning-parser", "mistral", "--enable-metrics"),
        *("--enable-cache-report",),
    )
    assert made.uses == frozenset({"mistral_parser", "draft"})


def test_mem_fraction_static_is_the_weights_and_the_cache_of_the_plan():
    planned = plan(PlanOptions(gpus="h200:4", max_model_len=32768, engine="sglang", other_bytes=4 * 2**30))
    fraction = float(dict(itertools.pairwise(command().arguments))["--mem-fraction-static"])

    static = planned.weights_bytes + planned.kv_bytes
    assert 0 <= static - fraction * planned.request.gpus.gpu.memory_bytes < planned.request.gpus.gpu.memory_bytes / 1000


def test_a_fixed_cache_size_is_passed_in_tokens():
    planned = plan(
        PlanOptions(gpus="h200:4", max_model_len=32768, engine="sglang", kv_cache_memory_bytes=20_000_000_000)
    )
    made = dict(itertools.pairwise(engine_command(planned, ServeOptions()).arguments))

    assert made["--max-total-tokens"] == str(planned.kv_tokens)


@pytest.mark.parametrize(
    "changes",
    [
        dict(zip(("draft", "kv_cache_dtype", "enforce_eager", "kv_cache_memory_bytes"), values, strict=True))
        for values in itertools.product([None, "eagle"], ["auto", "fp8"], [False, True], [None, 10**10])
    ]
    + [{"model": SMALL, "weights": "fp8", "language_model_only": False}, {"gpus": "b200:8", "max_model_len": 262144}],
)
def test_every_flag_exists_in_sglang_and_its_value_is_accepted(changes: dict[str, Any]):
    made = command(ServeOptions(served_model_name="m"), **changes)

    for flag in made.flags:
        name, *values = flag.words
        accepted = DOCUMENTED[name]
        assert len(values) == (0 if accepted == "switch" else 1)
        if isinstance(accepted, list):
            assert values[0] in accepted
        assert flag.reason
        assert "\n" not in flag.reason
    assert "--model-path" in DOCUMENTED
    assert "--trust-remote-code" not in (*made.program, *made.module, *made.arguments)


def test_a_local_model_without_mistrals_tokenizer_gets_no_parser(tmp_path: Path):
    large = plan(PlanOptions(gpus="h200:4", max_model_len=32768, engine="sglang"))
    (tmp_path / "config.json").touch()
    shape = replace(large.request.model, name=str(tmp_path))

    made = command(model=shape)

    assert made.program[-1] == str(tmp_path)
    assert made.arguments[-3:] == (made.arguments[-3], "--enable-metrics", "--enable-cache-report")
    assert made.uses == frozenset()


@pytest.mark.parametrize(
    "options",
    [ServeOptions(api_key_file=Path("key")), ServeOptions(host="0.0.0.0"), ServeOptions(host="gpu1.example.org")],
)
def test_a_remotely_reachable_server_is_refused_because_sglang_logs_the_key(options: ServeOptions):
    with pytest.raises(EngineError) as caught:
        command(options)

    assert str(caught.value) == (
        "Cannot protect SGLang with a key, so it can be served to this machine only.\n"
        "Cause: SGLang 0.5.23 takes a key as an argument or from a configuration file, not from a variable, and "
        "writes all its settings, including the key, to its log.\n"
        "Now:   Omit --host and --api-key-file, and put a proxy that checks a key in front of it; or plan with "
        "--engine vllm, which reads the key from its environment."
    )


def test_a_page_size_other_than_one_token_has_a_flag():
    assert ("--page-size", "64") in itertools.pairwise(command(block_size=64).arguments)


def test_the_cpu_is_refused():
    with pytest.raises(EngineError) as caught:
        command(model="pocket", gpus="cpu", max_model_len=8192)

    assert str(caught.value) == (
        "SGLang serves pocket on GPUs only, but this plan is for the CPU.\n"
        "Now:   Plan with --engine vllm, or for GPUs: --gpus h100:4."
    )


def test_a_text_only_plan_that_sglang_does_not_support_is_refused():
    with pytest.raises(EngineError) as caught:
        command(language_model_only=True)

    assert str(caught.value) == (
        "SGLang cannot omit the vision tower of Mistral Medium 3.5 128B: its --language-model-only supports only other "
        "models.\n"
        "Now:   Plan without --language-model-only, or with --engine vllm."
    )

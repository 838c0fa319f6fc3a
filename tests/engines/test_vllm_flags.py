"""vLLM's command from a plan, and the progress shown by its log lines; no vLLM is started."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from serving import EngineError
from serving.capacity.catalogue import SMALL
from serving.capacity.planner import plan
from serving.capacity.sizing import PlanOptions
from serving.engines import engine_command
from serving.engines.command import EngineCommand, Flag, ServeOptions, Variable
from serving.engines.vllm import StartFact, read_start_line

ADDRESS = ("--host", "127.0.0.1", "--port", "8000")
NATIVE = ("--tokenizer-mode", "mistral", "--config-format", "mistral", "--load-format", "mistral")
CHAT = (
    *("--tool-call-parser", "mistral", "--reasoning-parser", "mistral", "--enable-auto-tool-choice"),
    *("--structured-outputs-config", '{"enable_in_reasoning": true}'),
    *("--enable-prefix-caching", "--enable-prompt-tokens-details"),
    *("--disable-access-log-for-endpoints", "/health,/metrics"),
)
ALWAYS = {"DO_NOT_TRACK": "1", "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}


def command(options: ServeOptions | None = None, **changes: Any) -> EngineCommand:
    return engine_command(
        plan(PlanOptions(**{"gpus": "h100:4", "max_model_len": 32768} | changes)), options or ServeOptions()
    )


def variables(made: EngineCommand) -> dict[str, str]:
    return {variable.name: variable.value for variable in made.environment}


def test_the_command_for_the_large_model_on_four_gpus():
    made = command()

    assert made.program == ("vllm", "serve", "mistralai/Mistral-Medium-3.5-128B")
    assert made.module == (*("-P", "-m", "vllm.entrypoints.cli.main", "serve", "mistralai/Mistral-Medium-3.5-128B"),)
    assert made.arguments == (
        *ADDRESS,
        *("--tensor-parallel-size", "4", "--max-model-len", "32768", "--max-num-seqs", "128"),
        *("--max-num-batched-tokens", "16384", "--gpu-memory-utilization", "0.85"),
        *NATIVE,
        *CHAT,
    )
    assert variables(made) == ALWAYS
    assert (made.engine, made.model, made.base_url, made.health_url, made.uses) == (
        "vllm",
        "mistralai/Mistral-Medium-3.5-128B",
        "http://127.0.0.1:8000/v1",
        "http://127.0.0.1:8000/health",
        frozenset({"mistral_parser"}),
    )


def test_every_setting_of_the_plan_has_its_flag():
    made = command(
        draft="eagle",
        kv_cache_dtype="fp8",
        kv_cache_memory_bytes=20_000_000_000,
        kv_offloading_size=200,
        block_size=128,
        language_model_only=True,
        enforce_eager=True,
        gpu_memory_utilization=0.8,
        max_num_batched_tokens=8192,
        max_num_seqs=7,
        tensor_parallel_size=2,
        weights="fp8",
    )

    assert made.arguments == (
        *ADDRESS,
        *("--tensor-parallel-size", "2", "--max-model-len", "32768", "--max-num-seqs", "7"),
        *("--max-num-batched-tokens", "8192", "--enforce-eager", "--gpu-memory-utilization", "0.8"),
        *("--kv-cache-memory-bytes", "20000000000", "--kv-cache-dtype", "fp8", "--kv-offloading-size", "200"),
        *("--block-size", "128"),
        "--language-model-only",
        "--speculative-config",
        '{"method": "eagle", "model": "mistralai/Mistral-Medium-3.5-128B-EAGLE", "num_speculative_tokens": 3, '
        '"max_model_len": 32768}',
        *NATIVE,
        *CHAT,
    )
    assert made.uses == frozenset({"mistral_parser", "draft"})


def test_the_draft_is_limited_to_its_own_context_length():
    (words,) = [flag.words for flag in command(gpus="h200:8", max_model_len=262144, draft="eagle").flags if
                flag.words[0] == "--speculative-config"]  # fmt: skip

    assert words[1].endswith('"max_model_len": 65536}')


def test_the_address_name_and_key_come_from_the_options():
    options = ServeOptions(
        host="::",
        port=9000,
        served_model_name="medium",
        api_key_file=Path("/keys/key"),
    )
    made = command(options)

    assert made.arguments[:6] == ("--host", "::", "--port", "9000", "--served-model-name", "medium")
    assert (made.model, made.base_url) == ("medium", "http://[::1]:9000/v1")
    assert made.environment[0] == Variable(
        name="VLLM_API_KEY",
        value="",
        reason="required for /v1 only; other routes, including /invocations, do not check it",
        secret_file=Path("/keys/key"),
    )


def test_the_path_of_the_key_file_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    assert command(ServeOptions(api_key_file=Path("key"))).environment[0].secret_file == tmp_path / "key"


@pytest.mark.parametrize(
    ("host", "root"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("127.1.2.3", "http://127.1.2.3:8000"),
        ("localhost", "http://localhost:8000"),
        ("::1", "http://[::1]:8000"),
    ],
)
def test_a_loopback_server_needs_no_key(host: str, root: str):
    assert command(ServeOptions(host=host)).health_url == f"{root}/health"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "gpu1.example.org", ""])
def test_a_remotely_reachable_server_is_refused_without_a_key(host: str):
    with pytest.raises(EngineError) as caught:
        command(ServeOptions(host=host))

    assert str(caught.value) == (
        f"Cannot serve on {host!r} without a key: anyone who can reach this machine could use the model.\n"
        "Now:   Write a key to a file that only you can read, and pass it: --api-key-file FILE. Or omit --host: then "
        "only this machine can reach the server."
    )


def test_a_server_on_all_interfaces_is_contacted_on_loopback():
    options = ServeOptions(host="0.0.0.0", api_key_file=Path("key"))

    assert command(options).base_url == "http://127.0.0.1:8000/v1"


def test_weights_that_are_not_published_in_bf16_are_refused():
    with pytest.raises(EngineError) as caught:
        command(gpus="h200:8", weights="bf16")

    assert str(caught.value) == (
        "Mistral Medium 3.5 128B cannot be served in BF16: it is published in FP8 only.\n"
        "Now:   Omit --weights, or pass --weights fp8."
    )


def test_published_bf16_weights_are_converted_to_fp8_on_request():
    assert ("--quantization", "fp8") in itertools.pairwise(command(model=SMALL, weights="fp8").arguments)
    assert "--quantization" not in command(model=SMALL).arguments


def test_the_layout_and_parser_flags_depend_on_the_files_of_a_local_folder(tmp_path: Path):
    shape = replace(plan(PlanOptions(gpus="h100:4")).request.model, name=str(tmp_path))
    (tmp_path / "config.json").touch()
    assert command(model=shape).arguments[14:] == (
        *("--enable-prefix-caching", "--enable-prompt-tokens-details"),
        *("--disable-access-log-for-endpoints", "/health,/metrics"),
    )
    assert command(model=shape).uses == frozenset()

    (tmp_path / "tekken.json").touch()
    assert command(model=shape).arguments[14:] == ("--tokenizer-mode", "mistral", *CHAT)

    (tmp_path / "params.json").touch()
    assert command(model=shape).arguments[14:] == (*NATIVE, *CHAT)
    assert variables(command(model=shape)) == {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", **ALWAYS}


def test_a_draft_that_is_not_local_allows_downloads(tmp_path: Path):
    shape = replace(plan(PlanOptions(gpus="h100:4")).request.model, name=str(tmp_path))
    planned = plan(PlanOptions(gpus="h100:4", max_model_len=32768, draft="eagle"))
    made = engine_command(replace(planned, request=replace(planned.request, model=shape)), ServeOptions())

    assert variables(made) == ALWAYS


def test_a_plan_for_the_cpu_has_no_gpu_flags_and_uses_only_its_own_packages():
    made = command(
        ServeOptions(served_model_name="pocket"), model="pocket", gpus="cpu", max_model_len=8192, enforce_eager=True,
        max_num_seqs=8, kv_cache_memory_bytes=2**30,
    )  # fmt: skip

    assert made.arguments == (
        *(*ADDRESS, "--served-model-name", "pocket", "--max-model-len", "8192", "--max-num-seqs", "8"),
        *("--max-num-batched-tokens", "16384", "--enforce-eager", "--kv-cache-memory-bytes", "1073741824"),
        *("--block-size", "128", *NATIVE, *CHAT),
    )
    assert variables(made) == {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "PYTHONNOUSERSITE": "1",
        **ALWAYS,
    }


def test_every_flag_and_variable_has_a_one_line_reason_and_no_remote_code_is_trusted():
    many = command(
        ServeOptions(served_model_name="m", api_key_file=Path("key")),
        draft="eagle",
        kv_cache_dtype="fp8",
        kv_cache_memory_bytes=10**10,
        block_size=32,
        language_model_only=True,
        enforce_eager=True,
    )
    one = command(tensor_parallel_size=1, gpus="b200:1", model=SMALL, weights="fp8")

    for item in (*many.flags, *many.environment, *one.flags):
        assert item.reason.strip()
        assert "\n" not in item.reason
    for made in (many, one):
        assert not any("trust" in word for word in (*made.program, *made.module, *made.arguments))
    assert Flag(words=("--tensor-parallel-size", "1"), reason="the whole model on one GPU") in one.flags


@pytest.mark.parametrize(
    ("line", "fact"),
    [
        (
            "(APIServer pid=1) INFO 11-23 15:46:48 [api_utils.py:347]  ▄▄ ▄█ █     █     █ ▀▄▀ █  version 0.32.0",
            StartFact(phase="importing", detail="vLLM 0.32.0: reading the settings"),
        ),
        (
            "(APIServer pid=1) INFO 11-23 15:47:00 [model.py:733] Resolved architecture: MistralForCausalLM",
            StartFact(phase="importing", detail="MistralForCausalLM: settings read"),
        ),
        (
            "(Worker pid=3) INFO 11-23 15:47:18 [cpu_model_runner.py:68] Starting to load model /models/pocket...",
            StartFact(phase="loading weights", detail="reading the checkpoint"),
        ),
        (
            "(Worker pid=3) INFO 11-23 15:47:19 [default_loader.py:501] Loading weights took 0.01 seconds",
            StartFact(phase="loading weights", detail="weights read in 0.01 s"),
        ),
        (
            "(EngineCore pid=2) INFO 11-23 15:47:20 [kv_cache_utils.py:2327] CPU KV cache size: 524,288 tokens, "
            "Maximum concurrency for 8,192 tokens per request: 64.00x",
            StartFact(phase="warming up", detail="KV cache holds 524,288 tokens"),
        ),
        (
            "(EngineCore pid=2) INFO 11-23 15:47:22 [core.py:402] init engine (profile, create kv cache, warmup model) "
            "took 2.66 s",
            StartFact(phase="warming up", detail="engine ready after 2.66 s, starting the server"),
        ),
        (
            "(APIServer pid=1) INFO 11-23 15:47:24 [entry.py:140] Starting vLLM server on http://127.0.0.1:8031",
            StartFact(phase="warming up", detail="server starts on http://127.0.0.1:8031"),
        ),
        ("(APIServer pid=1) INFO 11-23 15:47:00 [model.py:2152] Using max model len 8192", None),
        # Taken for vLLM 3 before.
        ("(EngineCore pid=2) INFO 11-28 12:55:25 [flash_attn.py:776] Using FlashAttention version 3", None),
        ("", None),
    ],
)
def test_a_log_line_shows_the_progress_of_the_start(line: str, fact: StartFact | None):
    assert read_start_line(line) == fact

"""vLLM's command line, environment and log lines, as whole values; no vLLM is started."""

from pathlib import Path

import pytest

from serving.engines.vllm import StartFact, VllmSettings, environment, read_start_line


def test_the_command_line_holds_every_flag_in_the_order_of_the_fields():
    settings = VllmSettings(
        model="/models/pocket",
        port=8123,
        served_model_name="pocket",
        max_model_len=8192,
        max_num_seqs=8,
        enforce_eager=True,
    )

    assert settings.command(Path("/env/bin/python")) == (
        *("/env/bin/python", "-P", "-m", "vllm.entrypoints.cli.main", "serve", "/models/pocket"),
        *("--host", "127.0.0.1", "--port", "8123", "--served-model-name", "pocket"),
        *("--tokenizer-mode", "mistral", "--config-format", "mistral", "--load-format", "mistral"),
        *("--tool-call-parser", "mistral", "--enable-auto-tool-choice", "--reasoning-parser", "mistral"),
        *("--max-model-len", "8192", "--max-num-seqs", "8", "--enforce-eager"),
        *("--enable-prefix-caching", "--enable-prompt-tokens-details"),
    )


def test_a_flag_that_is_none_is_not_given_and_one_that_is_false_is_denied():
    settings = VllmSettings(
        model="m",
        tokenizer_mode=None,
        config_format=None,
        load_format=None,
        tool_call_parser=None,
        enable_auto_tool_choice=None,
        reasoning_parser=None,
        enable_prefix_caching=False,
        enable_prompt_tokens_details=None,
    )

    assert settings.command(Path("python"))[4:] == (
        *("serve", "m", "--host", "127.0.0.1", "--port", "8000", "--no-enable-prefix-caching"),
    )


def test_the_environment_fetches_nothing_and_reads_no_module_of_the_user():
    assert environment(cache=Path("/cache")) == {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CACHE_ROOT": "/cache/vllm",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
    }


@pytest.mark.parametrize(
    ("line", "fact"),
    [
        (
            "(APIServer pid=1) INFO 11-23 15:46:48 [api_utils.py:347]  ▄▄ ▄█ █     █     █ ▀▄▀ █  version 0.32.0",
            StartFact(phase="importing", detail="vLLM 0.32.0: reading the settings"),
        ),
        (
            "(APIServer pid=1) INFO 11-23 15:47:00 [model.py:733] Resolved architecture: MistralForCausalLM",
            StartFact(phase="importing", detail="MistralForCausalLM: starting the engine's process"),
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
        ("", None),
    ],
)
def test_a_log_line_tells_how_far_the_start_is(line: str, fact: StartFact | None):
    assert read_start_line(line) == fact

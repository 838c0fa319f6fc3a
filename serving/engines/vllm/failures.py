"""Know what the failures of vLLM look like in its log and in its HTTP errors; explain none of them.

Read in the source of vLLM 0.32.0 and 0.33.0, 2026-11. Lines that were seen for real lie in tests/data/engine_logs.
"""

import re

from serving.engines.signs import Sign, sign

# What ends a start, or the engine. v1/core/kv_cache_utils.py, v1/worker/utils.py, v1/worker/gpu_model_runner.py.
_START: tuple[Sign, ...] = (
    sign("no_kv", r"No available memory for the cache blocks"),
    sign(
        "kv_too_small",
        r"To serve at least one request with the model's max seq len \((?P<len>\d+)\), \((?P<need>[\d.]+) GiB KV cache "
        r"is needed, which is larger than the available KV cache memory \((?P<have>-?[\d.]+) GiB\)"
        r"(?:\. Based on the available memory, the estimated maximum model length is (?P<est>\d+))?",
    ),
    sign(
        "busy_gpu",
        r"Free memory on device (?P<dev>\S+) \((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on startup is less than "
        r"(?:desired GPU memory utilization|the engine's budget after excluding external process's weights) "
        r"\((?P<util>[\d.]+), (?P<req>[\d.]+) GiB\)",
    ),
    sign(
        "cpu_memory_short",
        r"Available memory on node (?P<node>\S+) \((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on "
        r"(?:startup is less than desired CPU memory utilization \((?P<util>[\d.]+), (?P<req>[\d.]+) GiB\)|"
        r"kv cache allocation is less than requested memory for kv \((?P<kv>[\d.]+))",
    ),
    sign("load_oom", r"Failed to load model - not enough GPU memory"),
    sign("warm_oom", r"CUDA out of memory occurred when warming up sampler with (?P<n>\d+) dummy requests"),
    sign("no_fit", r"Cannot auto-fit max_model_len"),
    sign(
        "world_size",
        r"World size \((?P<ws>\d+)\) is larger than the number of available GPUs \((?P<n>\d+)\) in this node",
    ),
    sign(
        "len_too_great",
        r"User-specified max_model_len \((?P<len>\d+)\) is greater than the derived max_model_len "
        r"\((?P<key>\w+)=(?P<max>[\d.]+)",
    ),
    sign("unknown_tool_parser", r"invalid tool call parser: (?P<name>\S+) \(chose from"),
    sign("unknown_reasoning_parser", r"(?:invalid reasoning parser|Reasoning parser): '?(?P<name>[^\s']+)"),
    sign("no_tool_parser", r"--enable-auto-tool-choice requires --tool-call-parser"),
    sign("bad_flag", r"error: unrecognized arguments: (?P<arguments>(?P<flag>\S+).*)"),
    sign("bad_value", r"error: argument (?P<flag>\S+): (?P<why>.+)"),
    sign("external_dp", r"Non-MoE models do not support external data parallel mode"),
)

# What befalls one request. renderers/params.py, tokenizers/mistral.py; mistral_common 1.11 to 1.13.
_REQUEST: tuple[Sign, ...] = (
    sign(
        "context_too_long",
        r"This model's maximum context length is (?P<max>\d+) tokens\. However, (?:your prompt contains|you requested) "
        r"(?:at least )?(?P<n>\d+) (?P<unit>input tokens|output tokens|characters)",
    ),
    sign("version_pair", r"get_lark_from_jinja\(\) missing 1 required positional argument: 'force_tool_names'"),
    sign("call_id", r"Tool call id was (?P<id>.*?) but must be a-z, A-Z, 0-9, with a length of 9"),
    sign("call_id_null", r"Tool call id must be a non-empty string other than 'null'"),
    sign("role_order", r"Unexpected role '(?P<a>\w+)' after role '(?P<b>\w+)'"),
    sign("last_role", r"Expected last role User or Tool .* for serving but got (?P<role>\w+)"),
    sign("last_role", r"Cannot set `add_generation_prompt` to True when the last message is from the (?P<role>\w+)"),
    sign("call_pairs", r"Not the same number of function calls and responses"),
    sign("empty_assistant", r"Invalid assistant message"),
    sign("chat_template", r"chat_template is not supported for Mistral tokenizers"),
    sign("effort", r"reasoning_effort=(?P<value>\S+) is not supported by Mistral models"),
    sign("effort", r"reasoning_effort should be one of (?P<allowed>\[.*?\]), got (?P<value>\w+)"),
)

# What goes badly while it runs.
_LOAD: tuple[Sign, ...] = (
    sign("preemption", r"Running: (?P<r>\d+) reqs, .*Preemptions: (?P<n>[1-9]\d*)\b", in_info=True),
)

SIGNS: tuple[Sign, ...] = (*_START, *_REQUEST, *_LOAD)

DEATH = re.compile(
    r"Engine core initialization failed|EngineCore failed to start|EngineCore encountered a fatal error|"
    r"WorkerProc (?:initialization )?failed|WorkerProc hit an exception|EngineDeadError|"
    r"EngineCore encountered an issue|died unexpectedly|Failed core proc"
)
"""A line that says only that the engine ended: the reason stands above it."""

FLAGS = (
    *("--model", "--tokenizer", "--tokenizer-mode", "--config-format", "--load-format", "--download-dir", "--revision"),
    *(
        "--host",
        "--port",
        "--api-key",
        "--served-model-name",
        "--allowed-origins",
        "--uvicorn-log-level",
        "--root-path",
    ),
    *("--tool-call-parser", "--enable-auto-tool-choice", "--reasoning-parser", "--chat-template", "--response-role"),
    *("--max-model-len", "--max-num-seqs", "--max-num-batched-tokens", "--gpu-memory-utilization", "--swap-space"),
    *("--kv-cache-dtype", "--kv-cache-memory-bytes", "--block-size", "--enable-prefix-caching", "--cpu-offload-gb"),
    *("--tensor-parallel-size", "--pipeline-parallel-size", "--data-parallel-size", "--distributed-executor-backend"),
    *("--speculative-config", "--compilation-config", "--enforce-eager", "--quantization", "--dtype", "--seed"),
    *("--language-model-only", "--limit-mm-per-prompt", "--enable-chunked-prefill", "--enable-prompt-tokens-details"),
    *("--generation-config", "--override-generation-config", "--default-chat-template-kwargs", "--max-logprobs"),
    *("--enable-log-requests", "--disable-log-stats", "--enable-server-load-tracking", "--enable-sleep-mode"),
    *("--reasoning-effort-map", "--tool-strict-level", "--structured-outputs-config", "--trust-remote-code"),
)
"""Flags that people give, to find the one that was meant. Source: `vllm serve --help=all`, 0.32.0, 2026-11-23."""

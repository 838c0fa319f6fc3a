"""Know what the failures of vLLM look like in its log and in its HTTP errors; explain none of them.

Read in the source of vLLM 0.32.0 and 0.33.0, 2026-11; the file of the source stands above each group. Which of them
were seen for real is written in tests/data/engine_logs/README.md.
"""

import re

from ..signs import Sign, sign

# v1/core/kv_cache_utils.py, v1/worker/utils.py, v1/worker/cpu_worker.py, v1/worker/gpu_model_runner.py
_MEMORY: tuple[Sign, ...] = (
    sign("no_kv", r"No available memory for the cache blocks"),
    sign(
        "kv_too_small",
        r"To serve at least one request with the model's max seq len \((?P<len>\d+)\), \((?P<need>[\d.]+) GiB KV cache "
        r"is needed, which is larger than the available KV cache memory \((?P<have>-?[\d.]+) GiB\)"
        r"(?:\. Based on the available memory, the estimated maximum model length is (?P<est>\d+))?",
    ),
    sign("no_fit", r"Cannot auto-fit max_model_len"),
    sign(
        "busy_gpu",
        r"Free memory on device (?:(?P<dev>[^\s(]\S*) )?\((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) "
        r"on startup is less than (?:desired GPU memory utilization|the engine's budget after excluding .*?weights) "
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
)

# utils/argparse_utils.py, entrypoints/launchers, config/model.py, config/scheduler.py, config/vllm.py
_SETTINGS: tuple[Sign, ...] = (
    sign("bad_flag", r"error: unrecognized arguments: (?P<arguments>(?P<flag>\S+).*)"),
    sign("bad_value", r"error: argument (?P<flag>--[^:\s]+)\S*: (?P<why>.+)"),
    # pydantic: the line above names the setting.
    sign("bad_setting", r"^\s+(?P<why>Input should be .*?) \[type=\w+, input_value=(?P<value>.*?), input_type="),
    sign("unknown_tool_parser", r"invalid tool call parser: (?P<name>\S+) \(chose from"),
    sign("unknown_reasoning_parser", r"Reasoning parser '(?P<name>[^']+)' not found"),
    sign("unknown_reasoning_parser", r"invalid reasoning parser: (?P<name>\S+)"),
    sign("no_tool_parser", r"--enable-auto-tool-choice requires --tool-call-parser"),
    sign(
        "len_too_great",
        r"User-specified max_model_len \((?P<len>\d+)\) is greater than the derived max_model_len "
        r"\(\w+=(?P<max>\d+)",
    ),
    sign(
        "world_size",
        r"World size \((?P<ws>\d+)\) is larger than the number of available GPUs \((?P<n>\d+)\) in this node",
    ),
    sign(
        "heads_not_divisible",
        r"Total number of attention heads \((?P<heads>\d+)\) must be divisible by tensor parallel size \((?P<tp>\d+)\)",
    ),
    sign(
        "batched_tokens_too_few",
        r"max_num_batched_tokens \((?P<tokens>\d+)\) (?:is smaller than|must be greater than or equal to) "
        r"(?P<other>max_model_len|max_num_seqs) \((?P<least>\d+)\)",
    ),
    sign("external_dp", r"Non-MoE models do not support external data parallel mode"),
    sign(
        "quantization_unsupported",
        r"quantization (?:method|scheme) (?:(?P<method>\w+) )?is not supported for the current GPU\. "
        r"(?:Minimum|Required) capability: (?P<least>\d+)\. Current capability: (?P<have>\d+)",
    ),
    sign(
        "bfloat16_unsupported",
        r"Bfloat16 is only supported on GPUs with compute capability of at least 8\.0\. Your (?P<gpu>.+?) GPU",
    ),
    sign(
        "template_file",
        r"The supplied chat template(?: string)? \((?P<file>.*?)\) appears path-like, but doesn't exist",
    ),
    sign("no_device", r"Failed to infer device type"),
)

# transformers_utils/config.py, model_executor/model_loader/default_loader.py, model_executor/models/registry.py
_FILES: tuple[Sign, ...] = (
    sign("no_params_json", r"Failed to load mistral 'params\.json' config for model (?P<model>\S+?)\.(?:\s|$)"),
    sign("no_weights", r"Cannot find any model weights with `(?P<model>[^`]+)`"),
    sign("eagle_unknown", r"Model architectures \['Eagle\w*Mistral\w*'\] (?:are not supported|failed)"),
    sign("architecture_unknown", r"Model architectures? \['?(?P<arch>[^'\]]+)'?\] (?:are|is) not supported"),
    sign("model_name", r"Invalid repository ID or local directory specified"),
)

# v1/executor, v1/engine, distributed/device_communicators/shm_broadcast.py
_LIFE: tuple[Sign, ...] = (
    sign("killed", r"Worker proc (?P<who>\S+) died unexpectedly \(exit code: -9\)"),
    sign("crashed", r"Worker proc (?P<who>\S+) died unexpectedly \(exit code: (?P<code>-(?!9\b|15\b)\d+)\)"),
    # Seen of a worker that was killed: its exit code was not known yet when this was written.
    sign("worker_lost", r"Worker proc (?P<who>\S+) died unexpectedly \(exit code: (?:None|\d+|-15)\)"),
    sign("core_lost", r"MPClient: engine core exited unexpectedly"),
    sign("start_timeout", r"Timed out waiting for engine core processes to start.*Waited (?P<s>\d+)s"),
    sign("worker_hangs", r"RPC call to (?P<what>\w+) timed out"),
    sign("worker_hangs", r"No available shared memory broadcast block found in (?P<s>\d+) seconds", in_info=True),
)

# renderers, entrypoints/openai, tool_parsers, parser/mistral.py
_REQUEST: tuple[Sign, ...] = (
    sign("version_pair", r"get_lark_from_jinja\(\) missing 1 required positional argument: 'force_tool_names'"),
    sign(
        "context_too_long",
        r"This model's maximum context length is (?P<max>\d+) tokens\. However, (?:your prompt contains|you requested) "
        r"(?:at least )?(?P<n>\d+) (?P<unit>input tokens|output tokens|characters|tokens)",
    ),
    sign("answer_too_long", r"max(?:_completion)?_tokens=(?P<n>\d+) ?cannot be greater than max_\w+=(?P<max>\d+)"),
    sign("answer_too_long", r"'max_tokens' or 'max_completion_tokens' is too large: (?P<n>\d+)"),
    sign("auto_choice_off", r"\"auto\\?\" tool choice requires --enable-auto-tool-choice and --tool-call-parser"),
    sign("auto_choice_off", r"tool_choice=.*requires --tool-call-parser to be set"),
    sign("model_unknown", r"The model `(?P<name>[^`]+)` does not exist"),
    sign("choice_without_tools", r"When using `tool_choice`, `tools` must be set"),
    sign("choice_of_no_tool", r"Tool '(?P<name>[^']+)' has not been passed in `tools`"),
    sign("choice_of_no_tool", r"The tool specified in `tool_choice` does not match any of the specified `tools`"),
    sign("tool_parsing", r"Error in extracting tool call from response|Error trying to handle streaming tool call"),
    sign("tool_parsing", r"cannot determine if tools should be extracted"),
    sign("finish_missing", r"missing finish reason"),
    sign("not_mistral_mode", r"Only fast tokenizers are supported"),
    sign("not_mistral_mode", r"Non-Mistral tokenizer detected when using a Mistral model"),
    sign("not_mistral_mode", r"IncompleteJSONError"),
    sign("arguments_broken", r"Tool call '(?P<name>[^']+)' has arguments that are not valid JSON"),
    sign("result_without_id", r"^(?:KeyError: )?'tool_call_id'$"),
    sign("bad_schema", r"Invalid tool schema: (?P<why>.+)"),
    sign("choice_unknown", r"Invalid value for `tool_choice`: (?P<value>[^!]+)!"),
    sign("no_images", r"is not a multimodal model|At most 0 image\(s\) may be provided"),
)

# v1/metrics/loggers.py, utils/jit_monitor.py, config/model.py, config/cache.py
_LOAD: tuple[Sign, ...] = (
    sign("preemption", r"Running: (?P<r>\d+) reqs, .*Preemptions: (?P<n>[1-9]\d*)\b", in_info=True),
    sign("slow_first_request", r"kernel JIT compilation during inference: (?P<kernel>\w+)"),
    sign(
        "sampling_overridden",
        r"Default (?:vLLM )?sampling parameters have been overridden by .*?(?::|config recommended)",
    ),
    sign("kv_fp8", r"Using fp8 data type to store kv cache", in_info=True),
    sign("call_id_cut", r"Truncating tool(?: call ID|_call_id): (?P<a>\S+) to (?P<b>\S+)", in_info=True),
)

SIGNS: tuple[Sign, ...] = (*_MEMORY, *_SETTINGS, *_FILES, *_LIFE, *_REQUEST, *_LOAD)

# entrypoints/openai/engine/protocol.py; what no sign above knows better.
FIELD_SIGNS: tuple[Sign, ...] = (
    sign(
        "bad_field",
        r"validation errors?:\s+\{'type': '\w+', 'loc': '(?P<field>[^']+)', 'msg': ['\"](?P<why>.*?)['\"], '",
    ),
    sign("bad_field", r"^(?:\S+: )?(?P<why>.{1,400}?)\.? \(parameter=(?P<field>\w+)(?:, value=[^)]*)?\)"),
)
"""Tried after all others."""

DEATH = re.compile(
    r"Engine core initialization failed|EngineCore failed to start|EngineCore encountered a fatal error|"
    r"WorkerProc (?:initialization )?failed|WorkerProc hit an exception|EngineDeadError|Failed core proc|"
    r"EngineCore encountered an issue|died unexpectedly|Worker failed with error|Executor failed\.|cancelled$"
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
    *("--max-model-len", "--max-num-seqs", "--max-num-batched-tokens", "--gpu-memory-utilization", "--max-logprobs"),
    *("--kv-cache-dtype", "--kv-cache-memory-bytes", "--block-size", "--enable-prefix-caching", "--cpu-offload-gb"),
    *("--tensor-parallel-size", "--pipeline-parallel-size", "--data-parallel-size", "--distributed-executor-backend"),
    *("--speculative-config", "--compilation-config", "--enforce-eager", "--quantization", "--dtype", "--seed"),
    *("--language-model-only", "--limit-mm-per-prompt", "--enable-chunked-prefill", "--enable-prompt-tokens-details"),
    *("--generation-config", "--override-generation-config", "--default-chat-template-kwargs", "--trust-remote-code"),
    *("--enable-log-requests", "--disable-log-stats", "--enable-server-load-tracking", "--enable-sleep-mode"),
    *("--reasoning-effort-map", "--tool-strict-level", "--structured-outputs-config", "--async-scheduling"),
)
"""Flags that people give, to find the one that was meant. Source: `vllm serve --help=all`, 0.32.0, 2026-11-23;
`--reasoning-effort-map` is of 0.33.0."""


def longest_that_fits(evidence: str) -> int | None:
    """Return the longest context, in tokens, that vLLM says would fit. None if the line holds no such estimate."""
    found = re.search(r"the estimated maximum model length is (\d+)", evidence)
    return int(found[1]) if found else None

"""Patterns of vLLM's failures in its log and its HTTP errors; explains none of them.

Source: vLLM 0.32.0 and 0.33.0, read 2026-11; the source files are named above each group. Older wordings, back to 0.5,
are marked with the releases that use them; source: files of those releases in public copies, and logs in public issues.
tests/data/engine_logs/README.md says which of them were seen in a running engine.
"""

import re

from ..log_patterns import LogPattern, pattern

# v1/core/kv_cache_utils.py, v1/worker/utils.py, v1/worker/cpu_worker.py, v1/worker/gpu_model_runner.py
_MEMORY: tuple[LogPattern, ...] = (
    pattern("no_kv", r"No available memory for the cache blocks"),
    # "models's" up to 0.11, GB and no estimate up to 0.8, no bracket before the number in some releases.
    pattern(
        "kv_too_small",
        r"To serve at least one request with the model(?:'s|s's|s|) max seq len \((?P<len>\d+)\), ?"
        r"(?:\(?(?P<need>[\d.]+) Gi?B KV cache is needed, which is larger than the available KV cache memory "
        r"\((?P<have>-?[\d.]+) Gi?B\)(?:\. Based on the available memory, the estimated maximum model length is "
        r"(?P<est>\d+))?)?",
    ),
    # The V0 engine, up to 0.10.
    pattern(
        "kv_too_small",
        r"model's max seq len \((?P<len>\d+)\) is larger than the maximum number of tokens that can be stored in "
        r"(?:the )?KV cache \((?P<est>\d+)\)",
    ),
    pattern("profiling_disturbed", r"Error in memory profiling\. Initial free memory (?P<before>[\d.]+(?: GiB)?)"),
    # config/compilation.py; for models with Mamba layers.
    pattern(
        "too_many_seqs",
        r"max_num_seqs \((?P<n>\d+)\) exceeds available Mamba cache blocks \((?P<max>\d+)\)",
    ),
    pattern("no_fit", r"Cannot auto-fit max_model_len"),
    pattern(
        "busy_gpu",
        r"Free memory on device (?:(?P<dev>[^\s(]\S*) )?\((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) "
        r"on startup is less than (?:desired GPU memory utilization|the engine's budget after excluding .*?weights) "
        r"\((?P<util>[\d.]+), (?P<req>[\d.]+) GiB\)",
    ),
    pattern(
        "cpu_memory_short",
        r"Available memory on node (?P<node>\S+) \((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on "
        r"(?:startup is less than desired CPU memory utilization \((?P<util>[\d.]+), (?P<req>[\d.]+) GiB\)|"
        r"kv cache allocation is less than requested memory for kv \((?P<kv>[\d.]+))",
    ),
    pattern("load_oom", r"Failed to load model - not enough GPU memory"),
    pattern("warm_oom", r"CUDA out of memory occurred when warming up sampler with (?P<n>\d+) dummy requests"),
)

# utils/argparse_utils.py, entrypoints/launchers, config/model.py, config/scheduler.py, config/vllm.py
_SETTINGS: tuple[LogPattern, ...] = (
    pattern("bad_flag", r"error: unrecognized arguments: (?P<arguments>(?P<flag>\S+).*)"),
    pattern("bad_value", r"error: argument (?P<flag>--[^:\s]+)\S*: (?P<why>.+)"),
    # pydantic: the line above names the setting.
    pattern("bad_setting", r"^\s+(?P<why>Input should be .*?) \[type=\w+, input_value=(?P<value>.*?), input_type="),
    pattern("unknown_tool_parser", r"invalid tool call parser: (?P<name>\S+) \(chose from"),
    pattern("unknown_reasoning_parser", r"Reasoning parser '(?P<name>[^']+)' not found"),
    pattern("unknown_reasoning_parser", r"invalid reasoning parser: (?P<name>\S+)"),
    pattern("no_tool_parser", r"--enable-auto-tool-choice requires --tool-call-parser"),
    pattern(
        "len_too_great",
        r"User-specified max_model_len \((?P<len>\d+)\) is greater than the derived max_model_len "
        r"\(\w+=(?P<max>\d+)",
    ),
    # 0.5 to 0.10, the first two of them for multiprocessing and for Ray.
    pattern(
        "world_size",
        r"please (?:set tensor_parallel_size|ensure that world_size) (?:\((?P<ws>\d+)\) )?(?:is|to) less than "
        r"(?:than )?max local gpu count(?: \((?P<n>\d+)\))?",
    ),
    pattern("ray_few_gpus", r"number of required (?:GPU|NPU|TPU|device)s exceeds the total number of available"),
    pattern("ray_few_gpus", r"Cannot provide a placement group of .*within (?P<s>\d+) seconds"),
    pattern("fork_after_cuda", r"Cannot re-initialize CUDA in forked subprocess"),
    pattern("no_main_guard", r"before the\s+current process has finished its bootstrapping phase"),
    pattern(
        "attention_backend",
        r"Selected backend (?:\w+\.)?(?P<name>\w+) is not valid for this configuration\. Reason: (?P<why>.+)",
    ),
    pattern("pipeline_unsupported", r"Pipeline [Pp]arallelism is not supported for this model"),
    pattern("bad_setting", r"(?P<why>GPU memory utilization must be less than 1\.0)\. Got (?P<value>[\d.]+)"),
    pattern(
        "world_size",
        r"World size \((?P<ws>\d+)\) is larger than the number of available GPUs \((?P<n>\d+)\) in this node",
    ),
    pattern(
        "heads_not_divisible",
        r"Total number of attention heads \((?P<heads>\d+)\) must be divisible by tensor parallel size \((?P<tp>\d+)\)",
    ),
    pattern(
        "batched_tokens_too_few",
        r"max_num_batched_tokens \((?P<tokens>\d+)\) (?:is smaller than|must be greater than or equal to) "
        r"(?P<other>max_model_len|max_num_seqs) \((?P<least>\d+)\)",
    ),
    pattern("external_dp", r"Non-MoE models do not support external data parallel mode"),
    pattern(
        "template_file",
        r"The supplied chat template(?: string)? \((?P<file>.*?)\) appears path-like, but doesn't exist",
    ),
    pattern("no_device", r"Failed to infer device type"),
)

# transformers_utils/config.py, model_executor/model_loader/default_loader.py, model_executor/models/registry.py
_FILES: tuple[LogPattern, ...] = (
    pattern("no_params_json", r"Failed to load mistral 'params\.json' config for model (?P<model>\S+?)\.(?:\s|$)"),
    pattern("no_weights", r"Cannot find any model weights with `(?P<model>[^`]+)`"),
    pattern("eagle_unknown", r"Model architectures \['Eagle\w*Mistral\w*'\] (?:are not supported|failed)"),
    pattern("model_name", r"Invalid repository ID or local directory specified"),
    # Up to 0.9.
    pattern("config_unreadable", r"No supported config format found in (?P<model>\S+)"),
)

# v1/executor, v1/engine, distributed/device_communicators/shm_broadcast.py
_LIFE: tuple[LogPattern, ...] = (
    # The second form of a worker's end: the V0 engine, up to 0.10.
    pattern("killed", r"Worker proc (?P<who>\S+) died unexpectedly \(exit code: -9\)"),
    pattern("killed", r"Worker (?P<who>\S+) pid \d+ died, exit code: -9\b"),
    pattern("crashed", r"Worker proc (?P<who>\S+) died unexpectedly \(exit code: (?P<code>-(?!9\b|15\b)\d+)\)"),
    pattern("crashed", r"Worker (?P<who>\S+) pid \d+ died, exit code: (?P<code>-(?!9\b|15\b)\d+)\b"),
    # Seen when a worker was killed: its exit code was not known yet when this line was logged. None up to 0.20.
    pattern("worker_lost", r"Worker proc (?P<who>\S+) died unexpectedly(?: \(exit code: (?:None|\d+|-15)\)|,)"),
    pattern("worker_lost", r"Worker (?P<who>\S+) pid \d+ died, exit code: (?:\d+|-15)\b"),
    pattern(
        "worker_lost",
        r"The actor (?:died unexpectedly before finishing this task|is dead because its (?P<who>\w+ process))",
    ),
    pattern("core_lost", r"MPClient: engine core exited unexpectedly"),
    pattern("start_timeout", r"Timed out waiting for engine core processes to start.*Waited (?P<s>\d+)s"),
    pattern("rpc_timeout", r"RPC call to (?P<what>\w+) timed out"),
    pattern("rpc_timeout", r"(?P<what>execute_model|sample_tokens) timed out"),
    pattern(
        "worker_hangs", r"No available (?:shared memory broadcast )?block found in (?P<s>\d+) seconds?", in_info=True
    ),
)

# renderers, entrypoints/openai, tool_parsers, parser/mistral.py
_REQUEST: tuple[LogPattern, ...] = (
    pattern("version_pair", r"get_lark_from_jinja\(\) missing 1 required positional argument: 'force_tool_names'"),
    pattern(
        "context_too_long",
        r"This model's maximum context length is (?P<max>\d+) tokens\. However, (?:your prompt contains|you requested) "
        r"(?:at least )?(?P<n>\d+) (?P<unit>input tokens|output tokens|characters|tokens)",
    ),
    pattern("answer_too_long", r"max(?:_completion)?_tokens=(?P<n>\d+) ?cannot be greater than max_\w+=(?P<max>\d+)"),
    pattern("answer_too_long", r"'max_tokens' or 'max_completion_tokens' is too large: (?P<n>\d+)"),
    pattern("auto_choice_off", r"\"auto\\?\" tool choice requires --enable-auto-tool-choice and --tool-call-parser"),
    pattern("auto_choice_off", r"tool_choice=.*requires --tool-call-parser to be set"),
    pattern("model_unknown", r"The model `(?P<name>[^`]+)` does not exist"),
    pattern("choice_without_tools", r"When using `tool_choice`, `tools` must be set"),
    pattern("choice_of_no_tool", r"Tool '(?P<name>[^']+)' has not been passed in `tools`"),
    pattern("choice_of_no_tool", r"The tool specified in `tool_choice` does not match any of the specified `tools`"),
    pattern("tool_parsing", r"Error in extracting tool call from response|Error trying to handle streaming tool call"),
    pattern("tool_parsing", r"cannot determine if tools should be extracted"),
    pattern("finish_missing", r"missing finish reason"),
    pattern("not_mistral_mode", r"Only fast tokenizers are supported"),
    pattern("not_mistral_mode", r"Non-Mistral tokenizer detected when using a Mistral model"),
    pattern("not_mistral_mode", r"IncompleteJSONError"),
    pattern("arguments_broken", r"Tool call '(?P<name>[^']+)' has arguments that are not valid JSON"),
    pattern("result_without_id", r"^(?:KeyError: )?'tool_call_id'$"),
    pattern("bad_schema", r"Invalid tool schema: (?P<why>.+)"),
    pattern("choice_unknown", r"Invalid value for `tool_choice`: (?P<value>[^!]+)!"),
    pattern("no_images", r"is not a multimodal model|At most 0 image\(s\) may be provided"),
)

# v1/metrics/loggers.py, utils/jit_monitor.py, config/model.py, config/cache.py
_LOAD: tuple[LogPattern, ...] = (
    pattern("preemption", r"Running: (?P<r>\d+) reqs, .*Preemptions: (?P<n>[1-9]\d*)\b", in_info=True),
    pattern("slow_first_request", r"kernel JIT compilation during inference: (?P<kernel>\w+)"),
    pattern(
        "sampling_overridden",
        r"Default (?:vLLM )?sampling parameters have been overridden by .*?(?::|config recommended)",
    ),
    pattern("kv_fp8", r"Using fp8 data type to store kv cache", in_info=True),
    pattern("call_id_cut", r"Truncating tool(?: call ID|_call_id): (?P<a>\S+) to (?P<b>\S+)", in_info=True),
)

LOG_PATTERNS: tuple[LogPattern, ...] = (*_MEMORY, *_SETTINGS, *_FILES, *_LIFE, *_REQUEST, *_LOAD)

# entrypoints/openai/engine/protocol.py; less specific than all patterns above.
FIELD_PATTERNS: tuple[LogPattern, ...] = (
    pattern(
        "bad_field",
        r"validation errors?:\s+\{'type': '\w+', 'loc': '(?P<field>[^']+)', 'msg': ['\"](?P<why>.*?)['\"], '",
    ),
    pattern("bad_field", r"^(?:\S+: )?(?P<why>.{1,400}?)\.? \(parameter=(?P<field>\w+)(?:, value=[^)]*)?\)"),
)
"""Tried after all other patterns."""

DEATH = re.compile(
    r"Engine core initialization failed|EngineCore failed to start|EngineCore encountered a fatal error|"
    r"WorkerProc (?:initialization )?failed|WorkerProc hit an exception|EngineDeadError|Failed core proc|"
    r"EngineCore encountered an issue|died unexpectedly|Worker failed with error|Executor failed\.|cancelled$|"
    r"AsyncLLM output_handler failed|EngineCore hit an exception|"
    # The V0 engine and Ray, up to 0.10.
    r"Engine (?:process|loop|background task) (?:failed|has died|is dead)|Background loop (?:is stopped|has errored)|"
    r"AsyncEngineDeadError|MQEngineDeadError|MQLLMEngine (?:terminated|is already dead)|"
    r"Exception in worker \w+ while processing method|Error executing method|Killing local vLLM worker processes|"
    r"died, exit code: |Exception raised in creation task|RPCServer process died"
)
"""A line that reports only that the engine ended; the reason is above it."""

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
    *("--attention-backend", "--disable-custom-all-reduce"),
    *("--enable-log-requests", "--disable-log-stats", "--enable-server-load-tracking", "--enable-sleep-mode"),
    *("--reasoning-effort-map", "--tool-strict-level", "--structured-outputs-config", "--async-scheduling"),
)
"""Flags in common use, for suggesting the nearest. Source: `vllm serve --help=all`, 0.32.0, 2026-11-23;
`--reasoning-effort-map` is new in 0.33.0."""


def longest_that_fits(evidence: str) -> int | None:
    """Return the longest context, in tokens, that vLLM says would fit. None if the line contains no such estimate."""
    found = re.search(r"the estimated maximum model length is (\d+)", evidence)
    return int(found[1]) if found else None

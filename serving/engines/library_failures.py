"""Log patterns of failures below the engines: system, CUDA, torch, Hugging Face, Python; explains none.

Source: the libraries' own messages, as quoted in their issues and source code; torch 2.4 to 2.13,
huggingface_hub 1.33, safetensors 0.7, transformers 5, read 2026-11.
"""

import re

from .log_patterns import LogPattern, pattern

_MEMORY: tuple[LogPattern, ...] = (
    pattern(
        "torch_oom",
        r"(?:OutOfMemoryError|(?:CUDA|HIP|XPU) out of memory).*?Tried to allocate (?P<asked>[\d.]+ \w+)"
        r"(?:.*?GPU (?P<gpu>\d+) has a total capaci?ty of (?P<total>[\d.]+ \w+) of which (?P<free>[\d.]+ \w+) is free"
        r"(?:\. Process (?P<other>\d+) has (?P<held>[\d.]+ \w+) memory in use\. Including non-PyTorch "
        r"memory, this process)?)?",
    ),
    pattern(
        "torch_oom",
        r"torch\.(?:cuda\.)?OutOfMemoryError|(?:CUDA|HIP)(?: driver)? error: out of memory|CUBLAS_STATUS_ALLOC_FAILED",
    ),
    pattern(
        "triton_resources",
        r"out of resource: (?P<what>[\w ]+), Required: (?P<asked>\d+), Hardware limit: (?P<limit>\d+)",
    ),
    pattern("ram_full", r"DefaultCPUAllocator: (?:can't|not enough memory).*?(?P<asked>\d+) bytes"),
    pattern("ram_full", r"killed due to memory pressure|node running low on memory|low on resource: memory"),
    pattern("ram_full", r"Cannot allocate memory|^MemoryError\b|std::bad_alloc"),
    pattern(
        "oom_killer", r"(?:Out of memory|Memory cgroup out of memory): Killed process (?P<pid>\d+) \((?P<who>[^)]+)\)"
    ),
    pattern("oom_killer", r"OOMKilled|oom-kill\b|killed by the OOM killer"),
    pattern(
        "killed",
        r"^\S*Killed$|line \d+: +\d+ Killed\b|^\[\d+\] +(?:\d+ )?[Kk]illed\b|signal 9 \(SIGKILL\)|status=9/KILL|"
        r"(?i:exit(?:ed)? (?:with )?code:? )137\b",
    ),
)

_SYSTEM: tuple[LogPattern, ...] = (
    pattern(
        "port_in_use",
        r"\[Errno 98\].*?\(?'?(?P<host>[\d.:a-f]+)?'?,? ?(?P<port>\d{2,5})?\)?.*[Aa]ddress already in use",
    ),
    pattern("port_in_use", r"[Aa]ddress already in use|EADDRINUSE"),
    pattern("host_not_ours", r"[Cc]annot assign requested address"),
    pattern(
        "disk_full", r"low on resource: ephemeral-storage|No space left on device|\(os error 28\)|Disk quota exceeded"
    ),
    pattern("too_many_files", r"(?<!`OSError: \[Errno 24\] )Too many open files"),
    pattern("too_many_threads", r"can't start new thread|Thread creation failed|Resource temporarily unavailable"),
    pattern("no_permission", r"\[Errno 13\] Permission denied: ?'?(?P<file>[^'\s]+)?|PermissionError"),
    pattern("wrong_platform", r"exec format error|image's platform \((?P<image>[^)]+)\) does not match"),
    pattern("not_installed", r"\b(?P<what>vllm|sglang|python3?): (?:command )?not found"),
    pattern("not_installed", r"\"(?P<program>\w+)\": executable file not found"),
    pattern("crashed", r"Fatal Python error: (?P<what>.+)"),
    pattern("illegal_instruction", r"Illegal instruction"),
    pattern(
        "crashed",
        r"Segfault encountered|SIG(?:ABRT|SEGV) received|^Aborted\b|Segmentation fault|(?:^|!!! )SIGSEGV|"
        r"terminate called after throwing",
    ),
)

_GPU: tuple[LogPattern, ...] = (
    pattern(
        "container_gpu", r"could not select device driver \"\" with capabilities|(?P<what>nvidia-container-cli: .*)"
    ),
    pattern("cuda_error", r"\.cuh?:\d+: .*Assertion `(?P<what>[^`']+)[`'] failed"),
    pattern("no_driver", r"Found no NVIDIA driver|libcuda\.so\.1: cannot open|NVML_ERROR_LIBRARY_NOT_FOUND"),
    pattern("no_driver", r"No (?:CUDA|HIP) GPUs are available|no CUDA-capable device is detected"),
    pattern("driver_old", r"NVIDIA driver on your system is too old \(found version (?P<version>\d+)\)"),
    pattern(
        "driver_old", r"Error 803: system has unsupported display driver|provided PTX was compiled with an unsupported"
    ),
    pattern("driver_old", r"CUDA driver version is insufficient for CUDA runtime version"),
    pattern("driver_old", r"forward compatibility was attempted on non supported HW"),
    pattern("driver_changed", r"[Dd]river/library version mismatch"),
    pattern("fabric_manager", r"system not yet initialized|CUDA_ERROR_SYSTEM_NOT_READY|Error 802"),
    pattern("device_ordinal", r"invalid device ordinal"),
    pattern("gpu_too_old", r"no kernel image is available for execution|is not compatible with the current PyTorch"),
    pattern("gpu_too_old", r"FlashAttention only supports (?:Ampere|Hopper) GPUs|SGLang only supports sm\d+ and above"),
    pattern(
        "fp8_unsupported",
        r"torch\._scaled_mm is only supported on|type fp8e4nv not supported|"
        r"FP8.*(?:requires|only supported).*(?:compute capability|SM)",
    ),
    pattern("gpu_broken", r"NVRM: Xid \([^)]*\): (?P<xid>\d+)|GPU has fallen off the bus|uncorrectable ECC error"),
    # The other errors of CUDA, after all that have patterns of their own.
    pattern(
        "cuda_error", r"(?:CUDA|HIP) (?:driver )?(?:error|warning): (?P<what>an? \w[^.\n(]{5,80}|[a-z-][^.\n(]{5,80})"
    ),
)

_HUB: tuple[LogPattern, ...] = (
    pattern("gated", r"GatedRepoError|Access to model (?P<model>\S+) is restricted|(?:gated|restricted) repo"),
    pattern("gated", r"(?:401|403) Client Error.*huggingface"),
    pattern("hub_failed", r"(?P<what>5\d\d Server Error.*?)(?: for url|$).*huggingface|(?P<cas>CAS service error.*)"),
    pattern("model_not_found", r"RepositoryNotFoundError|is not a valid model identifier|Repository Not Found"),
    pattern("model_name", r"Repo id must be .*?: '(?P<model>[^']+)'"),
    pattern(
        "not_cached", r"LocalEntryNotFoundError|Cannot find an appropriate cached snapshot|offline mode is enabled"
    ),
    pattern("no_network", r"Name or service not known|Temporary failure in name resolution|Network is unreachable"),
    pattern(
        "no_network",
        r"We couldn't connect to 'https://huggingface\.co'|Consider setting HF_HUB_OFFLINE|ReadTimeoutError",
    ),
    pattern("no_network", r"Max retries exceeded with url|MaxRetryError|ConnectTimeout"),
    pattern("too_many_requests", r"429 (?:Client Error|Too Many Requests)"),
    pattern("download_broken", r"Consistency check failed|IncompleteRead|[Ii]ncomplete download"),
)

_CHECKPOINT: tuple[LogPattern, ...] = (
    pattern("weights_broken", r"SafetensorError: Error while deserializing header: (?P<what>.+)"),
    pattern("weights_broken", r"(?P<what>MetadataIncompleteBuffer|InvalidHeaderDeserialization|HeaderTooLarge)"),
    pattern("config_unreadable", r"Unrecognized model in (?P<model>\S+?)\. Should have a `model_type` key"),
    pattern("config_unreadable", r"does not appear to have a file named config\.json"),
    pattern("json_broken", r"(?:Error parsing config for (?P<model>[^:]+): )(?P<what>.*: line \d+ column \d+)"),
    pattern(
        "tokenizer_missing", r"No tokenizer file found|Can't load tokenizer for '(?P<model>[^']+)'|tekken\.json.*not"
    ),
    pattern("json_broken", r"(?:Value error, |JSONDecodeError: )(?P<what>.*: line \d+ column \d+)"),
    pattern("transformers_old", r"model type `(?P<type>\w+)` but Transformers does not recognize this architecture"),
    pattern("transformers_old", r"Tokenizer class (?P<type>\w+) does not exist or is not currently imported"),
    pattern("transformers_old", r"did not match any variant of untagged enum (?P<type>\w+)"),
    pattern("remote_code", r"contains custom code which must be executed|trust_remote_code=True"),
    pattern("template_missing", r"default chat template is no longer allowed|tokenizer\.chat_template is not set"),
    pattern("template_error", r"jinja2\.exceptions\.(?P<what>\w+(?:: .*)?)"),
)

_PYTHON: tuple[LogPattern, ...] = (
    pattern(
        "torch_mismatch", r"undefined symbol: (?P<what>\w+)|operator (?P<operator>torchvision::\w+) does not exist"
    ),
    pattern(
        "library_missing",
        r"(?:ImportError|OSError)[:(] ?'?(?P<what>lib(?:cu|nv|nccl|torch|c10|amd|hip|roc)\S*): cannot open shared",
    ),
    pattern(
        "system_library_missing",
        r"(?:ImportError|OSError)[:(] ?'?(?P<what>\S+): cannot open shared object",
    ),
    pattern("packages_mismatch", r"cannot import name '(?P<name>\w+)' from '(?P<package>[\w.]+)'"),
    pattern("transformers_new", r"\b(?P<name>\w{1,100}) has no attribute '?all_special_tokens_extended"),
    pattern(
        "numpy_mismatch",
        r"compiled using NumPy 1\.x cannot be run in|\b(?P<who>\w{1,60}) needs NumPy (?P<least>[\d.]+) or less",
    ),
    pattern("numpy_mismatch", r"numpy\.dtype size changed, may indicate binary incompatibility"),
    pattern("engine_incomplete", r"No module named '(?P<what>vllm\._\w+|vllm\.vllm_flash_attn\S*|sgl_kernel\.\S+)'"),
    pattern("module_missing", r"No module named '(?P<what>[\w.]+)'"),
    pattern("module_missing", r"PackageNotFoundError: (?:No package metadata was found for )?(?P<what>\S+)"),
    pattern("file_missing", r"FileNotFoundError: \[Errno 2\] No such file or directory: '(?P<file>[^']+)'"),
)

GENERAL = frozenset({"file_missing", "module_missing", "no_permission", "no_network", "json_broken", "template_error"})
"""Symptoms whose patterns match messages of any program; they count only while an engine starts."""

CHAT_ANSWERED = re.compile(r'"POST \S*/v1/chat/completions HTTP/[\d.]+" (?P<status>\d{3})')
"""The access-log line of uvicorn, the HTTP server of both engines, for a chat request."""

LOG_PATTERNS: tuple[LogPattern, ...] = (*_MEMORY, *_SYSTEM, *_GPU, *_HUB, *_CHECKPOINT, *_PYTHON)

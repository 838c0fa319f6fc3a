"""Log patterns of failures below the engines: system, CUDA, NCCL, torch, Hugging Face, Python; explains none.

Source: the libraries' own messages, as quoted in their issues and source code; torch 2.11 to 2.13, NCCL 2.27,
huggingface_hub 1.33, safetensors 0.7, transformers 5, read 2026-11.
"""

import re

from .log_patterns import LogPattern, pattern

_MEMORY: tuple[LogPattern, ...] = (
    pattern(
        "torch_oom",
        r"(?:OutOfMemoryError|CUDA out of memory).*?Tried to allocate (?P<asked>[\d.]+ \w+)"
        r"(?:.*?GPU (?P<gpu>\d+) has a total capacity of (?P<total>[\d.]+ \w+) of which (?P<free>[\d.]+ \w+) is free"
        r"(?:\. Process (?P<other>\d+) has (?P<held>[\d.]+ \w+) memory in use\. Including non-PyTorch "
        r"memory, this process)?)?",
    ),
    pattern("torch_oom", r"torch\.(?:cuda\.)?OutOfMemoryError|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED"),
    pattern("ram_full", r"DefaultCPUAllocator: (?:can't|not enough memory).*?(?P<asked>\d+) bytes"),
    pattern("ram_full", r"Cannot allocate memory|^MemoryError\b|std::bad_alloc"),
    pattern(
        "oom_killer", r"(?:Out of memory|Memory cgroup out of memory): Killed process (?P<pid>\d+) \((?P<who>[^)]+)\)"
    ),
    pattern("oom_killer", r"OOMKilled|oom-kill:"),
    pattern("killed", r"^(?P<who>\S*)Killed$|signal 9 \(SIGKILL\)|Exited? (?:with )?code:? 137\b"),
)

_SYSTEM: tuple[LogPattern, ...] = (
    pattern(
        "port_in_use",
        r"\[Errno 98\].*?\(?'?(?P<host>[\d.:a-f]+)?'?,? ?(?P<port>\d{2,5})?\)?.*[Aa]ddress already in use",
    ),
    pattern("port_in_use", r"[Aa]ddress already in use|EADDRINUSE"),
    pattern("host_not_ours", r"[Cc]annot assign requested address"),
    # Before disk_full: NCCL reports a full /dev/shm in the same words.
    pattern("shm_small", r"/(?:dev)/shm/\S*.*No space left|[Ee]rror while creating shared memory segment|Bus error"),
    pattern("shm_small", r"unable to (?:write|open|allocate) .*shared memory"),
    pattern("disk_full", r"No space left on device|\(os error 28\)|Disk quota exceeded"),
    pattern("too_many_files", r"(?<!`OSError: \[Errno 24\] )Too many open files"),
    pattern("too_many_threads", r"can't start new thread|Thread creation failed|Resource temporarily unavailable"),
    pattern("no_permission", r"\[Errno 13\] Permission denied: ?'?(?P<file>[^'\s]+)?|PermissionError"),
    pattern("crashed", r"Fatal Python error: (?P<what>.+)"),
    pattern("crashed", r"Segmentation fault|SIGSEGV|terminate called after throwing"),
)

_GPU: tuple[LogPattern, ...] = (
    pattern("no_driver", r"Found no NVIDIA driver|libcuda\.so\.1: cannot open|NVML_ERROR_LIBRARY_NOT_FOUND"),
    pattern("no_driver", r"No CUDA GPUs are available|no CUDA-capable device is detected"),
    pattern("driver_old", r"NVIDIA driver on your system is too old \(found version (?P<version>\d+)\)"),
    pattern("driver_old", r"CUDA driver version is insufficient for CUDA runtime version"),
    pattern("driver_old", r"forward compatibility was attempted on non supported HW"),
    pattern("driver_changed", r"[Dd]river/library version mismatch"),
    pattern("fabric_manager", r"system not yet initialized|CUDA_ERROR_SYSTEM_NOT_READY|Error 802"),
    pattern("device_ordinal", r"invalid device ordinal"),
    pattern("gpu_too_old", r"no kernel image is available for execution|is not compatible with the current PyTorch"),
    pattern("fp8_unsupported", r"fp8e4nv not supported|FP8.*(?:requires|only supported).*(?:compute capability|SM)"),
    pattern("gpu_broken", r"NVRM: Xid \([^)]*\): (?P<xid>\d+)|GPU has fallen off the bus|uncorrectable ECC error"),
    pattern("cuda_error", r"CUDA error: (?P<what>an illegal memory access was encountered|unspecified launch failure)"),
    pattern("cuda_error", r"CUDA error: (?P<what>device-side assert triggered|misaligned address|illegal instruction)"),
)

_NCCL: tuple[LogPattern, ...] = (
    pattern("nccl_timeout", r"Watchdog caught collective operation timeout"),
    pattern(
        "nccl_peer",
        r"ncclRemoteError|(?:NCCL|TCPStore|c10d|[Gg]loo).*[Cc]onnection (?:reset|closed) by|recvValue failed",
    ),
    pattern("nccl", r"NCCL (?:error|Error).*?(?P<what>unhandled \w+ error|invalid usage|internal error)"),
    pattern("nccl", r"(?P<what>ncclSystemError|ncclUnhandledCudaError|ncclInternalError|ncclInvalidUsage)"),
)

_HUB: tuple[LogPattern, ...] = (
    pattern("gated", r"GatedRepoError|Access to model (?P<model>\S+) is restricted|(?:gated|restricted) repo"),
    pattern("gated", r"(?:401|403) Client Error.*huggingface"),
    pattern("model_not_found", r"RepositoryNotFoundError|is not a valid model identifier|Repository Not Found"),
    pattern("model_name", r"Repo id must be .*?: '(?P<model>[^']+)'"),
    pattern(
        "not_cached", r"LocalEntryNotFoundError|Cannot find an appropriate cached snapshot|offline mode is enabled"
    ),
    pattern("no_network", r"Name or service not known|Temporary failure in name resolution|Network is unreachable"),
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
    pattern("remote_code", r"contains custom code which must be executed|trust_remote_code=True"),
    pattern("template_missing", r"default chat template is no longer allowed|tokenizer\.chat_template is not set"),
    pattern("template_error", r"jinja2\.exceptions\.(?P<what>\w+(?:: .*)?)"),
)

_BUILD: tuple[LogPattern, ...] = (
    pattern("no_compiler", r"Failed to find C compiler"),
    pattern("no_python_headers", r"fatal error: Python\.h: No such file"),
    pattern(
        "no_nvcc",
        r"Could not find nvcc|No such file or directory: '(?:\S*/)?nvcc'|nvcc: not found|"
        r"CUDA_HOME environment variable is not set",
    ),
    pattern("compile_failed", r"torch\._inductor\.exc\.InductorError|BackendCompilerFailed|Ninja build failed"),
    pattern(
        "torch_mismatch", r"undefined symbol: (?P<what>\w+)|operator (?P<operator>torchvision::\w+) does not exist"
    ),
    pattern("library_missing", r"ImportError: (?P<what>\S+\.so\S*): cannot open shared object file"),
    pattern("module_missing", r"No module named '(?P<what>[\w.]+)'"),
    pattern("module_missing", r"PackageNotFoundError: (?:No package metadata was found for )?(?P<what>\S+)"),
    pattern("file_missing", r"FileNotFoundError: \[Errno 2\] No such file or directory: '(?P<file>[^']+)'"),
)

GENERAL = frozenset({"file_missing", "module_missing", "no_permission", "no_network", "json_broken", "template_error"})
"""Symptoms whose patterns match messages of any program; they count only while an engine starts."""

CHAT_ANSWERED = re.compile(r'"POST \S*/v1/chat/completions HTTP/[\d.]+" (?P<status>\d{3})')
"""The access-log line of uvicorn, the HTTP server of both engines, for a chat request."""

LOG_PATTERNS: tuple[LogPattern, ...] = (*_MEMORY, *_SYSTEM, *_GPU, *_NCCL, *_HUB, *_CHECKPOINT, *_BUILD)

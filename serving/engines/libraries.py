"""Know what failures below every engine look like: system, CUDA, NCCL, torch, Hugging Face, Python; explain none.

Source: the libraries' own texts, as quoted in their issues and in their source; torch 2.11 to 2.13, NCCL 2.27,
huggingface_hub 1.33, safetensors 0.7, transformers 5, read 2026-11.
"""

import re

from .signs import Sign, sign

_MEMORY: tuple[Sign, ...] = (
    sign(
        "torch_oom",
        r"(?:OutOfMemoryError|CUDA out of memory).*?Tried to allocate (?P<asked>[\d.]+ \w+)"
        r"(?:.*?GPU (?P<gpu>\d+) has a total capacity of (?P<total>[\d.]+ \w+) of which (?P<free>[\d.]+ \w+) is free"
        r"(?:\. Process (?P<other>\d+) has (?P<held>[\d.]+ \w+) memory in use\. Including non-PyTorch "
        r"memory, this process)?)?",
    ),
    sign("torch_oom", r"torch\.(?:cuda\.)?OutOfMemoryError|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED"),
    sign("ram_full", r"DefaultCPUAllocator: (?:can't|not enough memory).*?(?P<asked>\d+) bytes"),
    sign("ram_full", r"Cannot allocate memory|^MemoryError\b|std::bad_alloc"),
    sign(
        "oom_killer", r"(?:Out of memory|Memory cgroup out of memory): Killed process (?P<pid>\d+) \((?P<who>[^)]+)\)"
    ),
    sign("oom_killer", r"OOMKilled|oom-kill:"),
    sign("killed", r"^(?P<who>\S*)Killed$|signal 9 \(SIGKILL\)|Exited? (?:with )?code:? 137\b"),
)

_SYSTEM: tuple[Sign, ...] = (
    sign(
        "port_in_use",
        r"\[Errno 98\].*?\(?'?(?P<host>[\d.:a-f]+)?'?,? ?(?P<port>\d{2,5})?\)?.*[Aa]ddress already in use",
    ),
    sign("port_in_use", r"[Aa]ddress already in use|EADDRINUSE"),
    sign("host_not_ours", r"[Cc]annot assign requested address"),
    # Before disk_full: NCCL says the same of /dev/shm.
    sign("shm_small", r"/(?:dev)/shm/\S*.*No space left|[Ee]rror while creating shared memory segment|Bus error"),
    sign("shm_small", r"unable to (?:write|open|allocate) .*shared memory"),
    sign("disk_full", r"No space left on device|\(os error 28\)|Disk quota exceeded"),
    sign("too_many_files", r"(?<!`OSError: \[Errno 24\] )Too many open files"),
    sign("too_many_threads", r"can't start new thread|Thread creation failed|Resource temporarily unavailable"),
    sign("no_permission", r"\[Errno 13\] Permission denied: ?'?(?P<file>[^'\s]+)?|PermissionError"),
    sign("crashed", r"Fatal Python error: (?P<what>.+)"),
    sign("crashed", r"Segmentation fault|SIGSEGV|terminate called after throwing"),
)

_GPU: tuple[Sign, ...] = (
    sign("no_driver", r"Found no NVIDIA driver|libcuda\.so\.1: cannot open|NVML_ERROR_LIBRARY_NOT_FOUND"),
    sign("no_driver", r"No CUDA GPUs are available|no CUDA-capable device is detected"),
    sign("driver_old", r"NVIDIA driver on your system is too old \(found version (?P<version>\d+)\)"),
    sign("driver_old", r"CUDA driver version is insufficient for CUDA runtime version"),
    sign("driver_old", r"forward compatibility was attempted on non supported HW"),
    sign("driver_changed", r"[Dd]river/library version mismatch"),
    sign("fabric_manager", r"system not yet initialized|CUDA_ERROR_SYSTEM_NOT_READY|Error 802"),
    sign("device_ordinal", r"invalid device ordinal"),
    sign("gpu_too_old", r"no kernel image is available for execution|is not compatible with the current PyTorch"),
    sign("fp8_unsupported", r"fp8e4nv not supported|FP8.*(?:requires|only supported).*(?:compute capability|SM)"),
    sign("gpu_broken", r"NVRM: Xid \([^)]*\): (?P<xid>\d+)|GPU has fallen off the bus|uncorrectable ECC error"),
    sign("cuda_error", r"CUDA error: (?P<what>an illegal memory access was encountered|unspecified launch failure)"),
    sign("cuda_error", r"CUDA error: (?P<what>device-side assert triggered|misaligned address|illegal instruction)"),
)

_NCCL: tuple[Sign, ...] = (
    sign("nccl_timeout", r"Watchdog caught collective operation timeout"),
    sign(
        "nccl_peer",
        r"ncclRemoteError|(?:NCCL|TCPStore|c10d|[Gg]loo).*[Cc]onnection (?:reset|closed) by|recvValue failed",
    ),
    sign("nccl", r"NCCL (?:error|Error).*?(?P<what>unhandled \w+ error|invalid usage|internal error)"),
    sign("nccl", r"(?P<what>ncclSystemError|ncclUnhandledCudaError|ncclInternalError|ncclInvalidUsage)"),
)

_HUB: tuple[Sign, ...] = (
    sign("gated", r"GatedRepoError|Access to model (?P<model>\S+) is restricted|(?:gated|restricted) repo"),
    sign("gated", r"(?:401|403) Client Error.*huggingface"),
    sign("model_not_found", r"RepositoryNotFoundError|is not a valid model identifier|Repository Not Found"),
    sign("model_name", r"Repo id must be .*?: '(?P<model>[^']+)'"),
    sign("not_cached", r"LocalEntryNotFoundError|Cannot find an appropriate cached snapshot|offline mode is enabled"),
    sign("no_network", r"Name or service not known|Temporary failure in name resolution|Network is unreachable"),
    sign("no_network", r"Max retries exceeded with url|MaxRetryError|ConnectTimeout"),
    sign("too_many_requests", r"429 (?:Client Error|Too Many Requests)"),
    sign("download_broken", r"Consistency check failed|IncompleteRead|[Ii]ncomplete download"),
)

_CHECKPOINT: tuple[Sign, ...] = (
    sign("weights_broken", r"SafetensorError: Error while deserializing header: (?P<what>.+)"),
    sign("weights_broken", r"(?P<what>MetadataIncompleteBuffer|InvalidHeaderDeserialization|HeaderTooLarge)"),
    sign("config_unreadable", r"Unrecognized model in (?P<model>\S+?)\. Should have a `model_type` key"),
    sign("config_unreadable", r"does not appear to have a file named config\.json"),
    sign("json_broken", r"(?:Error parsing config for (?P<model>[^:]+): )(?P<what>.*: line \d+ column \d+)"),
    sign("tokenizer_missing", r"No tokenizer file found|Can't load tokenizer for '(?P<model>[^']+)'|tekken\.json.*not"),
    sign("json_broken", r"(?:Value error, |JSONDecodeError: )(?P<what>.*: line \d+ column \d+)"),
    sign("transformers_old", r"model type `(?P<type>\w+)` but Transformers does not recognize this architecture"),
    sign("remote_code", r"contains custom code which must be executed|trust_remote_code=True"),
    sign("template_missing", r"default chat template is no longer allowed|tokenizer\.chat_template is not set"),
    sign("template_error", r"jinja2\.exceptions\.(?P<what>\w+(?:: .*)?)"),
)

_BUILD: tuple[Sign, ...] = (
    sign("no_compiler", r"Failed to find C compiler"),
    sign("no_python_headers", r"fatal error: Python\.h: No such file"),
    sign(
        "no_nvcc",
        r"Could not find nvcc|No such file or directory: '(?:\S*/)?nvcc'|nvcc: not found|"
        r"CUDA_HOME environment variable is not set",
    ),
    sign("compile_failed", r"torch\._inductor\.exc\.InductorError|BackendCompilerFailed|Ninja build failed"),
    sign("torch_mismatch", r"undefined symbol: (?P<what>\w+)|operator (?P<operator>torchvision::\w+) does not exist"),
    sign("library_missing", r"ImportError: (?P<what>\S+\.so\S*): cannot open shared object file"),
    sign("module_missing", r"No module named '(?P<what>[\w.]+)'"),
    sign("module_missing", r"PackageNotFoundError: (?:No package metadata was found for )?(?P<what>\S+)"),
    sign("file_missing", r"FileNotFoundError: \[Errno 2\] No such file or directory: '(?P<file>[^']+)'"),
)

GENERAL = frozenset({"file_missing", "module_missing", "no_permission", "no_network", "json_broken", "template_error"})
"""Symptoms whose words any program says, of anything: they mean what is known of them only while an engine starts."""

CHAT_ANSWERED = re.compile(r'"POST \S*/v1/chat/completions HTTP/[\d.]+" (?P<status>\d{3})')
"""How uvicorn, the HTTP server of both engines, notes a chat request that it has answered."""

SIGNS: tuple[Sign, ...] = (*_MEMORY, *_SYSTEM, *_GPU, *_NCCL, *_HUB, *_CHECKPOINT, *_BUILD)

"""Log patterns of processes and GPUs that could not be connected: NCCL, Gloo, torch's rendezvous; explains none.

Source: the libraries' own messages as quoted in public issues and source code; torch 2.4 to 2.13, NCCL 2.20 to 2.28,
vLLM's csrc/custom_all_reduce.cuh. Read 2026-11.
"""

from .log_patterns import LogPattern, pattern

LOG_PATTERNS: tuple[LogPattern, ...] = (
    # Before nccl and disk_full: NCCL reports a full /dev/shm in their words.
    pattern("shm_small", r"\bdev/shm/\S*.*No space left|[Ee]rror while creating shared memory segment"),
    pattern("shm_small", r"Bus error|SIGBUS received|unable to (?:write|open|allocate) .*shared memory"),
    pattern("custom_all_reduce", r"Failed: Cuda error \S*custom_all_reduce\S* '(?P<what>[^']+)'"),
    pattern("custom_all_reduce", r"custom_all_reduce\.cu\w*:\d+ '(?P<what>[^']+)'"),
    pattern("gloo_network", r"[Gg]loo connectFullMesh failed(?: with (?P<what>.*))?"),
    pattern("gloo_network", r"gloo/transport/\S+\] .*?(?P<what>Unable to find address for: \S+)"),
    pattern("gloo_network", r"(?P<what>makeDeviceFor\w+\(\): .{1,120})"),
    pattern("gloo_network", r"[Uu]nable to resolve hostname to a \(?local\)? address"),
    pattern(
        "rendezvous",
        r"client socket has (?:timed out after \d+ms while trying to connect to|"
        r"failed to connect to any network address of) \(?\[?(?P<address>[^)\s]+(?:, \d+)?)",
    ),
    pattern(
        "rendezvous", r"Timed out after (?P<s>\d+) seconds waiting for clients\. (?P<joined>\d+/\d+) clients joined"
    ),
    pattern("rendezvous", r"DistStoreError: wait timeout after (?P<ms>\d+)ms"),
    pattern("rendezvous", r"torch\.distributed\.Dist(?:Network|Store)Error: (?!.*EADDRINUSE)(?P<why>.{1,120})"),
    pattern("nccl_timeout", r"Watchdog caught collective operation timeout"),
    pattern(
        "nccl_peer",
        r"ncclRemoteError|(?:NCCL|TCPStore|c10d|[Gg]loo).*[Cc]onnection (?:reset|closed) by|recvValue failed",
    ),
    pattern("torch_oom", r"NCCL WARN Cuda failure .*'out of memory'"),
    pattern(
        "nccl", r"NCCL WARN (?P<what>(?:Cuda failure|Call to \w+ .*failed|Error|Duplicate GPU|Bootstrap|socket).*)"
    ),
    pattern("nccl", r"NCCL (?:error|Error).*?(?P<what>unhandled \w+ error|invalid usage|internal error)"),
    pattern("nccl", r"(?P<what>ncclSystemError|ncclUnhandledCudaError|ncclInternalError|ncclInvalidUsage)"),
)

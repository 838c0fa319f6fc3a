"""Know what the failures below every engine look like: system, CUDA, NCCL, torch, Hugging Face; explain none."""

from serving.engines.signs import Sign, sign

SIGNS: tuple[Sign, ...] = (
    sign(
        "torch_oom",
        r"(?:torch\.(?:cuda\.)?OutOfMemoryError|CUDA out of memory).*Tried to allocate (?P<asked>[\d.]+ \w+)"
        r"(?:.*?GPU (?P<gpu>\d+) has a total capacity of (?P<total>[\d.]+ \w+) of which (?P<free>[\d.]+ \w+) is free)?",
    ),
    sign("port_in_use", r"(?:\[Errno 98\]|OSError).*(?:[Aa]ddress already in use)"),
    sign("killed", r"Worker proc (?P<who>\S+) died unexpectedly \(exit code: -9\)"),
    sign("disk_full", r"No space left on device|\(os error 28\)"),
)

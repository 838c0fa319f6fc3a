"""Log lines of a start that waits, and what usually holds it up after which step; decides nothing.

Source: vLLM 0.6 to 0.33 (v1/engine/utils.py, distributed/device_communicators/shm_broadcast.py, executor/ray_utils.py),
Ray 2.40, and the answers to public issues of starts that hang: vllm-project/vllm 8058, 12292, 17676, 13388;
vllm-project/aibrix 927; Project-HAMi/HAMi-core 261. Read 2026-11.
"""

import re
from dataclasses import dataclass

WAITING = re.compile(
    r"Waiting for \d+ local, \d+ remote core engine proc|No available (?:shared memory broadcast )?block found|"
    r"Waiting for (?:creating a placement group|output from MQLLMEngine|(?:core )?engine core process)|"
    r"cannot be scheduled right now|The autoscaler failed|Health check failed|\"GET /\S* HTTP/|"
    r"Avg prompt throughput: 0\.0"
)
"""Lines that a waiting process repeats; they are no progress."""

RAY_WAITS = re.compile(
    r"Waiting for creating a placement group of specs for (?P<s>\d+) seconds(?:\. specs=(?P<specs>\[.*?\])\.)?"
)

_QUIET_S = 300.0
_COMPILE_QUIET_S = 1200.0


@dataclass(frozen=True, kw_only=True)
class StepKind:
    """A kind of step in a start, and what usually holds it up."""

    regex: re.Pattern[str]
    usual: str
    """The usual causes: a sentence."""
    mend: str
    """What to try."""
    sglang_mend: str = ""
    """As `mend`, for SGLang. Empty means that `mend` applies."""
    quiet_s: float = _QUIET_S
    """How long the step may log nothing, in seconds."""


_STEPS = (
    StepKind(
        regex=re.compile(r"[Rr]ay cluster|placement group"),
        usual="Usual causes: Ray has fewer free GPUs than the engine needs, or its machines do not reach each other.",
        mend="Compare with `ray status`, and set `VLLM_HOST_IP` on each machine to the address that Ray uses.",
    ),
    StepKind(
        regex=re.compile(
            r"nccl|NCCL|P2P|world_size=\d+ rank=|Init torch distributed|distributed_init_method|all_?reduce|c10d|"
            r"[Gg]loo"
        ),
        usual="The processes connect their GPUs (NCCL) at this point. Usual causes: direct access between GPUs that "
        "the machine's IOMMU or virtualisation blocks, a full /dev/shm, or the wrong network interface.",
        mend="Start with `NCCL_P2P_DISABLE=1`; if that helps, the direct access is at fault. `NCCL_DEBUG=INFO` shows "
        "where it waits. In a container, add `--ipc=host`. Between machines, set `NCCL_SOCKET_IFNAME` (`ip addr`).",
    ),
    StepKind(
        regex=re.compile(r"[Cc]ompil|Dynamo|Inductor|[Cc]aptur|[Aa]utotun|[Ww]arm|DeepGEMM|JIT"),
        usual="Kernels are compiled and graphs captured at this point, which takes minutes on a slow processor.",
        mend="See whether a compiler is running (`top`). If not, start once with `--enforce-eager`.",
        sglang_mend="See whether a compiler is running (`top`). If not, start once with `--disable-cuda-graph`.",
        quiet_s=_COMPILE_QUIET_S,
    ),
    StepKind(
        regex=re.compile(r"[Ll]oad|checkpoint|weights|[Dd]ownload|safetensors|huggingface"),
        usual="The weights are read at this point. Usual causes: a download, a network folder or a slow disk.",
        mend="Watch the disk and the network (`iostat -x 5`, `du -sh` on the cache); copy the weights to a local disk.",
    ),
)
_OTHER = StepKind(
    regex=re.compile(""),
    usual="Usual causes: a process that waits for another one, for the network, or for a lock left by a killed start.",
    mend="See where it waits: pip install py-spy && py-spy dump --pid PID, for each of the engine's processes.",
)


def step_kind(text: str) -> StepKind:
    """Return the kind of the step that a log line shows."""
    return next((step for step in _STEPS if step.regex.search(text)), _OTHER)

"""Know the symptoms of memory that is too small, on the GPU and beside it; finds none."""

from ..symptoms import Symptom

_MORE_ROOM = (
    "Give more GPUs (`--tensor-parallel-size`), or more of each (`--gpu-memory-utilization 0.9`), or lower "
    "`--max-num-batched-tokens`; `--language-model-only` leaves the vision tower out."
)

MEMORY: dict[str, Symptom] = {
    "kv_too_small": Symptom(
        title=("The KV cache is too small for one request of {len} tokens",),
        cause=(
            "One request of {len} tokens needs {need} GiB of KV cache, and {have} GiB are left beside the weights and "
            "the activation.",
        ),
        fix=(
            "Start with `--max-model-len {est}` or less; or store the cache in half the bytes with "
            "`--kv-cache-dtype fp8`; or give more GPUs (`--tensor-parallel-size`).",
            "Not even the shortest context fits. " + _MORE_ROOM,
        ),
        weight="ends",
    ),
    "no_kv": Symptom(
        title=("No memory is left for the KV cache",),
        cause=("The weights and the activation of one pass take all that the engine may use of a GPU.",),
        fix=(_MORE_ROOM,),
        weight="ends",
    ),
    "no_fit": Symptom(
        title=("No context length fits beside the weights",),
        cause=("`--max-model-len auto` found no length for which the KV cache has room, not even one token.",),
        fix=(_MORE_ROOM,),
        weight="ends",
    ),
    "busy_gpu": Symptom(
        title=("The GPU is not free: {free} of {total} GiB",),
        cause=(
            "The engine is to take {req} GiB ({util} of it), but only {free} GiB were free when it started: something "
            "else holds memory there, often an engine that was not ended.",
        ),
        fix=("See who holds it with `nvidia-smi`, end it, and start again; or lower `--gpu-memory-utilization`.",),
        weight="ends",
        again=False,
    ),
    "cpu_memory_short": Symptom(
        title=("This machine has too little free memory: {free} of {total} GiB",),
        cause=(
            "The engine on the CPU is to take {kv} GiB for its KV cache.",
            "The engine on the CPU is to take {req} GiB ({util} of the memory).",
        ),
        fix=("Free memory, or ask for less: `VLLM_CPU_KVCACHE_SPACE=1` (GiB) in the environment.",),
        weight="ends",
        again=False,
    ),
    "load_oom": Symptom(
        title=("The weights do not fit on the GPU",),
        cause=("The GPU's memory was full before the whole checkpoint was loaded.",),
        fix=(
            "Give more GPUs (`--tensor-parallel-size`), or free them (`nvidia-smi` shows who holds memory); "
            "`--language-model-only` leaves the vision tower out.",
        ),
        weight="ends",
        hides=("torch_oom",),
    ),
    "warm_oom": Symptom(
        title=("The GPU's memory was full in the warm-up with {n} requests",),
        cause=("The last step of the start computes {n} requests at once; beside the KV cache was too little for it.",),
        fix=("Lower `--max-num-seqs` (it was {n}), or `--gpu-memory-utilization`.",),
        weight="ends",
        hides=("torch_oom",),
    ),
    "torch_oom": Symptom(
        title=("The GPU's memory was full during the start",),
        cause=(
            "torch asked for {asked} on GPU {gpu}, which had {free} free of {total}. Another process, {other}, holds "
            "{held} of it.",
            "torch asked for {asked} on GPU {gpu}, which had {free} free of {total}.",
            "torch asked for {asked}, and the GPU had less.",
            "torch asked the GPU for more than it had free.",
        ),
        fix=(
            "End process {other}, if nobody needs it, and start again. What fits beside it is told by: agent plan",
            "Lower `--max-num-batched-tokens` or `--gpu-memory-utilization`, or give more GPUs "
            "(`--tensor-parallel-size`). What fits is told beforehand by: agent plan",
        ),
        sglang_fix=("Lower `--mem-fraction-static` or `--chunked-prefill-size`, or give more GPUs (`--tp-size`).",),
        weight="ends",
        when_ready="oom_under_load",
    ),
    "oom_under_load": Symptom(
        title=("The GPU's memory was full under load",),
        cause=(
            "torch asked for {asked} on GPU {gpu}, which had {free} free of {total}. A full KV cache never does this: "
            "one pass computed more at once than there was room for beside the cache.",
            "One pass computed more at once than there was room for beside the KV cache.",
        ),
        fix=(
            "Lower `--gpu-memory-utilization` (0.85, then 0.8) or `--max-num-batched-tokens`: both leave more room for "
            "a pass.",
        ),
        sglang_fix=("Lower `--mem-fraction-static` or `--chunked-prefill-size`: both leave more room for a pass.",),
        weight="ends",
        again=False,
    ),
    "ram_full": Symptom(
        title=("The machine's own memory (RAM) was full",),
        cause=("The system refused {asked} bytes.", "The system refused a process more memory."),
        fix=(
            "End what else takes memory (`free -g`), give the container more (docker: `--memory`), and lower "
            "`--cpu-offload-gb` if it is set.",
        ),
        weight="ends",
        again=False,
    ),
    "oom_killer": Symptom(
        title=("The kernel killed a process because the memory (RAM) was full",),
        cause=("It chose {who}, process {pid}.", "The machine or the container had no memory left."),
        fix=("Give the machine or the container more (docker: `--memory`; Kubernetes: `resources.limits.memory`).",),
        weight="ends",
        hides=("killed",),
    ),
    "killed": Symptom(
        title=("A process of the engine was killed",),
        cause=(
            "{who} ended by signal 9. Unless somebody sent it, the kernel did, because the memory (RAM) was full.",
            "It ended by signal 9. Unless somebody sent it, the kernel did, because the memory (RAM) was full.",
        ),
        fix=("See whether it was the kernel: `dmesg -T | grep -i 'out of memory'`. If so, give more memory (RAM).",),
        weight="ends",
        again=False,
    ),
    "shm_small": Symptom(
        title=("Shared memory is too small",),
        cause=("The processes of one engine talk through /dev/shm, and there is no room left; docker gives 64 MB.",),
        fix=(
            "In docker start with `--ipc=host` or `--shm-size=16g`; in Kubernetes mount an emptyDir of medium Memory.",
        ),
        weight="ends",
        hides=("disk_full", "nccl", "crashed"),
    ),
    "sglang_no_memory": Symptom(
        title=("No memory is left for the KV cache",),
        cause=(
            "SGLang may use {fraction} of the GPU for weights and cache, and the weights alone take that.",
            "SGLang's share of the GPU for weights and cache is taken up by the weights.",
        ),
        fix=("Start with `--mem-fraction-static 0.85 --context-length 32768`, or give more GPUs (`--tp-size`).",),
        weight="ends",
    ),
    "sglang_graphs": Symptom(
        title=("CUDA graphs could not be captured",),
        cause=("SGLang says: {why}",),
        fix=("Lower `--mem-fraction-static` (0.8, then 0.7) or `--cuda-graph-max-bs-decode 16`.",),
        weight="ends",
        hides=("torch_oom",),
    ),
    "sglang_batch_oom": Symptom(
        title=("The KV cache had no room for the batch",),
        cause=("{which} needed more tokens of cache than were free.",),
        fix=("Lower `--max-running-requests` or `--chunked-prefill-size`, or cap the context (`--context-length`).",),
        weight="ends",
        again=False,
    ),
    "sglang_unbalanced": Symptom(
        title=("The GPUs are not equally free",),
        cause=("One GPU has a tenth less free memory than another: something else runs there.",),
        fix=("See who holds memory with `nvidia-smi`, end it, and start again.",),
        weight="harms",
    ),
    "sglang_retract": Symptom(
        title=("Requests were set back: the KV cache is too small for the load",),
        cause=("The cache was full, and {n} requests at once were taken out of it and computed again later.",),
        fix=("Lower `--max-running-requests`, cap the context (`--context-length`), or give more GPUs (`--tp-size`).",),
        weight="harms",
        again=False,
    ),
    "preemption": Symptom(
        title=("Requests were preempted: the KV cache is too small for the load",),
        cause=(
            "With {r} requests at once the cache was full, and requests were set back and computed again later. "
            "Nothing is lost but time.",
        ),
        fix=(
            "Cap the context (`--max-model-len`) or the requests at once (`--max-num-seqs`), store the cache in half "
            "the bytes (`--kv-cache-dtype fp8`), or give more GPUs.",
        ),
        weight="harms",
        again=False,
    ),
}

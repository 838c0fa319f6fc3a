"""Catalogue of out-of-memory symptoms, of GPU memory, RAM and shared memory; data only."""

from ..symptoms import Symptom

_MORE_MEMORY = (
    "Use more GPUs (`--tensor-parallel-size`), or more of each (`--gpu-memory-utilization 0.9`), or lower "
    "`--max-num-batched-tokens`; `--language-model-only` omits the vision tower."
)

MEMORY: dict[str, Symptom] = {
    "kv_too_small": Symptom(
        title=("The KV cache is too small for one request of {len} tokens",),
        cause=(
            "One request of {len} tokens needs {need} GiB of KV cache, but only {have} GiB are left beside the weights "
            "and activations.",
            "The KV cache has room for {est} tokens: the weights and activations take the rest of the memory.",
            "The weights and activations leave too little memory for it.",
        ),
        fix=(
            "Start with `--max-model-len {est}` or less; or halve the cache's bytes per token with "
            "`--kv-cache-dtype fp8`; or use more GPUs (`--tensor-parallel-size`).",
            "Not even the shortest context fits. " + _MORE_MEMORY,
        ),
        severity="stops",
    ),
    "profiling_disturbed": Symptom(
        title=("Another process released GPU memory during the start",),
        cause=(
            "The engine measures the free memory before and after its first pass. {before} were free before, and more "
            "after: an engine that was still ending, or another one that started at the same time.",
        ),
        fix=("Wait until `nvidia-smi` shows the memory free, and start again; start several engines one by one.",),
        severity="stops",
        recurs=False,
    ),
    "no_kv": Symptom(
        title=("No memory is left for the KV cache",),
        cause=("The weights and the activations of one forward pass take all the GPU memory that the engine may use.",),
        fix=(_MORE_MEMORY,),
        severity="stops",
    ),
    "too_many_seqs": Symptom(
        title=("The cache has room for {max} requests at once, not for {n}",),
        cause=("Each request takes one cache block of the model's Mamba layers, and {max} blocks fit in the memory.",),
        fix=("Start with `--max-num-seqs {max}` or less, or with more memory (`--gpu-memory-utilization`).",),
        severity="stops",
    ),
    "no_fit": Symptom(
        title=("No context length fits beside the weights",),
        cause=("`--max-model-len auto` found no length that fits in the KV cache, not even one token.",),
        fix=(_MORE_MEMORY,),
        severity="stops",
    ),
    "busy_gpu": Symptom(
        title=("The GPU is in use: {free} of {total} GiB are free",),
        cause=(
            "The engine is configured to take {req} GiB ({util} of the GPU), but only {free} GiB were free when it "
            "started: another process holds memory there, often an engine that was not stopped.",
        ),
        fix=("Find that process with `nvidia-smi`, stop it, and start again; or lower `--gpu-memory-utilization`.",),
        severity="stops",
        recurs=False,
    ),
    "cpu_memory_short": Symptom(
        title=("This machine has too little free memory: {free} of {total} GiB",),
        cause=(
            "The engine on the CPU is configured to take {kv} GiB for its KV cache.",
            "The engine on the CPU is configured to take {req} GiB ({util} of the memory).",
        ),
        fix=("Free memory, or request less: `VLLM_CPU_KVCACHE_SPACE=1` (GiB) in the environment.",),
        severity="stops",
        recurs=False,
    ),
    "load_oom": Symptom(
        title=("The weights do not fit on the GPU",),
        cause=("The GPU ran out of memory before the whole checkpoint was loaded.",),
        fix=(
            "Use more GPUs (`--tensor-parallel-size`), or free their memory (`nvidia-smi` shows which processes hold "
            "it); `--language-model-only` omits the vision tower.",
        ),
        severity="stops",
        hides=("torch_oom",),
    ),
    "warm_oom": Symptom(
        title=("The GPU ran out of memory during the warm-up with {n} requests",),
        cause=(
            "The last step of the start computes {n} requests at once, and too little memory was left beside the KV "
            "cache.",
        ),
        fix=("Lower `--max-num-seqs` (it was {n}), or `--gpu-memory-utilization`.",),
        severity="stops",
        hides=("torch_oom",),
    ),
    "torch_oom": Symptom(
        title=("The GPU ran out of memory during the start",),
        cause=(
            "torch requested {asked} on GPU {gpu}, which had {free} free of {total}. Another process, {other}, holds "
            "{held} of it.",
            "torch requested {asked} on GPU {gpu}, which had {free} free of {total}.",
            "torch requested {asked}, and the GPU had less free.",
            "torch requested more GPU memory than was free.",
        ),
        fix=(
            "Stop process {other} if it is not needed, and start again. To see what fits beside it, run: agent plan",
            "Lower `--max-num-batched-tokens` or `--gpu-memory-utilization`, or use more GPUs "
            "(`--tensor-parallel-size`). To see what fits before you start, run: agent plan",
        ),
        sglang_fix=("Lower `--mem-fraction-static` or `--chunked-prefill-size`, or use more GPUs (`--tp-size`).",),
        severity="stops",
        when_ready="oom_under_load",
    ),
    "oom_under_load": Symptom(
        title=("The GPU ran out of memory under load",),
        cause=(
            "torch requested {asked} on GPU {gpu}, which had {free} free of {total}. A full KV cache never causes "
            "this: one forward pass needed more memory than was left beside the cache.",
            "One forward pass needed more memory than was left beside the KV cache.",
        ),
        fix=(
            "Lower `--gpu-memory-utilization` (0.85, then 0.8) or `--max-num-batched-tokens`: both leave more memory "
            "for a forward pass.",
        ),
        sglang_fix=(
            "Lower `--mem-fraction-static` or `--chunked-prefill-size`: both leave more memory for a forward pass.",
        ),
        severity="stops",
        recurs=False,
    ),
    "ram_full": Symptom(
        title=("The machine ran out of memory (RAM)",),
        cause=(
            "The system refused to allocate {asked} bytes.",
            "The system refused to allocate more memory to a process.",
        ),
        fix=(
            "Stop other processes that use memory (`free -g`), give the container more (docker: `--memory`), and lower "
            "`--cpu-offload-gb` if it is set.",
        ),
        severity="stops",
        recurs=False,
    ),
    "oom_killer": Symptom(
        title=("The kernel killed a process because the memory (RAM) was full",),
        cause=("It killed {who}, process {pid}.", "The machine or the container had no memory left."),
        fix=(
            "Give the machine or the container more memory (docker: `--memory`; Kubernetes: "
            "`resources.limits.memory`).",
        ),
        severity="stops",
        hides=("killed",),
    ),
    "killed": Symptom(
        title=("An engine process was killed",),
        cause=(
            "Signal 9 ended {who}. Unless someone sent it, the kernel did, because the memory (RAM) was full.",
            "Signal 9 ended it. Unless someone sent it, the kernel did, because the memory (RAM) was full.",
        ),
        fix=("Check whether the kernel did it: `dmesg -T | grep -i 'out of memory'`. If so, add memory (RAM).",),
        severity="follows",
        recurs=False,
        hides=("worker_lost", "core_lost", "crashed"),
    ),
    "shm_small": Symptom(
        title=("Shared memory is too small",),
        cause=("The engine's processes communicate through /dev/shm, which is full; in docker it has 64 MB.",),
        fix=(
            "With docker, start with `--ipc=host` or `--shm-size=16g`; with Kubernetes, mount an emptyDir of medium "
            "Memory.",
        ),
        severity="stops",
        hides=("disk_full", "nccl", "crashed"),
    ),
    "sglang_no_memory": Symptom(
        title=("No memory is left for the KV cache",),
        cause=(
            "SGLang may use {fraction} of the GPU for weights and cache, and the weights alone take all of it.",
            "The weights alone take all of SGLang's share of the GPU for weights and cache.",
        ),
        fix=("Start with `--mem-fraction-static 0.85 --context-length 32768`, or use more GPUs (`--tp-size`).",),
        severity="stops",
    ),
    "sglang_graphs": Symptom(
        title=("CUDA graphs could not be captured",),
        cause=("SGLang reports: {why}",),
        fix=(
            "If memory ran out, lower `--mem-fraction-static` (0.8, then 0.7) or `--cuda-graph-max-bs-decode 16`; "
            "otherwise start with `--disable-cuda-graph`.",
        ),
        severity="follows",
    ),
    "sglang_batch_oom": Symptom(
        title=("The KV cache had no room for the batch",),
        cause=("{which} needed more cache tokens than were free.",),
        fix=("Lower `--max-running-requests` or `--chunked-prefill-size`, or cap the context (`--context-length`).",),
        severity="stops",
        recurs=False,
    ),
    "sglang_unbalanced": Symptom(
        title=("The GPUs have different amounts of free memory",),
        cause=("One GPU has a tenth less free memory than another: another process uses it.",),
        fix=("Find the process that holds memory with `nvidia-smi`, stop it, and start again.",),
        severity="degrades",
    ),
    "sglang_retract": Symptom(
        title=("Requests were retracted: the KV cache is too small for the load",),
        cause=("The cache was full, so {n} requests at once were removed from it and recomputed later.",),
        fix=("Lower `--max-running-requests`, cap the context (`--context-length`), or use more GPUs (`--tp-size`).",),
        severity="degrades",
        recurs=False,
    ),
    "preemption": Symptom(
        title=("Requests were preempted: the KV cache is too small for the load",),
        cause=(
            "With {r} requests at once the cache was full, so requests were preempted and recomputed later. Only time "
            "is lost.",
        ),
        fix=(
            "Cap the context (`--max-model-len`) or the concurrent requests (`--max-num-seqs`), halve the cache's "
            "bytes per token (`--kv-cache-dtype fp8`), or use more GPUs.",
        ),
        severity="degrades",
        recurs=False,
    ),
}

"""Catalogue of symptoms of processes that wait, hang, crash or end without an error of their own; data only."""

from ..symptoms import Symptom

STARTS: dict[str, Symptom] = {
    "crashed": Symptom(
        title=("An engine process crashed in native code",),
        cause=(
            "{who} ended with exit code {code} (-11 is a segmentation fault).",
            "Python reports: {what}.",
            "It ended with a segmentation fault or an abort.",
        ),
        fix=(
            "Check that driver, torch and engine are compatible. Start once with `PYTHONFAULTHANDLER=1` to see where "
            "it crashes.",
        ),
        severity="follows",
        recurs=False,
        hides=("worker_lost", "core_lost"),
    ),
    "worker_lost": Symptom(
        title=("An engine worker ended without an error",),
        cause=(
            "{who} ended and logged no error: most often the kernel killed it because the memory (RAM) was full, or a "
            "driver failed.",
        ),
        fix=("Check whether the kernel did it: `dmesg -T | grep -iE 'out of memory|Xid'`. If so, add memory (RAM).",),
        severity="follows",
        recurs=False,
    ),
    "core_lost": Symptom(
        title=("The engine's core process ended without an error",),
        cause=(
            "It logged no error: most often the kernel killed it because the memory (RAM) was full, or someone else "
            "killed it.",
        ),
        fix=("Check whether the kernel did it: `dmesg -T | grep -i 'out of memory'`. If so, add memory (RAM).",),
        severity="follows",
        recurs=False,
    ),
    "other_rank_failed": Symptom(
        title=("Another rank did not finish loading the model",),
        cause=("Rank {rank} loaded its part, but another did not: it ran out of memory (OOM), failed or is slow.",),
        fix=("Read the first error of the other ranks; their lines may be in another file or on another machine.",),
        severity="follows",
        recurs=False,
    ),
    "start_timeout": Symptom(
        title=("The engine was not ready in time",),
        cause=("It waited {s} s for its processes; large weights on a slow disk take longer.",),
        fix=("Set `VLLM_ENGINE_READY_TIMEOUT_S=3600` in the environment, or move the weights to a faster disk.",),
        severity="stops",
    ),
    "start_hangs": Symptom(
        title=("The start hangs: no progress for {s} s",),
        cause=("The last step that the log shows: {step}. {usual}",),
        fix=("{mend}",),
        severity="stops",
        recurs=False,
    ),
    "ray_waits": Symptom(
        title=("The start waits for GPUs that Ray does not have",),
        cause=("It has waited {s} s for a placement group: {specs}.", "It has waited {s} s for a placement group."),
        fix=(
            "Compare with `ray status`: start Ray on more machines, or lower `--tensor-parallel-size` times "
            "`--pipeline-parallel-size`. `VLLM_HOST_IP` on each machine must be the address that Ray uses.",
        ),
        severity="stops",
        recurs=False,
        hides=("ray_few_gpus",),
    ),
    "ray_few_gpus": Symptom(
        title=("Ray has fewer GPUs than the engine needs",),
        cause=("No placement group was available within {s} s.", "The engine needs more GPUs than Ray's cluster has."),
        fix=(
            "Compare with `ray status`: start Ray on more machines, or lower `--tensor-parallel-size` times "
            "`--pipeline-parallel-size`.",
        ),
        severity="stops",
    ),
    "not_ready_yet": Symptom(
        title=("The server is not ready in this log",),
        cause=("The last step that it shows: {step}. Loading and compiling a large model take minutes.",),
        fix=("Read the log again later. If nothing is added: {mend}",),
        severity="note",
        recurs=False,
    ),
    "worker_hangs": Symptom(
        title=("A worker did not respond for a long time",),
        cause=("The step {what} did not finish in time.", "For {s} s a worker computed, compiled or hung."),
        fix=("If it continues afterwards, it was compiling. If not, find the rank that stopped logging.",),
        severity="degrades",
        recurs=False,
    ),
    "rpc_timeout": Symptom(
        title=("A worker did not finish the step {what} in time, and the engine ended",),
        cause=("One of its processes or GPUs hung: often the connection between GPUs (NCCL), or the driver.",),
        fix=(
            "Look for GPU errors (`dmesg -T | grep Xid`). If it comes back, start with `NCCL_P2P_DISABLE=1`, or "
            "`--disable-custom-all-reduce`; a longer wait: `VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS=1200`.",
        ),
        severity="stops",
        recurs=False,
        hides=("worker_hangs",),
    ),
    "sglang_watchdog": Symptom(
        title=("SGLang's watchdog ended a scheduler that made no progress for {s} s",),
        cause=("A forward pass hung: the connection between GPUs (NCCL), the driver, or a kernel that compiles.",),
        fix=("Look for GPU errors (`dmesg -T | grep Xid`). For slow first passes: `--watchdog-timeout 1200`.",),
        severity="stops",
        recurs=False,
        hides=("sglang_unhealthy",),
    ),
    "sglang_unhealthy": Symptom(
        title=("The server did not answer its health check",),
        cause=("The {who} process has not responded for {s} s: it is busy with a long request, or hangs.",),
        fix=("If answers still arrive, raise the health check's timeout. If not, find the rank that stopped logging.",),
        severity="degrades",
        recurs=False,
    ),
    "fork_after_cuda": Symptom(
        title=("A worker was forked after CUDA was initialized",),
        cause=("The program used CUDA before it created the engine, whose processes then cannot use it.",),
        fix=(
            "Set `VLLM_WORKER_MULTIPROC_METHOD=spawn` in the environment, and create the engine before any "
            "other use of CUDA.",
        ),
        severity="stops",
    ),
    "no_main_guard": Symptom(
        title=("The program starts the engine while it is imported",),
        cause=("Each process of the engine imports the program again and would start another engine.",),
        fix=("Put the code that creates the engine under `if __name__ == '__main__':`.",),
        severity="stops",
    ),
}

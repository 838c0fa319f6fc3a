"""Catalogue of symptoms of the connections between GPUs and machines; data only."""

from ..symptoms import Symptom

_INTERFACE = (
    "Name the network interface that reaches the other machines, on each of them: `GLOO_SOCKET_IFNAME=eth0 "
    "NCCL_SOCKET_IFNAME=eth0` (`ip addr` lists them)"
)

NETWORK: dict[str, Symptom] = {
    "custom_all_reduce": Symptom(
        title=("The GPUs cannot share memory directly (custom all-reduce)",),
        cause=("CUDA reports: {what}. The machine, its virtualisation or the allocator does not support it.",),
        fix=(
            "Start with `--disable-custom-all-reduce`, and without `expandable_segments` in `PYTORCH_CUDA_ALLOC_CONF`.",
        ),
        severity="stops",
        hides=("cuda_error", "nccl"),
    ),
    "gloo_network": Symptom(
        title=("The processes could not be connected over the network (Gloo)",),
        cause=(
            "Gloo reports: {what}. It listens on the address of this machine's host name, which others may not reach.",
            "The machine's host name leads to no address that the other processes can reach.",
        ),
        fix=(_INTERFACE + "; and set `VLLM_HOST_IP` to its address.",),
        sglang_fix=(_INTERFACE + ".",),
        severity="stops",
        recurs=False,
        hides=("nccl_peer", "rendezvous"),
    ),
    "rendezvous": Symptom(
        title=("The processes did not find each other",),
        cause=(
            "One of them got no answer from {address}: the first process did not start, or a firewall is between.",
            "After {s} s, {joined} processes had joined: the others did not start, or a firewall is between.",
            "torch reports: {why}",
            "One of them waited in vain for the others: they did not start, or a firewall is between.",
        ),
        fix=("Check that every process has started and that the port is open between the machines. " + _INTERFACE,),
        severity="stops",
        recurs=False,
    ),
    "nccl": Symptom(
        title=("The GPUs could not be connected (NCCL)",),
        cause=("NCCL reports: {what}.",),
        fix=("Start with `NCCL_DEBUG=INFO` and read its first WARN; with docker, add `--ipc=host`.",),
        severity="stops",
        recurs=False,
        hides=("nccl_peer",),
    ),
    "nccl_timeout": Symptom(
        title=("A rank timed out waiting for the others",),
        cause=("One of them hung or ended; its own log lines show what happened.",),
        fix=("Read the lines of the rank that went silent; `NCCL_DEBUG=INFO` shows more.",),
        severity="follows",
        recurs=False,
    ),
    "nccl_peer": Symptom(
        title=("A rank lost the connection to another",),
        cause=("The other rank ended.",),
        fix=("Find the first error of the rank that ended.",),
        severity="follows",
        recurs=False,
    ),
}

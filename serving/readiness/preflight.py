"""Check before a start what would prevent it; pure: inspects nothing itself, starts nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ..capacity.sizing import Plan
from ..engines.command import ServeOptions
from ..errors import EngineError
from .gpu_state import GpuProcess, GpuState
from .machine import Machine
from .weights import FoundWeights

_GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that the user should know before the start."""

    what: str
    """What was found, with its values."""
    do: str
    """What to do about it. Empty if nothing needs to be done."""
    blocks: bool
    """True means that the start cannot succeed."""
    cause: str = ""
    """Why, one or more lines. Empty if `what` says it."""
    log: Path | None = None
    """The file with the whole output of what failed. None means there is no file."""


def preflight(plan: Plan, machine: Machine, options: ServeOptions) -> tuple[Finding, ...]:
    """Check a plan against a machine; return all findings, those that block the start first.

    Args:
        plan: what to start.
        machine: what was found on the machine.
        options: the address to listen on.
    """
    found = (
        *_server(machine),
        *_fit(plan),
        *_gpus(plan, machine),
        *_memory(plan, machine),
        *_weights(machine),
        *_disk(machine),
        *_port(machine, options),
        *_versions(machine),
        *_errors(machine),
    )
    return tuple(sorted(found, key=lambda one: not one.blocks))


def raise_if_blocked(findings: tuple[Finding, ...], model: str) -> None:
    """Raise if a finding blocks the start.

    Raises:
        EngineError: at least one finding blocks the start; the message lists all that do.
    """
    blocking = [one for one in findings if one.blocks]
    if blocking:
        _raise_blocked(blocking, model)


def _raise_blocked(blocking: list[Finding], model: str) -> NoReturn:
    if len(blocking) == 1:
        (one,) = blocking
        raise EngineError(f"Cannot start {model}: {one.what}", cause=one.cause, do=one.do, log=one.log)
    raise EngineError(
        f"Cannot start {model}: {len(blocking)} problems were found.",
        cause="\n".join(line for number, one in enumerate(blocking, 1) for line in _numbered(number, one)),
        do="Fix each one as described below it and start again.",
    )


def _numbered(number: int, one: Finding) -> Iterator[str]:
    yield f"{number}. {one.what}"
    for at, line in enumerate(one.cause.splitlines()):
        yield f"   {'       ' if at else 'Cause: '}{line}"
    if one.log is not None:
        yield f"   Log:   {one.log}"
    for line in one.do.splitlines():
        yield f"   {line}"


def _server(machine: Machine) -> Iterator[Finding]:
    server = machine.server
    if server is not None:
        yield Finding(
            what=f"a server is already running here, {server.model!r} at {server.base_url} ({server.state}).",
            do="Use it, or stop it first: agent serve stop.",
            blocks=True,
        )


def _fit(plan: Plan) -> Iterator[Finding]:
    if plan.starts == "yes":
        return
    changes = [f"{change.what}: {change.option}" for change in plan.changes]
    if plan.starts == "no":
        yield Finding(
            what=f"according to the plan it does not fit: {_missing(plan)}.",
            do="\n".join(["Make one of these changes, or add --fit to make the first:", *changes])
            if changes
            else "See the whole plan: agent plan, with the same options.",
            blocks=True,
        )
        return
    yield Finding(
        what="According to the plan it may not fit, depending on what the engine needs besides weights and KV cache.",
        do="\n".join(["If it does not start, make one of these changes:", *changes]) if changes else "",
        blocks=False,
    )


def _missing(plan: Plan) -> str:
    missing = f"{plan.missing_bytes / _GIB:.2f} GiB"
    if plan.request.gpus.gpu.name != "cpu":
        return f"{missing} are missing on each GPU"
    # Only the KV cache is planned there, not the memory of the machine.
    length = f"{plan.request.max_model_len:,}"
    return f"the KV cache in this machine's memory is {missing} too small for one request of {length} tokens"


def _gpus(plan: Plan, machine: Machine) -> Iterator[Finding]:
    request, gpus = plan.request, machine.driver.gpus
    if request.on_cpu:
        return
    if not gpus:
        why = f" ({machine.driver.error})" if machine.driver.error else ""
        yield Finding(what=f"the driver reports no NVIDIA GPU on this machine{why}.", do=NO_GPU, blocks=True)
        return
    if len(gpus) < request.tensor_parallel_size:
        yield Finding(
            what=f"the plan splits it over {request.tensor_parallel_size} GPUs, but this machine has {len(gpus)}.",
            do="Plan for this machine: omit --gpus and --tensor-parallel-size.",
            blocks=True,
        )
    smallest = min(gpus, key=lambda gpu: gpu.total_bytes)
    planned = request.gpus.gpu
    # The catalogue's totals and the driver's differ in the last digits.
    if smallest.total_bytes < planned.memory_bytes * 0.99:
        yield Finding(
            what=f"the plan is for {planned.title} with {_gib(planned.memory_bytes)}, but this machine has "
            f"{smallest.title} with {_gib(smallest.total_bytes)}.",
            do="Plan for this machine: omit --gpus.",
            blocks=True,
        )


NO_GPU = (
    "To try function calling on the CPU with a tiny model: agent serve pocket\n"
    "To see which GPUs are needed: agent plan --gpus h200:4"
)


def _memory(plan: Plan, machine: Machine) -> Iterator[Finding]:
    for number, gpu in enumerate(machine.driver.gpus[: plan.request.tensor_parallel_size]):
        if gpu.free_bytes < plan.requested_bytes <= gpu.total_bytes:
            yield Finding(
                what=f"GPU {number} has {_gib(gpu.free_bytes)} free of {_gib(gpu.total_bytes)}, but the engine would "
                f"use {_gib(plan.requested_bytes)}. {_users(gpu)}",
                do="End the processes that use the memory, or let the engine use less: --gpu-memory-utilization "
                f"{int(gpu.free_bytes / gpu.total_bytes * 100) / 100:g}.",
                blocks=True,
            )


def _users(gpu: GpuState) -> str:
    if not gpu.processes:
        return "The driver lists no process that uses the rest; it may be in another container."
    return "The rest is used by " + ", ".join(_user(one) for one in gpu.processes) + "."


def _user(one: GpuProcess) -> str:
    name = f" ({one.name})" if one.name else ""
    size = f" with {_gib(one.used_bytes)}" if one.used_bytes else ""
    return f"process {one.pid}{name}{size}"


def _weights(machine: Machine) -> Iterator[Finding]:
    for found in machine.weights:
        if found.complete:
            continue
        is_folder = found.folder is not None and str(found.folder) == found.name
        missing = f"{', '.join(found.missing[:3])}{', …' if len(found.missing) > 3 else ''}"
        if is_folder:
            yield Finding(
                what=f"files are missing in {found.name}: {missing}.", do="Add the missing files.", blocks=True
            )
            continue
        what = (
            f"the weights of {found.name} are not on this machine"
            if found.folder is None
            else f"some files of {found.name} are missing ({missing})"
        )
        yield _to_download(found, what, machine)


def _to_download(found: FoundWeights, what: str, machine: Machine) -> Finding:
    if machine.offline:
        return Finding(
            what=f"{what}, and HF_HUB_OFFLINE forbids downloading them.",
            do=f"Unset HF_HUB_OFFLINE, or download them elsewhere (one of two layouts): {found.download_command}",
            blocks=True,
        )
    token = (
        ""
        if machine.token
        else " No token is set; if the repository requires one, accept its terms and run: hf auth login."
    )
    return Finding(
        what=f"{what[0].upper()}{what[1:]}: the engine first downloads {_gib(found.download_bytes)} (one of two "
        f"layouts).{token}",
        do=f"To download them beforehand: {found.download_command}",
        blocks=False,
    )


def _disk(machine: Machine) -> Iterator[Finding]:
    needed = sum(found.download_bytes for found in machine.weights)
    if needed > machine.cache_free_bytes:
        yield Finding(
            what=f"{_gib(needed)} of weights need to be downloaded to {machine.cache}, but only "
            f"{_gib(machine.cache_free_bytes)} are free there.",
            do="Free some space, or set HF_HOME to a folder on a larger disk.",
            blocks=True,
        )


def _port(machine: Machine, options: ServeOptions) -> Iterator[Finding]:
    if machine.port_taken:
        yield Finding(
            what=f"port {options.port} on {options.host} is in use or not permitted.",
            do="Choose another one: --port N. Without --port, a free one is chosen.",
            blocks=True,
        )


def _versions(machine: Machine) -> Iterator[Finding]:
    for problem in machine.versions:
        pins = " ".join(f'"{pin}"' for pin in problem.pins)
        yield Finding(
            what=f"{problem.what} {problem.cause}", do=f"{machine.python} -m pip install {pins}", blocks=problem.breaks
        )


def _errors(machine: Machine) -> Iterator[Finding]:
    for error in machine.errors:
        yield Finding(what=error.what, do=error.do, blocks=True, cause=error.cause, log=error.log)


def _gib(size: int) -> str:
    return f"{size / _GIB:.1f} GiB"

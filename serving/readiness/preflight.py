"""Judge before a start what stands in its way; pure over what was found: looks at nothing, starts nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from ..capacity.sizing import Plan
from ..engines.command import ServeOptions
from ..errors import EngineError
from .gpu_state import GpuHolder, GpuState
from .machine import Machine
from .weights import FoundWeights

_GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a person should know before the start."""

    what: str
    """What is found, with its values."""
    do: str
    """What to do about it. Empty: nothing needs to be done."""
    stops: bool
    """True: there is no use in starting."""


def preflight(plan: Plan, machine: Machine, options: ServeOptions) -> tuple[Finding, ...]:
    """Hold a plan against a machine; everything is said at once, what stops it first.

    Args:
        plan: what is to be started.
        machine: what was found.
        options: where it is to listen.
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
        *(Finding(what=error.what, do=error.do, stops=True) for error in machine.broken),
    )
    return tuple(sorted(found, key=lambda one: not one.stops))


def refuse(findings: tuple[Finding, ...], model: str) -> None:
    """Let nothing start that something stands in the way of.

    Raises:
        EngineError: at least one finding stops it; all that do are told.
    """
    stops = [one for one in findings if one.stops]
    if stops:
        _refuse(stops, model)


def _refuse(stops: list[Finding], model: str) -> NoReturn:
    if len(stops) == 1:
        raise EngineError(f"Cannot start {model}: {stops[0].what}", cause="", do=stops[0].do)
    told = [
        line
        for number, one in enumerate(stops, 1)
        for line in (f"{number}. {one.what}", *(f"   {advice}" for advice in one.do.splitlines()))
    ]
    raise EngineError(
        f"Cannot start {model}: {len(stops)} things stand in the way.",
        cause="\n".join(told),
        do="Mend these, each as the lines below it say, and start again.",
    )


def _server(machine: Machine) -> Iterator[Finding]:
    server = machine.server
    if server is not None:
        yield Finding(
            what=f"a server runs here already, {server.model!r} at {server.base_url} ({server.state}).",
            do="Use that one, or end it first: agent serve stop.",
            stops=True,
        )


def _fit(plan: Plan) -> Iterator[Finding]:
    if plan.starts == "yes":
        return
    changes = [f"{change.what}: {change.option}" for change in plan.changes]
    short = f"{plan.missing_bytes / _GIB:.2f} GiB"
    if plan.starts == "no":
        yield Finding(
            what=f"by plan it does not fit, {short} are missing on each GPU.",
            do="\n".join(["Change one of these, or add --fit for the first:", *changes])
            if changes
            else "See the whole of it: agent plan.",
            stops=True,
        )
        return
    yield Finding(
        what="By plan it is not sure that it fits: it depends on what the engine needs beside weights and KV cache.",
        do="\n".join(["If it does not start:", *changes]) if changes else "",
        stops=False,
    )


def _gpus(plan: Plan, machine: Machine) -> Iterator[Finding]:
    request, gpus = plan.request, machine.driver.gpus
    if request.gpus.gpu.name == "cpu":
        return
    if not gpus:
        why = f" ({machine.driver.trouble})" if machine.driver.trouble else ""
        yield Finding(what=f"this machine has no NVIDIA GPU that its driver shows{why}.", do=NO_GPU, stops=True)
        return
    if len(gpus) < request.tensor_parallel_size:
        yield Finding(
            what=f"it is to be split over {request.tensor_parallel_size} GPUs, and {len(gpus)} are here.",
            do="Plan for what is here: leave --gpus and --tensor-parallel-size away.",
            stops=True,
        )
    smallest = min(gpus, key=lambda gpu: gpu.total_bytes)
    planned = request.gpus.gpu
    # The catalogue's totals and the driver's differ in the last digits.
    if smallest.total_bytes < planned.memory_bytes * 0.99:
        yield Finding(
            what=f"it is planned for {planned.title} with {_gib(planned.memory_bytes)}, and here is a {smallest.title} "
            f"with {_gib(smallest.total_bytes)}.",
            do="Plan for what is here: leave --gpus away.",
            stops=True,
        )


NO_GPU = (
    "To try function calling on the CPU with a tiny model: agent serve pocket\n"
    "To see which GPUs it takes: agent plan --gpus h200:4"
)


def _memory(plan: Plan, machine: Machine) -> Iterator[Finding]:
    for number, gpu in enumerate(machine.driver.gpus[: plan.request.tensor_parallel_size]):
        if gpu.free_bytes < plan.requested_bytes <= gpu.total_bytes:
            yield Finding(
                what=f"GPU {number} has {_gib(gpu.free_bytes)} free of {_gib(gpu.total_bytes)}, and the engine is to "
                f"take {_gib(plan.requested_bytes)}. {_holders(gpu)}",
                do="End what holds the memory, or take less: --gpu-memory-utilization "
                f"{int(gpu.free_bytes / gpu.total_bytes * 100) / 100:g}.",
                stops=True,
            )


def _holders(gpu: GpuState) -> str:
    if not gpu.holders:
        return "The driver names no process that holds the rest; it may be in another container."
    return "It is held by " + ", ".join(_holder(one) for one in gpu.holders) + "."


def _holder(one: GpuHolder) -> str:
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
            yield Finding(what=f"{found.name} lacks {missing}.", do="Complete the folder.", stops=True)
            continue
        what = (
            f"the weights of {found.name} are not here"
            if found.folder is None
            else f"of {found.name} some files are missing here ({missing})"
        )
        yield _to_fetch(found, what, machine)


def _to_fetch(found: FoundWeights, what: str, machine: Machine) -> Finding:
    if machine.offline:
        return Finding(
            what=f"{what}, and HF_HUB_OFFLINE forbids to fetch them.",
            do=f"Unset HF_HUB_OFFLINE, or fetch them elsewhere, one layout of the two: {found.fetch}",
            stops=True,
        )
    token = (
        ""
        if machine.token
        else " No token is set; if the repository asks for one, accept its terms and: hf auth login."
    )
    return Finding(
        what=f"{what[0].upper()}{what[1:]}: the engine fetches {_gib(found.needed_bytes)} first, one layout of the "
        f"two.{token}",
        do=f"To fetch them beforehand: {found.fetch}",
        stops=False,
    )


def _disk(machine: Machine) -> Iterator[Finding]:
    needed = sum(found.needed_bytes for found in machine.weights)
    if needed > machine.cache_free_bytes:
        yield Finding(
            what=f"{_gib(needed)} of weights are to be fetched to {machine.cache}, where "
            f"{_gib(machine.cache_free_bytes)} are free.",
            do="Free some space, or let HF_HOME name a folder on a larger disk.",
            stops=True,
        )


def _port(machine: Machine, options: ServeOptions) -> Iterator[Finding]:
    if machine.port_taken:
        yield Finding(
            what=f"port {options.port} of {options.host} is taken, or may not be used.",
            do="Give another one: --port N. Without --port a free one is taken.",
            stops=True,
        )


def _versions(machine: Machine) -> Iterator[Finding]:
    for problem in machine.versions:
        pins = " ".join(f'"{pin}"' for pin in problem.pins)
        yield Finding(
            what=f"{problem.what} {problem.cause}", do=f"{machine.python} -m pip install {pins}", stops=problem.known
        )


def _gib(size: int) -> str:
    return f"{size / _GIB:.1f} GiB"

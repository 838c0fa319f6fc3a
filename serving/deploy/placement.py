"""Decide where each engine of a deployment runs and how the router reaches it; refuses impossible placements."""

import re
from ipaddress import IPv4Address

from ..capacity.sizing import Plan
from ..errors import EngineError
from .records import DeployOptions, Place, Target

ENGINE_PORT = 8000
ANY_ADDRESS = str(IPv4Address(0))
"""Listen address of a server that other containers or machines reach."""
SERVICE = "tramontane-engine"
"""Name of the Kubernetes service that gives the engines' pods their DNS names."""

_ONE_MACHINE = frozenset({"compose"})
_OWN_SCHEDULER = frozenset({"kubernetes", "ray"})


def place_engines(target: Target, plan: Plan, options: DeployOptions) -> tuple[Place, ...]:
    """Assign a machine, a port and GPUs to each engine.

    Raises:
        EngineError: there are no engines, the machine has too few GPUs, a port or node name is invalid, or the target
            does not support nodes.
    """
    if options.replicas < 1:
        raise EngineError(f"Cannot deploy {options.replicas} replicas.", cause="", do="Set --replicas to 1 or more.")
    if not 0 < options.router_port < 65536:
        raise EngineError(
            f"{options.router_port} is not a valid port.", cause="", do="Set --port to a number from 1 to 65535."
        )
    if target in _OWN_SCHEDULER:
        _refuse_nodes(target, options, "its own scheduler chooses the machines")
        return tuple(_scheduled(number) for number in range(options.replicas))
    if target in _ONE_MACHINE:
        _refuse_nodes(target, options, "the file describes the containers of one machine")
    elif options.nodes:
        if len(options.nodes) != options.replicas:
            raise EngineError(
                f"Cannot place {options.replicas} replicas on {len(options.nodes)} nodes: each node runs one.",
                cause="",
                do="Omit --replicas, or give as many nodes as replicas.",
            )
        _refuse_invalid_nodes(options.nodes)
        return tuple(_on_node(node) for node in options.nodes)
    size = plan.request.tensor_parallel_size
    _refuse_too_few_gpus(target, plan, options)
    places = tuple(
        _on_this_machine(number, tuple(range(number * size, (number + 1) * size)), containers=target == "compose")
        for number in range(options.replicas)
    )
    if target != "compose":
        _refuse_shared_port(places, options)
    return places


def _scheduled(number: int) -> Place:
    name = f"{SERVICE}-{number}"
    return Place(name=name, port=ENGINE_PORT, gpus=(), url=f"http://{name}.{SERVICE}:{ENGINE_PORT}")


def _on_node(node: str) -> Place:
    return Place(name=node, port=ENGINE_PORT, gpus=(), url=f"http://{node}:{ENGINE_PORT}")


def _on_this_machine(number: int, gpus: tuple[int, ...], *, containers: bool) -> Place:
    name = f"engine-{number}"
    if containers:
        return Place(name=name, port=ENGINE_PORT, gpus=gpus, url=f"http://{name}:{ENGINE_PORT}")
    port = ENGINE_PORT + number
    return Place(name=name, port=port, gpus=gpus, url=f"http://127.0.0.1:{port}")


def _refuse_invalid_nodes(nodes: tuple[str, ...]) -> None:
    for number, node in enumerate(nodes):
        # It becomes part of a URL and a file name.
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", node):
            raise EngineError(
                f"{node!r} is not a valid node name.", cause="", do="Give a host name or an IPv4 address."
            )
        if node in nodes[:number]:
            raise EngineError(
                f"Node {node!r} is given twice: each node runs one engine.",
                cause="",
                do="Give each machine once. For several engines on one machine, omit --node.",
            )


def _refuse_shared_port(places: tuple[Place, ...], options: DeployOptions) -> None:
    if options.router_port in {place.port for place in places}:
        raise EngineError(
            f"The router cannot listen on port {options.router_port}: an engine uses it (from {ENGINE_PORT} on).",
            cause="",
            do="Choose another port for the router: --port N.",
        )


def _refuse_nodes(target: Target, options: DeployOptions, why: str) -> None:
    if options.nodes:
        raise EngineError(
            f"Cannot place the engines of a {target} deployment on named nodes: {why}.",
            cause="",
            do="Omit --node, or deploy to `router` or `systemd`.",
        )


def _refuse_too_few_gpus(target: Target, plan: Plan, options: DeployOptions) -> None:
    size = plan.request.tensor_parallel_size
    needed, has = size * options.replicas, plan.request.gpus.count
    if needed > has:
        elsewhere = "router" if target == "compose" else target
        raise EngineError(
            f"Cannot place {options.replicas} replicas of {size} GPU(s) on one machine: they need {needed} GPUs, but "
            f"it has {has}.",
            cause="",
            do=f"Set --replicas {has // size}; or plan for a machine with {needed} GPUs: --gpus "
            f"{plan.request.gpus.gpu.name}:{needed} --tensor-parallel-size {size}; or distribute them over machines: "
            f"agent deploy {elsewhere} --node NAME --node NAME.",
        )

"""Decide where each engine of a deployment runs and how the router reaches it; refuses what cannot be."""

import re
from ipaddress import IPv4Address

from ..capacity.sizing import Plan
from ..errors import EngineError
from .records import DeployOptions, Place, Target

ENGINE_PORT = 8000
ANY_ADDRESS = str(IPv4Address(0))
"""Where a server listens that others reach: in its container, or on its machine."""
SERVICE = "tramontane-engine"
"""Name of the Kubernetes service by which the engines' pods are found."""

_ONE_MACHINE = frozenset({"compose"})
_OWN_SCHEDULER = frozenset({"kubernetes", "ray"})


def place_engines(target: Target, plan: Plan, options: DeployOptions) -> tuple[Place, ...]:
    """Place the engines.

    Raises:
        EngineError: there is none, the machine has too few GPUs for them, a port or a node's name is none, or nodes do
            not go with the target.
    """
    if options.replicas < 1:
        raise EngineError(f"Cannot deploy {options.replicas} replicas.", cause="", do="Give --replicas 1 or more.")
    if not 0 < options.router_port < 65536:
        raise EngineError(f"{options.router_port} is no port.", cause="", do="Give --port a number from 1 to 65535.")
    if target in _OWN_SCHEDULER:
        _refuse_nodes(target, options, "its own scheduler chooses the machines")
        return tuple(_scheduled(number) for number in range(options.replicas))
    if target in _ONE_MACHINE:
        _refuse_nodes(target, options, "one file describes the containers of one machine")
    elif options.nodes:
        if len(options.nodes) != options.replicas:
            raise EngineError(
                f"Cannot place {options.replicas} replicas on {len(options.nodes)} nodes: each takes one.",
                cause="",
                do="Leave --replicas away, or name as many nodes.",
            )
        _refuse_odd_nodes(options.nodes)
        return tuple(_on_node(node) for node in options.nodes)
    size = plan.request.tensor_parallel_size
    _refuse_too_few_gpus(target, plan, options)
    places = tuple(
        _here(number, tuple(range(number * size, (number + 1) * size)), containers=target == "compose")
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


def _here(number: int, gpus: tuple[int, ...], *, containers: bool) -> Place:
    name = f"engine-{number}"
    if containers:
        return Place(name=name, port=ENGINE_PORT, gpus=gpus, url=f"http://{name}:{ENGINE_PORT}")
    port = ENGINE_PORT + number
    return Place(name=name, port=port, gpus=gpus, url=f"http://127.0.0.1:{port}")


def _refuse_odd_nodes(nodes: tuple[str, ...]) -> None:
    for number, node in enumerate(nodes):
        # It becomes part of a URL and the name of a file.
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", node):
            raise EngineError(f"{node!r} is no name of a machine.", cause="", do="Give a host name or an IPv4 address.")
        if node in nodes[:number]:
            raise EngineError(
                f"Node {node!r} is named twice: each takes one engine.",
                cause="",
                do="Name each machine once. Several engines on one machine: leave --node away.",
            )


def _refuse_shared_port(places: tuple[Place, ...], options: DeployOptions) -> None:
    if options.router_port in {place.port for place in places}:
        raise EngineError(
            f"The router cannot listen on port {options.router_port}: an engine does, from {ENGINE_PORT} on.",
            cause="",
            do="Give the router another --port.",
        )


def _refuse_nodes(target: Target, options: DeployOptions, why: str) -> None:
    if options.nodes:
        raise EngineError(
            f"Cannot place the engines of a {target} deployment on nodes by name: {why}.",
            cause="",
            do="Leave --node away, or deploy to `router` or `systemd`.",
        )


def _refuse_too_few_gpus(target: Target, plan: Plan, options: DeployOptions) -> None:
    size = plan.request.tensor_parallel_size
    needed, has = size * options.replicas, plan.request.gpus.count
    if needed > has:
        elsewhere = "router" if target == "compose" else target
        raise EngineError(
            f"Cannot place {options.replicas} replicas of {size} GPU(s) on one machine: they need {needed} GPUs, it "
            f"has {has}.",
            cause="",
            do=f"Give --replicas {has // size}; or plan for a machine with {needed} GPUs: --gpus "
            f"{plan.request.gpus.gpu.name}:{needed} --tensor-parallel-size {size}; or spread them over machines: "
            f"agent deploy {elsewhere} --node NAME --node NAME.",
        )

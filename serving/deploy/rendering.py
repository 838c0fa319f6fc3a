"""Render the files by which other programs run the engines of a plan; writes and starts nothing."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from ..capacity.sizing import Plan
from ..engines import engine_command
from ..engines.command import ServeOptions, Variable
from ..errors import EngineError
from .compose import compose
from .kubernetes import kubernetes
from .placement import ANY_ADDRESS, place_engines
from .quoting import refuse_unprintable
from .ray import ray
from .records import Deployment, DeployOptions, Job, Place, Replica, Target
from .routing import router_flags
from .scripts import scripts
from .systemd import systemd

_RENDERERS: Mapping[Target, Callable[[Job], Deployment]] = {
    "compose": compose,
    "systemd": systemd,
    "kubernetes": kubernetes,
    "router": scripts,
    "ray": ray,
}
_CONTAINERS = frozenset({"compose", "kubernetes"})


def render(target: Target, plan: Plan, options: DeployOptions) -> Deployment:
    """Render a deployment.

    Args:
        target: what runs the engines.
        plan: what each of them serves, on the GPUs of one machine.
        options: how many, where, and behind what.

    Raises:
        EngineError: the plan does not start, the target cannot run it, or it would be open to others without a key.
    """
    _refuse_plan(plan)
    places = place_engines(target, plan, options)
    reached = target in _CONTAINERS or bool(options.nodes)
    _refuse_key(target, options, reached=reached)
    refuse_unprintable(_texts(plan, options))
    job = Job(
        plan=plan,
        options=options,
        replicas=tuple(_replica(place, plan, options, reached=reached) for place in places),
        router=router_flags(places, options, host=ANY_ADDRESS if target in _CONTAINERS else "127.0.0.1"),
    )
    deployment = _RENDERERS[target](job)
    return replace(deployment, notes=(*_plan_notes(plan), *deployment.notes))


def _replica(place: Place, plan: Plan, options: DeployOptions, *, reached: bool) -> Replica:
    command = engine_command(
        plan,
        ServeOptions(
            host=ANY_ADDRESS if reached else "127.0.0.1",
            port=place.port,
            served_model_name=options.served_model_name,
            api_key_file=options.api_key_file,
        ),
    )
    if options.hf_token_file is not None:
        token = Variable(
            name="HF_TOKEN", value="", reason="to fetch weights that need it", secret_file=options.hf_token_file
        )
        command = replace(command, environment=(*command.environment, token))
    return Replica(place=place, command=command)


def _refuse_plan(plan: Plan) -> None:
    request = plan.request
    if request.engine != "vllm":
        raise EngineError(
            "Cannot deploy SGLang: engines behind a router are reached over the network, so they need a key, and "
            "SGLang 0.5.23 takes none from a file or the environment.",
            cause="",
            do="Plan with --engine vllm.",
        )
    if request.gpus.gpu.name == "cpu":
        raise EngineError(
            f"Cannot deploy {request.model.title} on the CPU: the images and units are those of vLLM for CUDA.",
            cause="",
            do="Name the GPUs: --gpus h100:4. To try a model on the CPU: agent serve pocket.",
        )
    if plan.starts == "no":
        count, title = request.tensor_parallel_size, request.gpus.gpu.title
        changes = "\n".join(f"{change.option}  ({change.what})" for change in plan.changes)
        raise EngineError(
            f"Cannot deploy {request.model.title} on {count} x {title}: an engine would not start, "
            f"{plan.missing_bytes:,} bytes are missing on each GPU.",
            cause="",
            do=f"Take one of these:\n{changes}" if changes else "Take more GPUs, larger ones, or a smaller model.",
        )


def _plan_notes(plan: Plan) -> tuple[str, ...]:
    asked = plan.request.concurrency
    options = ", or ".join(change.option for change in plan.changes)
    instead = f" What makes it certain: {options}." if options else ""
    if plan.starts == "unsure":
        return (f"Whether an engine starts is not certain before `agent serve` has measured it once.{instead}",)
    if plan.concurrency < asked:
        return (f"An engine holds {plan.concurrency:.1f} requests of the whole context at once, not {asked}.{instead}",)
    return ()


def _refuse_key(target: Target, options: DeployOptions, *, reached: bool) -> None:
    if target == "ray":
        if options.hf_token_file is not None:
            raise EngineError(
                "Cannot deploy with a token file to Ray: its configuration would hold the token itself.",
                cause="",
                do="Leave --hf-token-file away, and export HF_TOKEN on each machine before `ray start`.",
            )
        if options.api_key_file is not None:
            raise EngineError(
                "Cannot deploy with a key to Ray: Ray Serve LLM asks for none.",
                cause="",
                do="Leave --api-key-file away, and put a proxy that asks for a key before its port.",
            )
    elif reached and options.api_key_file is None:
        raise EngineError(
            f"Cannot deploy to {target} without a key: engines that the router reaches over a network are reached by "
            "others too.",
            cause="",
            do="Put a key into a file that only you can read and name it: --api-key-file FILE.",
        )


def _texts(plan: Plan, options: DeployOptions) -> Iterator[str]:
    yield plan.request.model.name
    yield plan.request.model.title
    if plan.request.draft is not None:
        yield plan.request.draft.name
    yield from options.nodes
    yield from (options.engine_image, options.router_image, options.python, options.served_model_name or "")
    yield from (str(file) for file in (options.api_key_file, options.hf_token_file) if file is not None)

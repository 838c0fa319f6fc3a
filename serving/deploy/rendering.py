"""Render the files with which other programs run the engines of a plan; writes and starts nothing."""

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
        target: the program that runs the engines.
        plan: the plan of each engine, on the GPUs of one machine.
        options: number and location of the engines, and the router.

    Raises:
        EngineError: the plan does not start, the target cannot run it, or others could reach it without a key.
    """
    _check_plan(plan)
    places = place_engines(target, plan, options)
    exposed = target in _CONTAINERS or bool(options.nodes)
    _check_secrets(target, options, exposed=exposed)
    refuse_unprintable(_texts(plan, options))
    job = Job(
        plan=plan,
        options=options,
        replicas=tuple(_replica(place, plan, options, exposed=exposed) for place in places),
        router=router_flags(places, options, host=ANY_ADDRESS if target in _CONTAINERS else "127.0.0.1"),
    )
    deployment = _RENDERERS[target](job)
    return replace(deployment, notes=(*_plan_notes(plan), *deployment.notes))


def _replica(place: Place, plan: Plan, options: DeployOptions, *, exposed: bool) -> Replica:
    command = engine_command(
        plan,
        ServeOptions(
            host=ANY_ADDRESS if exposed else "127.0.0.1",
            port=place.port,
            served_model_name=options.served_model_name,
            api_key_file=options.api_key_file,
        ),
    )
    if options.hf_token_file is not None:
        token = Variable(
            name="HF_TOKEN", value="", reason="to download weights that require it", secret_file=options.hf_token_file
        )
        command = replace(command, environment=(*command.environment, token))
    return Replica(place=place, command=command)


def _check_plan(plan: Plan) -> None:
    request = plan.request
    if request.engine != "vllm":
        raise EngineError(
            "Cannot deploy SGLang: engines behind a router are reached over the network, so they need a key, but "
            "SGLang 0.5.23 cannot read one from a file or the environment.",
            cause="",
            do="Plan with --engine vllm.",
        )
    if request.on_cpu:
        raise EngineError(
            f"Cannot deploy {request.model.title} on the CPU: the images and units are for vLLM with CUDA.",
            cause="",
            do="Give the GPUs, such as --gpus h100:4. To try a model on the CPU: agent serve pocket.",
        )
    if plan.starts == "no":
        count, title = request.tensor_parallel_size, request.gpus.gpu.title
        changes = "\n".join(f"{change.option}  ({change.what})" for change in plan.changes)
        raise EngineError(
            f"Cannot deploy {request.model.title} on {count} x {title}: an engine would not start, since each GPU "
            f"lacks {plan.missing_bytes:,} bytes.",
            cause="",
            do=f"Use one of these:\n{changes}" if changes else "Use more GPUs, larger ones, or a smaller model.",
        )


def _plan_notes(plan: Plan) -> tuple[str, ...]:
    wanted = plan.request.concurrency
    options = ", or ".join(change.option for change in plan.changes)
    advice = f" To be certain: {options}." if options else ""
    if plan.starts == "unsure":
        return (f"It is not certain that an engine starts until `agent serve` has measured it once.{advice}",)
    if plan.concurrency < wanted:
        return (f"An engine holds {plan.concurrency:.1f} full-length requests at once, not {wanted}.{advice}",)
    return ()


def _check_secrets(target: Target, options: DeployOptions, *, exposed: bool) -> None:
    if target == "ray":
        if options.hf_token_file is not None:
            raise EngineError(
                "Cannot deploy to Ray with a token file: Ray's configuration would contain the token itself.",
                cause="",
                do="Omit --hf-token-file, and export HF_TOKEN on each machine before `ray start`.",
            )
        if options.api_key_file is not None:
            raise EngineError(
                "Cannot deploy to Ray with a key: Ray Serve LLM does not check keys.",
                cause="",
                do="Omit --api-key-file, and put a proxy that requires a key in front of its port.",
            )
    elif exposed and options.api_key_file is None:
        raise EngineError(
            f"Cannot deploy to {target} without a key: engines that the router reaches over a network are reachable "
            "by others too.",
            cause="",
            do="Write a key to a file that only you can read, and pass it: --api-key-file FILE.",
        )


def _texts(plan: Plan, options: DeployOptions) -> Iterator[str]:
    yield plan.request.model.name
    yield plan.request.model.title
    if plan.request.draft is not None:
        yield plan.request.draft.name
    yield from options.nodes
    yield from (options.engine_image, options.router_image, options.python, options.served_model_name or "")
    yield from (str(file) for file in (options.api_key_file, options.hf_token_file) if file is not None)

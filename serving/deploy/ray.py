"""Render a Ray Serve LLM application; Ray itself places, balances and restarts the engines."""

import json
from pathlib import PurePosixPath

from ..engines.command import Flag
from .quoting import comment, yaml_text
from .records import Deployment, Job, RenderedFile
from .routing import run_command

FILE = "serve.yaml"
_NOTES = (
    "Ray Serve LLM requires no key: it listens on 127.0.0.1, and a proxy in front of it must require one.",
    "Ray routes requests by their prompt prefix, not by X-Session-ID.",
    "ray[llm] 2.60.0 includes vLLM 0.29.0, an older version than the other targets use.",
)
# Ray sets the address itself, and the name is in `model_id`.
_NOT_OF_THE_ENGINE = frozenset({"--host", "--port", "--served-model-name"})


def ray(job: Job) -> Deployment:
    """Render the configuration that `serve run` and `serve deploy` read."""
    request = job.plan.request
    lines = [
        comment(f"{request.model.title}: {len(job.replicas)} engine(s) of {request.tensor_parallel_size} GPU(s)."),
        comment("On every machine of the Ray cluster, run:"),
        comment("  pip install 'ray[llm]==2.60.0' 'mistral_common[image]>=1.11.6,<1.13'"),
        comment("Without the pin, mistral_common 1.13 is installed and breaks vLLM's tool parser."),
        "http_options:",
        "  host: 127.0.0.1",
        f"  port: {job.options.router_port}",
        "applications:",
        "  - name: tramontane",
        "    route_prefix: /",
        "    import_path: ray.serve.llm:build_openai_app",
        "    args:",
        "      llm_configs:",
        "        - model_loading_config:",
        f"            model_id: {yaml_text(job.engine.model)}",
        f"            model_source: {yaml_text(request.model.name)}",
        "          deployment_config:",
        f"            num_replicas: {len(job.replicas)}",
        comment("Sends each step of a run to the engine that has its prefix in the cache.", indent="            "),
        "            request_router_config:",
        "              request_router_class: ray.serve.llm.request_router.PrefixCacheAffinityRouter",
        *_environment(job),
        "          engine_kwargs:",
    ]
    for flag in job.engine.flags:
        if flag.words[0] not in _NOT_OF_THE_ENGINE:
            lines += [comment(flag.reason, indent="            "), f"            {_keyword(flag)}"]
    file = RenderedFile(path=PurePosixPath(FILE), text="\n".join(lines) + "\n")
    return Deployment(
        files=(file,),
        commands=(
            "ray start --head",
            f"serve deploy {FILE}",
            "serve status",
            run_command(job.options),
        ),
        notes=_NOTES,
    )


def _environment(job: Job) -> list[str]:
    lines = ["          runtime_env:", "            env_vars:"]
    for variable in job.engine.environment:
        lines += [
            comment(variable.reason, indent="              "),
            f"              {variable.name}: {yaml_text(variable.value)}",
        ]
    return lines


def _keyword(flag: Flag) -> str:
    """Format a flag as the keyword argument that Ray passes to vLLM: name in snake case, value as data."""
    name = flag.words[0].removeprefix("--").replace("-", "_")
    if len(flag.words) == 1:
        return f"{name}: true"
    value = flag.words[1]
    try:
        # Numbers and objects on a command line are JSON.
        json.loads(value)
    except ValueError:
        return f"{name}: {yaml_text(value)}"
    return f"{name}: {value}"

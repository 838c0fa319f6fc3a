"""Render a Docker Compose file: engines and router on one machine, with only the router's port published."""

from pathlib import PurePosixPath

from . import containers
from .containers import flag_items, items
from .quoting import comment, dollars_doubled, yaml_text
from .records import ENGINE_IMAGE, ROUTER_IMAGE, Deployment, Job, Place, RenderedFile
from .routing import routing_notes, run_command

FILE = "compose.yaml"


def compose(job: Job) -> Deployment:
    """Render the Compose file and the Dockerfiles of its images."""
    text = "\n".join([*_head(job), *_engines(job), *_router(job), *_secrets(job), *_volumes()]) + "\n"
    files = (RenderedFile(path=PurePosixPath(FILE), text=text), *containers.dockerfiles(job.options))
    return Deployment(
        files=files,
        commands=(
            "docker compose up --build --detach",
            "docker compose ps",
            run_command(job.options),
        ),
        notes=routing_notes(job.options),
    )


def _head(job: Job) -> list[str]:
    size = job.plan.request.tensor_parallel_size
    return [
        comment(f"{job.plan.request.model.title}: {len(job.replicas)} engine(s) of {size} GPU(s) behind vllm-router."),
        comment("Needs Docker's compose plugin and the NVIDIA Container Toolkit."),
        "name: tramontane",
        "",
        "x-engine: &engine",
        *_image(job.options.engine_image, built=ENGINE_IMAGE, dockerfile="Dockerfile.engine"),
        "  entrypoint:",
        *items(containers.with_secrets(_secret_names(job), containers.SECRETS), indent="    "),
        "  command:",
        *items(job.engine.program, indent="    "),
        *flag_items(job.engine.flags, indent="    "),
        *_environment(job),
        *_service_secrets(job),
        "  volumes:",
        comment("Keeps downloaded weights and compiled code when the container is removed.", indent="    "),
        f"    - cache:{containers.CACHE}",
        *_mounts(job),
        comment("NCCL and vLLM's workers use shared memory; Docker's default is 64 MB.", indent="  "),
        "  shm_size: 16gb",
        comment("A wrong setting fails every time, so limit the retries to five.", indent="  "),
        "  restart: on-failure:5",
        "  stop_grace_period: 60s",
        "  healthcheck:",
        '    test: ["CMD", "curl", "-fsS", "http://127.0.0.1:8000/health"]',
        "    interval: 10s",
        "    timeout: 5s",
        comment("Loading and compiling take minutes to an hour, depending on disk and network.", indent="    "),
        "    start_period: 90m",
        "    retries: 3",
        "",
        "services:",
    ]


def _engines(job: Job) -> list[str]:
    return [line for replica in job.replicas for line in _engine(replica.place)]


def _engine(place: Place) -> list[str]:
    ids = ", ".join(f'"{gpu}"' for gpu in place.gpus)
    return [
        f"  {place.name}:",
        "    <<: *engine",
        "    deploy:",
        "      resources:",
        "        reservations:",
        "          devices:",
        f"            - {{driver: nvidia, device_ids: [{ids}], capabilities: [gpu]}}",
        "",
    ]


def _router(job: Job) -> list[str]:
    port = job.options.router_port
    lines = _image(job.options.router_image, built=ROUTER_IMAGE, dockerfile="Dockerfile.router")
    return [
        "  router:",
        *(f"  {line}" for line in lines),
        "    command:",
        *flag_items(job.router, indent="      "),
        "    ports:",
        comment("The only published port, reachable from this machine only.", indent="      "),
        f'      - "127.0.0.1:{port}:{port}"',
        "    restart: unless-stopped",
        "    read_only: true",
        "    cap_drop: [ALL]",
        "    security_opt: [no-new-privileges:true]",
        "",
    ]


def _image(image: str, *, built: str, dockerfile: str) -> list[str]:
    lines = [f"  image: {yaml_text(dollars_doubled(image))}"]
    if image == built:
        lines += ["  build:", "    context: .", f"    dockerfile: {dockerfile}"]
    return lines


def _environment(job: Job) -> list[str]:
    lines = ["  environment:"]
    for variable in containers.plain(job.engine):
        lines.append(comment(variable.reason, indent="    "))
        lines.append(f"    {variable.name}: {yaml_text(dollars_doubled(variable.value))}")
    return lines


def _secret_names(job: Job) -> tuple[str, ...]:
    return tuple(variable.name for variable in containers.secrets(job.engine))


def _service_secrets(job: Job) -> list[str]:
    return ["  secrets:", *(f"    - {name}" for name in _secret_names(job))]


def _secrets(job: Job) -> list[str]:
    lines = [
        comment("Read at startup; the values are in none of these files and in no container's settings."),
        "secrets:",
    ]
    for variable in containers.secrets(job.engine):
        lines += [
            f"  {variable.name}:",
            f"    file: {yaml_text(dollars_doubled(str(variable.secret_file)))}",
        ]
    return [*lines, ""]


def _mounts(job: Job) -> list[str]:
    lines: list[str] = []
    for folder in containers.folders(job.plan):
        path = yaml_text(dollars_doubled(folder))
        lines.append(f"    - {{type: bind, source: {path}, target: {path}, read_only: true}}")
    return lines


def _volumes() -> list[str]:
    return ["volumes:", "  cache: {}"]

"""Render what a container needs, whoever runs it: images with their pins, the command, its secrets, its folders."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ..capacity.sizing import Plan
from ..engines.command import EngineCommand, Flag, Variable
from .quoting import comment, dollars_doubled, yaml_text
from .records import ENGINE_IMAGE, ROUTER_IMAGE, DeployOptions, RenderedFile
from .routing import REQUIREMENT

SECRETS = "/run/secrets"
"""Where secrets lie as files in the container, each named like its variable."""
EMPTY = "its file is empty"
"""What a shell says of a secret of no letters, and ends: an engine whose key is empty asks nobody for one."""
CACHE = "/root/.cache"
"""Where vLLM and the Hugging Face client of the image, which runs as its root, keep what they fetched and compiled."""

_ENGINE_DOCKERFILE = """\
# vLLM's own image with one pin. vLLM 0.33.0 accepts every mistral_common from 1.11.6 on, but 1.13 made an argument
# required that vLLM does not pass: every chat request with the mistral tool parser is answered with HTTP 400.
FROM vllm/vllm-openai:v0.33.0
RUN uv pip install --system 'mistral_common[image]>=1.11.6,<1.13'
"""
_ROUTER_DOCKERFILE = f"""\
# The router is a package with a compiled part; it needs no GPU and no CUDA.
FROM python:3.11-slim
RUN pip install --no-cache-dir '{REQUIREMENT}'
USER 65534:65534
ENTRYPOINT ["vllm-router"]
"""


def dockerfiles(options: DeployOptions) -> tuple[RenderedFile, ...]:
    """Render a Dockerfile for each image that the user does not bring."""
    files: list[RenderedFile] = []
    if options.engine_image == ENGINE_IMAGE:
        files.append(RenderedFile(path=PurePosixPath("Dockerfile.engine"), text=_ENGINE_DOCKERFILE))
    if options.router_image == ROUTER_IMAGE:
        files.append(RenderedFile(path=PurePosixPath("Dockerfile.router"), text=_ROUTER_DOCKERFILE))
    return tuple(files)


def secrets(command: EngineCommand) -> tuple[Variable, ...]:
    """List the variables whose values lie in files."""
    return tuple(variable for variable in command.environment if variable.secret_file is not None)


def plain(command: EngineCommand) -> tuple[Variable, ...]:
    """List the other variables."""
    return tuple(variable for variable in command.environment if variable.secret_file is None)


def with_secrets(names: Sequence[str], folder: str) -> tuple[str, ...]:
    """Give the words that go before a command to read its secrets from files and put them into its environment.

    A key among the arguments would be seen by everyone who lists processes, one among the container's variables by
    everyone who may inspect it.

    Args:
        names: of the variables, and of the files.
        folder: where the files are; a shell replaces its variables.
    """
    reading = "".join(
        f'{name}="$(cat "{folder}/{name}")" && : "${{{name}:?{EMPTY}}}" && export {name} && ' for name in names
    )
    return ("/bin/sh", "-c", f'{reading}exec "$@"', "sh")


def folders(plan: Plan) -> tuple[str, ...]:
    """List the folders of weights on this machine; models from the Hub have none."""
    request = plan.request
    names = [request.model.name] + ([] if request.draft is None else [request.draft.name])
    return tuple(dict.fromkeys(name for name in names if Path(name).is_absolute()))


def items(words: Sequence[str], *, indent: str) -> list[str]:
    """Write words as a YAML list for Compose or Kubernetes."""
    return [f"{indent}- {yaml_text(dollars_doubled(word))}" for word in words]


def flag_items(flags: Sequence[Flag], *, indent: str) -> list[str]:
    """Write flags as a YAML list, each below its reason."""
    return [line for flag in flags for line in (comment(flag.reason, indent=indent), *items(flag.words, indent=indent))]

"""Render the parts shared by Compose and Kubernetes: pinned images, the command, its secrets and its folders."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ..capacity.sizing import Plan
from ..engines.command import EngineCommand, Flag, Variable
from .quoting import comment, dollars_doubled, yaml_text
from .records import ENGINE_IMAGE, ROUTER_IMAGE, DeployOptions, RenderedFile
from .routing import REQUIREMENT

SECRETS = "/run/secrets"
"""The container's folder of secret files, each named like its variable."""
EMPTY = "its file is empty"
"""The shell's error for an empty secret, which ends it: an engine with an empty key would require no key."""
CACHE = "/root/.cache"
"""Where vLLM and the Hugging Face client store downloads and compiled code; the image runs as root."""

_ENGINE_DOCKERFILE = """\
# vLLM's own image with one pin. vLLM 0.33.0 accepts every mistral_common from 1.11.6 on, but 1.13 requires an
# argument that vLLM does not pass: every chat request with the mistral tool parser is answered with HTTP 400.
FROM vllm/vllm-openai:v0.33.0
RUN uv pip install --system 'mistral_common[image]>=1.11.6,<1.13'
"""
_ROUTER_DOCKERFILE = f"""\
# The router is a package with compiled code; it needs no GPU and no CUDA.
FROM python:3.11-slim
RUN pip install --no-cache-dir '{REQUIREMENT}'
USER 65534:65534
ENTRYPOINT ["vllm-router"]
"""


def dockerfiles(options: DeployOptions) -> tuple[RenderedFile, ...]:
    """Render a Dockerfile for each image that the user does not supply."""
    files: list[RenderedFile] = []
    if options.engine_image == ENGINE_IMAGE:
        files.append(RenderedFile(path=PurePosixPath("Dockerfile.engine"), text=_ENGINE_DOCKERFILE))
    if options.router_image == ROUTER_IMAGE:
        files.append(RenderedFile(path=PurePosixPath("Dockerfile.router"), text=_ROUTER_DOCKERFILE))
    return tuple(files)


def secrets(command: EngineCommand) -> tuple[Variable, ...]:
    """Return the variables whose values are in files."""
    return tuple(variable for variable in command.environment if variable.secret_file is not None)


def plain(command: EngineCommand) -> tuple[Variable, ...]:
    """Return the variables whose values are not secret."""
    return tuple(variable for variable in command.environment if variable.secret_file is None)


def with_secrets(names: Sequence[str], folder: str) -> tuple[str, ...]:
    """Return a command prefix that reads secrets from files into the environment of the command after it.

    A key in the arguments would be visible in the process list, and one in the container's variables to everyone who
    can inspect the container.

    Args:
        names: of the variables, and of their files.
        folder: the folder of the files; a shell expands variables in it.
    """
    exports = "".join(
        f'{name}="$(cat "{folder}/{name}")" && : "${{{name}:?{EMPTY}}}" && export {name} && ' for name in names
    )
    return ("/bin/sh", "-c", f'{exports}exec "$@"', "sh")


def folders(plan: Plan) -> tuple[str, ...]:
    """Return the folders with weights on this machine; models from the Hub have none."""
    request = plan.request
    names = [request.model.name] + ([] if request.draft is None else [request.draft.name])
    return tuple(dict.fromkeys(name for name in names if Path(name).is_absolute()))


def items(words: Sequence[str], *, indent: str) -> list[str]:
    """Format words as a YAML list for Compose or Kubernetes."""
    return [f"{indent}- {yaml_text(dollars_doubled(word))}" for word in words]


def flag_items(flags: Sequence[Flag], *, indent: str) -> list[str]:
    """Format flags as a YAML list, each below a comment with its reason."""
    return [line for flag in flags for line in (comment(flag.reason, indent=indent), *items(flag.words, indent=indent))]

"""Define the records of a deployment: options, placement, commands and rendered files; renders nothing."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from ..capacity.sizing import Plan
from ..engines.command import EngineCommand, Flag

Target = Literal["compose", "systemd", "kubernetes", "router", "ray"]
Policy = Literal["sticky_least_loaded", "consistent_hash", "cache_aware", "power_of_two", "round_robin"]
"""How vllm-router chooses an engine; the values of its `--policy`."""

ENGINE_VERSION = "0.33.0"
"""The version of vLLM that the rendered files install."""

ENGINE_IMAGE = f"tramontane-engine:vllm-{ENGINE_VERSION}"
ROUTER_IMAGE = "tramontane-router:0.1.17"
"""Names of the images built from the rendered Dockerfiles."""


@dataclass(frozen=True, kw_only=True)
class DeployOptions:
    """Options of a deployment; none of them changes what fits on one machine."""

    replicas: int = 2
    """Number of engines, each with a full copy of the model."""
    nodes: tuple[str, ...] = ()
    """Names of the machines, with one engine on each. Empty means all engines run on this machine, or where the
    target's own scheduler places them."""
    router_port: int = 30000
    """The router's port on 127.0.0.1; the default is that of vllm-router."""
    policy: Policy = "sticky_least_loaded"
    api_key_file: Path | None = None
    """A file with the API key and nothing else; must have the same path on every machine."""
    hf_token_file: Path | None = None
    """The same for a Hugging Face Hub token. None means the weights are local or need no token."""
    engine_image: str = ENGINE_IMAGE
    router_image: str = ROUTER_IMAGE
    python: str = "/opt/tramontane/bin/python"
    """For systemd: an interpreter with vLLM, and on the router's machine with vllm-router."""
    served_model_name: str | None = None
    """The model's name in requests. None means the model's own name."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one engine runs."""

    name: str
    """A node's name, or `engine-0` and so on."""
    port: int
    gpus: tuple[int, ...]
    """Indices of the GPUs it may use on its machine. Empty means all."""
    url: str
    """The URL that the router uses; without /v1."""


@dataclass(frozen=True, kw_only=True)
class Replica:
    """One engine and where it runs."""

    place: Place
    command: EngineCommand


@dataclass(frozen=True, kw_only=True)
class Job:
    """The input of a renderer."""

    plan: Plan
    options: DeployOptions
    replicas: tuple[Replica, ...]
    """At least one."""
    router: tuple[Flag, ...]
    """The flags of vllm-router."""

    @property
    def engine(self) -> EngineCommand:
        """The command of the first engine; the others differ at most in their ports."""
        return self.replicas[0].command


@dataclass(frozen=True, kw_only=True)
class RenderedFile:
    """One file to write."""

    path: PurePosixPath
    """Relative to the output folder."""
    text: str
    mode: int = 0o644


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """The rendered files and how to use them."""

    files: tuple[RenderedFile, ...]
    commands: tuple[str, ...]
    """Commands to run next, in the output folder."""
    notes: tuple[str, ...]
    """Notes for the user, each a short text."""

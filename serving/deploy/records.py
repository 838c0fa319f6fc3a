"""Records of a deployment: what is asked for, where its engines run, the files that come of it; renders nothing."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from ..capacity.sizing import Plan
from ..engines.command import EngineCommand, Flag

Target = Literal["compose", "systemd", "kubernetes", "router", "ray"]
Policy = Literal["sticky_least_loaded", "consistent_hash", "cache_aware", "power_of_two", "round_robin"]
"""How vllm-router chooses an engine; spelt as its `--policy`."""

ENGINE_IMAGE = "tramontane-engine:vllm-0.33.0"
ROUTER_IMAGE = "tramontane-router:0.1.17"
"""What the rendered Dockerfiles are built as."""


@dataclass(frozen=True, kw_only=True)
class DeployOptions:
    """How a deployment is to look; nothing of it changes what fits on one machine."""

    replicas: int = 2
    """Engines, each a whole copy of the model."""
    nodes: tuple[str, ...] = ()
    """Names of the machines, one engine on each. Empty: all on this machine, or where the target's own scheduler
    puts them."""
    router_port: int = 30000
    """Where the router listens on 127.0.0.1; the default is vllm-router's own."""
    policy: Policy = "sticky_least_loaded"
    api_key_file: Path | None = None
    """A file that holds the key and nothing else; on several machines it lies at the same place on each."""
    hf_token_file: Path | None = None
    """The same for a token of the Hugging Face Hub. None: the weights need none, or are here."""
    engine_image: str = ENGINE_IMAGE
    router_image: str = ROUTER_IMAGE
    python: str = "/opt/tramontane/bin/python"
    """Under systemd: an interpreter that has vLLM, and on the router's machine vllm-router."""
    served_model_name: str | None = None
    """What requests call the model. None: the model's own name."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one engine runs."""

    name: str
    """A node's name, or `engine-0` and so on."""
    port: int
    gpus: tuple[int, ...]
    """Numbers of the GPUs it may use on its machine. Empty: all of them."""
    url: str
    """How the router reaches it; without /v1."""


@dataclass(frozen=True, kw_only=True)
class Replica:
    """One engine and its place."""

    place: Place
    command: EngineCommand


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that a renderer works from."""

    plan: Plan
    options: DeployOptions
    replicas: tuple[Replica, ...]
    """At least one."""
    router: tuple[Flag, ...]
    """The flags of vllm-router."""

    @property
    def engine(self) -> EngineCommand:
        """The command of the first engine; the others differ from it in their ports only, if at all."""
        return self.replicas[0].command


@dataclass(frozen=True, kw_only=True)
class RenderedFile:
    """One file to write."""

    path: PurePosixPath
    """Below the output folder."""
    text: str
    mode: int = 0o644


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What was rendered, and how it is put to use."""

    files: tuple[RenderedFile, ...]
    commands: tuple[str, ...]
    """What to type next, in the output folder."""
    notes: tuple[str, ...]
    """What a person should know of it, one sentence each."""

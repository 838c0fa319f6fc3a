"""An engine's command line as data: flags with their reasons, variables, addresses; starts nothing."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..capacity.sizing import EngineName

Feature = Literal["mistral_parser", "draft"]
"""What of an engine a command uses that not every version of it has."""


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """How a server is to be reached, and by what; nothing of it changes what fits."""

    host: str = "127.0.0.1"
    port: int = 8000
    served_model_name: str | None = None
    """What requests call the model. None: the model's own name."""
    api_key_file: Path | None = None
    """A file that holds the key and nothing else. None: no key; then `host` must be of the loopback range."""

    @property
    def root_url(self) -> str:
        """Name the address by which this machine reaches the server."""
        address = _address(self.host)
        if address is not None and address.is_unspecified:
            # It listens on all interfaces, so on the loopback one too.
            host = "127.0.0.1" if address.version == 4 else "::1"
        else:
            host = self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One flag with its value."""

    words: tuple[str, ...]
    """As separate arguments: `("--max-model-len", "32768")`."""
    reason: str
    """Why it is given, one line."""


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One environment variable of the engine's process."""

    name: str
    value: str
    """Empty for a secret: it is read from its file at the start, and never printed or rendered."""
    reason: str
    secret_file: Path | None = None
    """The file that holds the value. None: no secret."""


@dataclass(frozen=True, kw_only=True)
class EngineCommand:
    """One way to start one engine."""

    engine: EngineName
    program: tuple[str, ...]
    """As a person types it, up to the flags: `("vllm", "serve", "mistralai/…")`."""
    module: tuple[str, ...]
    """The same as arguments of a Python interpreter: `("-P", "-m", "vllm.entrypoints.cli.main", "serve", …)`."""
    flags: tuple[Flag, ...]
    environment: tuple[Variable, ...]
    model: str
    """What requests call the model."""
    base_url: str
    """Ends in /v1."""
    health_url: str
    """Answers 200 when the server is up."""
    uses: frozenset[Feature] = frozenset()
    """What not every version of the engine and its packages can do."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """List the words of all flags."""
        return tuple(word for flag in self.flags for word in flag.words)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches a server that listens there; a name other than localhost counts as no."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None

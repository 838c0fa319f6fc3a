"""Records of an engine's command line: flags with their reasons, variables, addresses; starts nothing."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..capacity.sizing import EngineName

Feature = Literal["mistral_parser", "draft"]
"""An engine feature that not every version has."""


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """How clients reach a server; nothing here changes what fits in memory."""

    host: str = "127.0.0.1"
    port: int = 8000
    served_model_name: str | None = None
    """The model name in requests. None means the model's own name."""
    api_key_file: Path | None = None
    """A file that contains only the key. None means no key; `host` must then be a loopback address."""

    @property
    def root_url(self) -> str:
        """Return the URL at which this machine reaches the server."""
        address = _address(self.host)
        if address is not None and address.is_unspecified:
            # The server listens on all interfaces, including loopback.
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
    """Why the flag is set, one line."""


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One environment variable of the engine's process."""

    name: str
    value: str
    """Empty for a secret, which is read from its file at the start and never printed or rendered."""
    reason: str
    secret_file: Path | None = None
    """The file that contains the value. None means that the value is not a secret."""


@dataclass(frozen=True, kw_only=True)
class EngineCommand:
    """One way to start one engine."""

    engine: EngineName
    program: tuple[str, ...]
    """As typed in a shell, up to the flags: `("vllm", "serve", "mistralai/…")`."""
    module: tuple[str, ...]
    """The same as arguments of a Python interpreter: `("-P", "-m", "vllm.entrypoints.cli.main", "serve", …)`."""
    flags: tuple[Flag, ...]
    environment: tuple[Variable, ...]
    model: str
    """The model name in requests."""
    base_url: str
    """Ends in /v1."""
    health_url: str
    """Answers 200 when the server is ready."""
    uses: frozenset[Feature] = frozenset()
    """The features used that not every version of the engine and its packages has."""

    @property
    def arguments(self) -> tuple[str, ...]:
        """Return the words of all flags."""
        return tuple(word for flag in self.flags for word in flag.words)


def is_loopback(host: str) -> bool:
    """Return whether `host` is reachable only from this machine; False for any name other than localhost."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
